//! Paths as a gateway passes them on.

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
    let path = target.split('?').next().unwrap_or_default();
    let hidden = |escape: &[u8]| {
        matches!(
            [escape[0], escape[1].to_ascii_lowercase(), escape[2].to_ascii_lowercase()],
            [b'%', b'2', b'e' | b'f'] | [b'%', b'5', b'c'] | [b'%', b'0', b'0']
        )
    };
    path.bytes().any(|byte| matches!(byte, b';' | b'\\' | 0))
        || path.as_bytes().windows(3).any(hidden)
}

#[cfg(test)]
mod tests {
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
}
