//! The axes.

use std::{fmt::Write as _, fs};

use crate::{
    crowd::Crowd, effort::Effort, scene::Scene, starts, support::RedisServer, table::Table,
};

/// One axis.
#[derive(Debug)]
pub(crate) struct Axis {
    /// What it is chosen by.
    pub(crate) name: &'static str,
    /// Goes along it, and prints a table.
    pub(crate) go_along: fn(&Effort),
}

pub(crate) const AXES: &[Axis] = &[
    Axis { name: "customers", go_along: customers },
    Axis { name: "restricted", go_along: restricted },
    Axis { name: "routes", go_along: routes },
    Axis { name: "instances", go_along: instances },
    Axis { name: "subscribers", go_along: subscribers },
    Axis { name: "changes", go_along: changes },
    Axis { name: "starts", go_along: starts::measure },
];

fn customers(effort: &Effort) {
    let mut table = Table::along("customers, 30 % of them restricted");
    for customers in effort.customers {
        let redis = Crowd { customers: *customers, restricted: customers * 3 / 10 }.settle();
        let scene = Scene::usual(&redis, *customers);
        table.add(thousands(*customers), scene.measure(effort));
        if Some(customers) == effort.customers.last() {
            let flags = ["--cache", "all"].map(str::to_owned).to_vec();
            let scene = Scene { flags, ..scene };
            let step = format!("{}, `--cache all`", thousands(*customers));
            table.add(step, scene.measure(effort));
        }
    }
    table.print();
}

fn restricted(effort: &Effort) {
    let customers = effort.of_customers;
    let mut table = Table::along("customers restricted");
    for percent in effort.restricted {
        let restricted = customers * percent / 100;
        let redis = Crowd { customers, restricted }.settle();
        let step = format!("{percent} % of {}", thousands(customers));
        table.add(step, Scene::usual(&redis, customers).measure(effort));
    }
    table.print();
}

fn routes(effort: &Effort) {
    let directory = tempfile::tempdir().unwrap();
    let mut table = Table::along("routes in the policy");
    for routes in effort.routes {
        let redis = usual();
        let policy = directory.path().join(format!("{routes}.toml"));
        fs::write(&policy, policy_of(*routes)).unwrap();
        let flags = vec!["--policy".to_owned(), policy.display().to_string()];
        let scene = Scene { flags, routes: *routes, ..Scene::usual(&redis, CUSTOMERS) };
        table.add(thousands(u64::from(*routes)), scene.measure(effort));
    }
    table.print();
}

fn policy_of(routes: u32) -> String {
    let mut policy = String::new();
    for route in 0..routes {
        writeln!(policy, "[[routes]]\npath = \"/area-{route}/items/{{id}}\"").unwrap();
        writeln!(policy, "methods = [\"GET\", \"POST\"]").unwrap();
    }
    policy
}

fn instances(effort: &Effort) {
    let mut table = Table::along("instances, each a process");
    for instances in effort.instances {
        let redis = usual();
        let usual = Scene::usual(&redis, CUSTOMERS);
        let scene = Scene { instances: *instances, changes_a_second: 100, ..usual };
        table.add(instances.to_string(), scene.measure(effort));
    }
    table.print();
}

fn subscribers(effort: &Effort) {
    let mut table = Table::along("three instances and so many bare subscribers");
    for subscribers in effort.subscribers {
        let redis = usual();
        let usual = Scene::usual(&redis, CUSTOMERS);
        let scene = Scene { subscribers: *subscribers, changes_a_second: 100, ..usual };
        table.add(thousands(*subscribers as u64), scene.measure(effort));
    }
    table.print();
}

fn changes(effort: &Effort) {
    let mut table = Table::along("changes a second, wanted");
    for changes_a_second in effort.changes_a_second {
        let redis = usual();
        let changes_a_second = *changes_a_second;
        let scene = Scene { changes_a_second, ..Scene::usual(&redis, CUSTOMERS) };
        table.add(thousands(u64::from(changes_a_second)), scene.measure(effort));
    }
    table.print();
}

/// Where it is not about customers. Anew for each step: what changes leave behind grows.
fn usual() -> RedisServer {
    Crowd { customers: CUSTOMERS, restricted: CUSTOMERS * 3 / 10 }.settle()
}

/// As the documents write numbers.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut written = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

const CUSTOMERS: u64 = 10_000;
