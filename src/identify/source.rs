//! Where a gateway names the customer.

use std::{fmt, str::FromStr};

/// Where the customer's id comes from. Exactly one place, which configuration names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CustomerFrom {
    /// What Envoy's configuration says of the route, under this key.
    Context(String),
    /// A header.
    Header,
    /// What a filter before this one found out, for example a claim of a token that it verified.
    Metadata {
        /// The filter.
        namespace: String,
        /// The names that lead to the id, from the outermost to the innermost.
        path: Vec<String>,
    },
}

impl FromStr for CustomerFrom {
    type Err = InvalidCustomerFrom;

    fn from_str(raw: &str) -> Result<Self, InvalidCustomerFrom> {
        if raw == HEADER {
            return Ok(Self::Header);
        }
        match raw.split_once(':') {
            Some((CONTEXT, "")) => Err(InvalidCustomerFrom::Context),
            Some((CONTEXT, key)) if RESERVED_KEYS.contains(&key) => {
                Err(InvalidCustomerFrom::Reserved)
            }
            Some((CONTEXT, key)) => Ok(Self::Context(key.to_owned())),
            Some((METADATA, rest)) => {
                let (namespace, path) =
                    rest.split_once(':').ok_or(InvalidCustomerFrom::Metadata)?;
                let path = split_path(path);
                if namespace.is_empty() || path.iter().any(String::is_empty) {
                    return Err(InvalidCustomerFrom::Metadata);
                }
                Ok(Self::Metadata { namespace: namespace.to_owned(), path })
            }
            _ => Err(InvalidCustomerFrom::Place),
        }
    }
}

impl fmt::Display for CustomerFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context(key) => write!(f, "{CONTEXT}:{key}"),
            Self::Header => f.write_str(HEADER),
            Self::Metadata { namespace, path } => {
                let path: Vec<_> = path.iter().map(|name| name.replace('.', "\\.")).collect();
                write!(f, "{METADATA}:{namespace}:{}", path.join("."))
            }
        }
    }
}

/// Splits at dots; `\.` is a dot in a name, as claims that are URLs have them.
fn split_path(raw: &str) -> Vec<String> {
    let (mut names, mut name) = (Vec::new(), String::new());
    let mut letters = raw.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'.') => name.extend(letters.next()),
            '.' => names.push(std::mem::take(&mut name)),
            other => name.push(other),
        }
    }
    names.push(name);
    names
}

/// A place that a customer's id cannot come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidCustomerFrom {
    /// No key.
    #[error("`context:` must be followed by the key that holds the id")]
    Context,
    /// No filter, or no path.
    #[error(
        "`metadata:` must be followed by a filter's name, a colon, and the dotted path to the id, \
         like metadata:envoy.filters.http.jwt_authn:jwt_payload.sub"
    )]
    Metadata,
    /// Nowhere known.
    #[error("it must be header, metadata:NAMESPACE:PATH or context:KEY")]
    Place,
    /// A key that means something else.
    #[error("`context:` must not name tenant, feature, limit or action, which mean something else")]
    Reserved,
}

/// The keys of the route's settings.
const RESERVED_KEYS: [&str; 4] = ["tenant", "feature", "limit", "action"];

const CONTEXT: &str = "context";
const HEADER: &str = "header";
const METADATA: &str = "metadata";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_named_and_shown_as_it_was_named() {
        let claim = CustomerFrom::Metadata {
            namespace: "envoy.filters.http.jwt_authn".to_owned(),
            path: vec!["jwt_payload".to_owned(), "https://acme.example/customer".to_owned()],
        };
        let spelled =
            r"metadata:envoy.filters.http.jwt_authn:jwt_payload.https://acme\.example/customer";
        assert_eq!(spelled.parse(), Ok(claim.clone()));
        assert_eq!(claim.to_string(), spelled);
        for spelled in ["header", "context:customer", "metadata:a:b.c"] {
            assert_eq!(spelled.parse::<CustomerFrom>().unwrap().to_string(), spelled);
        }
    }

    #[test]
    fn what_names_no_place_is_refused_with_the_rule() {
        let refused = [
            ("", InvalidCustomerFrom::Place),
            ("Header", InvalidCustomerFrom::Place),
            ("header:X-Customer-Id", InvalidCustomerFrom::Place),
            ("context:", InvalidCustomerFrom::Context),
            ("context:tenant", InvalidCustomerFrom::Reserved),
            ("metadata:a", InvalidCustomerFrom::Metadata),
            ("metadata::b", InvalidCustomerFrom::Metadata),
            ("metadata:a:", InvalidCustomerFrom::Metadata),
            ("metadata:a:b..c", InvalidCustomerFrom::Metadata),
        ];
        for (raw, why) in refused {
            assert_eq!(raw.parse::<CustomerFrom>(), Err(why), "{raw}");
        }
    }
}
