//! Who and what a gateway's request is about, read from its headers.

use axum::http::{HeaderMap, HeaderName};

use crate::{
    domain::{
        CustomerId, CustomerKey, Identity, IdentityFault, MinRevision, Operation, TenantId,
        revision::InvalidToken,
    },
    policy::path::is_suspicious,
};

/// Where the customer's id comes from. Configuration, never detection: each gateway passes the
/// other gateways' headers through from the client.
#[derive(Clone, Debug)]
pub struct IdentitySource {
    /// The header with the customer's id.
    pub customer_header: HeaderName,
    /// The header with the tenant, if there is one.
    pub tenant_header: Option<HeaderName>,
    /// The tenant that is meant when none is named; nothing when one must be.
    pub default_tenant: Option<TenantId>,
}

impl IdentitySource {
    /// The customer that the headers name.
    pub fn identity(&self, headers: &HeaderMap) -> Identity {
        let id = match single(headers, &self.customer_header)? {
            None | Some("") => return Err(IdentityFault::Missing),
            Some(raw) => CustomerId::parse(raw).map_err(|_| IdentityFault::Malformed)?,
        };
        let tenant = self.named_tenant(headers)?.or_else(|| self.default_tenant.clone());
        Ok(CustomerKey::new(&tenant.ok_or(IdentityFault::Malformed)?, &id))
    }

    /// The tenant that the headers name, if they name one.
    pub fn named_tenant(&self, headers: &HeaderMap) -> Result<Option<TenantId>, IdentityFault> {
        let named = match &self.tenant_header {
            Some(header) => single(headers, header)?.filter(|raw| !raw.is_empty()),
            None => None,
        };
        named.map(TenantId::parse).transpose().map_err(|_| IdentityFault::Malformed)
    }
}

/// Whether the original request only looks, told by the headers in which this gateway says its
/// method and target. What is not told exactly once is a write.
pub(super) fn operation(
    headers: &HeaderMap,
    method: &HeaderName,
    target: &HeaderName,
) -> Operation {
    let (Ok(Some(method)), Ok(Some(target))) = (only(headers, method), only(headers, target))
    else {
        return Operation::Write;
    };
    plain_operation(headers, method, target)
}

/// Whether a request with this method and target only looks. What might be more than it seems is a
/// write.
pub(super) fn plain_operation(headers: &HeaderMap, method: &str, target: &str) -> Operation {
    if is_suspicious(target) || MORE_THAN_IT_SEEMS.iter().any(|name| headers.contains_key(*name)) {
        return Operation::Write;
    }
    Operation::of_method(method)
}

/// The revision that the headers ask for, told by the header in which this gateway says it. An
/// empty one asks for none. What is no token, and more than one of them, asks for what nothing
/// reaches.
pub(super) fn min_revision(headers: &HeaderMap, name: &HeaderName) -> Option<MinRevision> {
    match only(headers, name).map(|raw| raw.map(str::trim)) {
        Ok(None | Some("")) => None,
        Ok(Some(raw)) => Some(raw.parse()),
        Err(_) => Some(Err(InvalidToken)),
    }
}

/// The one value of a header; a comma counts as two, since some gateways join lines.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, IdentityFault> {
    match only(headers, name)? {
        Some(value) if value.contains(',') => Err(IdentityFault::Ambiguous),
        value => Ok(value.map(str::trim)),
    }
}

/// The one line of a header.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, IdentityFault> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(IdentityFault::Ambiguous),
        (Some(line), None) => line.to_str().map(Some).map_err(|_| IdentityFault::Malformed),
    }
}

