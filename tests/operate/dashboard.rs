//! The dashboard asks for what there is, and can be imported.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tollgate::telemetry::catalogue;

use crate::expression::selectors;

/// Every query of the dashboard, with what it is shown as.
pub(crate) fn queries() -> Vec<(String, String)> {
    let panels = read()["panels"].as_array().unwrap().clone();
    let of_panel = |panel: Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let query = |target: Value| target["expr"].as_str().unwrap().to_owned();
        targets.into_iter().map(move |target| (title.clone(), query(target)))
    };
    panels.into_iter().flat_map(of_panel).collect()
}

#[test]
fn every_metric_of_the_catalogue_is_on_the_dashboard() {
    let selectors = queries().into_iter().flat_map(|(_, query)| selectors(&query));
    let shown: BTreeSet<_> = selectors
        .map(|selector| {
            let name = selector.split('{').next().unwrap();
            let ends = ["_bucket", "_count", "_sum"];
            ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
        })
        .filter(|name| name.starts_with("tollgate_"))
        .collect();
    let all = catalogue::ALL.iter().map(|metric| metric.name.to_owned());
    assert_eq!(shown, all.collect());
}

#[test]
fn the_dashboard_has_rows_variables_and_panels_that_do_not_overlap() {
    let dashboard = read();
    // What Grafana 10.2 and later read without a migration of their own.
    assert_eq!(dashboard["schemaVersion"], 39);
    assert_eq!(dashboard["uid"], "tollgate");
    let names = |list: &Value, field: &str| -> Vec<String> {
        let named = list.as_array().unwrap().iter();
        named.map(|it| it[field].as_str().unwrap().to_owned()).collect()
    };
    let variables = names(&dashboard["templating"]["list"], "name");
    assert_eq!(variables, ["datasource", "job", "instance"]);
    let panels = dashboard["panels"].as_array().unwrap();
    let (rows, panels): (Vec<_>, Vec<_>) = panels.iter().partition(|it| it["type"] == "row");
    let rows: Vec<_> = rows.iter().map(|row| row["title"].as_str().unwrap()).collect();
    assert_eq!(rows, ROWS);
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "{}", panel["title"]);
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} is too wide", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} lies on another one", panel["title"]);
            }
        }
    }
}

fn read() -> Value {
    serde_json::from_str(&fs::read_to_string(DASHBOARD).unwrap()).unwrap()
}

const DASHBOARD: &str = "helm/tollgate/dashboards/tollgate.json";
const ROWS: [&str; 8] = [
    "Decisions",
    "Latency",
    "Freshness",
    "Store",
    "Changes and ingest",
    "Operators and webhooks",
    "Cache",
    "Process",
];
