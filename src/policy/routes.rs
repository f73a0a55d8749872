//! The routes of a policy, and which of them a request takes.

use std::collections::HashMap;

use super::path::canonical;

/// Routes by pattern: for each method that is named anywhere a matcher of its own, since the most
/// specific pattern *for that method* wins alone.
#[derive(Clone, Debug)]
pub struct Routes<T> {
    case_insensitive: bool,
    by_method: HashMap<String, Node<T>>,
    /// For every method that no route names.
    others: Node<T>,
}

/// One route, before it is placed among the others.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// Its pattern, as it was written.
    pub pattern: String,
    /// The methods it is for; all of them when there are none.
    pub methods: Vec<String>,
    /// What it stands for.
    pub value: T,
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidPattern {
    /// It names the same requests as another one.
    #[error("names the same requests as the route `{0}`")]
    Conflict(String),
    /// It is not in the form in which paths are compared.
    #[error(
        "must be a path as it is compared: from the first `/` on, without query, dot segments and \
         doubled slashes, with escapes in capitals, where they must be and nowhere else"
    )]
    NotCanonical,
    /// It is no pattern at all.
    #[error("is no pattern: {0}")]
    Malformed(&'static str),
    /// A star that is no parameter.
    #[error("a bare `*` matches nothing; write `{{*rest}}` for the rest of a path")]
    BareStar,
}

impl<T: Clone> Routes<T> {
    /// Places the routes. Of each that cannot be, says which one it is, and why.
    pub fn new(
        case_insensitive: bool,
        routes: &[Placed<T>],
    ) -> Result<Self, Vec<(usize, InvalidPattern)>> {
        let mut faults = Vec::new();
        let mut patterns = Vec::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
            match read_pattern(&route.pattern, case_insensitive) {
                Ok(segments) => patterns.push((index, segments, route)),
                Err(fault) => faults.push((index, fault)),
            }
        }
        let mut methods: Vec<&String> = routes.iter().flat_map(|route| &route.methods).collect();
        methods.sort_unstable();
        methods.dedup();
        let mut by_method = HashMap::with_capacity(methods.len());
        let mut place = |method: Option<&str>| {
            let mut root = Node::default();
            for (index, segments, route) in &patterns {
                let is_of_it = route.methods.iter().any(|it| Some(&**it) == method);
                if route.methods.is_empty() || is_of_it {
                    let (pattern, value) = (route.pattern.clone(), route.value.clone());
                    let placed = root.insert(segments, Leaf { pattern, value });
                    faults.extend(placed.err().map(|fault| (*index, fault)));
                }
            }
            root
        };
        for method in methods {
            by_method.insert(method.clone(), place(Some(method)));
        }
        let others = place(None);
        faults.sort_by_key(|(index, _)| *index);
        faults.dedup();
        if faults.is_empty() {
            Ok(Self { case_insensitive, by_method, others })
        } else {
            Err(faults)
        }
    }

    /// The route of a request with this method and canonical path.
    #[must_use]
    pub fn find(&self, method: &str, path: &str) -> Option<&T> {
        self.find_under(self.by_method.get(method).unwrap_or(&self.others), path)
    }

    /// The route of a request with this canonical path, for each method that is named anywhere,
    /// and for all others.
    pub fn find_all(&self, path: &str) -> impl Iterator<Item = Option<&T>> {
        let roots = self.by_method.values().chain([&self.others]);
        roots.map(move |root| self.find_under(root, path))
    }

    fn find_under<'a>(&self, root: &'a Node<T>, path: &str) -> Option<&'a T> {
        let path = path.strip_prefix('/')?;
        let found = if self.case_insensitive && path.bytes().any(|it| it.is_ascii_uppercase()) {
            root.find(&path.to_ascii_lowercase())
        } else {
            root.find(path)
        };
        found.map(|leaf| &leaf.value)
    }
}

/// Where a pattern goes on: at a segment that is spelled out, else at any one segment, else at
/// everything that is left.
#[derive(Clone, Debug)]
struct Node<T> {
    segments: HashMap<String, Node<T>>,
    any_segment: Option<Box<Node<T>>>,
    here: Option<Leaf<T>>,
    rest: Option<Leaf<T>>,
}

/// Where a pattern ends.
#[derive(Clone, Debug)]
struct Leaf<T> {
    pattern: String,
    value: T,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { segments: HashMap::new(), any_segment: None, here: None, rest: None }
    }
}

