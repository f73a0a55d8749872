//! The image: no engine is at hand, so the root file system that the `Dockerfile` makes is laid out by
//! the same script, and the program runs in it as an engine would have it: with the variables, the
//! user, the entry point, the command and the health check that the `Dockerfile` names, as nobody of
//! this machine, and over a file system that cannot be written to.

#![expect(clippy::unwrap_used, reason = "what fails here has failed the test")]

#[expect(dead_code, reason = "other suites share it and use the rest")]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{
    Flavor, Persistence, RedisServer, network,
    tollgate::{Tollgate, http},
};
use tempfile::TempDir;

#[test]
fn the_image_serves_and_finds_its_redis_by_name() {
    network::in_its_own("the_image_serves_and_finds_its_redis_by_name", || {
        let redis = RedisServer::start(Flavor::Redis, Persistence::None);
        let writer = Tollgate::start(&["--store", &redis.url()]);
        writer.operate("PUT", "/v1/customers/c1", Some(&json!({})));
        let image = Image::laid_out();
        let store = format!("redis://redis.test:{}", redis.port());
        let mut serving = Serving::of(&image, &[("TOLLGATE_STORE", &store)]);

        let begun = Instant::now();
        while !image.run(&image.declared.healthcheck, &[]).status.success() {
            assert!(begun.elapsed() < PATIENCE, "it was never healthy: {:#?}", serving.ended());
            thread::sleep(Duration::from_millis(20));
        }
        let check = ([127, 0, 0, 1], 7600).into();
        let asked = http(check, "GET", "/v1/forward-auth", &[("x-customer-id", "c1")], None);
        assert_eq!(asked.status, 200);
        let admin = ([127, 0, 0, 1], 7602).into();
        assert_eq!(http(admin, "GET", "/readyz", &[], None).status, 200);
        let operator = ([127, 0, 0, 1], 7601).into();
        assert_eq!(http(operator, "GET", "/openapi.json", &[], None).status, 0);

        let status = fs::read_to_string(format!("/proc/{}/status", serving.child.id())).unwrap();
        for line in ["Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532"] {
            assert!(status.contains(line), "{status}");
        }
        kill_process(Pid::from_child(&serving.child), Signal::TERM).unwrap();
        let status = serving.child.wait().unwrap();
        assert!(status.success(), "{status}");
        // The snapshot is where the volume is, and nothing was written anywhere else.
        assert!(image.volume.path().join("snapshot").exists());
        let unwell = image.run(&image.declared.healthcheck, &[]);
        assert_eq!(unwell.status.code(), Some(3), "{unwell:?}");
    });
}

#[test]
fn the_image_trusts_the_authorities_that_it_brings() {
    let image = Image::laid_out();
    let authorities = image.root.path().join("etc/ssl/certs/ca-certificates.crt");
    assert!(fs::read_to_string(authorities).unwrap().contains("BEGIN CERTIFICATE"));
    // The variables are the image's, and the last word is the caller's.
    let shown = image.run(
        &["tollgate", "config", "show", "--output", "json"].map(str::to_owned),
        &[("TOLLGATE_STORE", "rediss://redis.test")],
    );
    assert!(shown.status.success(), "{shown:?}");
    let shown = String::from_utf8(shown.stdout).unwrap();
    for value in ["rediss://redis.test", "0.0.0.0:7600", "0.0.0.0:7602", "/var/lib/tollgate"] {
        assert!(shown.contains(value), "{value} is not in {shown}");
    }
}

#[test]
fn nothing_in_the_image_is_root_s_to_run_and_little_is_in_it() {
    let image = Image::laid_out();
    assert_eq!(image.declared.user, "65532:65532");
    let files = files(image.root.path());
    for shell in ["bin/sh", "bin/bash", "usr/bin/sh", "usr/bin/apt-get", "usr/bin/dpkg"] {
        assert!(!files.contains_key(Path::new(shell)), "{shell} is in the image");
    }
    let programs: Vec<_> = files.keys().filter(|path| path.starts_with("usr/local/bin")).collect();
    assert_eq!(programs, [Path::new("usr/local/bin/tollgate")]);
    for path in files.keys() {
        let found = fs::symlink_metadata(image.root.path().join(path)).unwrap();
        assert_eq!(found.mode() & 0o7022, 0, "{} may be written to by others", path.display());
        assert_eq!(found.mtime(), 0, "{} tells when it was made", path.display());
    }
}

