//! Everybody in turn, again and again.

use std::time::Duration;

use crate::{
    contender::{Asked, Contender},
    cores::{Cores, on},
    envoy,
    load::{self, Load},
    results::{Results, Sample},
};

/// How often, and for how long.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// In whole seconds, before each measurement.
    pub(crate) warm_up: Duration,
    /// In whole seconds.
    pub(crate) measured: Duration,
}

/// Measures all of them as planned.
pub(crate) fn run(contenders: &[Contender], plan: &Plan, cores: &Cores) -> Results {
    let directory = tempfile::tempdir().unwrap();
    let frame = envoy::frame();
    let mut results = Results::default();
    for round in 1..=plan.rounds {
        eprintln!("Round {round} of {}", plan.rounds);
        for contender in contenders {
            let asked = |time| {
                on(cores.load, || match &contender.asked {
                    Asked::Http(question) => {
                        load::http(question, contender.address, time, directory.path())
                    }
                    Asked::Grpc { answer } => {
                        load::grpc(&frame, *answer, contender.address, time, directory.path())
                    }
                })
            };
            asked(plan.warm_up);
            let before = contender.cpu_time();
            let loaded = asked(plan.measured);
            let used = contender.cpu_time().saturating_sub(before);
            results.add(contender.name, sample(loaded, used));
        }
    }
    results
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests")]
fn sample(loaded: Load, used: Duration) -> Sample {
    let requests = loaded.requests as f64;
    let took = requests / loaded.rate;
    let used = used.as_secs_f64();
    Sample { rate: loaded.rate, cpu: used / requests * 1e6, busy: used / took }
}
