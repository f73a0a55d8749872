//! Finding customers, and reviewing who is kept out.

use serde_json::json;

use super::{
    start,
    support::{
        operators::{act, put},
        tollgate::Tollgate,
    },
    visitor::{Visitor, form, picks, with},
};

/// The ids of the customers on a page, in its order.
fn ids(page: &str) -> Vec<String> {
    let links = page.split("href=\"/customers/").skip(1);
    links.map(|rest| rest.split(['"', '?']).next().unwrap().to_owned()).collect()
}

#[test]
fn customers_are_found_by_the_beginning_of_their_id_by_alias_and_by_what_restricts_them() {
    let tollgate = start(&[]);
    for id in ["c2", "d1"] {
        put(&tollgate, id, &json!({}));
    }
    put(&tollgate, "d2", &json!({"name": "Dee & Sons", "aliases": {"stripe": "cus_7"}}));
    act(&tollgate, "c2", "freeze", &json!({"source": "billing", "reason": "dispute"}));
    act(&tollgate, "d1", "deactivate", &json!({}));
    let visitor = Visitor::of_role(&tollgate, "viewer");
    for (query, found) in [
        ("", &["c2", "c1", "c2", "d2"][..]),
        ("?prefix=c", &["c1", "c2"]),
        ("?alias_source=stripe&alias=cus_7", &["d2"]),
        ("?alias_source=stripe&alias=cus_8", &[]),
        ("?status=frozen", &["c2"]),
        ("?source=billing", &["c2"]),
        ("?reason=dispute", &["c2"]),
        ("?reason=fraud", &[]),
        ("?status=inactive", &["d1"]),
        // Who is named in full is meant.
        ("?prefix=d1", &["d1"]),
    ] {
        let page = visitor.page(&format!("/customers{query}"));
        assert_eq!(ids(&page), found, "{query}");
    }
    let page = visitor.page("/customers");
    assert!(page.contains("4 customers") && page.contains("2 customers with a restriction"));
    assert!(page.contains("Dee &amp; Sons"), "{page}");
    assert_eq!(visitor.ask("/customers?alias=cus_7").status, 400);
}

#[test]
fn pages_go_on_where_the_one_before_ended() {
    let tollgate = start(&[]);
    for number in 0..120 {
        put(&tollgate, &format!("n{number:03}"), &json!({}));
    }
    let visitor = Visitor::of_role(&tollgate, "viewer");
    let (mut all, mut path) = (Vec::new(), "/customers?prefix=n".to_owned());
    loop {
        let page = visitor.page(&path);
        all.extend(ids(&page));
        let Some((_, rest)) = page.split_once("rel=\"next\" href=\"") else { break };
        path = rest.split('"').next().unwrap().replace("&amp;", "&");
    }
    let expected: Vec<_> = (0..120).map(|number| format!("n{number:03}")).collect();
    assert_eq!(all, expected);
}

fn restrict_some(tollgate: &Tollgate) {
    for (id, since, source) in [
        ("r1", "2026-03-01T00:00:00Z", "operator"),
        ("r2", "2026-01-01T00:00:00Z", "operator"),
        ("r3", "2026-02-01T00:00:00Z", "billing"),
    ] {
        put(tollgate, id, &json!({}));
        let body = json!({"since": since, "source": source, "notes": format!("=notes on {id}")});
        act(tollgate, id, "disable", &body);
    }
}

#[test]
fn a_review_lists_the_oldest_first_and_exports_them_all() {
    let tollgate = start(&[]);
    restrict_some(&tollgate);
    let visitor = Visitor::of_role(&tollgate, "viewer");
    let page = visitor.page("/review");
    assert_eq!(ids(&page), ["r2", "r3", "r1"]);
    assert!(page.contains("3 restrictions") && page.contains("=notes on r2"), "{page}");
    assert!(!page.contains("name=\"pick\""), "{page}");
    assert_eq!(ids(&visitor.page("/review?source=billing")), ["r3"]);
    assert_eq!(ids(&visitor.page("/review?status=frozen")), [""; 0]);
    let export = visitor.ask("/review/export?status=disabled");
    assert_eq!(export.header("content-type"), Some("text/csv; charset=utf-8"));
    let disposition = "attachment; filename=\"tollgate-disabled.csv\"";
    assert_eq!(export.header("content-disposition"), Some(disposition));
    let lines: Vec<_> = export.body.lines().collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    let since = "\"2026-03-01T00:00:00Z\"";
    let begin = format!("\"r1\",\"\",\"disabled\",{since},\"\",\"operator\",\"other\",");
    assert!(lines[1].starts_with(&begin), "{lines:?}");
    assert!(lines[1].ends_with(",\"\",\"'=notes on r1\""), "{lines:?}");
}

#[test]
fn who_is_picked_is_let_in_and_who_was_changed_meanwhile_is_left_alone() {
    let tollgate = start(&[]);
    restrict_some(&tollgate);
    let support = Visitor::of_role(&tollgate, "support");
    let page = support.page("/review");
    // What another source holds takes more than this role.
    let picked = picks(&page);
    assert_eq!(picked.len(), 2);
    let fields = form(&page, "disabled");
    act(&tollgate, "r1", "disable", &json!({"reason": "dispute"}));
    let said = [picked[0], picked[1], ("notes", "reviewed")];
    let answer = support.send("/review", &with(&fields, &said));
    assert_eq!(answer.status, 412, "{answer:?}");
    assert!(answer.body.contains("1 act was refused") && answer.body.contains("<code>r1</code>"));
    assert_eq!(tollgate.reason_to_write("r2"), "active");
    assert_eq!(tollgate.reason_to_write("r1"), "customer_disabled");
    let manager = Visitor::of_role(&tollgate, "manager");
    let page = manager.page("/review");
    assert_eq!(picks(&page).len(), 2);
    let fields = form(&page, "disabled");
    let answer = manager.send("/review", &with(&fields, &picks(&page)));
    let page = manager.page(answer.header("location").unwrap());
    assert!(page.contains("Enabled: 2 customers."), "{page}");
    for id in ["r1", "r3"] {
        assert_eq!(tollgate.reason_to_write(id), "active");
    }
}

#[test]
fn both_sources_of_one_customer_are_lifted_at_once() {
    let tollgate = start(&[]);
    for source in ["operator", "billing"] {
        act(&tollgate, "c1", "disable", &json!({"source": source}));
    }
    let manager = Visitor::of_role(&tollgate, "manager");
    let page = manager.page("/review");
    assert_eq!(picks(&page).len(), 2);
    let answer = manager.send("/review", &with(&form(&page, "disabled"), &picks(&page)));
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(tollgate.reason_to_write("c1"), "active");
}