#[test]
fn the_same_input_makes_the_same_image() {
    let [one, other] = [(); 2].map(|()| files(Image::laid_out().root.path()));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    let differ: Vec<_> = one.iter().filter(|(path, content)| other[*path] != **content).collect();
    assert!(
        differ.is_empty(),
        "{:?} differ",
        differ.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
}

#[test]
fn the_bill_of_materials_names_every_crate_and_every_package() {
    let image = Image::laid_out();
    let bom = image.root.path().join("usr/share/doc/tollgate/sbom.cdx.json");
    let bom: Value = serde_json::from_slice(&fs::read(bom).unwrap()).unwrap();
    assert_eq!(bom["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let components = bom["components"].as_array().unwrap();
    let names: Vec<_> = components.iter().map(|it| it["name"].as_str().unwrap()).collect();
    let manifest: toml::Table = toml::from_str(include_str!("../Cargo.toml")).unwrap();
    for section in ["dependencies", "build-dependencies"] {
        for name in manifest[section].as_table().unwrap().keys() {
            assert!(names.contains(&name.as_str()), "{name} is not named");
        }
    }
    // What only tests need is no part of the image.
    assert!(!names.contains(&"proptest") && !names.contains(&"rcgen"));
    for component in components {
        assert!(component["hashes"][0]["content"].is_string(), "{component}");
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
    let references: Vec<_> = components.iter().map(|it| &it["bom-ref"]).collect();
    for dependency in bom["dependencies"].as_array().unwrap() {
        for needed in dependency["dependsOn"].as_array().unwrap() {
            assert!(references.contains(&needed), "{needed} is needed and not named");
        }
    }
    let status = image.root.path().join("var/lib/dpkg/status.d");
    for package in ["ca-certificates", "libc6"] {
        assert!(status.join(package).exists(), "{package} is not named");
    }
}

/// What the last stage of the `Dockerfile` says.
struct Declared {
    variables: BTreeMap<String, String>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    healthcheck: Vec<String>,
    user: String,
    volume: String,
}

impl Declared {
    fn read() -> Self {
        let text = fs::read_to_string("Dockerfile").unwrap();
        let (_, last) = text.rsplit_once("\nFROM ").unwrap();
        assert!(last.starts_with("scratch\n"), "another image is under it: {last}");
        let of = |instruction: &str| {
            let mut lines = last.lines().filter_map(|line| line.strip_prefix(instruction));
            let line = lines.next().unwrap_or_else(|| panic!("no {instruction}"));
            assert_eq!(lines.next(), None, "{instruction} twice");
            line.to_owned()
        };
        let words = |line: &str| {
            let written = &line[line.find('[').unwrap()..];
            serde_json::from_str::<Vec<String>>(written).unwrap()
        };
        let variables = last.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
        Self {
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            entrypoint: words(&of("ENTRYPOINT ")),
            command: words(&of("CMD ")),
            healthcheck: words(&of("HEALTHCHECK ")),
            user: of("USER "),
            volume: of("VOLUME "),
        }
    }
}

/// The image as it is laid out, and what an engine lays over it.
struct Image {
    declared: Declared,
    root: TempDir,
    /// What is on its volume.
    volume: TempDir,
    /// Where its `/etc/hosts` is.
    hosts: TempDir,
}

impl Image {
    fn laid_out() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "only root may change the root of a process, so this runs as root: `sudo -E tests/run`"
        );
        let [root, volume, hosts] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        chown(volume.path(), Some(65532), Some(65532)).unwrap();
        fs::write(hosts.path().join("hosts"), "127.0.0.1 redis.test\n").unwrap();
        let image = Self { declared: Declared::read(), root, volume, hosts };
        let made = Command::new(".ci/image-root")
            .arg(env!("CARGO_BIN_EXE_tollgate"))
            .arg(image.root.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        fs::set_permissions(image.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        image
    }

    /// Runs a command in it to its end.
    fn run(&self, words: &[String], variables: &[(&str, &str)]) -> Output {
        self.command(words, variables).output().unwrap()
    }

    /// A command in it: the root cannot be written to, the volume can, and `/etc/hosts` knows where
    /// `redis.test` is.
    fn command(&self, words: &[String], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-euc", MOUNTS, "sh"])
            .arg(self.root.path())
            .arg(self.volume.path())
            .arg(&self.declared.volume)
            .arg(self.hosts.path().join("hosts"))
            .args(["env", "-i"])
            .args(self.declared.variables.iter().map(|(name, value)| format!("{name}={value}")))
            .args(variables.iter().map(|(name, value)| format!("{name}={value}")))
            .arg(chroot())
            .arg(format!("--userspec={}", self.declared.user))
            .args(["--groups=", self.root.path().to_str().unwrap()])
            .args(words)
            .stdin(Stdio::null());
        command
    }
}

/// A process of the image that goes on. Killed on drop.
struct Serving {
    child: Child,
    log: PathBuf,
    _directory: TempDir,
}

impl Serving {
    /// Starts what the image starts by itself.
    fn of(image: &Image, variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let words = [&image.declared.entrypoint[..], &image.declared.command].concat();
        let mut command = image.command(&words, variables);
        command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log, _directory: directory }
    }

    /// How it ended, if it did, and what it logged.
    fn ended(&mut self) -> (Option<std::process::ExitStatus>, String) {
        (self.child.try_wait().unwrap(), fs::read_to_string(&self.log).unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// By its whole name: the image's own `PATH` is the one that counts within.
fn chroot() -> PathBuf {
    let places = ["/usr/sbin/chroot", "/usr/bin/chroot", "/sbin/chroot"].map(PathBuf::from);
    let found = places.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no chroot: it is in `coreutils`"))
}

/// The content of every file under a directory, by its path there.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let content = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_owned(), content);
            }
        }
    }
    found
}

/// What an engine does before it starts a process: of the root, the volume's content, where the
/// volume is and `/etc/hosts`; the rest is the command.
const MOUNTS: &str = r#"
root=$1 content=$2 volume=$3 hosts=$4
shift 4
mount --bind "$root" "$root"
mount --bind "$content" "$root$volume"
mount --bind "$hosts" "$root/etc/hosts"
mount --rbind /proc "$root/proc"
mount -o remount,bind,ro "$root"
exec "$@"
"#;
const PATIENCE: Duration = Duration::from_secs(20);
