//! Paths as a gateway passes them on, and the one form in which they are compared.

use std::{borrow::Cow, fmt::Write as _};

use percent_encoding::percent_decode;

/// Whether a request target hides part of its path: an encoded dot, slash, backslash, `;` or
/// control character, also when it is encoded twice; a backslash, a `;` or a `#`; what is no escape
/// and what is no UTF-8. Judged before any decoding, since each gateway and application decodes in
/// its own way.
///
/// ```
/// use tollgate::policy::path::is_suspicious;
/// assert!(is_suspicious("/billing/%2e%2e/api"));
/// assert!(is_suspicious("/billing/%252e%252e/api"));
/// assert!(!is_suspicious("/search?q=%2e%2e"));
/// ```
#[must_use]
pub fn is_suspicious(target: &str) -> bool {
    let path = without_query(target).as_bytes();
    path.iter().any(|byte| matches!(byte, b';' | b'\\' | b'#' | ..=b' ' | 0x7f)) || hides(path)
}

/// Whether some escape is more than one of a character that is what it seems.
fn hides(path: &[u8]) -> bool {
    let mut path = Cow::Borrowed(path);
    for _ in 0..DECODED_AT_MOST {
        let starts = path.iter().enumerate().filter(|(_, byte)| **byte == b'%');
        let mut encodes_an_escape = false;
        for (at, _) in starts {
            let escaped = |at: usize| path.get(at..).and_then(escaped);
            match (escaped(at), escaped(at + 3)) {
                // What was encoded twice need not be an escape the second time.
                (None, _) if matches!(path, Cow::Owned(_)) => {}
                (None | Some(b'.' | b'/' | b'\\' | b';' | ..=0x1f | 0x7f | 0xc0 | 0xc1), _)
                | (Some(0xe0), Some(0x80..=0x9f))
                | (Some(0xf0), Some(0x80..=0x8f)) => return true,
                (Some(byte), _) => encodes_an_escape |= byte == b'%',
            }
        }
        if !encodes_an_escape {
            return false;
        }
        path = Cow::Owned(percent_decode(&path).collect());
    }
    true
}

/// The form in which paths are compared: without query, host and trailing slash, what need not be
/// encoded decoded once and everything else encoded, slashes merged, dot segments resolved. Nothing
/// where that could be another path to whoever reads it in another order: what is
/// [suspicious](is_suspicious), and dots beside a doubled slash, an encoded `?` or an encoded `#`.
///
/// ```
/// use tollgate::policy::path::canonical;
/// assert_eq!(canonical("/a/../%61pi//x/?y"), None);
/// assert_eq!(canonical("/a/../%61pi/x/?y").as_deref(), Some("/api/x"));
/// assert_eq!(canonical("https://example.com/a/").as_deref(), Some("/a"));
/// assert_eq!(canonical("/billing/%2e%2e/api"), None);
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
    let spelled = spell(path);
    let mut segments: Vec<&str> = Vec::new();
    let (mut has_dots, mut goes_up) = (false, false);
    for segment in spelled.split('/').skip(1) {
        match segment {
            "" => {}
            ".." => {
                goes_up = true;
                // Above the root there is nothing but the root.
                segments.pop();
            }
            "." => has_dots = true,
            segment => segments.push(segment),
        }
    }
    // One reader takes back the doubled slash, another what was before it; and to some the path ends
    // at what is decoded to a `?`.
    let is_ambiguous = (has_dots || goes_up) && spelled.contains("//")
        || goes_up && (spelled.contains("%3F") || spelled.contains("%23"));
    (!is_ambiguous).then(|| Cow::Owned(format!("/{}", segments.join("/"))))
}

/// The [canonical] forms of a target: its own, and if it begins with two slashes also that of what is
/// behind the first segment, which is a host to some readers.
///
/// ```
/// use tollgate::policy::path::spellings;
/// let (path, behind_host) = spellings("//billing/api").unwrap();
/// assert_eq!((&*path, behind_host.as_deref()), ("/billing/api", Some("/api")));
/// ```
#[must_use]
pub fn spellings(target: &str) -> Option<(Cow<'_, str>, Option<Cow<'_, str>>)> {
    let path = canonical(target)?;
    if !path_of(target)?.starts_with("//") {
        return Some((path, None));
    }
    let behind_host = path.get(1..)?.find('/').and_then(|slash| path.get(slash + 1..));
    let behind_host = Cow::Owned(behind_host.unwrap_or("/").to_owned());
    Some((path, Some(behind_host)))
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
    target.split('?').next().unwrap_or_default()
}

