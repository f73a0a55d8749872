//! Who and what a gateway's request is about, read from its headers and from what the gateway says
//! beside them.

mod source;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

pub use self::source::{CustomerFrom, InvalidCustomerFrom};

use crate::{
    domain::{
        CustomerName, Identity, IdentityFault, MinRevision, TenantId, revision::InvalidToken,
    },
    policy::{Becomes, Request},
};

/// Where the customer's id comes from. Configuration, never detection: each gateway passes the
/// other gateways' headers through from the client.
#[derive(Clone, Debug)]
pub struct IdentitySource {
    /// Whether it is in a header at all.
    pub customer_from: CustomerFrom,
    /// The header with the customer's id.
    pub customer_header: HeaderName,
    /// The header with the tenant, if there is one.
    pub tenant_header: Option<HeaderName>,
    /// The tenant that is meant when none is named; nothing when one must be.
    pub default_tenant: Option<TenantId>,
}

impl IdentitySource {
    /// The customer that the headers name; nobody when the id is not in a header.
    pub fn identity(&self, headers: &impl Headers) -> Identity<CustomerName> {
        self.identity_told(headers, Told::default())
    }

    /// The customer that is named by the headers and by what the gateway says beside them.
    pub fn identity_told(&self, headers: &impl Headers, told: Told<'_>) -> Identity<CustomerName> {
        let named = match self.customer_from {
            CustomerFrom::Header => single(headers, &self.customer_header)?,
            CustomerFrom::Context(_) | CustomerFrom::Metadata { .. } => told.customer?,
        };
        let id = named.filter(|raw| !raw.is_empty()).ok_or(IdentityFault::Missing)?;
        let told = told.tenant.as_ref().map(TenantId::as_str);
        let tenant = match (self.tenant_in(headers)?, told) {
            (Some(named), Some(told)) if named != told => return Err(IdentityFault::Ambiguous),
            (named, told) => named.or(told),
        };
        let tenant = tenant.or(self.default_tenant.as_ref().map(TenantId::as_str));
        let malformed = IdentityFault::Malformed;
        CustomerName::of(tenant.ok_or(malformed)?, id).map_err(|_| malformed)
    }

    /// The tenant that the headers name, if they name one.
    pub fn named_tenant(&self, headers: &impl Headers) -> Result<Option<TenantId>, IdentityFault> {
        let named = self.tenant_in(headers)?;
        named.map(TenantId::parse).transpose().map_err(|_| IdentityFault::Malformed)
    }

    fn tenant_in<'a>(
        &'a self,
        headers: &'a impl Headers,
    ) -> Result<Option<&'a str>, IdentityFault> {
        let named = match &self.tenant_header {
            Some(header) => single(headers, header)?.filter(|raw| !raw.is_empty()),
            None => None,
        };
        named.map(TenantId::check).transpose().map_err(|_| IdentityFault::Malformed)
    }
}

/// What a gateway says of a request beside its headers.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// The customer's id, from where [`CustomerFrom`] says.
    pub customer: Result<Option<&'a str>, IdentityFault>,
    /// The tenant.
    pub tenant: Option<TenantId>,
}

impl Default for Told<'_> {
    fn default() -> Self {
        Self { customer: Ok(None), tenant: None }
    }
}

/// The headers of a request, in whatever shape a gateway passes them on.
pub trait Headers {
    /// Every line of one header, as sent.
    fn lines<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]>;
}

impl Headers for HeaderMap {
    fn lines<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

/// How long the names of some headers are. Most names that are looked for are not among them, which
/// this tells without a look at each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lengths(u64);

impl Lengths {
    /// Whether a header of this name may be among them.
    #[must_use]
    pub fn may_have(self, name: &HeaderName) -> bool {
        self.0 & Self::bit(name.as_str().len()) != 0
    }

    /// Adds one, and says whether there was none so long.
    pub fn insert(&mut self, length: usize) -> bool {
        let before = self.0;
        self.0 |= Self::bit(length);
        self.0 != before
    }

    /// Those that are too long for a bit of their own share the last one.
    fn bit(length: usize) -> u64 {
        1 << length.min(63)
    }
}

impl FromIterator<usize> for Lengths {
    fn from_iter<I: IntoIterator<Item = usize>>(lengths: I) -> Self {
        Self(lengths.into_iter().fold(0, |all, length| all | Self::bit(length)))
    }
}

/// The original request, told by the headers in which this gateway says its method and target. What
/// is not told exactly once is not told.
pub fn request<'a>(
    headers: &'a impl Headers,
    method: &'a HeaderName,
    target: &'a HeaderName,
) -> Request<'a> {
    let (method, target) = (only(headers, method), only(headers, target));
    let (method, target) = (method.ok().flatten(), target.ok().flatten());
    Request { method, target, becomes: becomes(headers) }
}

