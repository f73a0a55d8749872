//! Traffic: acts on customers of every partition, each looked at as soon as it is acknowledged.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{PATIENCE, customer_in, support::tollgate::Tollgate, wait_until};

/// Acts through one instance and asks the other, in every partition at once.
pub(crate) struct Traffic {
    pub(crate) tollgates: [Tollgate; 2],
    acts: [AtomicUsize; 6],
    refusals: [AtomicUsize; 6],
    pub(crate) is_over: AtomicBool,
}

impl Traffic {
    pub(crate) fn between(tollgates: [Tollgate; 2]) -> Self {
        let zeroes = || std::array::from_fn(|_| AtomicUsize::new(0));
        Self { tollgates, acts: zeroes(), refusals: zeroes(), is_over: AtomicBool::new(false) }
    }

    /// Disables and enables a customer of `partition` again and again. Whoever is known to be
    /// restricted is never let in, and what was acknowledged is followed.
    pub(crate) fn flow(&self, partition: u16) {
        let [writer, reader] = &self.tollgates;
        let place = usize::from(partition);
        let customer = customer_in(partition);
        for (verb, expected) in
            [("disable", "customer_disabled"), ("enable", "active")].into_iter().cycle()
        {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let path = format!("/v1/customers/{customer}/{verb}");
            let body = json!({"create": verb == "disable"});
            let (begun, mut acted) = (Instant::now(), None);
            while acted.is_none() {
                assert!(begun.elapsed() < PATIENCE, "{customer} can never be acted on");
                let asked = Instant::now();
                let answer = writer.operate("POST", &path, Some(&body));
                if answer.status == 200 {
                    acted = Some(answer.json()["revision"].clone());
                    continue;
                }
                assert_eq!((answer.status, answer.code().as_str()), (503, "STORE_UNREACHABLE"));
                self.refusals[place].fetch_add(1, Ordering::Relaxed);
                // What took longer may have been done.
                if asked.elapsed() < Duration::from_millis(500) {
                    self.nothing_changed(&customer, verb);
                }
            }
            let question = json!({"customerId": customer, "action": "write", "minRevision": acted});
            wait_until("followed", || {
                let reason = reader.check(&question).json()["reason"].clone();
                assert!(reason != "active" || expected == "active", "let in after {verb}");
                reason == expected
            });
            self.acts[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks at a customer for whom `verb` was refused: what was acknowledged before still holds,
    /// and operators still see it.
    fn nothing_changed(&self, customer: &str, verb: &str) {
        for tollgate in &self.tollgates {
            let found = tollgate.operate("GET", &format!("/v1/customers/{customer}"), None);
            assert_eq!(found.status, 200, "{found:?}");
            let status = found.json()["status"].clone();
            assert_eq!(status, if verb == "disable" { "active" } else { "disabled" });
        }
        let before = if verb == "disable" { "active" } else { "customer_disabled" };
        assert_eq!(self.tollgates[1].reason_to_write(customer), before);
    }

    pub(crate) fn wait_for_acts(&self, partition: u16, more: usize) {
        let acts = || self.acts[usize::from(partition)].load(Ordering::Relaxed);
        let before = acts();
        wait_until("acting", || acts() >= before + more);
    }

    pub(crate) fn wait_for_refusal(&self, partition: u16) {
        let refusals = || self.refusals[usize::from(partition)].load(Ordering::Relaxed);
        let before = refusals();
        wait_until("refused", || refusals() > before);
    }
}