impl<T: Clone> Node<T> {
    fn insert(&mut self, segments: &[Segment], leaf: Leaf<T>) -> Result<(), InvalidPattern> {
        let place = match segments {
            [] => &mut self.here,
            [Segment::Rest, ..] => &mut self.rest,
            [Segment::Any, further @ ..] => {
                return self.any_segment.get_or_insert_default().insert(further, leaf);
            }
            [Segment::Plain(name), further @ ..] => {
                return self.segments.entry(name.clone()).or_default().insert(further, leaf);
            }
        };
        if let Some(other) = place {
            return Err(InvalidPattern::Conflict(other.pattern.clone()));
        }
        *place = Some(leaf);
        Ok(())
    }

    /// The most specific pattern: the first segment that differs decides. The rest may be empty,
    /// unless a pattern ends just there.
    fn find(&self, path: &str) -> Option<&Leaf<T>> {
        if path.is_empty() {
            return self.here.as_ref().or(self.rest.as_ref());
        }
        let (segment, further) = path.split_once('/').unwrap_or((path, ""));
        let plain = self.segments.get(segment).and_then(|next| next.find(further));
        let any = || self.any_segment.as_ref().and_then(|next| next.find(further));
        plain.or_else(any).or(self.rest.as_ref())
    }
}

/// One part of a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Segment {
    /// Itself.
    Plain(String),
    /// `{name}`: any one segment.
    Any,
    /// `{*name}`: everything that is left.
    Rest,
}

fn read_pattern(raw: &str, case_insensitive: bool) -> Result<Vec<Segment>, InvalidPattern> {
    let path = raw.strip_prefix('/').ok_or(InvalidPattern::NotCanonical)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return if raw == "/" { Ok(Vec::new()) } else { Err(InvalidPattern::NotCanonical) };
    }
    if path.split('/').count() > SEGMENTS_AT_MOST {
        return Err(InvalidPattern::Malformed("it has more than 64 segments"));
    }
    let mut segments = Vec::new();
    for part in path.split('/') {
        if segments.last() == Some(&Segment::Rest) {
            return Err(InvalidPattern::Malformed(
                "`{*...}` stands for all that is left, so it comes last",
            ));
        }
        let parameter = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        segments.push(match parameter {
            Some(name) if is_name(name.strip_prefix('*').unwrap_or(name)) => {
                if name.starts_with('*') { Segment::Rest } else { Segment::Any }
            }
            None if part == "*" || part == "**" => return Err(InvalidPattern::BareStar),
            None if !part.contains(['{', '}', '*']) => Segment::Plain(if case_insensitive {
                part.to_ascii_lowercase()
            } else {
                part.to_owned()
            }),
            Some(_) | None => {
                return Err(InvalidPattern::Malformed(
                    "a parameter is a whole segment, `{name}` or `{*name}`",
                ));
            }
        });
    }
    let spelled: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
    let spelled = format!("/{}", spelled.join("/"));
    let is_canonical = canonical(&spelled).is_some_and(|form| form == spelled);
    if is_canonical { Ok(segments) } else { Err(InvalidPattern::NotCanonical) }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A pattern is walked by recursion.
