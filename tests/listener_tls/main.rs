//! Listeners over TLS: what they show, whom they ask for a certificate, and how both are replaced.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

mod encrypted;
#[path = "../support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use rustls::ClientConfig;
use serde_json::json;

use encrypted::{Encrypted, certificates, client};
use raw::{Raw, RawAnswer, run_to_end};
use support::{
    Flavor, Persistence, RedisServer,
    authority::{Authority, Issued},
    tollgate::{ADMIN_TOKEN, Tollgate, serve},
};

mod encryption {
    use super::*;

    #[test]
    fn the_check_listener_answers_whoever_trusts_its_authority_and_nobody_else() {
        let world = World::new();
        let tollgate = World::tollgate(&world.of("check"));
        let answer = ask(tollgate.check, &world.client(), "GET /v1/nginx HTTP/1.1", &[C1]).unwrap();
        assert_eq!((answer.status, answer.reason()), (200, "active"));
        let stranger = client(&Authority::new().certificate(), None);
        let refused = Encrypted::connect(tollgate.check, &stranger, &[]).map(drop).unwrap_err();
        assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    }

    #[test]
    fn both_versions_of_http_are_agreed_on_in_the_handshake() {
        let world = World::new();
        let tollgate = World::tollgate(&world.of("check"));
        for (asked, agreed) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&["h2"], Some("h2")),
            (&[], None),
        ] {
            let connection = Encrypted::connect(tollgate.check, &world.client(), asked).unwrap();
            assert_eq!(connection.protocol().as_deref(), agreed);
        }
    }

    #[test]
    fn whoever_speaks_without_tls_is_hung_up_on_and_harms_nobody() {
        let world = World::new();
        let tollgate = World::tollgate(&world.of("check"));
        let mut plain = Raw::connect(tollgate.check);
        plain.request("GET /v1/nginx HTTP/1.1", &[C1]);
        assert_eq!(plain.refusal(), None);
        let line = tollgate.wait_for_log("was not encrypted");
        assert!(line.contains("check listener"), "{line}");
        let failed = tollgate.sum_of("tollgate_tls_handshake_failures_total", "check");
        assert!((failed - 1.0).abs() < f64::EPSILON, "{failed}");
        assert_eq!(world.reason(&tollgate), "active");
    }

    #[test]
    fn the_unix_socket_beside_it_stays_as_it_is() {
        let world = World::new();
        let path = world.directory.path().join("socket");
        let socket = ["--check-socket", path.to_str().unwrap()];
        let tollgate = World::tollgate(&[&refs(&world.of("check"))[..], &socket].concat());
        let answer = Raw::connect_unix(&path).request("GET /v1/nginx HTTP/1.1", &[C1]).answer();
        assert_eq!(answer.status, 200);
        drop(tollgate);
    }

    #[test]
    fn a_handshake_that_stalls_is_ended_and_holds_up_nobody() {
        let world = World::new();
        let tollgate = World::tollgate(&world.of("check"));
        let begun = Instant::now();
        let mut stalled: Vec<_> = (0..50).map(|_| Raw::connect(tollgate.check)).collect();
        // A record of a handshake that promises more than there ever is.
        stalled.iter_mut().skip(25).for_each(|connection| {
            connection.send([0x16, 3, 1, 2, 0, 1]);
        });
        assert_eq!(world.reason(&tollgate), "active");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        thread::sleep(Duration::from_secs(9).saturating_sub(begun.elapsed()));
        assert!(stalled.iter_mut().all(Raw::is_closed));
    }

    #[test]
    fn a_drain_does_not_wait_for_a_handshake() {
        let world = World::new();
        let mut tollgate = World::tollgate(&world.of("check"));
        let _stalled = Raw::connect(tollgate.check);
        assert_eq!(world.reason(&tollgate), "active");
        let begun = Instant::now();
        assert!(tollgate.terminate().success());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn grpc_is_answered_on_the_same_port() {
        use hyper_util::rt::TokioIo;
        use tonic_health::pb::{
            HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
        };

        let world = World::new();
        let tollgate = World::tollgate(&world.of("check"));
        let mut config = ClientConfig::clone(&world.client());
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let address = tollgate.check;
        let endpoint = tonic::transport::Endpoint::from_static("http://tollgate");
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = tokio::net::TcpStream::connect(address).await?;
                let stream = connector.connect(address.ip().into(), stream).await?;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        }));
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        assert_eq!(answer.unwrap().into_inner().status(), ServingStatus::Serving);
    }

    #[test]
    fn the_admin_listener_is_scraped_over_tls() {
        let world = World::new();
        let tollgate = World::tollgate_unready(&world.of("admin"));
        let ask = |line: &str| ask(tollgate.admin, &world.client(), line, &[]).unwrap();
        tollgate.wait_until("ready", || ask("GET /readyz HTTP/1.1").status == 200);
        let metrics = ask("GET /metrics HTTP/1.1").body;
        let expiry = "tollgate_tls_certificate_expiry_seconds{listener=\"admin\"} ";
        let at: f64 =
            metrics.split_once(expiry).unwrap().1.lines().next().unwrap().parse().unwrap();
        // As the certificates of the tests do.
        assert!(at > 4.0e9, "{at}");
        assert!(!metrics.contains("expiry_seconds{listener=\"check\"}"), "{metrics}");
    }
}

