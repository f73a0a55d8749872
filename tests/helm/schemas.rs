//! Everything rendered is valid by the schemas of Kubernetes itself.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::cases::Case;

#[test]
fn every_case_is_valid_for_kubernetes() {
    let directory = tempfile::tempdir().unwrap();
    for case in Case::all() {
        let file = directory.path().join(&case.name);
        fs::write(&file, &case.text).unwrap();
        for version in VERSIONS {
            let (is_valid, told) = validate(&file, version);
            assert!(is_valid, "{} in {version}: {told}", case.name);
            let objects = case.objects();
            let known = objects.all().iter().filter(|object| {
                !object["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com/")
            });
            let passed = told.matches(" passed for resource ").count();
            assert_eq!(passed, known.count(), "{} in {version}: {told}", case.name);
        }
    }
}

#[test]
fn the_schemas_find_what_is_wrong() {
    let case = Case::of_values("shared-default");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong");
    for (right, wrong) in [("readinessProbe:", "readinesProbe:"), ("replicas: 2", "replicas: two")]
    {
        assert!(case.text.contains(right));
        fs::write(&file, case.text.replace(right, wrong)).unwrap();
        assert!(!validate(&file, VERSIONS[0]).0, "{wrong} passed");
    }
}

/// Whether a file is valid, and what is told of it.
fn validate(file: &Path, version: &str) -> (bool, String) {
    let ran = Command::new("python3")
        .arg(program())
        .args(["--strict", "--kubernetes-version", version])
        .arg(file)
        .env("PYTHONPATH", Path::new(INSTALLED).canonicalize().unwrap_or_default())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let told = [ran.stdout, ran.stderr].map(|told| String::from_utf8(told).unwrap()).concat();
    (ran.status.success(), told)
}

/// The program, as `tests/run` installs it.
fn program() -> PathBuf {
    let installed = || Path::new(INSTALLED).join("bin/kubernetes-validate").canonicalize().ok();
    let named = env::var_os("TOLLGATE_TEST_KUBERNETES_VALIDATE").map(PathBuf::from);
    named.or_else(installed).unwrap_or_else(|| {
        panic!(
            "there is no kubernetes-validate: `tests/run` installs it; so does `python3 -m pip \
             install --target {INSTALLED} kubernetes-validate`, and \
             TOLLGATE_TEST_KUBERNETES_VALIDATE names the program"
        )
    })
}

/// The newest Kubernetes, and the oldest that the chart is for.
const VERSIONS: [&str; 2] = ["1.37", "1.30"];
const INSTALLED: &str = "target/tools/kubernetes-validate";
