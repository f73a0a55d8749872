//! How Tollgate starts, and what it says when it cannot.

#[path = "support/raw.rs"]
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod raw;
#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    thread,
};

use redb::{Database, ReadableTable as _, TableDefinition};
use serde_json::json;

use raw::{Ended, Running, redis, run_to_end};
use support::{
    Flavor, Persistence, RedisServer,
    tollgate::{Tollgate, serve},
};

/// Starts one that is expected to refuse.
fn refused(data_dir: &Path, flags: &[&str]) -> Ended {
    run_to_end(&mut serve(data_dir, flags))
}

/// It ended with this code and one line that says all of this.
fn assert_says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word} in {ended:?}");
    }
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
}

mod refusals {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_flag() {
        let directory = tempfile::tempdir().unwrap();
        for setting in ["--check-listen", "--operator-listen", "--admin-listen"] {
            let taken = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = taken.local_addr().unwrap().to_string();
            let ended = refused(directory.path(), &["--store", "memory:", setting, &address]);
            assert_says(&ended, 1, &[setting, &address, "in use"]);
        }
    }

    #[test]
    fn another_number_of_partitions_than_the_stores_is_refused() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let store = server.url();
        let _first = Tollgate::start(&["--store", &store, "--partitions", "4"]);
        let directory = tempfile::tempdir().unwrap();
        let ended = refused(directory.path(), &["--store", &store, "--partitions", "8"]);
        assert_says(&ended, 1, &["has 4 partitions", "expects 8", "--partitions"]);
    }

    #[test]
    fn a_socket_on_which_somebody_listens_is_left_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let place = path.to_str().unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let ended = refused(directory.path(), &["--store", "memory:", "--check-socket", place]);
        assert_says(&ended, 1, &["--check-socket", place, "in use"]);
        drop(listener);
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "data").unwrap();
        let place = path.to_str().unwrap();
        let ended = refused(directory.path(), &["--store", "memory:", "--check-socket", place]);
        assert_says(&ended, 1, &["--check-socket", place]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }

    #[test]
    fn a_store_url_that_is_wrong_or_not_supported_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for url in [
            "",
            "redis",
            "memory",
            "file:",
            "memory:x",
            "http://localhost",
            "redis://",
            "redis+unix://",
            "postgres://localhost",
            "redis://h:port",
            "redis://h1,h2",
            "redis+sentinel://h1,h2",
            "/var/lib/x",
        ] {
            let ended = refused(directory.path(), &["--store", url]);
            assert_says(&ended, 2, &["--store"]);
        }
        let ended = refused(directory.path(), &["--store", "redis+cluster://h/1"]);
        assert_says(&ended, 2, &["--store", "redis+cluster://", "one database"]);
        assert!(fs::read_dir(directory.path()).unwrap().next().is_none(), "it left something");
    }

    #[test]
    fn a_password_in_a_wrong_url_is_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        for url in [
            "redis+cluster://:marker@h/1",
            "redis+sentinel://u:marker@h",
            "rediss+sentinel://h/m?sentinelPasswd=marker",
            "redis://u:marker@",
        ] {
            let ended = refused(directory.path(), &["--store", url]);
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert!(!ended.stderr.contains("marker"), "{ended:?}");
        }
    }

    #[test]
    fn redis_that_needs_a_password_is_told_from_redis_that_is_away() {
        let directory = tempfile::tempdir().unwrap();
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        redis(&server.url(), &["CONFIG", "SET", "requirepass", "the-right-one"]);
        let url = server.tcp_url();
        let none = refused(directory.path(), &["--store", &url]);
        assert_says(&none, 1, &["--store-password-file", "refuses", "NOAUTH"]);

        let wrong = directory.path().join("wrong");
        fs::write(&wrong, "the-wrong-one\n").unwrap();
        let flags = ["--store", &url, "--store-password-file", wrong.to_str().unwrap()];
        let ended = refused(directory.path(), &flags);
        assert_says(&ended, 1, &["--store-password-file", "refuses", "WRONGPASS"]);
        assert!(!ended.stderr.contains("the-wrong-one"), "{ended:?}");

        let right = directory.path().join("right");
        fs::write(&right, "the-right-one\n").unwrap();
        let flags = ["--store", &url, "--store-password-file", right.to_str().unwrap()];
        let tollgate = Tollgate::start(&flags);
        assert!(!tollgate.log().join("\n").contains("the-right-one"));
        assert!(!tollgate.admin("/status").body.contains("the-right-one"));
        let in_url = url.replace("//", "//:the-right-one@");
        let tollgate = Tollgate::start(&["--store", &in_url]);
        assert!(!tollgate.log().join("\n").contains("the-right-one"));
        assert!(!tollgate.admin("/status").body.contains("the-right-one"));
    }

    #[test]
    fn a_password_file_that_is_not_there_or_empty_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty");
        fs::write(&empty, "\n").unwrap();
        let absent = directory.path().join("absent");
        for path in [&empty, &absent] {
            let place = path.to_str().unwrap();
            for setting in ["--store-password-file", "--admin-token-file"] {
                let ended = refused(directory.path(), &["--store", "memory:", setting, place]);
                assert_says(&ended, 2, &[setting, place]);
            }
        }
    }

    #[test]
    fn a_store_file_that_another_process_has_open_is_named() {
        let first = Tollgate::start(&[]);
        let data_dir = first.data_dir();
        let ended = refused(data_dir.path(), &[]);
        assert_says(&ended, 1, &["tollgate.redb", "in use by another process"]);
        assert_eq!(first.admin("/readyz").status, 200);
    }

    #[test]
    fn a_store_file_of_a_newer_format_is_refused_and_left_as_it_is() {
        let mut writer = Tollgate::start(&[]);
        let data_dir = writer.data_dir();
        assert_eq!(writer.terminate().code(), Some(0));
        let path = data_dir.path().join("tollgate.redb");
        // The one row that tells the format.
        let meta: TableDefinition<'_, (), &str> = TableDefinition::new("meta");
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(meta).unwrap();
            let row = table.get(()).unwrap().unwrap().value().to_owned();
            assert!(row.contains("\"format\":1"), "{row}");
            let newer = row.replace("\"format\":1", "\"format\":2");
            table.insert((), newer.as_str()).unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        let ended = refused(data_dir.path(), &[]);
        assert_says(&ended, 1, &["format is 2", "up to 1", "newer"]);
    }

    #[test]
    fn a_redis_of_a_newer_format_is_refused() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        drop(Tollgate::start(&["--store", &url]));
        redis(&url, &["HSET", "tollgate:{0}:meta", "format", "2"]);
        let directory = tempfile::tempdir().unwrap();
        let ended = refused(directory.path(), &["--store", &url]);
        assert_says(&ended, 1, &["format is 2", "up to 1", "newer"]);
    }

    #[test]
    fn what_is_no_store_file_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tollgate.redb");
        fs::write(&path, "this is a letter, and no database; it is long enough to be read")
            .unwrap();
        let before = fs::read(&path).unwrap();
        let ended = refused(directory.path(), &[]);
        assert_says(&ended, 1, &["tollgate.redb"]);
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_data_directory_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let inside = file.join("data");
        let ended = refused(&inside, &["--store", "memory:"]);
        assert_says(&ended, 1, &["--data-dir", inside.to_str().unwrap()]);
    }

    #[test]
    fn an_operator_listener_off_loopback_is_refused_unless_plaintext_is_allowed() {
        let directory = tempfile::tempdir().unwrap();
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7601"] {
            let flags = ["--store", "memory:", "--operator-listen", address];
            assert_says(
                &refused(directory.path(), &flags),
                2,
                &["--operator-listen", "--operator-plaintext"],
            );
        }
        let flags = [
            "--store",
            "memory:",
            "--operator-listen",
            "0.0.0.0:0",
            "--operator-plaintext",
            "allow",
        ];
        let tollgate = Tollgate::start(&flags);
        assert_ne!(tollgate.operator.port(), 0);
        // No key is made for a listener that others can reach.
        assert!(!tollgate.data_dir().path().join("operator.token").exists());
    }

    #[test]
    fn two_listeners_on_one_address_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["--check-listen", "--operator-listen", "--admin-listen"];
        for pair in [[0, 1], [0, 2], [1, 2]] {
            let [first, second] = pair.map(|index| names[index]);
            let flags = ["--store", "memory:", first, "127.0.0.1:7999", second, "127.0.0.1:7999"];
            assert_says(&refused(directory.path(), &flags), 2, &[first, second]);
        }
    }

    #[test]
    fn flags_that_make_no_sense_end_with_2_and_say_which() {
        let directory = tempfile::tempdir().unwrap();
        for (flags, word) in [
            (&["--no-such-flag"][..], "--no-such-flag"),
            (&["--max-staleness", "30"], "--max-staleness"),
            (&["--max-staleness", "0s"], "--max-staleness"),
            (&["--max-staleness", "2h"], "--stale-limit"),
            (&["--heartbeat", "30s"], "--heartbeat"),
            (&["--check-listen", "7600"], "--check-listen"),
            (&["--check-listen", "off"], "--check-socket"),
            (&["--check-socket-mode", "999"], "--check-socket-mode"),
            (&["--admin-listen", "off"], "--admin-listen"),
            (&["--when-undecided", "maybe"], "--when-undecided"),
            (&["--customer-header", "X Id"], "--customer-header"),
            (&["--tenant-header", "x-customer-id"], "--tenant-header"),
            (&["--default-tenant", "a:b"], "--default-tenant"),
            (&["--cache-capacity", "0"], "--cache-capacity"),
            (&["--key-prefix", "a{b}"], "--key-prefix"),
            (&["--log-level", "loud=very"], "--log-level"),
            (&["--workers", "0"], "--workers"),
        ] {
            let ended = refused(directory.path(), &[&["--store", "memory:"], flags].concat());
            assert_says(&ended, 2, &[word]);
        }
        let short = run_to_end(
            serve(directory.path(), &["--store", "memory:"]).env("TOLLGATE_ADMIN_TOKEN", "short"),
        );
        assert_says(&short, 2, &["admin token", "16"]);
        assert!(!short.stderr.contains("short\""), "{short:?}");
        let verb = run_to_end(Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("serv"));
        assert_says(&verb, 2, &["serv"]);
    }
}

