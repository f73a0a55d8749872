use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use prost::Message as _;
use prost_types::{ListValue, Struct, Value};

use super::{
    super::message::envoy::{
        config::core::v3::{HeaderMap, HeaderValue},
        service::auth::v3::attribute_context,
    },
    *,
};
use crate::domain::Policy;

fn source() -> IdentitySource {
    IdentitySource {
        customer_from: CustomerFrom::Header,
        customer_header: HeaderName::from_static("x-customer-id"),
        tenant_header: Some(HeaderName::from_static("x-tenant")),
        default_tenant: TenantId::parse("default").ok(),
    }
}

fn about(method: &str, path: &str, headers: &[(&str, &str)]) -> HttpRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
    HttpRequest {
        method: method.into(),
        path: path.into(),
        headers: headers.collect(),
        header_map: None,
    }
}

fn raw(method: &str, path: &str, lines: &[(&str, &[u8])]) -> HttpRequest {
    let lines = lines.iter().map(|(name, value)| HeaderValue {
        key: (*name).into(),
        value: Vec::new(),
        raw_value: value.to_vec(),
    });
    let header_map = Some(HeaderMap { headers: lines.collect() });
    HttpRequest { header_map, ..about(method, path, &[]) }
}

fn request(http: HttpRequest, extensions: &[(&str, &str)]) -> CheckRequest {
    let extensions = extensions.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    let attributes = AttributeContext {
        request: Some(attribute_context::Request { http: Some(http) }),
        context_extensions: extensions.collect(),
        metadata_context: None,
    };
    CheckRequest { attributes: Some(attributes) }
}

fn rules() -> Rules {
    Rules::built_in(Policy::default())
}

/// What is asked, however it is read.
fn read_by(
    request: &CheckRequest,
    source: &IdentitySource,
    min_revision: Option<&HeaderName>,
) -> Question {
    let asked = read(&Said::by(request, source), source, min_revision, &rules());
    let message = request.encode_to_vec();
    if let Some(said) = Said::at_a_look(&message, source) {
        assert_eq!(read(&said, source, min_revision, &rules()), asked);
    }
    asked
}

fn asked(http: HttpRequest, extensions: &[(&str, &str)]) -> Check<CustomerName> {
    let request = request(http, extensions);
    let is_raw_too = |http: &HttpRequest| !http.headers.is_empty() && http.header_map.is_some();
    let attributes = request.attributes.as_ref();
    let http = attributes.and_then(|it| it.request.as_ref()?.http.as_ref());
    let message = request.encode_to_vec();
    let is_read = Said::at_a_look(&message, &source()).is_some();
    assert_eq!(is_read, !http.is_some_and(is_raw_too), "{request:?}");
    let asked = read_by(&request, &source(), None);
    assert_eq!(asked.malformed, None);
    asked.check.unwrap()
}

fn identity(http: HttpRequest, extensions: &[(&str, &str)]) -> Result<String, IdentityFault> {
    asked(http, extensions).identity.map(|key| key.to_string())
}

#[test]
fn a_customer_is_named_alike_in_joined_and_in_raw_headers() {
    let named = Ok("default:c1".to_owned());
    assert_eq!(identity(about("GET", "/", &[("x-customer-id", "c1")]), &[]), named);
    assert_eq!(identity(raw("GET", "/", &[("X-Customer-Id", b"c1")]), &[]), named);
}

#[test]
fn two_ids_or_two_tenants_are_one_too_many() {
    let two = Err(IdentityFault::Ambiguous);
    let line = ("x-customer-id", &b"c1"[..]);
    assert_eq!(identity(about("GET", "/", &[("x-customer-id", "c1,c2")]), &[]), two);
    assert_eq!(identity(raw("GET", "/", &[line, line]), &[]), two);
    let tenants = [("x-customer-id", "c1"), ("x-tenant", "a,b")];
    assert_eq!(identity(about("GET", "/", &tenants), &[]), two);
    let one = [("x-customer-id", "c1"), ("x-tenant", "a")];
    assert_eq!(identity(about("GET", "/", &one), &[("tenant", "b")]), two);
    assert_eq!(identity(about("GET", "/", &one), &[("tenant", "a")]), Ok("a:c1".to_owned()));
}

#[test]
fn raw_headers_count_only_where_there_are_no_joined_ones() {
    let mut both = raw("GET", "/", &[("x-customer-id", b"c2")]);
    both.headers = about("GET", "/", &[("x-customer-id", "c1")]).headers;
    assert_eq!(identity(both, &[]), Ok("default:c1".to_owned()));
}

