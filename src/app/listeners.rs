//! Serves each listener with what it answers.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc};

use axum::Router;
use futures_util::future::Either;
use hyper::{Request, body::Incoming};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    certificates::Certificate, open_files::connections_per_listener, ports::Ports,
    webhooks::Webhooks,
};
use crate::{
    config::{Config, ConfigError, TlsFiles},
    grpc::{self, Authorizer},
    http::{
        self, Admin, DataPlane, Gateways, OperatorPlane,
        serve::{
            Answers, ByHead, Head, Manner, Reply, ResponseFuture, Socket, later, route, serve,
        },
        traced::{self, Tracing},
    },
    lifecycle::{Readiness, Tasks},
    telemetry::{Listener, Metrics},
};

/// The certificates of the listeners that have one.
pub(super) struct Certificates {
    check: Option<Certificate>,
    operator: Option<Certificate>,
    admin: Option<Certificate>,
    webhook: Option<Certificate>,
    /// Whether whoever asks on the check listener has shown one.
    check_asks: bool,
    connections_at_most: NonZeroUsize,
    metrics: Metrics,
}

impl Certificates {
    /// Takes them from their files. Ones that cannot be used end the start.
    pub(super) fn open(config: &Config, metrics: &Metrics) -> Result<Self, ConfigError> {
        let open = |listener, files: Option<_>| {
            files.map(|files| Certificate::open(files, listener, metrics.clone())).transpose()
        };
        let check = config.check_tls()?;
        let may_be_off = [
            config.check_listen.on().is_some(),
            config.check_socket.is_some(),
            config.operator_listen.on().is_some(),
            config.webhooks.webhook_listen.on().is_some(),
        ];
        // Beside them, the admin listener.
        let listeners = 1 + may_be_off.into_iter().filter(|is_on| *is_on).count();
        Ok(Self {
            check_asks: check.as_ref().is_some_and(TlsFiles::asks_for_certificates),
            check: open(Listener::Check, check)?,
            operator: open(Listener::Operator, config.operator_tls()?)?,
            admin: open(Listener::Admin, config.admin_tls()?)?,
            webhook: open(Listener::Webhook, config.webhook_tls()?)?,
            connections_at_most: connections_per_listener(config.max_connections, listeners),
            metrics: metrics.clone(),
        })
    }

    fn of(&self, listener: Listener) -> Option<&Certificate> {
        match listener {
            Listener::Admin => self.admin.as_ref(),
            Listener::Check => self.check.as_ref(),
            Listener::CheckSocket => None,
            Listener::Operator => self.operator.as_ref(),
            Listener::Webhook => self.webhook.as_ref(),
        }
    }

    fn manner(&self, listener: Listener) -> Manner {
        let encryption = self.of(listener).map(Certificate::encryption);
        let connections_at_most = self.connections_at_most;
        Manner { listener, encryption, connections_at_most, metrics: self.metrics.clone() }
    }

    /// Keeps them as their files have them.
    fn keep_current(self, tasks: &mut Tasks) {
        let Self { check, operator, admin, webhook, .. } = self;
        for certificate in [check, operator, admin, webhook].into_iter().flatten() {
            tasks.spawn_endless("certificate", certificate.keep_current());
        }
    }
}

/// What the listeners answer.
pub(super) struct Answering {
    pub(super) plane: DataPlane,
    pub(super) operators: OperatorPlane,
    pub(super) admin: Admin,
    pub(super) webhooks: Option<Webhooks>,
    pub(super) certificates: Certificates,
}

