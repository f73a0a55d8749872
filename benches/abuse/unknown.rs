//! Somebody who goes through ids that nobody has.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::setpriority_process;

use crate::{
    abuses::{Abused, Begun},
    raw::Raw,
};

/// Asks about so many a second, a hundred with each request.
pub(crate) struct Flood {
    asked: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    asking: Vec<JoinHandle<()>>,
    wanted: u64,
}

/// Begins to.
pub(crate) fn unknown(abused: &Abused<'_>, a_second: u64) -> Flood {
    let wanted = if abused.is_quick { a_second / 10 } else { a_second };
    let check = abused.tollgate.check;
    let (asked, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let asking = (0..CONNECTIONS).map(|place| {
        let (asked, stop) = (Arc::clone(&asked), Arc::clone(&stop));
        thread::spawn(move || {
            // Who measures has to have the core when it is due.
            setpriority_process(None, 19).unwrap();
            let every =
                Duration::from_secs(1) * AT_ONCE * CONNECTIONS / u32::try_from(wanted).unwrap();
            ask(check, place, every, &asked, &stop);
        })
    });
    Flood { asking: asking.collect(), asked, stop, wanted }
}

fn ask(check: SocketAddr, place: u32, every: Duration, asked: &AtomicU64, stop: &AtomicBool) {
    let mut connection = Raw::connect(check);
    let run = fastrand::u32(..);
    let mut due = Instant::now();
    for number in 0_u64.. {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut body = "{\"checks\":[".to_owned();
        for nth in 0..AT_ONCE {
            let comma = if nth == 0 { "" } else { "," };
            let id = format!("flood-{run}-{place}-{number}-{nth}");
            write!(body, "{comma}{{\"customerId\":\"{id}\",\"action\":\"read\"}}").unwrap();
        }
        body.push_str("]}");
        let request = format!(
            "POST /v1/checks HTTP/1.1\r\nHost: tollgate\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = connection.send(request).answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        asked.fetch_add(u64::from(AT_ONCE), Ordering::Relaxed);
        // What was missed is not made up for.
        due = (due + every).max(Instant::now());
    }
}

impl Begun for Flood {
    fn go_on(&mut self, time: Duration) -> String {
        let (begun, before) = (Instant::now(), self.asked.load(Ordering::Relaxed));
        thread::sleep(time);
        let asked = self.asked.load(Ordering::Relaxed) - before;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let rate = asked as f64 / begun.elapsed().as_secs_f64();
        format!("{rate:.0} of {} unknown customers a second", self.wanted)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for asking in self.asking.drain(..) {
            let _ = asking.join();
        }
    }
}

const CONNECTIONS: u32 = 32;
const AT_ONCE: u32 = 100;
