//! The store is away while the kubelet probes with the chart's figures.

#![expect(clippy::print_stdout, reason = "the long form tells what came of it")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    cases::Case,
    objects::{Objects, container},
    pod::Running,
    probes::{Replayed, replay, until_acted},
    secrets::Secrets,
    support::{
        Flavor, Persistence, RedisServer,
        tollgate::{Tollgate, http},
    },
    volumes::Volumes,
};

/// Time is run through ten times as fast: probes are asked ten times as often as the chart says, and
/// Redis is away for a tenth of a minute each time. The long form takes the chart's own figures.
#[test]
fn redis_away_for_longer_than_any_probe_bears_restarts_nobody_and_takes_nobody_out() {
    Outage { haste: 10, each: Duration::from_secs(6) }.is_borne();
}

#[test]
#[ignore = "it takes more than two minutes"]
fn long_form_redis_is_away_for_a_minute_with_the_charts_own_figures() {
    Outage { haste: 1, each: Duration::from_mins(1) }.is_borne();
}

#[test]
fn a_pod_that_is_gone_is_noticed_by_every_probe() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let (_writer, fleet) = (Tollgate::start(&["--store", &redis.url()]), Fleet::start(&redis, 1));
    let Fleet { mut pods, .. } = fleet;
    pods[0].kill9();
    for probe in ["livenessProbe", "readinessProbe"] {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let replaying = scope.spawn(|| replay(&pods[0], probe, 20, &is_over));
            thread::sleep(until_acted(&pods[0].container, probe) / 10);
            is_over.store(true, Ordering::SeqCst);
            assert!(replaying.join().unwrap().acted > 0, "{probe}");
        });
    }
}

/// How long, and how much faster than the chart says.
struct Outage {
    haste: u32,
    each: Duration,
}

impl Outage {
    /// Redis hangs, comes back, is gone, and comes back. Meanwhile nobody is restarted or taken out
    /// of the Service, and every pod decides as before.
    fn is_borne(&self) {
        let mut redis = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
        let writer = Tollgate::start(&["--store", &redis.url()]);
        for (customer, body) in [("c1", json!({})), ("c2", json!({"status": "disabled"}))] {
            writer.operate("PUT", &format!("/v1/customers/{customer}"), Some(&body));
        }
        let fleet = Fleet::start(&redis, 2);
        fleet.decides();
        for probe in PROBES {
            let borne = until_acted(&fleet.pods[0].container, probe) / self.haste;
            assert!(borne < self.each, "{probe} would bear the outage without being asked");
        }

        let is_over = AtomicBool::new(false);
        let replayed: Vec<Replayed> = thread::scope(|scope| {
            let (haste, is_over) = (self.haste, &is_over);
            let asked = fleet.pods.iter().flat_map(|pod| PROBES.map(|probe| (pod, probe)));
            let replaying: Vec<_> = asked
                .map(|(pod, probe)| scope.spawn(move || replay(pod, probe, haste, is_over)))
                .collect();
            redis.pause();
            self.goes_on(&fleet);
            redis.resume();
            fleet.follows();
            redis.kill9();
            self.goes_on(&fleet);
            redis.restart();
            fleet.follows();
            is_over.store(true, Ordering::SeqCst);
            replaying.into_iter().map(|it| it.join().unwrap()).collect()
        });
        for (probe, replayed) in PROBES.iter().cycle().zip(replayed) {
            let Replayed { asked, failed, acted } = replayed;
            println!("{probe}: asked {asked} times, {failed} failed, {acted} acts of the kubelet");
            assert!(asked >= 6, "{probe} was asked {asked} times");
            assert_eq!((failed, acted), (0, 0), "{probe}");
        }
    }

    /// Nobody decides otherwise for as long as the outage lasts.
    fn goes_on(&self, fleet: &Fleet) {
        let begun = Instant::now();
        while begun.elapsed() < self.each {
            fleet.decides();
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Pods of the shared form as it comes.
struct Fleet {
    pods: Vec<Running>,
    _volumes: Vec<Volumes>,
}

impl Fleet {
    fn start(redis: &RedisServer, count: usize) -> Self {
        let objects: Objects = Case::of_values("shared-default").objects();
        let (pod, url) = (objects.pod(), redis.tcp_url());
        let (pods, volumes) = (0..count)
            .map(|_| {
                let volumes = Volumes::of(pod, &objects, &Secrets::default());
                let elsewhere = [("redis://redis:6379", url.as_str())];
                let of = container(pod, "tollgate");
                (Running::start(pod, of, &volumes, &elsewhere), volumes)
            })
            .unzip();
        let fleet = Self { pods, _volumes: volumes };
        for pod in &fleet.pods {
            pod.wait_until("ready", || crate::probes::probe(pod, "readinessProbe"));
        }
        fleet
    }

    /// Whoever may pass does, and whoever may not does not.
    fn decides(&self) {
        for pod in &self.pods {
            let ask = |customer| {
                let headers = [("x-customer-id", customer)];
                http(pod.port("check"), "GET", "/v1/forward-auth", &headers, None).status
            };
            assert_eq!(["c1", "c2"].map(ask), [200, 403], "{:#?}", pod.log());
        }
    }

    /// Everybody hears of changes again.
    fn follows(&self) {
        for pod in &self.pods {
            pod.wait_until("connected", || {
                let status = http(pod.port("admin"), "GET", "/status", &[], None).json();
                status["feed"]["connected"] == true && status["staleness"]["stale"] == false
            });
        }
    }
}

const PROBES: [&str; 2] = ["livenessProbe", "readinessProbe"];
