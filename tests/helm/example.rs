//! The example chart at work: a gateway with Tollgate in its own pod, asked over the socket.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    cases::Case,
    objects::{container, texts},
    pod::{Running, as_its_user},
    probes::probe,
    running::secrets,
    support::{
        Flavor, Persistence, RedisServer,
        application::Application,
        authority::Authority,
        tollgate::{Answer, Tollgate, http},
    },
    volumes::{Volumes, is_root},
};

#[test]
fn a_gateway_asks_its_sidecar_over_the_socket_and_ends_before_it() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let writer = Tollgate::start(&["--store", &redis.url()]);
    writer.operate("PUT", "/v1/customers/c1", Some(&json!({})));
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    redis::cmd("ACL").arg(&sidecar_user()[..]).exec(&mut connection).unwrap();

    let cases = Case::all();
    let objects = cases.iter().find(|it| it.name == "nginx-sidecar").unwrap().objects();
    let (pod, here) = (objects.pod(), format!("127.0.0.1:{}", redis.port()));
    let volumes = Volumes::of(pod, &objects, &secrets(&Authority::new()));
    let elsewhere = [("redis:6379", here.as_str())];
    let mut sidecar = Running::start(pod, container(pod, "tollgate"), &volumes, &elsewhere);
    sidecar.wait_until("started", || probe(&sidecar, "startupProbe"));
    sidecar.wait_until("ready", || probe(&sidecar, "readinessProbe"));
    let socket = volumes.directory("tollgate-socket").join("check.sock");
    let found = fs::metadata(&socket).unwrap();
    assert_eq!(found.mode() & 0o777, 0o660);
    let group = u32::try_from(pod["securityContext"]["fsGroup"].as_u64().unwrap()).unwrap();
    assert!(!is_root() || found.gid() == group, "the socket is of group {}", found.gid());

    let application = Application::start();
    let mut gateway = Gateway::start(pod, &volumes, application.address);
    assert_eq!(gateway.ask("key-of-c1").status, 200);
    assert_eq!(gateway.ask("key-of-nobody").status, 401);
    writer.operate("POST", "/v1/customers/c1/disable", Some(&json!({"reason": "non_payment"})));
    sidecar.wait_until("told", || gateway.ask("key-of-c1").status == 402);
    assert_eq!(gateway.ask("key-of-c1").code(), "CUSTOMER_DISABLED");
    assert_eq!(application.reached(), 1);

    gateway.quit();
    assert!(probe(&sidecar, "readinessProbe"));
    assert!(sidecar.terminate().success(), "{:#?}", sidecar.log());
}

/// The user that the README makes for a sidecar.
fn sidecar_user() -> Vec<&'static str> {
    let mut lines = include_str!("../../README.md").lines();
    let line = lines.find_map(|line| line.strip_prefix("ACL SETUSER sidecar reset ")).unwrap();
    let rights = line.split(' ').map(|word| match word {
        ">change-me" => ">redis-secret",
        right => right,
    });
    ["SETUSER", "sidecar", "reset"].into_iter().chain(rights).collect()
}

/// The pod's nginx, with the rendered configuration. Killed on drop.
struct Gateway {
    child: Child,
    address: SocketAddr,
}

impl Gateway {
    /// Starts it, and waits until it listens.
    fn start(pod: &Value, volumes: &Volumes, application: SocketAddr) -> Self {
        let nginx = container(pod, "nginx");
        let address = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let files = volumes.directory("configuration");
        let read = |name: &str| fs::read_to_string(files.join(name)).unwrap();
        let changes =
            [("listen 8000;", format!("listen {address};")), ("app:8080", application.to_string())];
        let conf = changes.iter().fold(read("nginx.conf"), |text, (from, to)| {
            assert_eq!(text.matches(from).count(), 1, "{from} in\n{text}");
            text.replace(from, to)
        });
        let conf = volumes.map(nginx, &conf);
        let files = [("nginx.conf", conf), ("tollgate-deny.conf", read("tollgate-deny.conf"))];
        let files = files.map(|(name, text)| (name.to_owned(), text.into_bytes()));
        volumes.put("configuration", &files.into());

        let command: Vec<_> =
            texts(&nginx["command"]).into_iter().map(|it| volumes.map(nginx, it)).collect();
        let child = as_its_user(pod, nginx, &command[0])
            .args(&command[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("no nginx ({error}): `apt-get install nginx` or `tests/run`")
            });
        let mut gateway = Self { child, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = gateway.child.try_wait().unwrap();
            let has_time = begun.elapsed() < PATIENCE && ended.is_none();
            assert!(has_time, "nginx did not start ({ended:?}): {command:?}");
            thread::sleep(Duration::from_millis(5));
        }
        gateway
    }

    fn ask(&self, key: &str) -> Answer {
        http(self.address, "POST", "/api", &[("x-api-key", key)], None)
    }

    /// Ends it as its image says: what it has begun to answer, it answers.
    fn quit(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::QUIT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Its workers end with it, unless it is killed.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

#[test]
fn the_example_is_that_of_nginx() {
    for name in ["nginx.conf", "tollgate-deny.conf"] {
        let files = Path::new("helm/examples/nginx-sidecar/files").join(name);
        let example = Path::new("examples/nginx").join(name);
        assert_eq!(fs::canonicalize(files).unwrap(), fs::canonicalize(example).unwrap());
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
