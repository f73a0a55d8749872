//! What is done to a customer by the buttons of its page.

use serde_json::json;

use super::{
    start,
    support::operators::{act, audit, put, read},
    visitor::{OWN, Visitor, buttons, csrf, form, with},
};

#[test]
fn each_button_says_the_possible_act_and_the_page_behind_it_on_which_revision_it_was_done() {
    let tollgate = start(&[]);
    let visitor = Visitor::of_role(&tollgate, "support");
    let shown = |page: &str| buttons(page)[..3].to_vec();
    assert_eq!(shown(&visitor.page("/customers/c1")), ["Disable", "Freeze", "Deactivate"]);
    for (verb, done, is, words) in [
        ("disable", "Disabled", "customer_disabled", ["Enable", "Freeze", "Deactivate"]),
        ("freeze", "Frozen", "customer_disabled", ["Enable", "Unfreeze", "Deactivate"]),
        ("enable", "Enabled", "customer_frozen", ["Disable", "Unfreeze", "Deactivate"]),
        ("unfreeze", "Unfrozen", "active", ["Disable", "Freeze", "Deactivate"]),
        ("deactivate", "Deactivated", "customer_inactive", ["Disable", "Freeze", "Reactivate"]),
        ("reactivate", "Reactivated", "active", ["Disable", "Freeze", "Deactivate"]),
    ] {
        let page = visitor.act("c1", verb, &[]);
        let revision = read(&tollgate, "c1")["revision"].as_str().unwrap().to_owned();
        let told = format!("<strong>{done} at revision <code>{revision}</code>.</strong>");
        assert!(page.contains(&told), "{told}: {page}");
        assert_eq!(shown(&page), words, "{verb}");
        assert_eq!(tollgate.reason_to_write("c1"), is);
    }
    assert_eq!(audit(&tollgate, "c1").iter().filter(|it| it["outcome"] == "changed").count(), 7);
}

#[test]
fn what_is_said_of_an_act_is_on_record_and_neither_in_a_url_nor_in_the_log() {
    let tollgate = start(&[]);
    let visitor = Visitor::of_role(&tollgate, "support");
    let notes = "<script>alert('notes-7c1f')</script>";
    let page = visitor.page("/customers/c1");
    let said = [("reason", "non_payment"), ("notes", notes), ("until", "2099-01-02T03:04")];
    let answer = visitor.send("/customers/c1", &with(&form(&page, "freeze"), &said));
    let location = answer.header("location").unwrap();
    assert!(!location.contains("notes"), "{location}");
    let page = visitor.page(location);
    assert!(!page.contains("<script>alert"), "{page}");
    assert!(page.contains("&lt;script&gt;alert('notes-7c1f')&lt;/script&gt;"), "{page}");
    let held = read(&tollgate, "c1")["restrictions"][0].clone();
    assert_eq!((&held["notes"], &held["reason"]), (&json!(notes), &json!("non_payment")));
    assert_eq!(held["until"], "2099-01-02T03:04:00Z");
    for path in ["/review?status=frozen", "/review/export?status=frozen"] {
        assert!(!visitor.page(path).contains("<script>alert") || path.contains("export"), "{path}");
    }
    assert!(!tollgate.log().join("\n").contains("notes-7c1f"));
}

#[test]
fn to_press_twice_or_to_load_anew_acts_once() {
    let tollgate = start(&[]);
    let visitor = Visitor::of_role(&tollgate, "support");
    let fields = form(&visitor.page("/customers/c1"), "disable");
    let done = [(); 2].map(|()| visitor.send("/customers/c1", &with(&fields, &[])));
    assert_eq!(done.each_ref().map(|it| it.status), [303, 303]);
    assert_eq!(done[0].header("location"), done[1].header("location"));
    let entries = audit(&tollgate, "c1").len();
    let location = done[1].header("location").unwrap();
    for _ in 0..2 {
        assert!(visitor.page(location).contains("Disabled at revision"));
    }
    assert_eq!(audit(&tollgate, "c1").len(), entries);
    // The same form is good for nothing else.
    let other = visitor.send("/customers/c1", &with(&fields, &[("reason", "fraud")]));
    assert_eq!(other.status, 422, "{other:?}");
    // Nobody is told of what a link makes up.
    let page = visitor.page("/customers/c1?done=console-0");
    assert!(!page.contains("at revision <code>"), "{page}");
}

#[test]
fn a_refused_act_is_told_at_its_form_and_what_was_said_stays() {
    let tollgate = start(&[]);
    put(&tollgate, "c1", &json!({"obligations": {"activeSubscriptions": 2}}));
    let visitor = Visitor::of_role(&tollgate, "support");
    let fields = form(&visitor.page("/customers/c1"), "deactivate");
    let said = [("reason", "customer_request"), ("notes", "asked by phone")];
    let answer = visitor.send("/customers/c1", &with(&fields, &said));
    assert_eq!(answer.status, 409, "{answer:?}");
    let (_, form) = answer.body.split_once("<details class=\"act places\" open>").unwrap();
    let (form, _) = form.split_once("</details>").unwrap();
    assert!(form.contains("CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS"), "{form}");
    assert!(form.contains(">asked by phone</textarea>"), "{form}");
    assert!(form.contains("value=\"customer_request\" selected"), "{form}");
    assert_eq!(tollgate.reason_to_write("c1"), "active");
    let page = visitor.page("/customers/c1");
    assert!(page.contains("CUSTOMER_HAS_ACTIVE_SUBSCRIPTIONS"), "it is on record: {page}");
}

