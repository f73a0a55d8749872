//! Signing in and out, and what pages may do to a browser.

use super::{
    start,
    support::{
        operators::{key, role},
        tollgate::{ADMIN_TOKEN, http},
    },
    visitor::{OWN, Visitor, csrf, form, send, with},
};
use serde_json::json;

const PAGES: [&str; 5] = ["/customers", "/customers/c1", "/review", "/live", "/trouble"];

#[test]
fn whoever_is_not_signed_in_is_sent_to_do_so_and_comes_back() {
    let tollgate = start(&[]);
    for (path, form) in [
        ("/", "/sign-in"),
        ("/customers/c1?tenant=default", "/sign-in?next=%2Fcustomers%2Fc1%3Ftenant%3Ddefault"),
    ] {
        let answer = http(tollgate.operator, "GET", path, &[], None);
        assert_eq!((answer.status, answer.header("location")), (303, Some(form)));
    }
    // Nobody is turned away: nothing was shown that would not do.
    assert_eq!(tollgate.metric("tollgate_auth_failures_total{code=\"AUTH_REQUIRED\"}"), 0);
    let page = http(tollgate.operator, "GET", "/sign-in?next=%2Fcustomers%2Fc1", &[], None);
    assert!(page.body.contains("name=\"next\" value=\"/customers/c1\""), "{page:?}");
    let fields = [("key", ADMIN_TOKEN), ("next", "/customers/c1")];
    let answer = send(&tollgate, "/sign-in", OWN, &fields);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/customers/c1")));
    // To this site and to no other.
    let fields = [("key", ADMIN_TOKEN), ("next", "//evil.example/")];
    assert_eq!(send(&tollgate, "/sign-in", OWN, &fields).header("location"), Some("/customers"));
}

#[test]
fn a_key_that_is_none_is_refused_and_written_nowhere() {
    let tollgate = start(&[]);
    let secret = "tgk_5f3a90c2d1e4_a-key-that-is-none";
    let answer = send(&tollgate, "/sign-in", OWN, &[("key", secret)]);
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.body.contains("INVALID_TOKEN") && !answer.body.contains(secret), "{answer:?}");
    assert!(answer.header("set-cookie").is_none());
    for said in ["", "no\u{7f}key", "\u{1f511}"] {
        assert_eq!(send(&tollgate, "/sign-in", OWN, &[("key", said)]).status, 401, "{said:?}");
    }
    assert!(!tollgate.log().join("\n").contains(secret));
}

#[test]
fn nobody_is_signed_in_by_another_site() {
    let tollgate = start(&[]);
    let own = format!("http://{}", tollgate.operator);
    for (status, headers) in [
        (403, &[][..]),
        (403, &[("origin", "http://evil.example")]),
        (403, &[("origin", "null")]),
        (403, &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())]),
        (303, &[("origin", own.as_str())]),
    ] {
        let answer = send(&tollgate, "/sign-in", headers, &[("key", ADMIN_TOKEN)]);
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        assert_eq!(answer.header("set-cookie").is_some(), status == 303);
    }
}

#[test]
fn who_signs_out_is_out_and_another_site_signs_nobody_out() {
    let tollgate = start(&[]);
    let visitor = Visitor::of_role(&tollgate, "support");
    let page = visitor.page("/customers");
    assert!(page.contains("<span class=\"role\">support</span>"), "{page}");
    let fields = [("csrf", csrf(&page))];
    let foreign = [("origin", "http://evil.example")];
    assert_eq!(visitor.send_saying("/sign-out", &foreign, &fields).status, 403);
    assert_eq!(visitor.send("/sign-out", &[("csrf", "wrong")]).status, 403);
    assert_eq!(visitor.ask("/customers").status, 200);
    let answer = visitor.send("/sign-out", &fields);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in")));
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"), "{answer:?}");
    assert_eq!(visitor.ask("/customers").status, 303);
}

