//! The way that the README leads: from the chart to a gateway that asks, with the commands that stand
//! there.

use std::path::Path;

use crate::{
    objects::{Objects, container},
    pod::Running,
    probes::probe,
    program::{CHART, template},
    running::secrets,
    support::{
        Flavor, Persistence, RedisServer,
        application::Application,
        authority::Authority,
        nginx::Nginx,
        tollgate::{Answer, http},
    },
    volumes::Volumes,
};

#[test]
fn the_readmes_commands_lead_from_the_chart_to_a_gateway_that_asks() {
    let (installed, told) = commands();
    let values: Vec<_> = installed.iter().map(String::as_str).collect();
    let objects = Objects::read(&template(Path::new(CHART), "tollgate", &values).unwrap());
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let (pod, url) = (objects.pod(), redis.tcp_url());
    let volumes = Volumes::of(pod, &objects, &secrets(&Authority::new()));
    let elsewhere = [("redis://redis:6379", url.as_str())];
    let running = Running::start(pod, container(pod, "tollgate"), &volumes, &elsewhere);
    running.wait_until("ready", || probe(&running, "readinessProbe"));
    let tell = |arguments: &[&str]| {
        let ran = running.exec(&volumes, arguments);
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    };
    for arguments in &told {
        tell(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    let application = Application::start();
    let gateway = Nginx::start(running.port("check"), application.address);
    assert_eq!(ask(&gateway, "change-me-key-of-c1").status, 200);
    assert_eq!(ask(&gateway, "key-of-nobody").status, 401);
    tell(&["disable", "c1", "--reason", "non_payment"]);
    running.wait_until("told", || ask(&gateway, "change-me-key-of-c1").status == 402);
    assert_eq!(ask(&gateway, "change-me-key-of-c1").code(), "CUSTOMER_DISABLED");
    assert_eq!(application.reached(), 1);
}

fn ask(gateway: &Nginx, key: &str) -> Answer {
    http(gateway.address, "GET", "/", &[("x-api-key", key)], None)
}

/// What `helm install` is given, and what the program is told in the pod.
fn commands() -> (Vec<String>, Vec<Vec<String>>) {
    let readme = include_str!("../../README.md");
    let section = readme.split_once("\n## In Kubernetes\n").unwrap().1;
    let block = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let block = block.replace("\\\n", " ");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
    let after = |beginning: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(beginning));
        lines.map(words).collect::<Vec<_>>()
    };
    let mut installed = after(&format!("helm install tollgate {CHART} "));
    let told = after("kubectl exec deployment/tollgate -- tollgate ");
    assert_eq!((installed.len(), told.len()), (1, 2), "{block}");
    (installed.remove(0), told)
}
