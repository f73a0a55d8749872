//! One who is measured.

use std::{net::SocketAddr, time::Duration};

use crate::{question::Question, usage};

/// What answers, and how.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Name {
    ForwardAuth,
    NginxDialect,
    Check,
    Denied,
    HundredRoutes,
    DecisionLog,
    Grpc,
    BareHyper,
    AxumHello,
    AxumMoka,
    AxumRedis,
    Nginx,
    NginxLua,
    BareTonic,
    TonicReplying,
}

impl Name {
    /// As the table has it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::ForwardAuth => "**Tollgate, forward-auth**, 14 headers, active customer",
            Self::NginxDialect => "**Tollgate, nginx**",
            Self::Check => "**Tollgate, `POST /v1/check`**",
            Self::Denied => "**Tollgate, forward-auth**, denied with a body",
            Self::HundredRoutes => "**Tollgate, forward-auth**, through 100 routes",
            Self::DecisionLog => "**Tollgate, forward-auth**, with the decision log",
            Self::Grpc => "**Tollgate, gRPC**",
            Self::BareHyper => "bare hyper, with Tollgate's answer",
            Self::AxumHello => "axum, hello",
            Self::AxumMoka => "axum, moka, JSON in and out",
            Self::AxumRedis => "axum, a Redis GET per request",
            Self::Nginx => "nginx, `return 200`",
            Self::NginxLua => "nginx, Lua and a shared dictionary",
            Self::BareTonic => "bare tonic with envoy-types, an empty allow",
            Self::TonicReplying => "bare tonic with envoy-types, Tollgate's answer",
        }
    }

    /// Whom it is compared with: the server alone, without anything to decide.
    pub(crate) fn bare(self) -> Self {
        match self {
            Self::Grpc | Self::BareTonic | Self::TonicReplying => Self::BareTonic,
            Self::ForwardAuth
            | Self::NginxDialect
            | Self::Check
            | Self::Denied
            | Self::HundredRoutes
            | Self::DecisionLog
            | Self::BareHyper
            | Self::AxumHello
            | Self::AxumMoka
            | Self::AxumRedis
            | Self::Nginx
            | Self::NginxLua => Self::BareHyper,
        }
    }
}

/// A server that answers already, and what it is asked.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) name: Name,
    pub(crate) address: SocketAddr,
    pub(crate) process: u32,
    pub(crate) asked: Asked,
}

/// What a contender is asked.
#[derive(Debug)]
pub(crate) enum Asked {
    /// Over HTTP/1.1.
    Http(Question),
    /// Envoy's question over gRPC; so many bytes are a whole answer.
    Grpc { answer: usize },
}

impl Contender {
    /// How long all threads of its process have run so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        usage::cpu_time(self.process)
    }
}