#[test]
fn pages_run_load_and_send_nothing_but_the_consoles_own() {
    let tollgate = start(&[]);
    let visitor = Visitor::with_key(&tollgate, ADMIN_TOKEN);
    for path in PAGES.into_iter().chain(["/customers/nobody"]) {
        let answer = visitor.ask(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-type", "text/html; charset=utf-8"),
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("x-request-id").is_some(), "{path}");
        for inline in ["<style", " style=", "<script>", " onclick=", "javascript:", "http://"] {
            assert!(!answer.body.contains(inline), "{path} has {inline}: {}", answer.body);
        }
    }
}

#[test]
fn assets_are_kept_for_ever_under_the_name_of_their_content() {
    let tollgate = start(&[]);
    let page = http(tollgate.operator, "GET", "/sign-in", &[], None).body;
    let mut urls: Vec<_> = page.split("/assets/").skip(1).collect();
    urls.retain(|rest| rest.contains('"'));
    assert!(urls.len() >= 3, "{page}");
    for rest in urls {
        let url = format!("/assets/{}", rest.split('"').next().unwrap());
        let answer = http(tollgate.operator, "GET", &url, &[], None);
        assert_eq!(answer.status, 200, "{url}");
        let kept = "public, max-age=31536000, immutable";
        assert_eq!(answer.header("cache-control"), Some(kept), "{url}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let kind = answer.header("content-type").unwrap();
        let is_right = [("css", "text/css"), ("js", "text/javascript"), ("svg", "image/svg+xml")]
            .iter()
            .any(|(ending, it)| url.ends_with(ending) && kind.starts_with(it));
        assert!(is_right, "{url} is {kind}");
    }
    let old = http(tollgate.operator, "GET", "/assets/console-0123456789abcdef.css", &[], None);
    assert_eq!(old.status, 404);
}

#[test]
fn a_key_of_one_tenant_looks_at_that_one_alone() {
    let tollgate = start(&[]);
    let acme = [("tenant-id", "acme"), ("x-api-key", ADMIN_TOKEN)];
    for id in ["a1", "a2"] {
        let path = format!("/v1/customers/{id}");
        let made = tollgate.operate_as(&acme, "PUT", &path, Some(&json!({})));
        assert_eq!(made.status, 201, "{made:?}");
    }
    let body = json!({"name": "agent", "role": "manager", "tenant": "acme"});
    let visitor = Visitor::with_key(&tollgate, &key(&tollgate, &body));
    let page = visitor.page("/customers");
    assert!(page.contains(">a1<") && !page.contains(">c1<"), "{page}");
    assert!(page.contains("tenant acme") && !page.contains("name=\"tenant\""), "{page}");
    assert_eq!(visitor.ask("/customers/c1?tenant=default").status, 403);
    let page = visitor.act("a1", "freeze", &[]);
    assert!(page.contains("Frozen at revision"), "{page}");
    for (path, told) in [("/live", "NO_TENANT_ACCESS"), ("/trouble", "Your key sees one tenant")] {
        assert!(visitor.page(path).contains(told), "{path}");
    }
    // Whoever sees all says which one.
    let visitor = Visitor::of_role(&tollgate, "support");
    let page = visitor.page("/customers?tenant=acme");
    assert!(page.contains("/customers/a1?tenant=acme") && !page.contains(">c1<"), "{page}");
    let page = visitor.page("/customers/a2?tenant=acme");
    let fields = form(&page, "disable");
    let answer = visitor.send("/customers/a2", &with(&fields, &[]));
    let page = visitor.page(answer.header("location").unwrap());
    assert!(page.contains("Disabled at revision"), "{page}");
}

#[test]
fn a_key_that_may_only_check_is_told_so() {
    let tollgate = start(&[]);
    let visitor = Visitor::with_key(&tollgate, &role(&tollgate, "app"));
    for path in PAGES {
        let answer = visitor.ask(path);
        assert!(answer.body.contains("INSUFFICIENT_ROLE"), "{path}: {answer:?}");
    }
}
