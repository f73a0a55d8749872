//! Leases: what one instance at a time may do.

use std::{sync::LazyLock, time::Duration};

use redis::{Script, ScriptInvocation};

/// Prepares the script that takes or renews the lease at `key`, in a partition with this `meta`.
pub(super) fn hold(
    key: String,
    meta: String,
    holder: &str,
    ttl: Duration,
) -> ScriptInvocation<'static> {
    let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let mut invocation = HOLD.prepare_invoke();
    invocation.key(key).key(meta).arg(holder).arg(millis);
    invocation
}

/// Prepares the script that gives the lease at `key` back, if `holder` has it.
pub(super) fn release(key: String, holder: &str) -> ScriptInvocation<'static> {
    let mut invocation = RELEASE.prepare_invoke();
    invocation.key(key).arg(holder);
    invocation
}

/// One script for both: whoever renews a lease that lapsed meanwhile takes it anew, unless
/// somebody else was quicker. Where there is no history nothing is written: in a store that lost
/// its content a lease would be the only key.
static HOLD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local holder = redis.call('GET', KEYS[1])
         if not holder then
           if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
           redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
           return 1
         end
         if holder == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
         return 0",
    )
});
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
         return 0",
    )
});
