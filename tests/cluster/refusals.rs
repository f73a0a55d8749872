//! Stores that cannot be followed as they are named, and what is said then.

use crate::{
    act,
    raw::run_to_end,
    support::{
        Flavor, Persistence, RedisServer,
        redis_cluster::{RedisCluster, Replicas},
        tollgate::{Tollgate, serve},
    },
};

#[test]
fn a_cluster_url_to_a_single_server_is_refused() {
    let server = RedisServer::start(Flavor::Redis, Persistence::None);
    let url = server.tcp_url().replace("redis:", "redis+cluster:");
    assert_refused(&["--store", &url], &["--store", "no node of a cluster", "redis+cluster://"]);
}

#[test]
fn a_plain_url_to_a_node_of_a_cluster_is_refused() {
    let cluster = RedisCluster::start(Flavor::Redis, 3, Replicas::None);
    let _tollgate = Tollgate::start(&["--store", &cluster.url(), "--partitions", "6"]);
    for server in &cluster.servers {
        let says = ["--store", "a node of a cluster", "redis+cluster://"];
        assert_refused(&["--store", &server.tcp_url()], &says);
    }
}

#[test]
fn a_cluster_without_sharded_pub_sub_is_refused() {
    let server = RedisServer::start_with(Flavor::Redis, Persistence::None, |_| {
        let old = ["--cluster-enabled", "yes", "--rename-command", "SSUBSCRIBE", ""];
        old.map(str::to_owned).into()
    });
    let mut redis = redis::Client::open(server.tcp_url()).unwrap().get_connection().unwrap();
    let slots = ["ADDSLOTSRANGE", "0", "16383"];
    redis::cmd("CLUSTER").arg(&slots).exec(&mut redis).unwrap();
    let url = server.tcp_url().replace("redis:", "redis+cluster:");
    assert_refused(&["--store", &url], &["--store", "Redis 7 or Valkey"]);
}

#[test]
fn a_cluster_that_needs_a_password_is_told_from_one_that_is_away() {
    let cluster = RedisCluster::start(Flavor::Redis, 3, Replicas::None);
    for place in 0..3 {
        let set = ["CONFIG", "SET", "requirepass", "the-right-one"];
        cluster.ask::<String>(place, &set).unwrap();
    }
    let url = cluster.url();
    assert_refused(&["--store", &url], &["--store-password-file", "NOAUTH"]);
    let url = url.replace("//", "//:the-right-one@");
    let tollgate = Tollgate::start(&["--store", &url]);
    act(&tollgate, "disable", "c1");
    assert!(!tollgate.status().to_string().contains("the-right-one"));
    // Nobody said how many partitions.
    assert_eq!(tollgate.status()["feed"]["partitions"].as_array().unwrap().len(), 16);
}

fn assert_refused(flags: &[&str], words: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let ended = run_to_end(&mut serve(directory.path(), flags));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word} in {ended:?}");
    }
}
