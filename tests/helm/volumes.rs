//! A pod's volumes as the kubelet lays them out: directories, and files behind links that are swapped
//! at once when what they come from changes.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    objects::{Objects, list},
    secrets::Secrets,
};

/// The volumes of one pod.
#[derive(Debug)]
pub(crate) struct Volumes {
    root: TempDir,
}

/// What a volume of files holds, by path.
type Payload = BTreeMap<String, Vec<u8>>;

impl Volumes {
    /// Lays them out for a pod.
    pub(crate) fn of(pod: &Value, objects: &Objects, secrets: &Secrets) -> Self {
        let root = tempfile::tempdir().unwrap();
        // Whoever the pod runs as has to get through.
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let volumes = Self { root };
        let group = pod["securityContext"]["fsGroup"].as_u64();
        for volume in list(&pod["volumes"]) {
            let name = volume["name"].as_str().unwrap();
            let directory = volumes.directory(name);
            fs::create_dir(&directory).unwrap();
            if let Some(group) = group.filter(|_| is_root()) {
                chown(&directory, None, Some(u32::try_from(group).unwrap())).unwrap();
            }
            // The group's, and so is whatever is made in it.
            fs::set_permissions(&directory, Permissions::from_mode(0o2777)).unwrap();
            if let Some(payload) = payload(volume, objects, secrets) {
                volumes.put(name, &payload);
            }
        }
        volumes
    }

    /// Where a volume is.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Replaces the files of a volume, all at once.
    pub(crate) fn put(&self, name: &str, payload: &Payload) {
        let directory = self.directory(name);
        let generation = format!("..{}", fs::read_dir(&directory).unwrap().count());
        for (path, content) in payload {
            let file = directory.join(&generation).join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        symlink(generation, directory.join("..next")).unwrap();
        fs::rename(directory.join("..next"), directory.join("..data")).unwrap();
        for path in payload.keys() {
            let first = path.split('/').next().unwrap();
            // It is there already where it was before.
            symlink(Path::new("..data").join(first), directory.join(first)).ok();
        }
    }

    /// A text with the directories of a container's volumes in the place of where they are mounted.
    pub(crate) fn map(&self, container: &Value, text: &str) -> String {
        let mounts = list(&container["volumeMounts"]).iter();
        let mut mounts: Vec<_> = mounts
            .map(|mount| {
                let name = mount["name"].as_str().unwrap();
                (mount["mountPath"].as_str().unwrap(), self.directory(name))
            })
            .collect();
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        let (mut mapped, mut rest) = (String::new(), text);
        while let Some(next) = rest.chars().next() {
            let at = mounts.iter().find(|(path, _)| rest.starts_with(path));
            if let Some((path, directory)) = at {
                mapped.push_str(directory.to_str().unwrap());
                rest = &rest[path.len()..];
            } else {
                mapped.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        mapped
    }

    /// The program where whoever the pod runs as may start it.
    pub(crate) fn program(&self) -> PathBuf {
        let (built, here) = (env!("CARGO_BIN_EXE_tollgate"), self.root.path().join("tollgate"));
        if !here.exists() && fs::hard_link(built, &here).is_err() {
            fs::copy(built, &here).unwrap();
        }
        here
    }
}

/// What a volume holds when it is made; nothing if it is empty.
fn payload(volume: &Value, objects: &Objects, secrets: &Secrets) -> Option<Payload> {
    let of_secret = |source: &Value, name: &str| {
        let all = secrets.get(source[name].as_str().unwrap());
        match list(&source["items"]) {
            [] => all.clone(),
            items => items
                .iter()
                .map(|item| {
                    let (key, path) =
                        (item["key"].as_str().unwrap(), item["path"].as_str().unwrap());
                    let content = all.get(key).unwrap_or_else(|| panic!("no key {key}"));
                    (path.to_owned(), content.clone())
                })
                .collect(),
        }
    };
    if let Some(sources) = volume["projected"]["sources"].as_array() {
        return Some(sources.iter().flat_map(|it| of_secret(&it["secret"], "name")).collect());
    }
    if volume["secret"].is_object() {
        return Some(of_secret(&volume["secret"], "secretName"));
    }
    let name = volume["configMap"]["name"].as_str()?;
    let map = objects.of("ConfigMap").find(|map| map["metadata"]["name"] == name).unwrap();
    let data = map["data"].as_object().unwrap().iter();
    Some(data.map(|(key, text)| (key.clone(), text.as_str().unwrap().into())).collect())
}

/// Whether this test may start processes as somebody else.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