#[test]
fn bytes_that_are_no_text_are_malformed_or_a_write_and_nothing_worse() {
    let strange = raw("GET", "/", &[("x-customer-id", b"\xff"), ("x-other", b"\xfe")]);
    assert_eq!(identity(strange, &[]), Err(IdentityFault::Malformed));
    let mut http = about("GET", "/", &[]);
    http.path = b"/\xff".to_vec();
    assert_eq!(asked(http, &[]).readings.first.operation, Operation::Write);
}

#[test]
fn only_a_plain_read_is_a_read_unless_the_route_says_so() {
    let judged = |http, extensions: &[_]| asked(http, extensions).readings.first.operation;
    let override_line = [("x-http-method-override", "DELETE")];
    let writes = [
        about("POST", "/", &[]),
        about("CONNECT", "/", &[]),
        about("CONNECT", "", &[]),
        about("GET", "", &[]),
        about("get", "/", &[]),
        about("GET", "/a/%2e%2e/b", &[]),
        about("GET", "/", &[("upgrade", "websocket")]),
        about("GET", "/", &override_line),
        raw("GET", "/", &[("X-Method-Override", b"PUT")]),
        HttpRequest::default(),
    ];
    for http in writes {
        assert_eq!(judged(http.clone(), &[]), Operation::Write, "{http:?}");
        assert_eq!(judged(http.clone(), &[("action", "read")]), Operation::Read, "{http:?}");
    }
    assert_eq!(judged(about("GET", "/a?b=%2e", &[]), &[]), Operation::Read);
    assert_eq!(judged(about("GET", "/", &[]), &[("action", "write")]), Operation::Write);
}

#[test]
fn a_route_asks_for_a_feature_and_a_limit_and_other_keys_are_somebody_elses() {
    let settings = [("feature", "export"), ("limit", "seats"), ("team", "a b")];
    let check = asked(about("GET", "/", &[]), &settings);
    let asked = check.readings.first;
    assert_eq!(asked.feature.unwrap().as_str(), "export");
    assert_eq!(asked.limit.unwrap().code.as_str(), "seats");
}

#[test]
fn a_setting_that_breaks_its_rule_is_named_and_asks_for_nothing_else() {
    let named = about("POST", "/", &[("x-customer-id", "c1")]);
    let settings = [("feature", ""), ("limit", "a b"), ("action", "Read")];
    for (key, value) in settings {
        let asked = read_by(&request(named.clone(), &[(key, value)]), &source(), None);
        let malformed = asked.malformed.unwrap();
        assert_eq!((malformed.key, malformed.value.as_str()), (key, value));
        let check = asked.check.unwrap();
        assert!(check.identity.is_ok() && !check.asks_entitlement());
        let is_read = check.readings.first.operation == Operation::Read;
        assert_eq!(is_read, key == "action", "{key}");
    }
    let tenant = read_by(&request(named, &[("tenant", "a b")]), &source(), None);
    assert_eq!((tenant.check, tenant.malformed.unwrap().key), (None, "tenant"));
}

#[test]
fn a_minimum_revision_is_read_from_the_header_that_is_configured() {
    let name = HeaderName::from_static("x-min-revision");
    let http = about("GET", "/", &[("x-min-revision", "e:0.1")]);
    let asked = |name| read_by(&request(http.clone(), &[]), &source(), name).check.unwrap();
    assert_eq!(asked(Some(&name)).min_revision, Some("e:0.1".parse()));
    assert_eq!(asked(None).min_revision, None);
}

#[test]
fn a_customer_is_named_by_a_verified_claim_alone() {
    let namespace = "envoy.filters.http.jwt_authn";
    let from = format!("metadata:{namespace}:jwt_payload.sub");
    let source = IdentitySource { customer_from: from.parse().unwrap(), ..source() };
    let named = |metadata: Option<Metadata>| {
        let mut request = request(about("GET", "/", &[("x-customer-id", "forged")]), &[]);
        request.attributes.as_mut().unwrap().metadata_context = metadata;
        let identity = read_by(&request, &source, None).check.unwrap().identity;
        identity.map(|key| key.to_string())
    };
    let structure = |name: &str, kind| Struct {
        fields: BTreeMap::from([(name.to_owned(), Value { kind: Some(kind) })]),
    };
    let payload = |kind| Metadata {
        filter_metadata: HashMap::from([(namespace.to_owned(), structure("jwt_payload", kind))]),
    };
    let claim = |kind| Some(payload(Kind::StructValue(structure("sub", kind))));
    let text = |text: &str| Kind::StringValue(text.to_owned());

    assert_eq!(named(claim(text("c1"))), Ok("default:c1".to_owned()));
    assert_eq!(named(None), Err(IdentityFault::Missing));
    assert_eq!(named(claim(Kind::NullValue(0))), Err(IdentityFault::Missing));
    assert_eq!(named(claim(text(""))), Err(IdentityFault::Missing));
    for odd in [Kind::NumberValue(7.0), Kind::ListValue(ListValue::default()), text("c1,c2")] {
        assert_eq!(named(claim(odd.clone())), Err(IdentityFault::Malformed), "{odd:?}");
    }
    assert_eq!(named(Some(payload(text("c1")))), Err(IdentityFault::Malformed));
}

