//! What is exported changes only on purpose: dashboards and alerts elsewhere depend on it.

use std::{fmt::Write as _, fs};

use tollgate::telemetry::catalogue::{self, Kind};

#[test]
fn the_catalogue_is_the_one_that_is_committed() {
    let committed = fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(told() == committed, "{COMMITTED} is of another catalogue; {REWRITE}");
}

#[test]
#[ignore = "it writes the committed catalogue anew"]
fn write_the_committed_catalogue() {
    fs::write(COMMITTED, told()).unwrap();
}

/// Every metric, a line each: name, kind, labels, and the upper bounds of buckets.
fn told() -> String {
    let mut told = String::new();
    for metric in catalogue::ALL {
        let (kind, buckets) = match metric.kind {
            Kind::Counter => ("counter", [].as_slice()),
            Kind::Gauge => ("gauge", [].as_slice()),
            Kind::Histogram(buckets) => ("histogram", buckets),
        };
        write!(told, "{} {kind} {{{}}}", metric.name, metric.labels.join(",")).unwrap();
        for bucket in buckets {
            write!(told, " {bucket}").unwrap();
        }
        told.push('\n');
    }
    told
}

const COMMITTED: &str = "tests/operate/catalogue.txt";
const REWRITE: &str =
    "`cargo test --test operate write_the_committed_catalogue -- --ignored` writes it anew";
