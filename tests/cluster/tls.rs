//! A cluster that nobody can listen to.

use std::net::TcpListener;

use crate::{
    act, customer_in,
    support::{
        Flavor,
        authority::{Authority, Issued},
        redis_cluster::{RedisCluster, Replicas},
        tollgate::Tollgate,
    },
    wait_until,
};

#[test]
fn a_cluster_is_followed_and_changed_over_tls() {
    let authority = Authority::new();
    let (ca, Issued { certificate, key }) = (authority.certificate(), authority.issue("127.0.0.1"));
    let ports = [(); 3].map(|()| {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port().to_string()
    });
    let _cluster = RedisCluster::start_with(Flavor::Redis, 3, Replicas::None, |place| {
        let files = [("--tls-cert-file", certificate.as_str()), ("--tls-key-file", &key)];
        let who = [("--tls-ca-cert-file", ca.as_str()), ("--tls-auth-clients", "no")];
        let how = [("--tls-cluster", "yes"), ("--tls-port", &ports[place])];
        let all = [files, who, how].concat();
        all.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect()
    });
    // A master that is named by its other port could not be spoken to.
    let url = format!("rediss+cluster://127.0.0.1:{}", ports[0]);
    let flags = ["--store", &url, "--store-ca", &ca, "--partitions", "6"];
    let tollgates = [(); 2].map(|()| Tollgate::start(&flags));
    for customer in (0..6).map(customer_in) {
        act(&tollgates[0], "disable", &customer);
        wait_until("told", || tollgates[1].reason_to_write(&customer) == "customer_disabled");
    }
    assert_eq!(tollgates[1].status()["store"]["url"], url);
}