/// Whether the path is in canonical form already, as nearly all are.
fn is_plain(path: &str) -> bool {
    let ends_plain = path.len() == 1 || !path.ends_with('/');
    let is_spelled = path.bytes().all(|byte| byte == b'/' || needs_no_escape(byte));
    ends_plain && is_spelled && !path.contains("//") && !path.contains("/.")
}

/// Decodes what need not be encoded, and encodes everything else, in capitals.
fn spell(path: &str) -> String {
    let mut spelled = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, further)) = rest.split_first() {
        let (byte, further) = match escaped(rest) {
            Some(byte) => (byte, rest.get(3..).unwrap_or_default()),
            None => (byte, further),
        };
        // An encoded slash is suspicious, so this is one between segments.
        if byte == b'/' || needs_no_escape(byte) {
            spelled.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(spelled, "%{byte:02X}");
        }
        rest = further;
    }
    spelled
}

/// The byte whose escape the text begins with.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = *text else { return None };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Whether a byte means the same in a path, encoded or not.
const fn needs_no_escape(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
        || matches!(byte, b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

/// What is encoded more often hides something.
const DECODED_AT_MOST: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_part_of_a_path_is_suspicious() {
        for target in [
            "/a%2fb",
            "/a%2Fb",
            "/%2e%2E/x",
            "/a%5cb",
            "/a%00",
            "/a;b=1",
            "/a%3bb",
            "/a\\b",
            "/a#b",
            "/a\tb",
            "/a%0db",
            "/a%7f",
            // Encoded twice, in several ways, and more often.
            "/%252e/x",
            "/%25%32%65/x",
            "/%25252e/x",
            "/a%25252525b",
            // What is no escape, and no UTF-8: a dot in too many bytes.
            "/%",
            "/a%2",
            "/%u002e",
            "/%c0%ae",
            "/%e0%80%ae",
            "/%f0%80%80%ae",
        ] {
            assert!(is_suspicious(target), "{target}");
        }
        for target in [
            "/",
            "/a/../b",
            "//a",
            "/a%20b",
            "/a?x=%2f;%",
            "/a?b#c",
            "",
            "/100%25",
            "/100%25-x",
            "/%25zz",
            "/caf%c3%a9",
            "/caf%e9",
            "/%e0%a4%85",
        ] {
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
            "/%61%70i/exp%6frt",
            "http://example.com/api/export/",
            "/api/export/.",
            "/../../api/x/../export",
        ] {
            assert_eq!(canonical(target).as_deref(), Some("/api/export"), "{target}");
        }
        assert_eq!(canonical("/").as_deref(), Some("/"));
        assert_eq!(canonical("http://example.com").as_deref(), Some("/"));
        for target in ["/a%c3%a9:b@c%20%22", "/aé%3ab%40c%20\""] {
            assert_eq!(canonical(target).as_deref(), Some("/a%C3%A9:b@c%20%22"), "{target}");
        }
        assert_eq!(canonical("/.well-known/x").as_deref(), Some("/.well-known/x"));
    }

    #[test]
    fn what_may_be_another_path_to_another_reader_has_none() {
        for target in [
            "/billing%2f..%2fapi",
            "/billing/%2e%2e/api",
            "//a/..//../b",
            "/a//../b",
            "/.//a/b",
            "/api/%3f/../a",
            "/api/%23/../../a",
            "api",
            "*",
            "",
            "javascript:/x",
            "://x/y",
        ] {
            assert_eq!(canonical(target), None, "{target}");
        }
    }

    #[test]
    fn what_follows_two_slashes_may_be_a_host() {
        let behind_host = |target| spellings(target).map(|(_, behind)| behind.map(Cow::into_owned));
        for (target, behind) in [("//a/b", "/b"), ("///a//b/", "/b"), ("//a", "/"), ("//", "/")] {
            assert_eq!(behind_host(target), Some(Some(behind.to_owned())), "{target}");
        }
        assert_eq!(behind_host("http://h//a/b"), Some(Some("/b".to_owned())));
        for target in ["/a", "/a//b", "/", "http://h/a"] {
            assert_eq!(behind_host(target), Some(None), "{target}");
        }
        assert_eq!(behind_host("//a/../b"), None);
    }

    proptest! {
        #[test]
        fn the_form_of_any_text_is_canonical_itself(target in r"[/.%a2345678eEfFcC0;?#:é\\-]{0,24}") {
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
