//! The real program runs with what is rendered: every command line, the variables, the volumes, the
//! user, and the probes.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    cases::Case,
    objects::container,
    pod::{Running, arguments},
    probes::{ask, probe},
    secrets::Secrets,
    support::{
        Flavor, Persistence, RedisServer,
        authority::{Authority, Issued},
        sentinels::{Manner, Sentinels},
        tollgate::{Tollgate, http},
    },
    volumes::Volumes,
};

#[test]
fn the_program_takes_every_rendered_command_line() {
    let secrets = secrets(&Authority::new());
    for case in Case::all() {
        let objects = case.objects();
        let pod = objects.pod();
        let volumes = Volumes::of(pod, &objects, &secrets);
        let arguments = arguments(container(pod, "tollgate"), &volumes, &[]);
        assert_eq!(arguments[0], "serve", "{}", case.name);
        let checked = Command::new(volumes.program())
            .args(["config", "check"])
            .args(&arguments[1..])
            .output()
            .unwrap();
        assert!(checked.status.success(), "{} {arguments:#?}: {checked:?}", case.name);
    }
}

#[test]
fn a_pod_of_the_shared_form_is_ready_once_somebody_has_begun_the_store() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let (objects, url) = (Case::of_values("shared-default").objects(), redis.tcp_url());
    let pod = objects.pod();
    let volumes = Volumes::of(pod, &objects, &Secrets::default());
    let elsewhere = [("redis://redis:6379", url.as_str())];
    let mut running = Running::start(pod, container(pod, "tollgate"), &volumes, &elsewhere);
    running.wait_until("started", || probe(&running, "startupProbe"));
    assert!(probe(&running, "livenessProbe"));
    assert!(!probe(&running, "readinessProbe"));
    assert_eq!(running.listener(7601), None);

    let writer = Tollgate::start(&["--store", &url]);
    writer.operate("PUT", "/v1/customers/c1", Some(&json!({})));
    running.wait_until("ready", || probe(&running, "readinessProbe"));
    let check =
        |path: &str| http(running.port("check"), "GET", path, &[("x-customer-id", "c1")], None);
    assert_eq!(check("/v1/nginx").status, 200);
    // Off loopback nobody finds out who is a customer.
    assert_eq!(check("/v1/customers/c1/limits").code(), "AUTH_REQUIRED");
    writer.operate("POST", "/v1/customers/c1/disable", None);
    running.wait_until("told", || check("/v1/nginx").status == 403);

    assert!(running.terminate().success(), "{:#?}", running.log());
    assert!(volumes.directory("tollgate-data").join("snapshot").exists());
}

#[test]
fn everything_that_can_be_switched_on_works_together() {
    let redis = RedisServer::start(Flavor::Redis, Persistence::None);
    let user = ["SETUSER", "tollgate", "on", ">redis-secret", "~*", "&*", "+@all"];
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    redis::cmd("ACL").arg(&user).exec(&mut connection).unwrap();
    let _writer = Tollgate::start(&["--store", &format!("{}/2", redis.tcp_url())]);

    let objects = Case::of_values("everything").objects();
    let (pod, here) = (objects.pod(), format!("127.0.0.1:{}", redis.port()));
    let volumes = Volumes::of(pod, &objects, &secrets(&Authority::new()));
    let elsewhere = [("redis.stores:6379", here.as_str())];
    let mut running = Running::start(pod, container(pod, "tollgate"), &volumes, &elsewhere);
    running.wait_until("started", || probe(&running, "startupProbe"));
    running.wait_until("ready", || probe(&running, "readinessProbe"));
    assert!(probe(&running, "livenessProbe"));
    for port in ["check", "operator", "webhooks"] {
        let url = format!("http://{}/", running.port(port));
        assert_eq!(ask(&url, PATIENCE), None, "{port} speaks without TLS");
    }

    let policy = || {
        let url = format!("https://{}/status", running.port("admin"));
        let (_, status) = ask(&url, PATIENCE).unwrap();
        serde_json::from_str::<Value>(&status).unwrap()["policy"].clone()
    };
    assert_eq!(policy()["routes"], 1);
    let none = [("policy.toml".to_owned(), b"mode = \"shadow\"\n".to_vec())];
    volumes.put("tollgate-policy", &none.into());
    running.wait_until("of another policy", || policy()["mode"] == "shadow");
    assert_eq!(policy()["routes"], 0);
    assert!(running.terminate().success(), "{:#?}", running.log());
}