mod client_certificates {
    use super::*;

    #[test]
    fn without_one_or_with_another_authoritys_nobody_is_answered() {
        let world = World::new();
        let tollgate = World::tollgate(&world.asking("check"));
        let elsewhere = Authority::new();
        let foreign = elsewhere.issue("gateway");
        for shown in [None, Some(&foreign)] {
            let client = client(&world.authority.certificate(), shown);
            let refused = ask(tollgate.check, &client, "GET /v1/nginx HTTP/1.1", &[C1]);
            assert!(refused.is_none(), "{refused:?}");
        }
        let gateway = world.known("gateway");
        let answer = ask(tollgate.check, &gateway, "GET /v1/nginx HTTP/1.1", &[C1]).unwrap();
        assert_eq!((answer.status, answer.reason()), (200, "active"));
    }

    #[test]
    fn off_loopback_who_has_shown_one_needs_no_key() {
        let world = World::new();
        let limits = "GET /v1/customers/c1/limits HTTP/1.1";
        let everywhere = ["--check-listen", "0.0.0.0:0"];

        let mut open = World::tollgate(&[&refs(&world.of("check"))[..], &everywhere].concat());
        open.check.set_ip([127, 0, 0, 1].into());
        let answer = ask(open.check, &world.client(), limits, &[]).unwrap();
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (401, Some("AUTH_REQUIRED"))
        );

        let mut asks = World::tollgate(&[&refs(&world.asking("check"))[..], &everywhere].concat());
        asks.check.set_ip([127, 0, 0, 1].into());
        let shop = world.known("shop");
        assert_eq!(ask(asks.check, &shop, limits, &[]).unwrap().status, 200);
        assert!(ask(asks.check, &world.client(), limits, &[]).is_none());
    }

    #[test]
    fn on_the_operator_listener_one_is_needed_and_a_key_besides() {
        let world = World::new();
        let tollgate = World::tollgate(&world.asking("operator"));
        let list = "GET /v1/customers HTTP/1.1";
        let admin = format!("Bearer {ADMIN_TOKEN}");
        let key = [("Authorization", admin.as_str())];
        assert!(ask(tollgate.operator, &world.client(), list, &key).is_none());
        let alice = world.known("alice");
        assert_eq!(ask(tollgate.operator, &alice, list, &[]).unwrap().status, 401);
        assert_eq!(ask(tollgate.operator, &alice, list, &key).unwrap().status, 200);
    }
}

mod replacement {
    use super::*;

    #[test]
    fn a_new_certificate_is_shown_to_the_next_connection_and_old_ones_go_on() {
        let world = World::new();
        let tollgate = World::tollgate(&world.of("check"));
        let old = Encrypted::connect(tollgate.check, &world.client(), &[]).unwrap();
        let mut asking = old.raw();
        assert_eq!(asking.request("GET /v1/nginx HTTP/1.1", &[C1]).answer().status, 200);

        let renewed = world.authority.issue("127.0.0.1");
        world.wait_until_shown(&tollgate, &renewed.certificate);
        let line = tollgate.wait_for_log("has a new certificate");
        assert!(line.contains("expires at"), "{line}");
        let taken = "tollgate_tls_reloads_total{listener=\"check\",result=\"taken\"}";
        assert_eq!(tollgate.metric(taken), 1);
        assert_eq!(asking.request("GET /v1/nginx HTTP/1.1", &[C1]).answer().status, 200);
        assert_ne!(old.shown(), certificates(&renewed.certificate));
    }

    #[test]
    fn a_hang_up_takes_it_at_once() {
        let world = World::new();
        let tollgate = World::tollgate(&world.of("check"));
        let renewed = world.authority.issue("127.0.0.1");
        tollgate.signal(Signal::HUP);
        world.wait_until_shown(&tollgate, &renewed.certificate);
    }