#[test]
fn a_customer_is_named_by_the_route_alone() {
    let customer_from = CustomerFrom::Context("customer".to_owned());
    let source = IdentitySource { customer_from, ..source() };
    let named = |extensions: &[_]| {
        let http = about("GET", "/", &[("x-customer-id", "forged")]);
        let request = request(http, extensions);
        let identity = read_by(&request, &source, None).check.unwrap().identity;
        identity.map(|key| key.to_string())
    };
    assert_eq!(named(&[("customer", "c1")]), Ok("default:c1".to_owned()));
    assert_eq!(named(&[]), Err(IdentityFault::Missing));
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn some_http() -> impl Strategy<Value = HttpRequest> {
    let names =
        prop_oneof![Just("x-customer-id"), Just("x-tenant"), Just("upgrade"), Just(":path")];
    let line = (names, some_bytes());
    let lines = prop::collection::vec(line, 0..4);
    (some_bytes(), some_bytes(), lines, any::<bool>()).prop_map(|(method, path, lines, is_raw)| {
        let lines: Vec<(&str, &[u8])> =
            lines.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let mut http = raw("", "", &lines);
        if !is_raw {
            let joined = lines.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
            http = HttpRequest { headers: joined.collect(), ..http };
        }
        HttpRequest { method, path, ..http }
    })
}

/// A field that has a length, of less than 128 bytes or more.
fn tagged(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
    field.extend(bytes);
    field
}

/// What is read at a look is what the library reads, and what it does not take is not read so.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let request = CheckRequest::decode(bytes);
    let said = Said::at_a_look(bytes, &source());
    match (&request, said) {
        (Ok(request), Some(said)) => {
            let asked = read(&said, &source(), None, &rules());
            let expected = read(&Said::by(request, &source()), &source(), None, &rules());
            prop_assert_eq!(asked, expected);
        }
        (Ok(request), None) => drop(read(&Said::by(request, &source()), &source(), None, &rules())),
        (Err(error), said) => prop_assert!(said.is_none(), "{said:?} of {error}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_is_asked_is_read_the_same_from_the_wire(
        http in some_http(),
        extensions in prop::collection::hash_map("[a-z]{1,8}|feature|limit|action|tenant", ".{0,9}", 0..5),
    ) {
        let mut asked = request(http, &[]);
        asked.attributes.as_mut().unwrap().context_extensions = extensions;
        let sent = CheckRequest::decode(asked.encode_to_vec().as_slice()).unwrap();
        let [here, there] = [asked, sent].map(|asked| read_by(&asked, &source(), None));
        prop_assert_eq!(here, there);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        agree(&bytes)?;
    }

    #[test]
    fn no_damage_to_a_question_makes_it_panic(http in some_http(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = request(http, &[("feature", "export")]).encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        agree(&bytes)?;
    }

    #[test]
    fn of_two_entries_with_one_key_the_last_one_counts(
        keys in prop::collection::vec("x-customer-id|x-tenant|upgrade|tenant|feature", 0..6),
        values in prop::collection::vec("[a-z]{0,3}", 6),
    ) {
        // A map of the library's own has each key once.
        let entries: Vec<_> = keys.iter().zip(&values).map(|(key, value)| {
            about("", "", &[(key, value)]).encode_to_vec()
        }).collect();
        let http = tagged(2, &entries.concat());
        let settings: Vec<u8> = keys.iter().zip(&values).flat_map(|(key, value)| {
            tagged(10, &[tagged(1, key.as_bytes()), tagged(2, value.as_bytes())].concat())
        }).collect();
        agree(&tagged(1, &[tagged(4, &http), settings].concat()))?;
    }
}