#[test]
fn a_viewer_sees_no_button_and_what_it_sends_all_the_same_is_refused() {
    let tollgate = start(&[]);
    let visitor = Visitor::of_role(&tollgate, "viewer");
    let page = visitor.page("/customers/c1");
    assert_eq!(buttons(&page), [""; 0]);
    let csrf = csrf(&page);
    let fields = [("csrf", csrf), ("once", "console-1"), ("verb", "disable")];
    let answer = visitor.send("/customers/c1", &fields);
    assert_eq!(answer.status, 403, "{answer:?}");
    let fields = [("csrf", csrf), ("once", "console-2"), ("pick", "c1|operator|k3f9:0.42")];
    assert_eq!(visitor.send("/review", &fields).status, 403);
    for way in ["enforce", "trust", "refill", "whole"] {
        let fields = [("csrf", csrf), ("once", way), ("way", way)];
        assert_eq!(visitor.send("/trouble", &fields).status, 403, "{way}");
    }
    assert_eq!(tollgate.reason_to_write("c1"), "active");
}

#[test]
fn a_form_of_another_site_does_nothing() {
    let tollgate = start(&[]);
    let visitor = Visitor::of_role(&tollgate, "support");
    let fields = form(&visitor.page("/customers/c1"), "disable");
    for (headers, more) in [
        (&[][..], &[][..]),
        (&[("origin", "http://evil.example")], &[]),
        (&[("sec-fetch-site", "cross-site")], &[]),
        (OWN, &[("csrf", "wrong")]),
        (OWN, &[("csrf", "")]),
    ] {
        let answer = visitor.send_saying("/customers/c1", headers, &with(&fields, more));
        assert_eq!(answer.status, 403, "{headers:?}, {more:?}");
        assert!(answer.body.contains("CSRF_REQUIRED"), "{answer:?}");
    }
    assert_eq!(tollgate.reason_to_write("c1"), "active");
    let metric = "tollgate_auth_failures_total{code=\"CSRF_REQUIRED\"}";
    assert_eq!(tollgate.metric(metric), 5);
    let own = format!("http://{}", tollgate.operator);
    let answer = visitor.send_saying("/customers/c1", &[("origin", &own)], &with(&fields, &[]));
    assert_eq!(answer.status, 303, "{answer:?}");
}

#[test]
fn what_another_source_holds_is_lifted_by_acting_for_it_and_only_managers_may() {
    let tollgate = start(&[]);
    let body = json!({"source": "billabear", "reason": "non_payment"});
    act(&tollgate, "c1", "disable", &body);
    let support = Visitor::of_role(&tollgate, "support");
    let page = support.page("/customers/c1");
    assert!(page.contains("Only billabear lifts it, or a manager"), "{page}");
    assert_eq!(buttons(&page)[..3], ["Disable", "Freeze", "Deactivate"]);
    // What one source lifts leaves the other's.
    support.act("c1", "disable", &[]);
    let page = support.act("c1", "enable", &[]);
    assert!(page.contains("In force now: disabled by billabear."), "{page}");
    let manager = Visitor::of_role(&tollgate, "manager");
    let page = manager.page("/customers/c1");
    assert!(buttons(&page).contains(&"Enable for billabear".to_owned()), "{page}");
    let answer = manager.send("/customers/c1", &with(&form(&page, "billabear"), &[]));
    let page = manager.page(answer.header("location").unwrap());
    assert!(page.contains("Nothing restricts the customer now."), "{page}");
    assert_eq!(tollgate.reason_to_write("c1"), "active");
}

#[test]
fn what_is_sensitive_takes_a_manager_to_lift() {
    let tollgate = start(&[]);
    let support = Visitor::of_role(&tollgate, "support");
    let page = support.act("c1", "disable", &[("reason", "compliance")]);
    assert!(page.contains("Enable takes the role manager."), "{page}");
    let manager = Visitor::of_role(&tollgate, "manager");
    manager.act("c1", "enable", &[]);
    assert_eq!(tollgate.reason_to_write("c1"), "active");
}

#[test]
fn what_is_still_to_come_is_shown_and_can_be_called_off() {
    let tollgate = start(&[]);
    act(&tollgate, "c1", "freeze", &json!({"since": "2098-01-01T00:00:00Z"}));
    let support = Visitor::of_role(&tollgate, "support");
    let page = support.page("/customers/c1");
    assert!(page.contains("Still to come"), "{page}");
    assert_eq!(buttons(&page)[..3], ["Disable", "Unfreeze", "Deactivate"]);
    let page = support.act("c1", "unfreeze", &[]);
    assert!(!page.contains("Still to come"), "{page}");
}

#[test]
fn a_form_that_makes_no_sense_is_refused() {
    let tollgate = start(&[]);
    let visitor = Visitor::of_role(&tollgate, "support");
    let fields = form(&visitor.page("/customers/c1"), "freeze");
    for (status, more) in [
        (400, ("verb", "purge")),
        (400, ("until", "yesterday")),
        (400, ("reason", "because")),
        (400, ("source", "No Source")),
    ] {
        let answer = visitor.send("/customers/c1", &with(&fields, &[more]));
        assert_eq!(answer.status, status, "{more:?}: {answer:?}");
    }
    assert_eq!(visitor.send("/customers/nobody", &with(&fields, &[])).status, 404);
    let json = [("content-type", "application/json"), OWN[0]];
    let answer = visitor.send_saying("/customers/c1", &json, &[]);
    assert!([400, 415].contains(&answer.status), "{answer:?}");
    assert_eq!(tollgate.reason_to_write("c1"), "active");
}
