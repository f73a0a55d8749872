//! What a chart rendered, taken apart.

use serde::Deserialize as _;
use serde_json::Value;

/// Every object of a rendered chart.
#[derive(Debug)]
pub(crate) struct Objects(Vec<Value>);

impl Objects {
    /// Reads them.
    pub(crate) fn read(text: &str) -> Self {
        let documents = serde_yaml_ng::Deserializer::from_str(text);
        let read = documents.map(|document| Value::deserialize(document).unwrap());
        Self(read.filter(|document| !document.is_null()).collect())
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Value] {
        &self.0
    }

    /// Those of a kind.
    pub(crate) fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    /// The only one of a kind.
    pub(crate) fn one(&self, kind: &str) -> &Value {
        let found: Vec<&Value> = self.0.iter().filter(|object| object["kind"] == kind).collect();
        assert_eq!(found.len(), 1, "of {kind} there is not one: {found:?}");
        found[0]
    }

    /// The template of every Deployment's pods.
    pub(crate) fn pod_templates(&self) -> Vec<&Value> {
        self.of("Deployment").map(|deployment| &deployment["spec"]["template"]).collect()
    }

    /// What the pods of the only Deployment are.
    pub(crate) fn pod(&self) -> &Value {
        &self.one("Deployment")["spec"]["template"]["spec"]
    }
}

/// Every container of a pod, also those that start before the others.
pub(crate) fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    list(&pod["initContainers"]).iter().chain(list(&pod["containers"]))
}

/// The container of a pod that has this name.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    containers(pod).find(|container| container["name"] == name).unwrap()
}

/// The items of a list; none if there is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Texts of a list.
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(|text| text.as_str().unwrap()).collect()
}
