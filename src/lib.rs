//! Tollgate answers one question, fast: **may this customer do this, now?**
//!
//! Read the modules in this order. Each knows only the ones below it.
//!
//! 1. [`cli`], [`config`], [`app`]: how a process is asked for, described and assembled.
//! 2. [`http`], [`grpc`]: how enforcement points and operators ask; [`identify`]: whom a gateway
//!    asks about; [`wire`]: how an answer is spelled; [`ingest`]: how billing systems publish; [`unresolved`]: how what they say of customers that nobody
//!    knows waits; [`sweep`]: how what has lapsed goes.
//! 3. [`gate`] (over [`policy`]), [`control`]: how a check is answered, and a status changed.
//! 4. [`feed`], [`cache`], [`store`]: where records live, and how they stay fresh.
//! 5. [`domain`]: what an answer *is*. No clock, no I/O, no async.
//!
//! Beside them, [`clock`], [`lifecycle`] and [`telemetry`] serve every layer but the last.
//!
//! # The way a check takes
//!
//! A gateway asks in its dialect ([`http`], [`grpc`]); [`gate::Gate::check`] looks the customer up in
//! [`cache`] (the complete restricted set, then recent records, filled from the store on a miss)
//! and calls the pure [`domain::decide`]. Nothing on this path waits for anything but a fill.
//!
//! # The way a change takes
//!
//! An operator's request becomes one [`domain::Action`]; [`control::Control::act`] plans it and
//! commits it to [`store`] in one transaction with its audit entry. Every instance hears of the
//! commit through its [`feed`], which applies it to the [`cache`] before the next check.

pub mod cli;
pub mod config;

pub mod app;

pub mod grpc;
pub mod http;
pub mod identify;
pub mod ingest;
pub mod recovery;
pub mod sweep;
pub mod trail;
pub mod unresolved;
pub mod wire;

pub mod control;
pub mod gate;
pub mod policy;

pub mod cache;
pub mod feed;
pub mod store;

pub mod domain;

pub mod clock;
pub mod lifecycle;
pub mod telemetry;