/// What the request may become behind the gateway.
pub fn becomes(headers: &impl Headers) -> Becomes {
    let upgrade = headers.lines(&header::UPGRADE).next().is_some();
    let mut becomes = Becomes { upgrade, ..Becomes::default() };
    for method in METHOD_OVERRIDES.iter().flat_map(|name| headers.lines(name)) {
        becomes.name(method);
    }
    becomes
}

/// The revision that the headers ask for, told by the header in which this gateway says it. An
/// empty one asks for none. What is no token, and more than one of them, asks for what nothing
/// reaches.
pub fn min_revision(headers: &impl Headers, name: &HeaderName) -> Option<MinRevision> {
    match only(headers, name).map(|raw| raw.map(str::trim)) {
        Ok(None | Some("")) => None,
        Ok(Some(raw)) => Some(raw.parse()),
        Err(_) => Some(Err(InvalidToken)),
    }
}

/// The one value of a header; a comma counts as two, since some gateways join lines.
fn single<'a>(
    headers: &'a impl Headers,
    name: &'a HeaderName,
) -> Result<Option<&'a str>, IdentityFault> {
    match only(headers, name)? {
        Some(value) if value.contains(',') => Err(IdentityFault::Ambiguous),
        value => Ok(value.map(str::trim)),
    }
}

/// The one line of a header.
fn only<'a>(
    headers: &'a impl Headers,
    name: &'a HeaderName,
) -> Result<Option<&'a str>, IdentityFault> {
    let mut lines = headers.lines(name);
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(IdentityFault::Ambiguous),
        (Some(line), None) => text(line).map(Some).ok_or(IdentityFault::Malformed),
    }
}

/// What a gateway passes on, if it is text: visible ASCII, spaces and tabs.
#[must_use]
pub fn text(raw: &[u8]) -> Option<&str> {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    str::from_utf8(raw).ok().filter(|_| raw.iter().all(is_text))
}

/// The headers that name a method beside the request's own.
static METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::{Operation, Policy},
        policy::Rules,
    };

    fn source() -> IdentitySource {
        IdentitySource {
            customer_from: CustomerFrom::Header,
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
    fn an_id_that_the_gateway_tells_elsewhere_is_in_no_header() {
        let elsewhere = CustomerFrom::Context("customer".to_owned());
        let source = IdentitySource { customer_from: elsewhere, ..source() };
        let forged = headers(&[("x-customer-id", b"c1")]);
        assert_eq!(source.identity(&forged), Err(IdentityFault::Missing));
        let told = |customer| source.identity_told(&forged, Told { customer, tenant: None });
        assert_eq!(told(Ok(Some("c2"))).map(|key| key.to_string()), Ok("default:c2".to_owned()));
        assert_eq!(told(Ok(Some("c2,c3"))), Err(IdentityFault::Malformed));
        assert_eq!(told(Ok(None)), Err(IdentityFault::Missing));
        assert_eq!(told(Err(IdentityFault::Malformed)), Err(IdentityFault::Malformed));
    }

    #[test]
    fn a_tenant_that_is_told_and_another_one_in_the_header_are_two() {
        let told = |lines: &[_], tenant| {
            let told = Told { tenant: TenantId::parse(tenant).ok(), ..Told::default() };
            source().identity_told(&headers(lines), told).map(|key| key.to_string())
        };
        let id = ("x-customer-id", &b"c1"[..]);
        assert_eq!(told(&[id], "acme"), Ok("acme:c1".to_owned()));
        assert_eq!(told(&[id, ("x-tenant", b"acme")], "acme"), Ok("acme:c1".to_owned()));
        let two = told(&[id, ("x-tenant", b"other")], "acme");
        assert_eq!(two, Err(IdentityFault::Ambiguous));
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
        let rules = Rules::built_in(Policy::default());
        let judged =
            |lines: &[_]| rules.ask(&request(&headers(lines), &method, &target)).first.operation;
        let read = [("x-forwarded-method", &b"GET"[..]), ("x-forwarded-uri", &b"/a?b"[..])];
        assert_eq!(judged(&read), Operation::Read);
        assert_eq!(judged(&read[..1]), Operation::Write);
        assert_eq!(judged(&read[1..]), Operation::Write);
        for more in ["upgrade", "x-http-method", "x-http-method-override", "x-method-override"] {
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
