//! Objects of the Prometheus operator and of Grafana, whose schemas are not at hand: what is rendered
//! is what they take, and what the chart's files hold.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    cases::{Case, RELEASE},
    objects::{Objects, list},
    program,
};

#[test]
fn monitors_find_what_they_are_for() {
    let mut seen = 0;
    for case in Case::all() {
        let objects = case.objects();
        for (kind, endpoints) in
            [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")]
        {
            for monitor in objects.of(kind) {
                assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
                assert_fields(monitor, &["apiVersion", "kind", "metadata", "spec"]);
                assert_fields(&monitor["spec"], &["selector", endpoints]);
                assert!(monitor["spec"]["selector"]["matchLabels"].is_object());
                let [endpoint] = list(&monitor["spec"][endpoints]) else { panic!("{monitor}") };
                let known = ["port", "path", "scheme", "interval", "scrapeTimeout", "tlsConfig"];
                assert_fields(endpoint, &known);
                assert_eq!(endpoint["path"], "/metrics");
                assert!(["http", "https"].map(Value::from).contains(&endpoint["scheme"]));
                seen += 1;
            }
        }
    }
    assert!(seen >= 2);
}

#[test]
fn rules_and_dashboards_are_the_charts_files() {
    let charts = program::charts();
    let chart = charts.path().join("helm/tollgate");
    let rules = "groups:\n  - name: test\n    rules:\n      - alert: Test\n        expr: up == 0\n        \
                 annotations:\n          summary: '{{ $labels.instance }} is down'\n";
    write(&chart.join("rules/tollgate.yaml"), rules);
    let dashboard = "{\"title\": \"{{instance}}\"}\n";
    fs::remove_dir_all(chart.join("dashboards")).ok();
    write(&chart.join("dashboards/tollgate.json"), dashboard);

    let rendered = program::template(&chart, RELEASE, &ON).unwrap();
    let objects = Objects::read(&rendered);
    let rule = objects.one("PrometheusRule");
    assert_eq!(rule["apiVersion"], "monitoring.coreos.com/v1");
    assert_rules(&rule["spec"]);
    let annotations = &rule["spec"]["groups"][0]["rules"][0]["annotations"];
    assert_eq!(*annotations, json!({"summary": "{{ $labels.instance }} is down"}));
    let map = objects.one("ConfigMap");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(map["data"], json!({"tollgate.json": dashboard}));

    let without = program::template(&chart, RELEASE, &[]).unwrap();
    assert!(!without.contains("PrometheusRule") && !without.contains("ConfigMap"));
}

#[test]
fn what_the_chart_has_of_rules_and_dashboards_is_rendered() {
    let objects =
        Objects::read(&program::template(Path::new(program::CHART), RELEASE, &ON).unwrap());
    let rules = Path::new(program::CHART).join("rules/tollgate.yaml");
    let rendered = objects.of("PrometheusRule").collect::<Vec<_>>();
    assert_eq!(rendered.len(), usize::from(rules.exists()));
    for rule in rendered {
        assert_rules(&rule["spec"]);
        let file = fs::read_to_string(&rules).unwrap();
        assert_eq!(rule["spec"], Objects::read(&file).all()[0]);
    }
    let dashboards = Path::new(program::CHART).join("dashboards");
    let maps: Vec<_> = objects.of("ConfigMap").collect();
    assert_eq!(maps.len(), usize::from(dashboards.exists()));
    for (name, text) in maps.iter().flat_map(|map| map["data"].as_object().unwrap()) {
        assert_eq!(text.as_str().unwrap(), fs::read_to_string(dashboards.join(name)).unwrap());
    }
}

/// What a `PrometheusRule` takes.
fn assert_rules(spec: &Value) {
    assert_fields(spec, &["groups"]);
    assert!(!list(&spec["groups"]).is_empty());
    for group in list(&spec["groups"]) {
        assert_fields(group, &["name", "interval", "labels", "limit", "query_offset", "rules"]);
        assert!(group["name"].is_string());
        for rule in list(&group["rules"]) {
            let known =
                ["alert", "annotations", "expr", "for", "keep_firing_for", "labels", "record"];
            assert_fields(rule, &known);
            assert!(rule["expr"].is_string(), "{rule}");
            assert!(rule["alert"].is_string() != rule["record"].is_string(), "{rule}");
        }
    }
}

fn assert_fields(object: &Value, known: &[&str]) {
    for field in object.as_object().unwrap().keys() {
        assert!(known.contains(&field.as_str()), "{field} in {object}");
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const ON: [&str; 4] = ["--set", "prometheusRule.enabled=true", "--set", "dashboard.enabled=true"];
