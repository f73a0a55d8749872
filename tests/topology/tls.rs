//! Connections that nobody can read or take over.

use std::fs;

use serde_json::json;

use crate::{
    followers, refuses,
    support::{
        Flavor, Persistence, RedisServer,
        authority::{Authority, Issued},
        sentinels::{Manner, Sentinels},
        tollgate::Tollgate,
    },
};

#[test]
fn an_instance_follows_over_tls_with_a_private_authority_and_a_certificate_of_its_own() {
    let world = World::new();
    let server = world.server("yes");
    let tollgate = world.tollgate(&url(&server));
    let disabled = json!({"status": "disabled"});
    assert_eq!(tollgate.operate("PUT", "/v1/customers/c1", Some(&disabled)).status, 201);
    tollgate.wait_until("told", || tollgate.reason_to_write("c1") == "customer_disabled");
    assert_eq!(tollgate.status()["store"]["url"], url(&server));
}

#[test]
fn over_tls_sentinels_are_believed_and_their_switches_followed() {
    let world = World::new();
    let arguments = world.server_arguments("yes");
    let sentinel_lines = arguments
        .chunks(2)
        .map(|pair| format!("{} {}", pair[0].trim_start_matches("--"), pair[1]))
        .collect();
    let manner = Manner { server_arguments: arguments, sentinel_lines, encrypted: true };
    let sentinels = Sentinels::start_with(Flavor::Redis, &manner);
    let url = sentinels.url().replace("redis+", "rediss+");
    let tollgate = world.tollgate(&url);
    let before = sentinels.master().unwrap();
    assert_eq!(followers(&sentinels.servers[before]), 1);
    sentinels.order_switch();
    tollgate.wait_until("on the new master", || {
        let others = sentinels.servers.iter().enumerate().filter(|(place, _)| *place != before);
        others.map(|(_, server)| followers(server)).sum::<u64>() == 1
    });
    tollgate.wait_until("writing", || {
        let made = tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({})));
        [200, 201].contains(&made.status)
    });
}

#[test]
fn a_server_whose_certificate_does_not_match_is_refused_by_the_names_of_the_settings() {
    let world = World::new();
    let here = tempfile::tempdir().unwrap();
    let server = world.server("no");
    let store = url(&server);

    // From nobody that the operating system trusts, and from another authority.
    let unknown = ["--store-ca", "UnknownIssuer"];
    refuses(here.path(), &["--store", &store], 1, &unknown);
    let other = Authority::new();
    refuses(here.path(), &["--store", &store, "--store-ca", &other.certificate()], 1, &unknown);

    // For another host.
    let ca = world.authority.certificate();
    let named = store.replace("127.0.0.1", "localhost");
    refuses(here.path(), &["--store", &named, "--store-ca", &ca], 1, &["--store-ca", "--store"]);

    // Right after all.
    Tollgate::start(&["--store", &store, "--store-ca", &ca]);
}

#[test]
fn a_certificate_that_the_server_does_not_take_is_refused_by_the_names_of_the_settings() {
    let world = World::new();
    let here = tempfile::tempdir().unwrap();
    let server = world.server("yes");
    let (store, ca) = (url(&server), world.authority.certificate());
    let asked = ["--store", &store, "--store-ca", &ca];
    refuses(here.path(), &asked, 1, &["--store-cert", "--store-key"]);

    let foreign = Authority::new();
    let Issued { certificate, key } = foreign.issue("foreign");
    let identity = ["--store-cert", &certificate, "--store-key", &key];
    refuses(here.path(), &[asked, identity].concat(), 1, &["--store-cert", "--store-key"]);

    // A key of another certificate.
    let identity = ["--store-cert", &world.client.certificate, "--store-key", &key];
    refuses(here.path(), &[asked, identity].concat(), 1, &["--store-cert", "--store-key"]);
}

#[test]
fn encryption_that_only_one_side_speaks_is_told_and_waited_for() {
    let world = World::new();
    let plain = RedisServer::start(Flavor::Redis, Persistence::None);
    let encrypted = world.server("no");
    for (store, told) in [
        (format!("rediss://127.0.0.1:{}", plain.port()), "asked over TLS"),
        (encrypted.tcp_url(), "asked without TLS"),
    ] {
        let tollgate = Tollgate::start_unready(&["--store", &store]);
        let line = tollgate.wait_for_log("(--store) cannot be followed yet");
        assert!(line.contains(told), "{line}");
        tollgate.wait_until("up", || tollgate.admin("/livez").status == 200);
        assert_eq!(tollgate.admin("/readyz").status, 503);
    }
}

#[test]
fn a_file_that_holds_no_certificate_or_key_is_refused_by_name() {
    let world = World::new();
    let here = tempfile::tempdir().unwrap();
    let (ca, Issued { certificate, key }) = (world.authority.certificate(), &world.client);
    let empty = here.path().join("empty");
    fs::write(&empty, "").unwrap();
    let (empty, absent) = (empty.to_str().unwrap(), "absent.pem");
    for (flags, named) in [
        (&["--store-ca", absent][..], "--store-ca"),
        (&["--store-ca", empty], "--store-ca"),
        (&["--store-ca", key], "--store-ca"),
        (&["--store-cert", certificate], "--store-key"),
        (&["--store-key", key], "--store-cert"),
        (&["--store-cert", key, "--store-key", key], "--store-cert"),
        (&["--store-cert", certificate, "--store-key", certificate], "--store-key"),
    ] {
        let flags = [&["--store", "rediss://redis"], flags].concat();
        refuses(here.path(), &flags, 2, &[named]);
    }
    // It would not be encrypted.
    let flags = ["--store", "redis://redis", "--store-ca", &ca];
    refuses(here.path(), &flags, 2, &["--store-ca", "rediss://"]);
}

/// An authority, and whom it knows.
struct World {
    authority: Authority,
    server: Issued,
    client: Issued,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new();
        let (server, client) = (authority.issue("127.0.0.1"), authority.issue("tollgate"));
        Self { authority, server, client }
    }

    /// A server on a port that speaks nothing but TLS. `clients` says whether they have to show a
    /// certificate.
    fn server(&self, clients: &str) -> RedisServer {
        RedisServer::start_with(Flavor::Redis, Persistence::None, |port| {
            let port = ["--port", "0", "--tls-port", &port.to_string()].map(str::to_owned);
            [port.into(), self.server_arguments(clients)].concat()
        })
    }

    fn server_arguments(&self, clients: &str) -> Vec<String> {
        let ca = self.authority.certificate();
        let Issued { certificate, key } = &self.server;
        ["--tls-ca-cert-file", &ca, "--tls-cert-file", certificate, "--tls-key-file", key]
            .into_iter()
            .chain(["--tls-auth-clients", clients])
            .map(str::to_owned)
            .collect()
    }

    /// An instance that shows its certificate.
    fn tollgate(&self, store: &str) -> Tollgate {
        let ca = self.authority.certificate();
        let Issued { certificate, key } = &self.client;
        let identity = ["--store-cert", certificate, "--store-key", key];
        Tollgate::start(&[&["--store", store, "--store-ca", &ca], &identity[..]].concat())
    }
}

fn url(server: &RedisServer) -> String {
    format!("rediss://127.0.0.1:{}", server.port())
}
