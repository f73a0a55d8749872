//! What the rendered container takes, for the figures in the chart.

#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    cases::Case,
    objects::container,
    pod::Running,
    probes::probe,
    secrets::Secrets,
    support::{Flavor, Persistence, RedisServer, crowd, tollgate::Client},
    volumes::Volumes,
};

#[test]
#[ignore = "it takes minutes, and its result is what it prints"]
fn what_a_pod_takes() {
    println!("| customers, a third of them restricted | | processor | memory | at most |");
    println!("|---:|---|---:|---:|---:|");
    for customers in [0, 20_000] {
        let redis = RedisServer::start(Flavor::Redis, Persistence::None);
        crowd::settle(&redis.settings(), customers);
        let (objects, url) = (Case::of_values("shared-default").objects(), redis.tcp_url());
        let pod = objects.pod();
        let volumes = Volumes::of(pod, &objects, &Secrets::default());
        let elsewhere = [("redis://redis:6379", url.as_str())];
        let running = Running::start(pod, container(pod, "tollgate"), &volumes, &elsewhere);
        running.wait_until("ready", || probe(&running, "readinessProbe"));
        row(&running, customers, "at rest", || thread::sleep(Duration::from_secs(10)));
        let (mut asked, begun) = (0, Instant::now());
        row(&running, customers, "asked about one after the other", || {
            asked = ask(&running, customers);
        });
        println!(
            "It was asked {:.0} times a second.",
            f64::from(asked) / begun.elapsed().as_secs_f64()
        );
    }
}

/// Asks for ten seconds, about one after the other.
fn ask(running: &Running, customers: u32) -> u32 {
    let (client, begun) = (Client::new(Duration::from_secs(5)), Instant::now());
    let mut asked = 0;
    while begun.elapsed().as_secs() < 10 {
        let id = crowd::id(asked % customers.max(1));
        let headers = [("x-customer-id", id.as_str())];
        let answer = client.ask(running.port("check"), "GET", "/v1/forward-auth", &headers, None);
        assert_ne!(answer.status, 0, "{answer:?}");
        asked += 1;
    }
    asked
}

fn row(running: &Running, customers: u32, what: &str, meanwhile: impl FnOnce()) {
    let (before, begun) = (processor_seconds(running), Instant::now());
    meanwhile();
    let share = (processor_seconds(running) - before) / begun.elapsed().as_secs_f64() * 100.0;
    let memory = |name: &str| {
        let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u32>().unwrap() / 1024
    };
    let (now, most) = (memory("VmRSS:"), memory("VmHWM:"));
    println!("| {customers} | {what} | {share:.1} % of a core | {now} MiB | {most} MiB |");
}

fn processor_seconds(running: &Running) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", running.id())).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // In ticks, of which Linux tells a hundred a second.
    [11, 12].map(|field: usize| fields[field].parse::<f64>().unwrap()).iter().sum::<f64>() / 100.0
}
