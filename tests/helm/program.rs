//! Helm itself.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// The chart.
pub(crate) const CHART: &str = "helm/tollgate";

/// Renders a chart; what it complains about if it refuses.
pub(crate) fn template(chart: &Path, release: &str, arguments: &[&str]) -> Result<String, String> {
    let ran = run(Path::new("."), |command| {
        command
            .args(["template", release])
            .arg(chart)
            .args(["--kube-version", "v1.37.0"])
            .args(arguments);
    });
    if ran.status.success() {
        Ok(String::from_utf8(ran.stdout).unwrap())
    } else {
        Err(String::from_utf8(ran.stderr).unwrap())
    }
}

/// What somebody who installs the chart is told.
pub(crate) fn notes(values: &Path) -> String {
    let ran = run(Path::new("."), |command| {
        command.args(["install", "gate", CHART, "--dry-run=client", "--values"]).arg(values);
    });
    assert!(ran.status.success(), "{ran:?}");
    let told = String::from_utf8(ran.stdout).unwrap();
    told.split_once("\nNOTES:\n").unwrap().1.to_owned()
}

/// Looks for what is wrong with a chart; nothing may be.
pub(crate) fn lint(chart: &Path, arguments: &[&str]) {
    let ran = run(Path::new("."), |command| {
        command.args(["lint", "--strict"]).arg(chart).args(arguments);
    });
    assert!(ran.status.success(), "{} {arguments:?}: {ran:?}", chart.display());
}

/// A copy of all charts, which may be written to, with the charts that each depends on.
pub(crate) fn charts() -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(Path::new("helm"), &copy.path().join("helm"));
    for entry in fs::read_dir(copy.path().join("helm/examples")).unwrap() {
        let chart = entry.unwrap().path();
        let ran = run(&chart, |command| {
            command.args(["dependency", "build", "."]);
        });
        assert!(ran.status.success(), "{ran:?}");
    }
    copy
}

/// Copies a directory, and what its links lead to.
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy_all(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn run(within: &Path, asked: impl Fn(&mut Command)) -> Output {
    // Nothing of whoever runs this is read or written.
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, home.path());
    }
    asked(&mut command);
    command.current_dir(within).output().unwrap()
}

/// The program, as `tests/run` installs it.
fn program() -> PathBuf {
    let installed = || Path::new(INSTALLED).canonicalize().ok();
    let named = env::var_os("TOLLGATE_TEST_HELM").map(PathBuf::from);
    named.or_else(installed).unwrap_or_else(|| {
        panic!(
            "there is no helm: `tests/run` installs it as {INSTALLED}; TOLLGATE_TEST_HELM names \
             another one, of version 4"
        )
    })
}

const INSTALLED: &str = "target/tools/helm/helm";
