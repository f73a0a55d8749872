//! What applications make of a path: whatever they do to it, in whatever order.

use std::collections::BTreeSet;

/// Every path that somebody may take `target` for, without a trailing slash.
pub(crate) fn taken_for(target: &str) -> BTreeSet<String> {
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let mut seen = BTreeSet::from([path.clone()]);
    let mut open = vec![path.clone()];
    // The first segment behind two slashes is a host, to who looks before doing anything else.
    if path.starts_with("//") {
        let behind = path.trim_start_matches('/').find('/');
        let skipped = path.len() - path.trim_start_matches('/').len();
        open.push(behind.map_or("/".to_owned(), |at| path[skipped + at..].to_owned()));
    }
    while let Some(path) = open.pop() {
        for made in [decoded, resolved, merged, without_parameters, turned, cut].map(|it| it(&path))
        {
            if seen.insert(made.clone()) {
                open.push(made);
            }
        }
    }
    let ends = seen.iter().filter(|path| ends_here(path));
    ends.map(|path| path.trim_end_matches('/').to_owned()).collect()
}

/// Whether nothing can be done to it any more.
fn ends_here(path: &str) -> bool {
    [decoded, resolved, merged, without_parameters, turned, cut].iter().all(|it| it(path) == path)
}

fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            ".." => drop(segments.pop()),
            "." => {}
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn merged(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

/// Without what follows a `;` in each segment.
fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
    segments.collect::<Vec<_>>().join("/")
}

fn turned(path: &str) -> String {
    path.replace('\\', "/")
}

/// Without query and fragment.
fn cut(path: &str) -> String {
    path.split(['?', '#']).next().unwrap_or_default().to_owned()
}

mod tests {
    use proptest::{prelude::*, sample::select};
    use tollgate::policy::path::spellings;

    use super::taken_for;

    const PARTS: &[&str] = &[
        "/", "/", "/", "..", ".", "a", "b", "%61", "%2e", "%2E", "%252e", "%2f", "%5c", "\\", ";",
        "%3b", "%3f", "%23", "#", "?", "%25", "32", "%65", "%", "2f", "%20", "%00", "%c0%ae", ":",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn nobody_takes_a_path_for_another_one_than_those_by_which_it_is_judged(
            parts in prop::collection::vec(select(PARTS), 0..9),
        ) {
            let target = format!("/{}", parts.concat());
            if let Some((path, behind_host)) = spellings(&target) {
                let mut judged = taken_for(&path);
                if let Some(behind_host) = behind_host {
                    judged.extend(taken_for(&behind_host));
                }
                let taken = taken_for(&target);
                prop_assert!(taken.is_subset(&judged), "{target}: {taken:?} {judged:?}");
            }
        }
    }
}
