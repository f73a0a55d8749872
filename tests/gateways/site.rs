//! A gateway, its Tollgate and Redis, and the application behind them.

use std::{fs, sync::Arc, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    configuration::Around,
    gateway::{Gateway, Kind, Variant},
    raw::{Raw, RawAnswer},
    support::{
        Flavor, Persistence, RedisServer,
        application::Application,
        tollgate::{Answer, Client, Tollgate},
        way::Way,
    },
};

/// Its gateway knows two customers: `c1`, who is in the store, and `c2`, who is not.
#[derive(Debug)]
pub(crate) struct Site {
    /// Which gateway it has.
    pub(crate) kind: Kind,
    /// The gateway itself.
    pub(crate) gateway: Gateway,
    /// Its Tollgate.
    pub(crate) tollgate: Tollgate,
    /// The gateway's way to Tollgate.
    pub(crate) way: Way,
    /// What is behind the gateway.
    pub(crate) app: Application,
    /// What its Tollgate stands on.
    pub(crate) redis: RedisServer,
    directory: Arc<TempDir>,
}

impl Site {
    /// Starts everything.
    pub(crate) fn start(kind: Kind, variant: Variant) -> Self {
        let redis = RedisServer::start(Flavor::Redis, Persistence::None);
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let socket = directory.path().join("check.sock");
        let url = redis.url();
        let listen = ["--store", &url, "--check-socket", socket.to_str().unwrap()];
        let policy = directory.path().join(POLICY);
        fs::write(&policy, "").unwrap();
        let rules = ["--when-unlisted", "error", "--policy", policy.to_str().unwrap()];
        let flags = [&listen[..], &rules, &["--customer-from", kind.customer_from()]].concat();
        let tollgate = Tollgate::start(&flags);
        let way = Way::to(tollgate.check);
        let app = Application::start();
        let around = Around { tollgate: way.address, socket: &socket, app: app.address };
        let gateway = Gateway::start(kind, variant, around);
        Self { kind, gateway, tollgate, way, app, redis, directory }
    }

    /// Makes `c1` active, and then acts on it.
    pub(crate) fn c1_is(&self, act: Option<(&str, Value)>) {
        let active = json!({"status": "active"});
        let put = self.tollgate.operate("PUT", "/v1/customers/c1", Some(&active));
        assert!(matches!(put.status, 200 | 201), "{put:?}");
        if let Some((verb, body)) = act {
            let path = format!("/v1/customers/c1/{verb}");
            let acted = self.tollgate.operate("POST", &path, Some(&body));
            assert_eq!(acted.status, 200, "{acted:?}");
        }
    }

    /// Changes what is stored of `c1`.
    pub(crate) fn c1_has(&self, fields: &Value) {
        let put = self.tollgate.operate("PUT", "/v1/customers/c1", Some(fields));
        assert_eq!(put.status, 200, "{put:?}");
    }

    /// Replaces the policy, and waits until the new one is in force.
    pub(crate) fn is_governed_by(&self, policy: &str) {
        let hash = || self.tollgate.status()["policy"]["hash"].clone();
        let (before, path) = (hash(), self.directory.path().join(POLICY));
        if fs::read_to_string(&path).unwrap() == policy {
            return;
        }
        // Whole or not at all.
        let beside = path.with_extension("new");
        fs::write(&beside, policy).unwrap();
        fs::rename(&beside, &path).unwrap();
        self.tollgate.signal(Signal::HUP);
        self.tollgate.wait_until("governed by it", || hash() != before);
    }

    /// Asks as `c1`, with more headers.
    pub(crate) fn ask(&self, method: &str, more: &[(&str, &str)]) -> Answer {
        self.ask_as("c1", method, more)
    }

    /// Asks as a customer, with more headers.
    pub(crate) fn ask_as(&self, customer: &str, method: &str, more: &[(&str, &str)]) -> Answer {
        let (name, value) = self.kind.credentials(customer);
        let headers = [&[(name, value.as_str())], more].concat();
        self.ask_bare(method, &headers, PATIENCE)
    }

    /// Asks with these headers alone.
    pub(crate) fn ask_bare(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        patience: Duration,
    ) -> Answer {
        let body = (method == "POST").then_some("a body");
        let client = Client::new(patience);
        client.ask(self.gateway.address(), method, "/things?page=1", headers, body)
    }

    /// Asks as `c1` for a target that no client would let through.
    pub(crate) fn ask_raw(&self, line: &str, more: &[(&str, &str)]) -> RawAnswer {
        self.converse(&mut self.connect(), line, more)
    }

    /// A client's connection to the gateway.
    pub(crate) fn connect(&self) -> Raw {
        Raw::connect(self.gateway.address())
    }

    /// Asks as `c1` on a connection.
    pub(crate) fn converse(
        &self,
        connection: &mut Raw,
        line: &str,
        more: &[(&str, &str)],
    ) -> RawAnswer {
        let (name, value) = self.kind.credentials("c1");
        connection.request(line, &[&[(name, value.as_str())], more].concat()).answer()
    }

    /// Holds an answer against a status, and holds that the application was not asked.
    pub(crate) fn assert_refused(&self, expected: u16, ask: impl FnOnce() -> Answer) -> Answer {
        let before = self.app.reached();
        let answer = ask();
        assert_eq!(answer.status, expected, "{answer:?}");
        assert_eq!(self.app.reached(), before, "it reached the application: {answer:?}");
        answer
    }
}

/// The headers that reached the application, as it tells them.
pub(crate) fn received(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

const POLICY: &str = "policy.toml";
const PATIENCE: Duration = Duration::from_secs(10);
