//! What a request asks: its path, its route, and whom its headers name.

use std::{fmt::Write as _, hint::black_box};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use criterion::Criterion;
use tollgate::{
    domain::{Policy, TenantId},
    identify::{CustomerFrom, IdentitySource, request},
    policy::{Becomes, Request, Rules, path::canonical},
};

pub(crate) fn bench(criterion: &mut Criterion) {
    paths(criterion);
    routes(criterion);
    headers(criterion);
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("canonical path");
    for (name, target) in [
        ("a plain one", "/area-0/items/4711?page=2"),
        ("one that is spelled otherwise", "/area-0//items/%344711/"),
        ("one that is refused", "/area-0/%2e%2e/items"),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| canonical(black_box(target)).is_some());
        });
    }
}

fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for count in [1, 100, 1000] {
        let mut policy = String::new();
        for area in 0..count {
            writeln!(policy, "[[routes]]\npath = \"/area-{area}/items/{{id}}\"").unwrap();
            writeln!(policy, "feature = \"export\"").unwrap();
        }
        let rules = Rules::read(&policy, Policy::default()).unwrap();
        let target = format!("/area-{}/items/4711?page=2", count / 2);
        let asked =
            Request { method: Some("GET"), target: Some(&target), becomes: Becomes::default() };
        assert!(rules.ask(&asked).first.feature.is_some());
        let name = format!("one of {count}");
        group.bench_function(name, |bencher| bencher.iter(|| rules.ask(black_box(&asked))));
    }
}

fn headers(criterion: &mut Criterion) {
    let headers: HeaderMap = [
        ("host", "shop.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
        ("authorization", "Bearer c2lnbmVkLWJ5LW5vYm9keS1hdC1hbGw"),
        ("cookie", "session=9f86d081884c7d659a2feaa0c55ad015; theme=dark"),
        ("x-customer-id", "acme-4711"),
        ("x-forwarded-for", "203.0.113.77"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-uri", "/area-0/items/4711?page=2"),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    .into_iter()
    .collect();
    let source = IdentitySource {
        customer_from: CustomerFrom::Header,
        customer_header: HeaderName::from_static("x-customer-id"),
        tenant_header: Some(HeaderName::from_static("x-tenant-id")),
        default_tenant: Some(TenantId::parse("default").unwrap()),
    };
    let (method, target) =
        ["x-forwarded-method", "x-forwarded-uri"].map(HeaderName::from_static).into();
    let mut group = criterion.benchmark_group("14 headers");
    group.bench_function("the customer", |bencher| {
        bencher.iter(|| source.identity(black_box(&headers)).is_ok());
    });
    group.bench_function("the request", |bencher| {
        bencher.iter(|| request(black_box(&headers), &method, &target).target.is_some());
    });
}