    #[test]
    fn files_that_cannot_be_used_change_nothing_and_the_log_says_why() {
        let world = World::new();
        let tollgate = World::tollgate(&world.of("check"));
        let Issued { certificate, key } = &world.server;
        let before = certificates(certificate);
        let (good_certificate, good_key) = (fs::read(certificate).unwrap(), fs::read(key).unwrap());
        let refused =
            || tollgate.metric("tollgate_tls_reloads_total{listener=\"check\",result=\"refused\"}");
        let foreign = fs::read(world.authority.issue("foreign").key).unwrap();
        for (count, (path, text, why)) in [
            (certificate, &b"no certificate"[..], "--check-tls-cert names"),
            (key, &foreign, "not the key of the certificate in --check-tls-cert"),
            (key, b"", "holds no private key in PEM"),
        ]
        .into_iter()
        .enumerate()
        {
            fs::write(path, text).unwrap();
            tollgate.wait_for_log(why);
            tollgate.wait_until("counted", || refused() == count as u64 + 1);
            let connection = Encrypted::connect(tollgate.check, &world.client(), &[]).unwrap();
            assert_eq!(connection.shown(), before);
            fs::write(certificate, &good_certificate).unwrap();
            fs::write(key, &good_key).unwrap();
            let taken = "tollgate_tls_reloads_total{listener=\"check\",result=\"taken\"}";
            tollgate.wait_until("taken again", || tollgate.metric(taken) == count as u64 + 1);
        }
        fs::remove_file(key).unwrap();
        tollgate.wait_for_log("--check-tls-key cannot be read from");
        assert_eq!(world.reason(&tollgate), "active");
    }

    #[test]
    fn who_is_let_in_is_as_the_authorities_of_now_say() {
        let world = World::new();
        let list = world.directory.path().join("clients.pem");
        fs::copy(world.authority.certificate(), &list).unwrap();
        let flags = world.of("check");
        let asks = ["--check-tls-client-ca", list.to_str().unwrap()];
        let tollgate = World::tollgate(&[&refs(&flags)[..], &asks].concat());
        let gateway = world.known("gateway");
        let is_answered =
            |client| ask(tollgate.check, client, "GET /v1/nginx HTTP/1.1", &[C1]).is_some();
        assert!(is_answered(&gateway));
        let other = Authority::new();
        fs::copy(other.certificate(), &list).unwrap();
        let known_now = client(&world.authority.certificate(), Some(&other.issue("gateway")));
        tollgate.wait_until("known", || is_answered(&known_now));
        // Also not by a session that it had before.
        assert!(!is_answered(&gateway));
    }
}

mod start {
    use super::*;

    #[test]
    fn impossible_settings_are_refused_with_a_sentence_that_names_them() {
        let world = World::new();
        let here = tempfile::tempdir().unwrap();
        let Issued { certificate, key } = &world.server;
        let foreign = world.authority.issue("foreign");
        let empty = here.path().join("empty");
        fs::write(&empty, "").unwrap();
        let empty = empty.to_str().unwrap();
        for listener in ["check", "operator", "admin"] {
            let [cert_flag, key_flag, ca_flag] =
                ["cert", "key", "client-ca"].map(|end| format!("--{listener}-tls-{end}"));
            let (cert_flag, key_flag, ca_flag) = (&*cert_flag, &*key_flag, &*ca_flag);
            let pair = [cert_flag, certificate, key_flag, key];
            for (flags, told) in [
                (&[cert_flag, certificate][..], format!("{cert_flag} needs {key_flag}")),
                (&[key_flag, key], format!("{key_flag} needs {cert_flag}")),
                (&[ca_flag, certificate], format!("{ca_flag} needs {cert_flag}")),
                (
                    &[cert_flag, certificate, key_flag, &foreign.key],
                    "not the key of the certificate".to_owned(),
                ),
                (
                    &[cert_flag, key, key_flag, key],
                    format!("{cert_flag} names {key}, which holds no certificate in PEM"),
                ),
                (
                    &[cert_flag, certificate, key_flag, certificate],
                    format!("{key_flag} names {certificate}, which holds no private key in PEM"),
                ),
                (
                    &[cert_flag, certificate, key_flag, "/nowhere"],
                    format!("{key_flag} cannot be read from /nowhere"),
                ),
                (
                    &[&pair[..], &[ca_flag, empty]].concat(),
                    format!("{ca_flag} names {empty}, which holds no certificate in PEM"),
                ),
            ] {
                refuses(here.path(), flags, &told);
            }
        }
        for listener in ["check", "operator"] {
            let off = format!("--{listener}-listen");
            let flags = world.of(listener);
            let socket = here.path().join("socket").display().to_string();
            let more = [&off, "off", "--check-socket", &socket];
            let told = format!("is for --{listener}-listen, which is off");
            refuses(here.path(), &[&refs(&flags)[..], &more].concat(), &told);
        }
    }

