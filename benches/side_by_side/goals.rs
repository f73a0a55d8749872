//! What Tollgate has to reach, and whether it does.

use crate::{contender::Name, results::Results};

/// What one contender has to be in relation to another.
struct Goal {
    what: &'static str,
    name: Name,
    to: Name,
    has_to_be: Bound,
}

enum Bound {
    /// So many times the other's requests a second.
    RateAtLeast(f64),
    /// So many times the other's CPU per request.
    CpuAtMost(f64),
}

/// Prints each goal as a row that `benches/run` puts into the table of all goals.
pub(crate) fn print(results: &Results) {
    for Goal { what, name, to, has_to_be } in GOALS {
        let cpu = results.ratio(*name, *to, |sample| sample.cpu);
        let rate = results.ratio(*name, *to, |sample| sample.rate);
        let full = [name, to].iter().all(|it| results.median(**it, |it| it.busy) >= FULL);
        let (sign, bound, reached, is_met) = match *has_to_be {
            Bound::CpuAtMost(most) => ("≤", most, format!("{cpu:.2}"), cpu <= most),
            Bound::RateAtLeast(least) if full => ("≥", least, format!("{rate:.2}"), rate >= least),
            Bound::RateAtLeast(least) => {
                let reached = format!("{:.2}, by CPU: a core was not full", 1.0 / cpu);
                ("≥", least, reached, 1.0 / cpu >= least)
            }
        };
        let is_met = if is_met { "yes" } else { "**no**" };
        println!("GOAL | {what} | {sign} {bound:.2} | {reached} | {is_met} |");
    }
}

const GOALS: &[Goal] = &[
    Goal {
        what: "forward-auth check, requests a second, of bare hyper's",
        name: Name::ForwardAuth,
        to: Name::BareHyper,
        has_to_be: Bound::RateAtLeast(0.95),
    },
    Goal {
        what: "the same, of nginx's with Lua and a shared dictionary",
        name: Name::ForwardAuth,
        to: Name::NginxLua,
        has_to_be: Bound::RateAtLeast(1.3),
    },
    Goal {
        what: "the same, of axum's with a Redis GET",
        name: Name::ForwardAuth,
        to: Name::AxumRedis,
        has_to_be: Bound::RateAtLeast(1.5),
    },
    Goal {
        what: "the same, of bare hyper's, so that it is twice Limitador's in memory: that reached \
               58 where hyper reached 134",
        name: Name::ForwardAuth,
        to: Name::BareHyper,
        has_to_be: Bound::RateAtLeast(2.0 * 58.0 / 134.0),
    },
    Goal {
        what: "gRPC check, calls a second, of bare tonic's with envoy-types",
        name: Name::Grpc,
        to: Name::BareTonic,
        has_to_be: Bound::RateAtLeast(1.3),
    },
    Goal {
        what: "a denied check with a body, CPU, of an allowed one's",
        name: Name::Denied,
        to: Name::ForwardAuth,
        has_to_be: Bound::CpuAtMost(1.15),
    },
    Goal {
        what: "a check through 100 routes, CPU, of one's without routes",
        name: Name::HundredRoutes,
        to: Name::ForwardAuth,
        has_to_be: Bound::CpuAtMost(1.15),
    },
    Goal {
        what: "a check with the decision log, CPU, of one's without it",
        name: Name::DecisionLog,
        to: Name::ForwardAuth,
        has_to_be: Bound::CpuAtMost(1.1),
    },
];

/// The share of its core from which on the server is what limits its requests a second.
const FULL: f64 = 0.9;
