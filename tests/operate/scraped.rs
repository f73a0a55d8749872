//! A real Prometheus scrapes real instances to which everything happens: what the dashboard shows
//! and what the rules compute is there.

use std::time::{Duration, Instant};

use crate::{
    dashboard,
    expression::selectors,
    prometheus::{Prometheus, promtool},
    rules::rules,
    sender::Senders,
    support::{
        Flavor, Persistence, RedisServer,
        authority::{Authority, Issued},
        tollgate::Tollgate,
    },
    traffic::Traffic,
};

#[test]
fn every_query_of_the_dashboard_and_every_metric_of_the_rules_has_data() {
    let mut redis = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
    let (store, senders, authority) = (redis.url(), Senders::new(), Authority::new());
    // Few enough that some have to go.
    let writer = senders.tollgate(&["--store", &store, "--cache-capacity", "10"]);
    let Issued { certificate, key } = authority.issue("127.0.0.1");
    let tls = ["--check-tls-cert", &certificate, "--check-tls-key", &key];
    let sidecar = ["--store", &store, "--operator-listen", "off"];
    let sidecar = Tollgate::start(&[&sidecar[..], &tls[..]].concat());
    let prometheus = Prometheus::start(&[writer.admin, sidecar.admin]);
    writer.wait_for_log("Listening to billing systems");
    let mut traffic = Traffic::to(&writer, &store);
    traffic.go_on();

    redis.kill9();
    let is_pending = || {
        let rules = prometheus.rules();
        let down = rules.iter().find(|rule| rule["name"] == "TollgateFeedDown").unwrap().clone();
        down["alerts"].as_array().is_some_and(|alerts| alerts.len() == 2)
    };
    writer.wait_until("known to be cut off", is_pending);
    redis.restart();
    let is_back = || [&writer, &sidecar].map(|it| it.metric("tollgate_feed_connected")) == [1, 1];
    writer.wait_until("connected again", is_back);
    writer.wait_until("listening", || writer.metric("tollgate_ingest_listening") == 1);

    let begun = Instant::now();
    let mut asked = queries();
    let count = asked.len();
    while !asked.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "nothing is told of {asked:#?}");
        traffic.go_on();
        // Not a number is what comes of nothing by nothing.
        asked.retain(|(_, query)| !prometheus.query(query).iter().any(|told| !told.is_nan()));
    }
    let was_down = "min_over_time(tollgate_feed_connected[5m]) == 0";
    assert_eq!(prometheus.query(was_down).len(), 2);
    for rule in prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    for tollgate in [&writer, &sidecar] {
        promtool(&["check", "metrics"], &tollgate.admin("/metrics").body);
    }
    crate::measured(&format!("{count} queries"));
}

/// What has to have data: the dashboard's queries, what is recorded, and every metric that an
/// alert reads. An alert's own expression has none as long as nothing is wrong.
fn queries() -> Vec<(String, String)> {
    let of_dashboard = dashboard::queries().into_iter().map(|(title, query)| {
        let filled_in = query
            .replace("$__rate_interval", "10s")
            .replace("$__range", "1m")
            .replace("\"$job\"", "\".*\"")
            .replace("\"$instance\"", "\".*\"");
        assert!(!filled_in.contains('$'), "{title}: {filled_in}");
        (title, filled_in)
    });
    let of_rules = rules().into_iter().flat_map(|rule| match rule.alert {
        None => vec![("recorded".to_owned(), rule.expression)],
        Some(alert) => {
            let metrics = selectors(&rule.expression);
            assert!(!metrics.is_empty(), "{alert} reads nothing");
            metrics.into_iter().map(|metric| (alert.clone(), metric)).collect()
        }
    });
    of_dashboard.chain(of_rules).collect()
}

const PATIENCE: Duration = Duration::from_secs(90);
