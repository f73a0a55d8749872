//! Quiet, abuse, quiet, again and again, and the table.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    abuses::{Abuse, Abused},
    cores::{Cores, on},
    crowd::Crowd,
    probe::{self, Answers, PATIENCE},
    ready,
    support::{RedisServer, tollgate::Tollgate},
    times::Times,
    usage,
};

/// How often, and for how long.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) quiet: Duration,
    pub(crate) abused: Duration,
    /// How many customers are restricted.
    pub(crate) restricted: u64,
    pub(crate) is_quick: bool,
}

pub(crate) const FULL: Plan = Plan {
    rounds: 3,
    quiet: Duration::from_secs(2),
    abused: Duration::from_secs(5),
    restricted: 600_000,
    is_quick: false,
};
pub(crate) const QUICK: Plan = Plan {
    rounds: 1,
    quiet: Duration::from_secs(1),
    abused: Duration::from_secs(1),
    restricted: 10_000,
    is_quick: true,
};

pub(crate) fn print_head(plan: &Plan) {
    println!(
        "\n| known customers, 1,000 checks a second, medians of {} rounds \
         | quiet, p50 | p99 | under it, p50 | p99 | ratio, p50 | p99 \
         | new connection, quiet, p99 | under it, p50 | p99 | its core in use | memory, more |",
        plan.rounds
    );
    println!("|---|{}", "---:|".repeat(11));
}

/// What one round came to, in the order of the table.
type Row = [f64; 11];

/// Goes through all rounds of an abuse, on an instance of its own, and prints its row.
pub(crate) fn run(abuse: &Abuse, redis: &RedisServer, crowd: Crowd, plan: &Plan, cores: &Cores) {
    let store = redis.url();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("check");
    let path = socket.display().to_string();
    let mut flags = vec!["--store", &store, "--check-socket", &path];
    flags.extend(abuse.flags);
    let begun = Instant::now();
    let tollgate = on(cores.server, || Tollgate::start_unready(&flags));
    ready::wait_for(&tollgate, begun);
    let kept = probe::connect(tollgate.check);
    probe::know(&kept[0], crowd);
    let abused = Abused { tollgate: &tollgate, socket: &socket, redis, is_quick: plan.is_quick };
    let mut said = String::new();
    let mut rows = Vec::new();
    for _ in 0..plan.rounds {
        let ask =
            |something: &mut dyn FnMut()| probe::during(tollgate.check, crowd, &kept, something).0;
        let mut quiet = ask(&mut || thread::sleep(plan.quiet));
        let (memory, mut more, mut core) = (usage::resident(tollgate.process()), 0, 0.0);
        let mut begun = (abuse.begin)(&abused);
        let abused = ask(&mut || {
            let (at, used) = (Instant::now(), usage::cpu_time(tollgate.process()));
            said = begun.go_on(plan.abused);
            let used = usage::cpu_time(tollgate.process()).saturating_sub(used);
            core = used.as_secs_f64() / at.elapsed().as_secs_f64();
            more = usage::resident(tollgate.process()).saturating_sub(memory);
        });
        drop(begun);
        // What it leaves behind is no part of the quiet that follows.
        thread::sleep(plan.quiet);
        let again = ask(&mut || thread::sleep(plan.quiet));
        quiet.kept.extend(again.kept);
        quiet.new.extend(again.new);
        rows.push(row(quiet, abused, core, more));
    }
    print(&said, &rows);
}

fn row(quiet: Answers, abused: Answers, core: f64, more: u64) -> Row {
    let times = |times: Vec<Duration>| -> Times { times.into_iter().collect() };
    let (quiet_kept, quiet_new) = (times(quiet.kept), times(quiet.new));
    let (kept, new) = (times(abused.kept), times(abused.new));
    let [before, before_most] = [50.0, 99.0].map(|percent| quiet_kept.millis_at(percent));
    let [under, under_most] = [50.0, 99.0].map(|percent| kept.millis_at(percent));
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
    let more = more as f64 / 1e6;
    [
        before,
        before_most,
        under,
        under_most,
        under / before,
        under_most / before_most,
        quiet_new.millis_at(99.0),
        new.millis_at(50.0),
        new.millis_at(99.0),
        core * 100.0,
        more,
    ]
}

fn print(said: &str, rows: &[Row]) {
    let mut median = [0.0; 11];
    for (place, median) in median.iter_mut().enumerate() {
        let mut values: Vec<f64> = rows.iter().map(|row| row[place]).collect();
        values.sort_by(f64::total_cmp);
        *median = values[values.len() / 2];
    }
    let [before, before_most, under, under_most, ratio, ratio_most, ..] = median;
    let [.., new_before, new, new_most, core, more] = median;
    println!(
        "| {said} | {before:.2} ms | {before_most:.2} ms | {under:.2} ms | {under_most:.2} ms \
         | {ratio:.1} | {ratio_most:.1} | {new_before:.2} ms | {} | {} | {core:.0} % | {more:.0} MB |",
        or_none(new),
        or_none(new_most)
    );
}

/// What took longer than anybody waited was not answered.
fn or_none(millis: f64) -> String {
    if millis < PATIENCE.as_secs_f64() * 1e3 {
        format!("{millis:.2} ms")
    } else {
        format!("none in {} s", PATIENCE.as_secs())
    }
}