mod store_away {
    use super::*;

    #[test]
    fn a_redis_that_is_away_is_waited_for_and_nobody_passes_meanwhile() {
        let mut server = RedisServer::start(Flavor::Redis, Persistence::AppendOnlyFile);
        let url = server.tcp_url();
        let first = Tollgate::start(&["--store", &url]);
        for (id, status) in [("active", "active"), ("disabled", "disabled")] {
            let path = format!("/v1/customers/{id}");
            assert_eq!(first.operate("PUT", &path, Some(&json!({"status": status}))).status, 201);
        }
        server.kill9();
        let tollgate = Tollgate::start_unready(&["--store", &url]);
        tollgate.wait_for_log("cannot be followed yet");
        tollgate.wait_until("up", || tollgate.admin("/livez").status == 200);
        assert_eq!(tollgate.admin("/readyz").status, 503);
        for customer in ["active", "disabled", "unknown"] {
            let answer = tollgate.ask("GET", "/v1/forward-auth", &[("X-Customer-Id", customer)]);
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.header("x-tollgate-decision"), Some("undecided"));
            assert!(answer.header("retry-after").is_some());
        }
        let limits = tollgate.ask("GET", "/v1/customers/active/limits", &[]);
        assert_eq!((limits.status, limits.code().as_str()), (503, "STORE_UNREACHABLE"));
        let acted = tollgate.operate("POST", "/v1/customers/active/disable", None);
        assert_eq!((acted.status, acted.code().as_str()), (503, "STORE_UNREACHABLE"));
        let status = tollgate.status();
        assert_eq!(
            (&status["ready"], &status["feed"]["connected"]),
            (&json!(false), &json!(false))
        );
        server.restart();
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        assert_eq!(tollgate.reason_to_write("active"), "active");
        assert_eq!(tollgate.reason_to_write("disabled"), "customer_disabled");
    }

    #[test]
    fn a_redis_that_hangs_at_the_start_is_waited_for_too() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        server.pause();
        let tollgate = Tollgate::start_unready(&["--store", &server.url()]);
        tollgate.wait_until("up", || tollgate.admin("/livez").status == 200);
        assert_eq!(tollgate.admin("/readyz").status, 503);
        server.resume();
        tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
        assert_eq!(tollgate.reason_to_write("nobody"), "customer_unknown");
    }

    #[test]
    fn an_empty_redis_is_not_begun_by_whoever_may_not() {
        for (flags, has_operator) in
            [(&["--store-create", "never"][..], true), (&["--operator-listen", "off"], false)]
        {
            let server = RedisServer::start(Flavor::Redis, Persistence::None);
            let url = server.url();
            let tollgate = Tollgate::start_unready(&[&["--store", url.as_str()], flags].concat());
            tollgate.wait_for_log("STORE_UNINITIALISED");
            tollgate.wait_until("told", || tollgate.status()["feed"]["phase"] == "uninitialised");
            assert_eq!(tollgate.admin("/readyz").status, 503);
            let answer = tollgate.ask("GET", "/v1/forward-auth", &[("X-Customer-Id", "c1")]);
            assert_eq!(answer.status, 503, "{answer:?}");
            if has_operator {
                let made = tollgate.operate("PUT", "/v1/customers/c1", Some(&json!({})));
                assert_eq!(made.status, 503, "{made:?}");
            }
            assert_eq!(redis(&url, &["DBSIZE"]), "0", "it wrote something");
            // Somebody who may begins it, and then both are ready.
            let other = Tollgate::start(&["--store", &url]);
            tollgate.wait_until("ready", || tollgate.admin("/readyz").status == 200);
            assert_eq!(other.operate("PUT", "/v1/customers/c1", Some(&json!({}))).status, 201);
            tollgate.wait_until("told", || tollgate.reason_to_write("c1") == "active");
        }
    }

    #[test]
    fn a_pure_sidecar_follows_and_has_no_operator_plane() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let operator = Tollgate::start(&["--store", &url]);
        let sidecar = Tollgate::start(&["--store", &url, "--operator-listen", "off"]);
        assert_eq!(sidecar.operator, SocketAddr::from(([127, 0, 0, 1], 0)));
        let disabled = json!({"status": "disabled"});
        assert_eq!(operator.operate("PUT", "/v1/customers/c1", Some(&disabled)).status, 201);
        sidecar.wait_until("told", || sidecar.reason_to_write("c1") == "customer_disabled");
        assert!(!sidecar.data_dir().path().join("operator.token").exists());
    }

    #[test]
    fn keys_without_a_history_are_not_taken_for_an_empty_store() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        redis(
            &url,
            &["HSET", "tollgate:{0}:restricted", "default:c1", "7|disabled,operator,other,1,"],
        );
        let tollgate = Tollgate::start_unready(&["--store", &url]);
        tollgate.wait_for_log("lost something");
        assert_eq!(tollgate.admin("/readyz").status, 503);
        assert_eq!(redis(&url, &["EXISTS", "tollgate:{0}:meta"]), "0");
    }

    #[test]
    fn another_key_prefix_is_another_fleet() {
        let server = RedisServer::start(Flavor::Redis, Persistence::None);
        let url = server.url();
        let one = Tollgate::start(&["--store", &url]);
        let other = Tollgate::start(&["--store", &url, "--key-prefix", "blue"]);
        assert_eq!(one.operate("PUT", "/v1/customers/c1", Some(&json!({}))).status, 201);
        assert_eq!(one.reason_to_write("c1"), "active");
        assert_eq!(other.reason_to_write("c1"), "customer_unknown");
    }
}

mod first_start {
    use super::*;

    #[test]
    fn an_embedded_store_makes_its_first_key_at_every_start_that_needs_one() {
        // Often, since what is not awaited shows only sometimes.
        let starts = (0..4).map(|_| {
            thread::spawn(|| {
                (0..5).all(|_| {
                    let directory = tempfile::tempdir().unwrap();
                    let mut serving = serve(directory.path(), &["--store", "memory:"]);
                    let mut running = Running::start(serving.env_remove("TOLLGATE_ADMIN_TOKEN"));
                    let made = running.read_until("Made the first operator key").is_some();
                    made && directory.path().join("operator.token").is_file()
                })
            })
        });
        for start in starts.collect::<Vec<_>>() {
            assert!(start.join().unwrap(), "a start made no key");
        }
    }

    #[test]
    fn a_sound_configuration_is_told_from_a_wrong_one_without_starting() {
        let check = |flags: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
            run_to_end(command.args(["config", "check"]).args(flags))
        };
        assert_eq!(check(&["--store", "memory:"]).code, Some(0));
        let wrong = check(&["--operator-listen", "0.0.0.0:7601"]);
        assert_says(&wrong, 2, &["--operator-listen"]);
    }
}
