//! What a policy file may say, and what is told of one that cannot be used.

use proptest::prelude::*;

use super::*;
use crate::{
    domain::{Asked, Decision, Kind, RestrictionReason, Route},
    policy::{Becomes, Request},
};

fn rules(text: &str) -> Rules {
    read(text, Policy::default()).unwrap()
}

fn faults(text: &str) -> Vec<String> {
    let InvalidPolicy(faults) = read(text, Policy::default()).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

fn asked(rules: &Rules, method: &str, target: &str) -> Asked {
    let becomes = Becomes::default();
    rules.ask(&Request { method: Some(method), target: Some(target), becomes }).first
}

#[test]
fn every_setting_of_the_example_takes_effect() {
    let rules = rules(include_str!("../../../examples/policy.toml"));
    let pay = asked(&rules, "POST", "/billing/pay");
    let terms = pay.route.terms().unwrap();
    let grounds = [Ground::Reason(RestrictionReason::NonPayment), Ground::Kind(Kind::Frozen)];
    assert_eq!(terms.exemption, Exemption::For(grounds.to_vec()));
    let search = asked(&rules, "POST", "/api/search");
    assert_eq!((search.operation, search.feature), (Operation::Read, None));
    let export = asked(&rules, "POST", "/api/export/7");
    assert_eq!(export.feature, Code::parse("export").ok());
    assert_eq!(export.operation, Operation::Write);
    assert!(asked(&rules, "GET", "/healthz").route.decides_alone());
    assert_eq!(asked(&rules, "GET", "/else").route, Route::Unrouted);
    assert_eq!(asked(&rules, "GET", "/billing/%2e%2e/api").route, Route::Suspicious);
}

#[test]
fn an_empty_file_says_nothing() {
    let rules = rules("");
    assert_eq!(rules.policy, Policy::default());
    let plain = asked(&rules, "GET", "/a");
    assert_eq!((plain.route, plain.operation), (Route::Unrouted, Operation::Read));
    let hidden = asked(&rules, "GET", "/%2e%2e/a");
    assert_eq!((hidden.route, hidden.operation), (Route::Unrouted, Operation::Write));
}

#[test]
fn what_is_told_twice_or_not_at_all_is_on_no_known_route() {
    let routed = rules("[[routes]]\npath = \"/{*rest}\"\nexempt = true");
    let plain = rules("");
    for (method, target) in [(None, Some("/a")), (Some("GET"), None), (None, None)] {
        let request = Request { method, target, becomes: Becomes::default() };
        assert_eq!(routed.ask(&request).first.route, Route::Suspicious);
        let judged = plain.ask(&request).first;
        assert_eq!((judged.route, judged.operation), (Route::Unrouted, Operation::Write));
    }
}

#[test]
fn routes_that_are_not_named_are_refused_where_the_policy_says_so() {
    let text = "unmatched_routes = \"deny\"\n[[routes]]\npath = \"/a\"\nmethods = [\"GET\"]";
    let rules = rules(text);
    assert_eq!(asked(&rules, "POST", "/a").route, Route::Unmatched);
    assert!(asked(&rules, "GET", "/a/").route.terms().is_some());
    let wrong = "`unmatched_routes = \"deny\"` without a route refuses all requests";
    assert_eq!(faults("unmatched_routes = \"deny\""), [format!("line 1: {wrong}")]);
}

#[test]
fn a_deny_has_the_status_that_the_file_gives_it() {
    let rules = rules("[http_status]\ncustomer_frozen = 409\npayment_required = 403");
    let status = |reason, payment_required| {
        rules.http_status(&Decision { payment_required, ..Decision::about_nobody(reason) })
    };
    assert_eq!(status(Reason::CustomerFrozen, true), Some(409));
    assert_eq!(status(Reason::CustomerDisabled, true), Some(403));
    assert_eq!(status(Reason::CustomerDisabled, false), None);
    assert_eq!(status(Reason::Active, false), None);
}

#[test]
fn everything_that_is_wrong_is_told_with_its_line() {
    let told = faults(
        "[statuses.frozen]\n\
         access = \"read_write\"\n\
         [http_status]\n\
         customer_frozen = 503\n\
         active = 404\n\
         [[routes]]\n\
         path = \"/a/*\"\n\
         methods = [\"get\"]\n\
         [[routes]]\n\
         path = \"/b\"\n\
         exempt = true\n\
         exempt_for = [\"unpaid\"]\n\
         [[routes]]\n\
         path = \"/b/\"\n\
         feature = \"a b\"\n",
    );
    let starts: Vec<_> = told.iter().map(|it| it.split(':').next().unwrap()).collect();
    let lines = [2, 4, 5, 7, 8, 12, 12, 14, 15].map(|line| format!("line {line}"));
    assert_eq!(starts, lines, "{told:#?}");
    assert!(told[3].contains("write `{*rest}`"), "{told:#?}");
    assert!(told[7].contains("the same requests as the route `/b`"), "{told:#?}");
}

#[test]
fn what_is_no_toml_or_has_an_unknown_field_is_told_with_its_line() {
    assert!(faults("mode = \"enforce\"\nmood = 1")[0].starts_with("line 2: unknown field `mood`"));
    assert!(faults("a = \n")[0].starts_with("line 1: "));
    assert!(faults("mode = \"on\"")[0].starts_with("line 1: unknown variant `on`"));
    assert!(faults("[[routes]]\nmode = \"shadow\"")[0].contains("missing field `path`"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = read(&text, Policy::default());
    }

    #[test]
    fn no_path_makes_it_panic_or_asks_nothing_of_a_hidden_one(
        pattern in r"/?[a{}*/.%2eF;]{0,12}", target in "\\PC{0,40}",
    ) {
        let text = format!("[[routes]]\npath = '{pattern}'\nexempt = true");
        if let Ok(rules) = read(&text, Policy::default()) {
            let asked = asked(&rules, "GET", &target);
            if crate::policy::path::is_suspicious(&target) {
                prop_assert_eq!(asked.route, Route::Suspicious);
            }
        }
    }
}

#[test]
fn the_file_says_what_an_event_of_stripes_makes_of_its_customer() {
    let rules = rules(include_str!("../../../examples/policy.toml"));
    let made = |event, status| rules.stripe(event, status).map(|rule| (rule.kind, rule.reason));
    let updated = "customer.subscription.updated";
    let unpaid = (Some(Kind::Frozen), Some(RestrictionReason::NonPayment));
    assert_eq!(made(updated, Some("past_due")), Some(unpaid));
    assert_eq!(made(updated, Some("active")), Some((None, None)));
    assert_eq!(made(updated, Some("incomplete")), None);
    assert_eq!(made(updated, None), None);
    let deleted = "customer.subscription.deleted";
    assert_eq!(made(deleted, Some("canceled")), Some((Some(Kind::Inactive), None)));
    assert_eq!(made("invoice.paid", None), None);
    assert_eq!(Rules::built_in(Policy::default()).stripe(updated, Some("past_due")), None);
}

#[test]
fn a_rule_for_a_status_goes_before_one_for_any() {
    let text = "[[stripe]]\nevent = \"a\"\nkind = \"disabled\"\n\
                [[stripe]]\nevent = \"a\"\nstatus = \"paid\"\nkind = \"none\"";
    let rules = rules(text);
    let kind = |status| rules.stripe("a", status).unwrap().kind;
    assert_eq!((kind(Some("paid")), kind(Some("open"))), (None, Some(Kind::Disabled)));
    assert_eq!(kind(None), Some(Kind::Disabled));
}

#[test]
fn a_rule_for_stripe_that_cannot_be_meant_is_refused_with_its_line() {
    let summary = "entitlements.active_entitlement_summary.updated";
    for (text, fault) in [
        ("event = \"a\"\nkind = \"frozen\"", "line 2: no event lets back in"),
        ("event = \"a\"\nkind = \"none\"\nreason = \"fraud\"", "line 4: who is let back in"),
        ("event = \"a\"\nkind = \"none\"\nstatus = []", "line 2: `status` must name one"),
        ("event = \"\"\nkind = \"none\"", "line 2: an `event` must name"),
        ("event = \"a\"\nkind = \"banned\"", "line 3: unknown variant"),
        ("event = \"a\"", "line 1: missing field `kind`"),
    ] {
        let faults = faults(&format!("[[stripe]]\n{text}"));
        assert!(faults[0].starts_with(fault), "{fault}: {faults:?}");
    }
    let of_features = format!("[[stripe]]\nevent = \"{summary}\"\nkind = \"none\"");
    assert!(faults(&of_features)[0].contains("tells no features"));
    let lift = "[[stripe]]\nevent = \"a\"\nkind = \"none\"\n";
    assert!(faults(&[lift, lift].concat())[0].contains("twice"));
}
