//! All that run side by side: the servers, and each one's question.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use data_encoding::BASE64;
use prost::Message as _;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    ceilings::{self, Ceiling},
    contender::{Asked, Contender, Name},
    cores::{Cores, on},
    envoy, nginx,
    question::{ACTIVE, DISABLED, Question},
    support::{
        Flavor, Persistence, RedisServer,
        nginx::Nginx,
        operators::{act, put},
        tollgate::{Answer, Tollgate},
    },
};

/// Running servers. Each of them answered already, as it has to.
#[derive(Debug)]
pub(crate) struct Field {
    contenders: Vec<Contender>,
    // All of them end with the field.
    _servers: Servers,
}

#[derive(Debug)]
struct Servers {
    tollgate: Tollgate,
    through_routes: Tollgate,
    logging: Tollgate,
    hyper: Ceiling,
    axum_hello: Ceiling,
    axum_moka: Ceiling,
    axum_redis: Ceiling,
    tonic: Ceiling,
    tonic_replying: Ceiling,
    nginx: Nginx,
    nginx_lua: Nginx,
    _redis: RedisServer,
    _files: TempDir,
}

impl Field {
    /// Starts them all on the servers' core, and asks each of them once.
    pub(crate) fn start(cores: &Cores) -> Self {
        let redis = on(cores.beside, || RedisServer::start(Flavor::Redis, Persistence::None));
        let servers = on(cores.server, || Servers::start(redis));
        let contenders = servers.contenders();
        for contender in &contenders {
            match &contender.asked {
                Asked::Http(question) => drop(question.ask(contender.address)),
                Asked::Grpc { .. } => drop(envoy::ask(contender.address)),
            }
        }
        Self { contenders, _servers: servers }
    }

    pub(crate) fn contenders(&self) -> &[Contender] {
        &self.contenders
    }
}

impl Servers {
    fn start(redis: RedisServer) -> Self {
        let files = in_memory();
        let policy = files.path().join("policy.toml");
        fs::write(&policy, hundred_routes()).unwrap();
        let log = format!("file:{}", files.path().join("decisions").display());
        let tollgate = tollgate(&[]);
        let answer = Question::forward_auth(ACTIVE).ask(tollgate.check);
        let reply = BASE64.encode(&envoy::ask(tollgate.check).encode_to_vec());
        Self {
            through_routes: self::tollgate(&["--policy", &policy.display().to_string()]),
            logging: self::tollgate(&["--decision-log", &log]),
            hyper: Ceiling::start(ceilings::HYPER, &headers_of(&answer)),
            axum_hello: Ceiling::start(ceilings::AXUM_HELLO, ""),
            axum_moka: Ceiling::start(ceilings::AXUM_MOKA, ""),
            axum_redis: Ceiling::start(ceilings::AXUM_REDIS, &redis.tcp_url()),
            tonic: Ceiling::start(ceilings::TONIC, ""),
            tonic_replying: Ceiling::start(ceilings::TONIC, &reply),
            nginx: nginx::returning(),
            nginx_lua: nginx::with_lua(),
            tollgate,
            _redis: redis,
            _files: files,
        }
    }

    fn contenders(&self) -> Vec<Contender> {
        let forward_auth = || Asked::Http(Question::forward_auth(ACTIVE));
        let denied = Question::forward_auth(DISABLED).answered(403);
        let of_tollgate = |name, tollgate: &Tollgate, asked| Contender {
            name,
            address: tollgate.check,
            process: tollgate.process(),
            asked,
        };
        let of_ceiling = |name, ceiling: &Ceiling, asked| Contender {
            name,
            address: ceiling.address,
            process: ceiling.process(),
            asked,
        };
        let of_nginx = |name, nginx: &Nginx, asked| Contender {
            name,
            address: nginx.address,
            process: nginx.process(),
            asked,
        };
        let grpc =
            |address| Asked::Grpc { answer: GRPC_PREFIX + envoy::ask(address).encoded_len() };
        vec![
            of_ceiling(Name::BareHyper, &self.hyper, forward_auth()),
            of_tollgate(Name::ForwardAuth, &self.tollgate, forward_auth()),
            of_tollgate(Name::Denied, &self.tollgate, Asked::Http(denied)),
            of_tollgate(Name::HundredRoutes, &self.through_routes, forward_auth()),
            of_tollgate(Name::DecisionLog, &self.logging, forward_auth()),
            of_tollgate(Name::NginxDialect, &self.tollgate, Asked::Http(Question::nginx(ACTIVE))),
            of_tollgate(Name::Check, &self.tollgate, Asked::Http(Question::check(ACTIVE))),
            of_ceiling(Name::AxumMoka, &self.axum_moka, Asked::Http(Question::check(ACTIVE))),
            of_ceiling(Name::AxumHello, &self.axum_hello, forward_auth()),
            of_ceiling(Name::AxumRedis, &self.axum_redis, forward_auth()),
            of_nginx(Name::Nginx, &self.nginx, forward_auth()),
            of_nginx(Name::NginxLua, &self.nginx_lua, forward_auth()),
            of_tollgate(Name::Grpc, &self.tollgate, grpc(self.tollgate.check)),
            of_ceiling(Name::BareTonic, &self.tonic, grpc(self.tonic.address)),
            of_ceiling(
                Name::TonicReplying,
                &self.tonic_replying,
                grpc(self.tonic_replying.address),
            ),
        ]
    }
}

/// One with the customers that are asked about.
fn tollgate(flags: &[&str]) -> Tollgate {
    let tollgate = Tollgate::start(&[&["--store", "memory:"], flags].concat());
    let record = json!({"plan": "pro", "features": ["export", "sso"], "name": "Acme"});
    put(&tollgate, ACTIVE, &record);
    put(&tollgate, DISABLED, &record);
    act(&tollgate, DISABLED, "disable", &json!({"reason": "security"}));
    tollgate
}

/// The question meets one of them. Were it not found, it would be denied.
fn hundred_routes() -> String {
    let mut policy = "unmatched_routes = \"deny\"\n".to_owned();
    for area in 0..50 {
        writeln!(policy, "[[routes]]\npath = \"/area-{}/items/{{id}}\"", area + 25).unwrap();
        writeln!(policy, "methods = [\"GET\", \"POST\"]").unwrap();
        writeln!(policy, "[[routes]]\npath = \"/area-{area}/reports/{{*rest}}\"").unwrap();
        writeln!(policy, "feature = \"export\"").unwrap();
    }
    policy
}

/// Its headers but for those that a server library sends by itself.
fn headers_of(answer: &Answer) -> String {
    let own = |name: &str| !matches!(name, "date" | "content-length" | "connection");
    let headers = answer.headers.iter().filter(|(name, _)| own(name));
    serde_json::to_string(&headers.cloned().collect::<BTreeMap<_, _>>()).unwrap()
}

/// A directory in memory where there is one: a disk is not what is measured.
fn in_memory() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }.unwrap()
}

/// What is in front of a message: whether it is compressed, and its length.
const GRPC_PREFIX: usize = 5;
