//! The Helm chart: what it renders is valid, hardened and as committed, impossible values are refused
//! by name, and the program does with it what a cluster would have it do.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod cases;
mod custom_resources;
mod documents;
mod example;
mod golden;
mod hardening;
mod measure;
mod objects;
mod outage;
mod pod;
mod probes;
mod program;
mod references;
mod refusals;
mod running;
mod schemas;
mod secrets;
mod volumes;
mod walk;
