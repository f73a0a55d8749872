//! Paths as a gateway passes them on, and the one form in which they are compared.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a request target hides part of its path: an encoded dot, slash, backslash or NUL, a
/// backslash or a `;`. Judged before any decoding, since each gateway and application decodes
/// in its own way.
///
/// ```
/// use tollgate::policy::path::is_suspicious;
/// assert!(is_suspicious("/billing/%2e%2e/api"));
/// assert!(!is_suspicious("/search?q=%2e%2e"));
/// ```
#[must_use]
pub fn is_suspicious(target: &str) -> bool {
    let path = without_query(target);
    let hidden = |escape: &[u8]| {
        matches!(
            [escape[0], escape[1].to_ascii_lowercase(), escape[2].to_ascii_lowercase()],
            [b'%', b'2', b'e' | b'f'] | [b'%', b'5', b'c'] | [b'%', b'0', b'0']
        )
    };
    path.bytes().any(|byte| matches!(byte, b';' | b'\\' | 0))
        || path.as_bytes().windows(3).any(hidden)
}

/// The form in which paths are compared: without query, host and trailing slash, what need not be
/// encoded decoded once, slashes merged, dot segments resolved. Nothing where that could be
/// another path to whoever reads it in another order: what is [suspicious](is_suspicious), and dots
/// behind a doubled slash.
///
/// ```
/// use tollgate::policy::path::canonical;
/// assert_eq!(canonical("/a/../%61pi//x/?y").as_deref(), Some("/api/x"));
/// assert_eq!(canonical("https://example.com/a/").as_deref(), Some("/a"));
/// assert_eq!(canonical("/billing/%2e%2e/api"), None);
/// assert_eq!(canonical("/a//../b"), None);
/// ```
#[must_use]
pub fn canonical(target: &str) -> Option<Cow<'_, str>> {
    if is_suspicious(target) {
        return None;
    }
    let path = path_of(target)?;
    if is_plain(path) {
        return Some(Cow::Borrowed(path));
    }
    let decoded = decode_unreserved(path);
    let mut segments: Vec<&str> = Vec::new();
    let mut merged = false;
    for segment in decoded.split('/').skip(1) {
        match segment {
            "" => merged = true,
            // One reader takes back the doubled slash, another what was before it.
            ".." if merged => return None,
            // Above the root there is nothing but the root.
            ".." => drop(segments.pop()),
            "." => {}
            segment => segments.push(segment),
        }
    }
    Some(Cow::Owned(format!("/{}", segments.join("/"))))
}

/// The path of a target in origin form, or in absolute form; nothing of any other.
fn path_of(target: &str) -> Option<&str> {
    let target = without_query(target);
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let path = rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/");
    is_scheme.then_some(path)
}

fn without_query(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

/// Whether the path is in canonical form already, as nearly all are.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let ends_plain = bytes.len() == 1 || !path.ends_with('/');
    ends_plain && !path.contains('%') && !path.contains("//") && !path.contains("/.")
}

/// Decodes what need not be encoded, and writes every other escape in capitals.
fn decode_unreserved(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        decoded.push_str(before);
        let byte = escape.get(1..3).and_then(|digits| {
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
        });
        if let Some(byte) = byte {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
                decoded.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(decoded, "%{byte:02X}");
            }
            rest = escape.get(3..).unwrap_or_default();
        } else {
            decoded.push('%');
            rest = escape.get(1..).unwrap_or_default();
        }
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_part_of_a_path_is_suspicious() {
        for target in ["/a%2fb", "/a%2Fb", "/%2e%2E/x", "/a%5cb", "/a%00", "/a;b=1", "/a\\b"] {
            assert!(is_suspicious(target), "{target}");
        }
        for target in ["/", "/a/../b", "//a", "/a%20b", "/a?x=%2f;", "", "/%", "/a%2"] {
            assert!(!is_suspicious(target), "{target}");
        }
    }

    #[test]
    fn one_path_in_many_spellings_has_one_form() {
        for target in [
            "/api/export",
            "/api/export/",
            "//api//export//",
            "/./api/./export",
            "/x/../api/export?a=/../b",
            "/%61%70i/exp%6frt#x",
            "http://example.com/api/export/",
            "/api/export/.",
            "/../../api/x/../export",
        ] {
            assert_eq!(canonical(target).as_deref(), Some("/api/export"), "{target}");
        }
        assert_eq!(canonical("/").as_deref(), Some("/"));
        assert_eq!(canonical("http://example.com").as_deref(), Some("/"));
        assert_eq!(canonical("/a%c3%a9%zz%").as_deref(), Some("/a%C3%A9%zz%"));
        assert_eq!(canonical("/.well-known/x").as_deref(), Some("/.well-known/x"));
    }

    #[test]
    fn what_may_be_another_path_to_another_reader_has_none() {
        for target in [
            "/billing%2f..%2fapi",
            "/billing/%2e%2e/api",
            "//a/..//../b",
            "/a//../b",
            "api",
            "*",
            "",
            "javascript:/x",
            "://x/y",
        ] {
            assert_eq!(canonical(target), None, "{target}");
        }
    }

    proptest! {
        #[test]
        fn the_form_of_any_text_is_canonical_itself(target in r"[/.%a2eEfF5c;?#:é\\-]{0,24}") {
            if let Some(form) = canonical(&target) {
                let again = canonical(&form);
                prop_assert_eq!(again.as_deref(), Some(&*form));
                prop_assert!(form.starts_with('/') && !form.contains("//"));
                let mut segments = form.split('/');
                prop_assert!(segments.all(|segment| segment != ".." && segment != "."));
            }
        }
    }
}