impl Answering {
    /// Serves on every port until the drain; the admin listener until `drained`, to say that this
    /// instance is no longer ready.
    pub(super) fn spawn(
        self,
        ports: Ports,
        readiness: &Readiness,
        tasks: &mut Tasks,
        drained: CancellationToken,
    ) {
        let Self { plane, operators, admin, webhooks, certificates } = self;
        let manner = certificates.manner(Listener::Admin);
        let router = http::admin(Admin { readiness: readiness.clone(), ..admin });
        let admin_end = serve_admin(ports.admin, manner, router, drained);
        let draining = tasks.draining();
        tasks.spawn("admin", async move {
            let _ = draining.run_until_cancelled(admin_end).await;
        });
        let stopping = tasks.draining();
        let tracing = plane.gate.settings().traces.clone();
        let tracing = tracing.map(|traces| Tracing { traces, clock: plane.clock.clone() });
        let of_requests = |router| traced::of_requests(router, tracing.as_ref());
        let envoy = Arc::new(authorizer(&plane));
        let grpc = grpc::router(Authorizer::clone(&envoy), readiness.clone());
        let asked = |guard| {
            let plane = DataPlane { guard, ..plane.clone() };
            let router = http::check(plane.clone()).merge(grpc.clone());
            let router = traced::of_checks(router, tracing.as_ref());
            Asked { gateways: Gateways::new(plane), envoy: Arc::clone(&envoy), router }
        };
        // Whoever has shown a certificate is no stranger.
        let is_guarded = !ports.check_is_local && !certificates.check_asks;
        let guard = plane.guard.clone().filter(|_| is_guarded);
        let manner = |listener| certificates.manner(listener);
        listen("check", manner(Listener::Check), ports.check, asked(guard), tasks);
        let manner_of_socket = manner(Listener::CheckSocket);
        listen("check socket", manner_of_socket, ports.check_socket, asked(None), tasks);
        let readiness = readiness.clone();
        let operators = OperatorPlane { draining: stopping, readiness, ..operators };
        let router = of_requests(http::operator(operators));
        listen("operator", manner(Listener::Operator), ports.operator, router, tasks);
        if let Some(webhooks) = webhooks {
            let router = of_requests(http::webhooks(webhooks.plane.clone()));
            listen("webhooks", manner(Listener::Webhook), ports.webhook, router, tasks);
            webhooks.keep_current(tasks);
        }
        certificates.keep_current(tasks);
    }
}

/// Serves a socket, if there is one.
fn listen(
    name: &'static str,
    manner: Manner,
    socket: Option<Socket>,
    answers: impl Answers,
    tasks: &mut Tasks,
) {
    let Some(socket) = socket else { return };
    let draining = tasks.draining();
    tasks.spawn(name, serve(socket, manner, answers, draining));
}

/// What the check listener answers.
#[derive(Clone)]
struct Asked {
    /// What every request of every customer waits for.
    gateways: Gateways,
    /// The same, for Envoy over gRPC.
    envoy: Arc<Authorizer>,
    /// Everything else.
    router: Router,
}

impl Answers for Asked {
    fn answer(&self, request: Request<Incoming>, peer: Option<SocketAddr>) -> ResponseFuture {
        if let Some(answer) = self.gateways.answer(&request) {
            return answer;
        }
        if !self.envoy.may_answer_at_once(&request) {
            return self.router.answer(request, peer);
        }
        let (envoy, router) = (Arc::clone(&self.envoy), self.router.clone());
        later(async move {
            match envoy.answer_at_once(request).await {
                Either::Left(answer) => answer.map(Reply::Routed),
                Either::Right(request) => Box::pin(route(router, request, peer)).await,
            }
        })
    }

    fn answers_heads(&self) -> bool {
        true
    }

    fn answer_head(&self, head: &Head<'_>, written: &mut Vec<u8>) -> ByHead {
        self.gateways.answer_head(head, written)
    }
}

/// What gRPC answers with is what HTTP does.
pub(super) fn authorizer(plane: &DataPlane) -> Authorizer {
    Authorizer {
        gate: plane.gate.clone(),
        clock: plane.clock.clone(),
        metrics: plane.metrics.clone(),
        identity: plane.identity.clone(),
        min_revision_header: plane.min_revision_header.clone(),
    }
}

/// Runs the admin listener on a thread and a runtime of its own. What it returns resolves when
/// that ends.
fn serve_admin(
    socket: std::net::TcpListener,
    manner: Manner,
    router: Router,
    stop: CancellationToken,
) -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let _ended = ended;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let served = runtime.and_then(|runtime| {
            runtime.block_on(async {
                let socket = Socket::Tcp(tokio::net::TcpListener::from_std(socket)?);
                serve(socket, manner, router, stop).await;
                Ok(())
            })
        });
        if let Err(error) = served {
            tracing::error!(%error, "The admin listener failed: {error}");
        }
    });
    if let Err(error) = thread {
        tracing::error!(%error, "The admin listener got no thread: {error}");
    }
    // Nothing is ever sent: the channel closes when the thread ends.
    end
}