    #[test]
    fn operators_are_served_off_loopback_over_tls_and_not_without() {
        let world = World::new();
        let here = tempfile::tempdir().unwrap();
        let everywhere = ["--operator-listen", "0.0.0.0:0"];
        refuses(here.path(), &everywhere, "--operator-tls-cert");
        let mut tollgate =
            World::tollgate(&[&refs(&world.of("operator"))[..], &everywhere].concat());
        tollgate.operator.set_ip([127, 0, 0, 1].into());
        let answer = ask(tollgate.operator, &world.client(), "GET /v1/customers HTTP/1.1", &[]);
        assert_eq!(answer.unwrap().status, 401);
    }
}

mod command_line {
    use super::*;

    #[test]
    fn every_verb_reaches_its_listener_over_tls() {
        let world = World::new();
        let all = [world.asking("check"), world.asking("operator"), world.asking("admin")];
        let tollgate = World::tollgate_unready(&all.concat());
        let ca = world.authority.certificate();
        let shell = world.authority.issue("shell");
        let run = |listener: &str, address: SocketAddr, verb: &[&str]| {
            let [url, ca_flag, cert, key] =
                ["url", "ca", "cert", "key"].map(|end| format!("--{listener}-{end}"));
            let at = format!("https://{address}");
            let Issued { certificate, key: key_file } = &shell;
            let tls = [&*url, &at, &ca_flag, &ca, &cert, certificate, &key, key_file];
            tollgate.cli(&[verb, &tls].concat())
        };
        tollgate.wait_until("ready", || run("admin", tollgate.admin, &["ready"]).status.success());
        for (listener, address, verb) in [
            ("admin", tollgate.admin, &["health"][..]),
            ("admin", tollgate.admin, &["shadow-report"]),
            ("operator", tollgate.operator, &["put", "c1"]),
            ("operator", tollgate.operator, &["show", "c1"]),
            ("check", tollgate.check, &["check", "c1"]),
        ] {
            let ran = run(listener, address, verb);
            assert!(ran.status.success(), "{verb:?}: {ran:?}");
        }
    }

    #[test]
    fn a_listener_that_is_not_trusted_is_unreachable_and_the_cli_says_how_to_trust_it() {
        let world = World::new();
        let tollgate = World::tollgate(&world.of("operator"));
        let at = format!("https://{}", tollgate.operator);
        let elsewhere = Authority::new();
        let other = elsewhere.certificate();
        for trusted in [&[][..], &["--operator-ca", &other]] {
            let ran = tollgate.cli(&[&["list", "--operator-url", &at], trusted].concat());
            let said = String::from_utf8(ran.stderr).unwrap();
            assert_eq!(ran.status.code(), Some(3), "{said}");
            assert!(said.contains("UnknownIssuer") && said.contains("--operator-ca"), "{said}");
        }
        // Files for a listener that is not asked over TLS would be of no use.
        let plain = format!("http://{}", tollgate.operator);
        let ran = tollgate.cli(&["list", "--operator-url", &plain, "--operator-ca", &other]);
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains("--operator-url must begin with https://"), "{said}");
        // A key of another certificate is a wrong use, and no panic.
        let (one, two) = (world.authority.issue("one"), world.authority.issue("two"));
        let shown = ["--operator-cert", &one.certificate, "--operator-key", &two.key];
        let ran = tollgate.cli(&[&["list", "--operator-url", &at][..], &shown].concat());
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains("not the key of the certificate in --operator-cert"), "{said}");
    }

    #[test]
    fn a_snapshot_is_taken_from_an_operator_listener_over_tls() {
        let world = World::new();
        let mut redis = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = redis.url();
        let store = ["--store", url.as_str()];
        let asking = world.asking("operator");
        let first = Tollgate::start(&[&refs(&asking)[..], &store].concat());
        let alice = world.known("alice");
        let admin = format!("Bearer {ADMIN_TOKEN}");
        let body = json!({"status": "disabled"}).to_string();
        let length = body.len().to_string();
        let headers = [
            ("Authorization", admin.as_str()),
            ("Content-Type", "application/json"),
            ("Content-Length", &length),
        ];
        let mut raw = Encrypted::connect(first.operator, &alice, &[]).unwrap().raw();
        let made = raw.request("PUT /v1/customers/bad HTTP/1.1", &headers).send(&body).answer();
        assert_eq!(made.status, 201, "{made:?}");
        first.wait_until("told", || first.reason_to_write("bad") == "customer_disabled");
        redis.kill9();

        let token = world.directory.path().join("token");
        fs::write(&token, ADMIN_TOKEN).unwrap();
        let boot = [
            "--boot-from".to_owned(),
            format!("https://{}", first.operator),
            "--boot-token-file".to_owned(),
            token.display().to_string(),
            "--boot-ca".to_owned(),
            world.authority.certificate(),
            "--boot-cert".to_owned(),
            world.server.certificate.clone(),
            "--boot-key".to_owned(),
            world.server.key.clone(),
        ];
        let second = Tollgate::start_unready(&[&refs(&boot)[..], &store].concat());
        second.wait_until("told", || second.reason_to_write("bad") == "customer_disabled");
    }
}

