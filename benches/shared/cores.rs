//! Who runs where: servers on one core, the load on another.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this process may use, shared out.
#[derive(Debug)]
pub(crate) struct Cores {
    /// Every server that is measured.
    pub(crate) server: usize,
    /// What asks them.
    pub(crate) load: usize,
    /// What a server asks in its turn and is not counted: with the load where there are two cores.
    pub(crate) beside: usize,
}

impl Cores {
    /// The first core for the servers, the last one for the load.
    pub(crate) fn of_this_machine() -> Self {
        let allowed = sched_getaffinity(None).unwrap();
        let allowed: Vec<usize> =
            (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let [server, beside @ .., load] = &allowed[..] else {
            panic!("a server and its load need a core each, and there is one");
        };
        Self { server: *server, load: *load, beside: *beside.last().unwrap_or(load) }
    }
}

/// Does something on one core, and so does every process that it starts.
pub(crate) fn on<T>(core: usize, something: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).unwrap();
    let mut alone = CpuSet::new();
    alone.set(core);
    sched_setaffinity(None, &alone).unwrap();
    let done = something();
    sched_setaffinity(None, &before).unwrap();
    done
}