/// A request that carries one of these may become another one behind the gateway.
const MORE_THAN_IT_SEEMS: [&str; 4] =
    ["upgrade", "x-http-method", "x-http-method-override", "x-method-override"];

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn source() -> IdentitySource {
        IdentitySource {
            customer_header: HeaderName::from_static("x-customer-id"),
            tenant_header: Some(HeaderName::from_static("x-tenant")),
            default_tenant: TenantId::parse("default").ok(),
        }
    }

    fn headers(lines: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static [u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn one_id_names_a_customer_of_the_default_or_the_named_tenant() {
        let named = |lines: &[_]| source().identity(&headers(lines)).map(|key| key.to_string());
        assert_eq!(named(&[("x-customer-id", b"c1")]), Ok("default:c1".to_owned()));
        let tenant = [("x-customer-id", &b"c1"[..]), ("x-tenant", &b"acme"[..])];
        assert_eq!(named(&tenant), Ok("acme:c1".to_owned()));
    }

    #[test]
    fn what_does_not_name_exactly_one_customer_names_none() {
        let fault = |lines: &[_]| source().identity(&headers(lines)).err();
        assert_eq!(fault(&[]), Some(IdentityFault::Missing));
        assert_eq!(fault(&[("x-customer-id", b"")]), Some(IdentityFault::Missing));
        assert_eq!(fault(&[("x-customer-id", b"a,b")]), Some(IdentityFault::Ambiguous));
        let twice = [("x-customer-id", &b"a"[..]), ("x-customer-id", &b"a"[..])];
        assert_eq!(fault(&twice), Some(IdentityFault::Ambiguous));
        assert_eq!(fault(&[("x-customer-id", b"a b")]), Some(IdentityFault::Malformed));
        assert_eq!(fault(&[("x-customer-id", b"\xff")]), Some(IdentityFault::Malformed));
        let tenants = [("x-customer-id", &b"a"[..]), ("x-tenant", b"t"), ("x-tenant", b"u")];
        assert_eq!(fault(&tenants), Some(IdentityFault::Ambiguous));
    }

    #[test]
    fn without_a_default_the_tenant_must_be_named() {
        let strict = IdentitySource { default_tenant: None, ..source() };
        let nameless = headers(&[("x-customer-id", b"c1")]);
        assert_eq!(strict.identity(&nameless), Err(IdentityFault::Malformed));
    }

    #[test]
    fn a_revision_is_asked_for_by_one_token_and_anything_else_asks_for_what_nothing_reaches() {
        let name = HeaderName::from_static("x-min-revision");
        let asked = |lines: &[_]| min_revision(&headers(lines), &name);
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[("x-min-revision", b" ")]), None);
        assert_eq!(asked(&[("x-min-revision", b"e:0.1")]), Some("e:0.1".parse()));
        for malformed in [&b"42"[..], b"e:0.1,e:0.2", b"\xff"] {
            assert_eq!(asked(&[("x-min-revision", malformed)]), Some(Err(InvalidToken)));
        }
        let twice = [("x-min-revision", &b"e:0.1"[..]), ("x-min-revision", b"e:0.1")];
        assert_eq!(asked(&twice), Some(Err(InvalidToken)));
    }

    #[test]
    fn only_a_plain_read_is_a_read() {
        let method = HeaderName::from_static("x-forwarded-method");
        let target = HeaderName::from_static("x-forwarded-uri");
        let judged = |lines: &[_]| operation(&headers(lines), &method, &target);
        let read = [("x-forwarded-method", &b"GET"[..]), ("x-forwarded-uri", &b"/a?b"[..])];
        assert_eq!(judged(&read), Operation::Read);
        assert_eq!(judged(&read[..1]), Operation::Write);
        assert_eq!(judged(&read[1..]), Operation::Write);
        for more in MORE_THAN_IT_SEEMS {
            assert_eq!(judged(&[read[0], read[1], (more, b"x")]), Operation::Write, "{more}");
        }
        assert_eq!(judged(&[read[0], read[0], read[1]]), Operation::Write);
        assert_eq!(judged(&[read[0], ("x-forwarded-uri", b"/%2e%2e/a")]), Operation::Write);
        assert_eq!(judged(&[("x-forwarded-method", b"POST"), read[1]]), Operation::Write);
    }

    proptest! {
        #[test]
        fn no_header_value_makes_it_panic(id in prop::collection::vec(32_u8..=255, 0..300)) {
            prop_assume!(!id.contains(&127));
            let mut lines = HeaderMap::new();
            lines.insert("x-customer-id", HeaderValue::from_bytes(&id).unwrap());
            let _ = source().identity(&lines);
        }
    }
}
