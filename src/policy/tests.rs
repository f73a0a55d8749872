//! What is asked of a request that may become another one behind the gateway.

use std::collections::BTreeSet;

use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::domain::{
    CustomerKey, Enforcement, Evidence, IdentityFault, RecordEvidence, Staleness,
    customer::RecordBody, decide, restriction::tests::*,
};

fn rules(text: &str) -> Rules {
    Rules::read(text, Policy::default()).unwrap()
}

/// A request that names these methods beside its own.
fn request<'a>(method: &'a str, target: &'a str, named: &[&str]) -> Request<'a> {
    let mut becomes = Becomes::default();
    for method in named {
        becomes.name(method.as_bytes());
    }
    Request { method: Some(method), target: Some(target), becomes }
}

fn upgrade(target: &str) -> Request<'_> {
    let becomes = Becomes { upgrade: true, ..Becomes::default() };
    Request { method: Some("GET"), target: Some(target), becomes }
}

fn features(rules: &Rules, request: &Request<'_>) -> BTreeSet<String> {
    let readings = rules.ask(request);
    let features = readings.iter().filter_map(|asked| asked.feature.as_ref());
    features.map(ToString::to_string).collect()
}

/// Whether nobody is asked who they are.
fn is_exempt(rules: &Rules, request: &Request<'_>) -> bool {
    rules.ask(request).iter().all(|asked| asked.route.decides_alone())
}

#[test]
fn what_may_become_another_request_is_a_write_unless_the_route_says_that_it_is_none() {
    let rules = rules("[[routes]]\npath = \"/search\"\naction = \"read\"");
    let judged = |target| {
        let operations = [request("GET", target, &["PUT"]), upgrade(target)];
        operations.map(|request| rules.ask(&request).first.operation)
    };
    assert_eq!(judged("/search"), [Operation::Read; 2]);
    assert_eq!(judged("/else"), [Operation::Write; 2]);
}

#[test]
fn a_route_that_is_exempt_for_some_methods_is_not_for_what_may_become_another() {
    let exempt = |methods: &str| {
        let rules = rules(&format!("[[routes]]\npath = \"/a\"\nexempt = true\n{methods}"));
        let connect = request("CONNECT", "/a", &[]);
        [request("GET", "/a", &[]), request("GET", "/a", &["PUT"]), upgrade("/a"), connect]
            .map(|request| is_exempt(&rules, &request))
    };
    assert_eq!(exempt("methods = [\"GET\"]"), [true, false, false, false]);
    assert_eq!(exempt("methods = [\"GET\", \"PUT\", \"CONNECT\"]"), [true, true, false, false]);
    assert_eq!(exempt(""), [true; 4]);
}

#[test]
fn what_the_route_of_another_method_asks_for_is_asked_of_what_may_have_that_method() {
    let rules = rules(
        "[[routes]]\npath = \"/a\"\nmethods = [\"GET\"]\nfeature = \"get\"\n\
         [[routes]]\npath = \"/a\"\nmethods = [\"POST\"]\nfeature = \"post\"\n\
         [[routes]]\npath = \"/a\"\nmethods = [\"PURGE\"]\nfeature = \"purge\"\n",
    );
    for (method, named, expected) in [
        ("GET", &[][..], &["get"][..]),
        ("GET", &["POST"], &["get", "post"]),
        ("GET", &[" post "], &["get", "post"]),
        ("DELETE", &["POST"], &["post"]),
        ("GET", &["DELETE"], &["get"]),
        ("GET", &["DELETE", "POST"], &["get", "post"]),
        // What nobody knows may be any.
        ("GET", &["PURGE"], &["get", "post", "purge"]),
        ("DELETE", &["POST, PUT"], &["get", "post", "purge"]),
        ("DELETE", &["PUT", ""], &["get", "post", "purge"]),
        // A method in another case, and a GET over HTTP/2 that upgrades.
        ("pOST", &[], &["post"]),
        ("CONNECT", &[], &["get"]),
        ("GET", &["CONNECT"], &["get"]),
    ] {
        let asked = features(&rules, &request(method, "/a", named));
        let expected = expected.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(asked, expected, "{method} {named:?}");
    }
}