/// An authority, and whom it knows.
struct World {
    authority: Authority,
    server: Issued,
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new();
        let server = authority.issue("127.0.0.1");
        Self { authority, server, directory: tempfile::tempdir().unwrap() }
    }

    /// A Tollgate that knows the customer `c1`, as far as its listeners can be asked.
    fn tollgate(flags: &[impl AsRef<str>]) -> Tollgate {
        let tollgate = Self::tollgate_unready(flags);
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        let is_plain = !flags.iter().any(|flag| flag.as_ref().starts_with("--operator-tls"));
        if is_plain {
            let made = tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({})));
            assert_eq!(made.status, 201, "{made:?}");
        }
        tollgate
    }

    fn tollgate_unready(flags: &[impl AsRef<str>]) -> Tollgate {
        let flags: Vec<_> = flags.iter().map(AsRef::as_ref).collect();
        Tollgate::start_unready(&[&["--store", "memory:"][..], &flags].concat())
    }

    /// The flags that let a listener speak TLS.
    fn of(&self, listener: &str) -> Vec<String> {
        let Issued { certificate, key } = &self.server;
        vec![
            format!("--{listener}-tls-cert"),
            certificate.clone(),
            format!("--{listener}-tls-key"),
            key.clone(),
        ]
    }

    /// The flags that let it ask for certificates as well.
    fn asking(&self, listener: &str) -> Vec<String> {
        let ca = [format!("--{listener}-tls-client-ca"), self.authority.certificate()];
        [self.of(listener), ca.into()].concat()
    }

    /// A client that shows no certificate.
    fn client(&self) -> Arc<ClientConfig> {
        client(&self.authority.certificate(), None)
    }

    /// A client that shows one of the authority's.
    fn known(&self, name: &str) -> Arc<ClientConfig> {
        client(&self.authority.certificate(), Some(&self.authority.issue(name)))
    }

    /// The reason that nginx is given for a read of `c1`.
    fn reason(&self, tollgate: &Tollgate) -> String {
        let answer = ask(tollgate.check, &self.client(), "GET /v1/nginx HTTP/1.1", &[C1]);
        answer.unwrap().reason().to_owned()
    }

    fn wait_until_shown(&self, tollgate: &Tollgate, certificate: &str) {
        let renewed = certificates(certificate);
        tollgate.wait_until("shown", || {
            Encrypted::connect(tollgate.check, &self.client(), &[]).unwrap().shown() == renewed
        });
    }
}

/// Asks once, on a connection of its own. Nothing if the other side wants nothing to do with it.
fn ask(
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    line: &str,
    headers: &[(&str, &str)],
) -> Option<RawAnswer> {
    let mut connection = Encrypted::connect(address, client, &["http/1.1"]).ok()?.raw();
    connection.request(line, headers);
    connection.try_answer()
}

/// `tollgate serve` says this and does not start.
fn refuses(data_dir: &Path, flags: &[&str], told: &str) {
    let flags = [&["--store", "memory:"][..], flags].concat();
    let ended = run_to_end(&mut serve(data_dir, &flags));
    assert_eq!(ended.code, Some(2), "{flags:?}: {ended:?}");
    assert!(ended.stderr.contains(told), "{flags:?}: {told:?} is not in {ended:?}");
}

fn refs(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

const C1: (&str, &str) = ("X-Customer-Id", "c1");
