//! What the chart is rendered with: every file of values in its `ci` directory, and every example.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    objects::Objects,
    program::{self, CHART},
};

/// One chart and its values.
#[derive(Debug)]
pub(crate) struct Case {
    /// The file of values without its ending, or the example.
    pub(crate) name: String,
    /// What was rendered.
    pub(crate) text: String,
}

impl Case {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        let shared = in_directory(&Path::new(CHART).join("ci")).into_iter().map(|values| {
            let name = values.file_name().unwrap().to_str().unwrap();
            Self::of_values(name.strip_suffix("-values.yaml").unwrap())
        });
        let charts = program::charts();
        let examples =
            in_directory(&charts.path().join("helm/examples")).into_iter().map(|chart| {
                let text = program::template(&chart, RELEASE, &[]).unwrap();
                Self { name: chart.file_name().unwrap().to_str().unwrap().to_owned(), text }
            });
        shared.chain(examples).collect()
    }

    /// The chart with one of its files of values.
    pub(crate) fn of_values(name: &str) -> Self {
        let values = format!("{CHART}/ci/{name}-values.yaml");
        let text = program::template(Path::new(CHART), RELEASE, &["--values", &values]).unwrap();
        Self { name: name.to_owned(), text }
    }

    /// The objects in it.
    pub(crate) fn objects(&self) -> Objects {
        Objects::read(&self.text)
    }
}

/// What is in a directory, in order.
pub(crate) fn in_directory(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort_unstable();
    paths
}

#[test]
fn helm_finds_nothing_wrong_with_the_charts() {
    program::lint(Path::new(CHART), &[]);
    for values in in_directory(&Path::new(CHART).join("ci")) {
        program::lint(Path::new(CHART), &["--values", values.to_str().unwrap()]);
    }
    let charts = program::charts();
    for chart in in_directory(&charts.path().join("helm/examples")) {
        program::lint(&chart, &[]);
    }
}

/// What every release of the tests is called.
pub(crate) const RELEASE: &str = "gw";