#[test]
fn a_pod_follows_redis_behind_sentinels_over_tls_with_the_secrets_alone() {
    let authority = Authority::new();
    let Issued { certificate, key } = authority.issue("127.0.0.1");
    let ca = authority.certificate();
    let tls = [("tls-ca-cert-file", &ca), ("tls-cert-file", &certificate), ("tls-key-file", &key)];
    let all = ["~*", "&*", "+@all"];
    let arguments = tls.iter().flat_map(|(name, path)| [format!("--{name}"), (*path).clone()]);
    let user = ["--user", "tollgate", "on", ">redis-secret"].into_iter().chain(all);
    let lines = tls.iter().map(|(name, path)| format!("{name} {path}"));
    let sentinel_user = format!("user tollgate on >sentinel-secret {}", all.join(" "));
    let sentinels = Sentinels::start_with(
        Flavor::Redis,
        &Manner {
            server_arguments: arguments.chain(user.map(str::to_owned)).collect(),
            sentinel_lines: lines.chain([sentinel_user]).collect(),
            encrypted: true,
        },
    );

    let objects = Case::of_values("sentinel-tls").objects();
    let (pod, hosts) = (objects.pod(), sentinels.hosts());
    let volumes = Volumes::of(pod, &objects, &secrets(&authority));
    let named = "sentinel-0.sentinels,sentinel-1.sentinels,sentinel-2.sentinels";
    let elsewhere = [(named, hosts.as_str())];
    let mut running = Running::start(pod, container(pod, "tollgate"), &volumes, &elsewhere);
    running.wait_until("ready", || probe(&running, "readinessProbe"));
    let put = running.exec(&volumes, &["put", "c1"]);
    assert!(put.status.success(), "{put:?}");
    let headers = [("x-customer-id", "c1")];
    let asked = http(running.port("check"), "GET", "/v1/forward-auth", &headers, None);
    assert_eq!(asked.status, 200);
    assert!(running.terminate().success(), "{:#?}", running.log());
}

#[test]
fn a_pod_with_a_store_of_its_own_is_acted_on_by_exec_and_keeps_what_it_knows() {
    let objects = Case::of_values("embedded").objects();
    let pod = objects.pod();
    let volumes = Volumes::of(pod, &objects, &Secrets::default());
    let start = || {
        let running = Running::start(pod, container(pod, "tollgate"), &volumes, &[]);
        running.wait_until("ready", || probe(&running, "readinessProbe"));
        let token = volumes.directory("tollgate-data").join("operator.token");
        running.wait_until("with a first key", || token.exists());
        running
    };
    let ask = |running: &Running| {
        let headers = [("x-customer-id", "c1")];
        http(running.port("check"), "GET", "/v1/forward-auth", &headers, None).status
    };
    let mut running = start();
    let disable = ["disable", "c1", "--reason", "non_payment"];
    for act in [&["put", "c1"][..], &disable, &["show", "c1"], &["ready"], &["health"]] {
        let acted = running.exec(&volumes, act);
        assert!(acted.status.success(), "{act:?}: {acted:?}");
    }
    running.wait_until("told", || ask(&running) == 402);
    assert!(running.terminate().success(), "{:#?}", running.log());
    assert_eq!(ask(&start()), 402);
}

/// Whatever the values name.
pub(crate) fn secrets(authority: &Authority) -> Secrets {
    let issued = authority.issue("127.0.0.1");
    let ca = fs::read(Path::new(&authority.certificate())).unwrap();
    let of_listeners = ["check-tls", "operator-tls", "webhook-tls", "admin-tls", "redis-tls"];
    let secrets = Secrets::default()
        .with("redis", "password", "redis-secret\n")
        .with("redis", "redis-password", "redis-secret")
        .with("redis", "sentinel-password", "sentinel-secret")
        .with("check-tls", "ca.crt", ca.clone())
        .with("redis-tls", "ca.crt", ca.clone())
        .with("operators", "authorities.pem", ca)
        .with("admin", "token", "an-admin-token-for-tests")
        .with("tollgate-admin", "token", "an-admin-token-for-tests")
        .with("webhooks", "stripe", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .with("webhooks", "billabear", "a-secret-of-billabear")
        .with("audit", "key", "a-key-that-signs-the-trail")
        .with("tollgate-store", "password", "redis-secret")
        .with("gateway-customers", "customers.map", "\"key-of-c1\" \"c1\";\n");
    of_listeners.into_iter().fold(secrets, |secrets, name| secrets.with_certificate(name, &issued))
}

const PATIENCE: Duration = Duration::from_secs(5);