#[test]
fn a_path_with_two_slashes_in_front_is_also_what_follows_its_first_segment() {
    let rules = rules(
        "[[routes]]\npath = \"/open/{*rest}\"\nexempt = true\n\
         [[routes]]\npath = \"/api/export\"\nfeature = \"export\"\n",
    );
    for target in ["//open/api", "///open//x", "http://h//open/x", "//open"] {
        assert!(!is_exempt(&rules, &request("GET", target, &[])), "{target}");
    }
    for target in ["/open//x", "/open/", "//a/open", "//open/open/x"] {
        let exempt = is_exempt(&rules, &request("GET", target, &[]));
        assert_eq!(exempt, target != "//a/open", "{target}");
    }
    for target in ["//api/export", "//host/api/export", "/api//export"] {
        assert_eq!(features(&rules, &request("GET", target, &[])).len(), 1, "{target}");
    }
}

fn any_policy() -> impl Strategy<Value = Rules> {
    let line = (
        select(&["/a", "/b", "/{id}", "/{*rest}"][..]),
        select(
            &["", "methods = [\"GET\"]", "methods = [\"POST\", \"PUT\"]", "methods = [\"PURGE\"]"]
                [..],
        ),
        select(
            &["", "exempt = true", "exempt_for = [\"disabled\"]", "exempt_for = [\"fraud\"]"][..],
        ),
        select(&["", "action = \"read\"", "action = \"write\""][..]),
        select(&["", "mode = \"shadow\"", "mode = \"enforce\""][..]),
        select(&["", "when_undecided = \"allow\"", "when_undecided = \"deny\""][..]),
        option::of(select(&["f", "g"][..])),
    );
    let unmatched = select(&["allow", "deny"][..]);
    (unmatched, prop::collection::vec(line, 1..5)).prop_filter_map("it conflicts", |it| {
        let (unmatched, lines) = it;
        let lines = lines.into_iter().map(|line| {
            let (path, methods, exempt, action, mode, undecided, feature) = line;
            let feature = feature.filter(|_| exempt != "exempt = true");
            let feature = feature.map(|it| format!("feature = \"{it}\"")).unwrap_or_default();
            let path = format!("[[routes]]\npath = \"{path}\"");
            [&path, methods, exempt, action, mode, undecided, &feature, ""].join("\n")
        });
        let unmatched = format!("unmatched_routes = \"{unmatched}\"\n");
        let text: String = iter::once(unmatched).chain(lines).collect();
        Rules::read(&text, Policy::default()).ok()
    })
}

fn any_method() -> impl Strategy<Value = &'static str> {
    select(&["GET", "HEAD", "POST", "PUT", "DELETE", "PURGE", "CONNECT", "post"][..])
}

proptest! {
    #[test]
    fn whoever_passes_with_another_method_in_a_header_passes_with_that_method(
        rules in any_policy(), own in any_method(), named in any_method(), upgrades: bool,
        target in select(&["/a", "/b/", "//a", "//b/a", "/c/d", "/"][..]),
        restrictions in any_restrictions(), now in any_time(),
        entitled in option::of(prop::collection::btree_set(select(&["f", "g"][..]), 0..2)),
        identified: bool,
    ) {
        let features = entitled.map(|codes| codes.into_iter().map(|it| Code::parse(it).unwrap()).collect());
        let body = RecordBody { features, ..RecordBody::default() };
        let customer = CustomerKey::parse("default:c1").map_err(|_| IdentityFault::Missing);
        let customer = customer.and_then(|it| identified.then_some(it).ok_or(IdentityFault::Missing));
        let came_to = |request: &Request<'_>| {
            let evidence = Evidence {
                restrictions: &restrictions,
                record: RecordEvidence::Known(&body),
                staleness: FRESH,
                revision_reached: true,
            };
            let check = rules.ask(request).of(customer.clone(), None);
            decide(&evidence, &check, &rules.policy, None, now).enforced
        };
        let mut dressed_up = request(own, target, &[named]);
        dressed_up.becomes.upgrade |= upgrades;
        let enforced = came_to(&dressed_up);
        // Shadow mode lets a deny pass, but not what is left to the gateway.
        let passes = enforced.enforcement == Enforcement::Pass && !enforced.spared;
        // A method in a header is meant in capitals, however it is written.
        let plain = [own, &named.to_ascii_uppercase()].map(|method| {
            came_to(&request(method, target, &[])).enforcement == Enforcement::Pass
        });
        // Whoever asks to connect so asks for an upgrade.
        let plain = if named == "CONNECT" { [plain[0]; 2] } else { plain };
        prop_assert!(!passes || plain == [true; 2], "{passes} {plain:?}");
    }
}

const FRESH: Staleness = Staleness {
    age: Some(std::time::Duration::ZERO),
    max_staleness: std::time::Duration::MAX,
    stale_limit: std::time::Duration::MAX,
    suspect: false,
};