const SEGMENTS_AT_MOST: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn placed(lines: &[&str]) -> Vec<Placed<String>> {
        let route = |line: &&str| {
            let (methods, pattern) = line.split_once(' ').unwrap();
            let methods = methods.split(',').filter(|it| *it != "any").map(str::to_owned);
            let (pattern, value) = (pattern.to_owned(), (*line).to_owned());
            Placed { pattern, methods: methods.collect(), value }
        };
        lines.iter().map(route).collect()
    }

    fn routes(lines: &[&str]) -> Routes<String> {
        Routes::new(false, &placed(lines)).unwrap()
    }

    fn faults(lines: &[&str]) -> Vec<(usize, InvalidPattern)> {
        Routes::new(false, &placed(lines)).unwrap_err()
    }

    #[test]
    fn the_most_specific_pattern_for_the_method_wins_alone() {
        let routes = routes(&[
            "any /{*rest}",
            "any /billing/{*rest}",
            "POST /billing/pay",
            "GET,HEAD /billing/{id}",
            "any /x",
        ]);
        let found = |method, path| routes.find(method, path).map(String::as_str);
        assert_eq!(found("POST", "/billing/pay"), Some("POST /billing/pay"));
        assert_eq!(found("GET", "/billing/pay"), Some("GET,HEAD /billing/{id}"));
        assert_eq!(found("PUT", "/billing/pay"), Some("any /billing/{*rest}"));
        assert_eq!(found("GET", "/billing/a/b"), Some("any /billing/{*rest}"));
        assert_eq!(found("GET", "/y"), Some("any /{*rest}"));
        assert_eq!(found("GET", "/X"), Some("any /{*rest}"));
    }

    #[test]
    fn the_rest_of_a_path_may_be_empty_unless_a_route_is_for_just_that() {
        let routes = routes(&["any /billing/{*rest}", "any /a/{*rest}", "any /a"]);
        let found = |path| routes.find("GET", path).map(String::as_str);
        assert_eq!(found("/billing"), Some("any /billing/{*rest}"));
        assert_eq!(found("/a"), Some("any /a"));
        assert_eq!(found("/"), None);
        assert_eq!(
            Routes::new(false, &placed(&["any /{*rest}"])).unwrap().find("GET", "/"),
            Some(&"any /{*rest}".to_owned())
        );
    }

    #[test]
    fn case_counts_only_where_it_is_said_to() {
        let folded = Routes::new(true, &placed(&["any /Api/{name}/Export"])).unwrap();
        assert!(folded.find("GET", "/aPI/x/export").is_some());
        assert!(routes(&["any /Api"]).find("GET", "/api").is_none());
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_named_with_its_reason() {
        assert_eq!(faults(&["any /a", "any /b/*"]), [(1, InvalidPattern::BareStar)]);
        for pattern in ["a", "", "/a//b", "/a/../b", "/%61", "/a?b", "/a%2fb", "*", "http://x/a"] {
            let line = format!("any {pattern}");
            let fault = faults(&[&line])[0].1.clone();
            assert!(
                matches!(fault, InvalidPattern::NotCanonical | InvalidPattern::BareStar),
                "{pattern}: {fault}"
            );
        }
        let conflict = InvalidPattern::Conflict("/a/{id}".to_owned());
        assert_eq!(faults(&["any /a/{id}", "GET /a/{name}"]), [(1, conflict)]);
        for pattern in ["/a/{", "/a/{}", "/a{b}", "/{*a}/b", "/{a b}"] {
            let line = format!("any {pattern}");
            let fault = faults(&[&line])[0].1.clone();
            assert!(matches!(fault, InvalidPattern::Malformed(_)), "{pattern}: {fault}");
        }
        assert!(Routes::new(false, &placed(&["GET /a/{id}", "POST /a/{name}"])).is_ok());
    }

    /// What matches is told by hand: segment by segment, the more specific one first.
    fn by_hand<'a>(lines: &'a [&'a str], path: &str) -> Option<&'a str> {
        let rank = |line: &&&str| -> Option<Vec<u8>> {
            let pattern = line.split_once(' ')?.1;
            let mut ranks = Vec::new();
            let mut segments = path.split('/').skip(1).filter(|it| !it.is_empty());
            for part in pattern.split('/').skip(1).filter(|it| !it.is_empty()) {
                if part.starts_with("{*") {
                    ranks.push(2);
                    return Some(ranks);
                }
                let segment = segments.next()?;
                match part {
                    _ if part.starts_with('{') => ranks.push(1),
                    _ if part == segment => ranks.push(0),
                    _ => return None,
                }
            }
            segments.next().is_none().then_some(ranks)
        };
        lines.iter().filter(|it| rank(it).is_some()).min_by_key(|it| rank(it)).copied()
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_one_finds_by_hand(
            patterns in prop::collection::hash_set(
                prop::collection::vec(select(&["a", "b", "{p}"][..]), 0..4), 0..6),
            rests in prop::collection::hash_set(
                prop::collection::vec(select(&["a", "b", "{p}"][..]), 0..3), 0..3),
            path in prop::collection::vec(select(&["a", "b", "c"][..]), 0..5),
        ) {
            let whole = patterns.iter().map(|parts| format!("any /{}", parts.join("/")));
            let open = rests.iter().map(|parts| {
                let parts: Vec<_> = parts.iter().copied().chain(["{*rest}"]).collect();
                format!("any /{}", parts.join("/"))
            });
            let lines: Vec<String> = whole.chain(open).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let path = format!("/{}", path.join("/"));
            let found = routes(&lines).find("GET", &path).cloned();
            prop_assert_eq!(found.as_deref(), by_hand(&lines, &path));
        }
    }
}
