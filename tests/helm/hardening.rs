//! What no pod of ours goes without: limits, probes, no privileges, no token, no secret in the open.

use serde_json::{Value, json};

use crate::{
    cases::Case,
    objects::{Objects, containers, list, texts},
};

#[test]
fn every_pod_is_hardened() {
    for case in Case::all() {
        let faults = faults(&case.objects());
        assert!(faults.is_empty(), "{}: {faults:#?}", case.name);
    }
}

#[test]
fn whatever_a_pod_goes_without_is_found() {
    let objects = Case::of_values("everything").objects();
    let pod = "/spec/template/spec";
    let at = |path: &str| format!("{pod}/containers/0/{path}");
    for (kind, path, worse) in [
        ("Deployment", format!("{pod}/automountServiceAccountToken"), Value::Null),
        ("Deployment", format!("{pod}/enableServiceLinks"), json!(true)),
        ("Deployment", format!("{pod}/terminationGracePeriodSeconds"), json!(30)),
        ("Deployment", format!("{pod}/securityContext/seccompProfile/type"), json!("Unconfined")),
        ("Deployment", format!("{pod}/volumes/0"), json!({"name": "h", "hostPath": {"path": "/"}})),
        ("Deployment", at("image"), json!("tollgate:latest")),
        ("Deployment", at("image"), json!("tollgate")),
        ("Deployment", at("resources/limits/memory"), Value::Null),
        ("Deployment", at("resources/limits/cpu"), Value::Null),
        ("Deployment", at("resources/requests/cpu"), Value::Null),
        ("Deployment", at("startupProbe"), Value::Null),
        ("Deployment", at("livenessProbe"), Value::Null),
        ("Deployment", at("livenessProbe/httpGet/path"), json!("/readyz")),
        ("Deployment", at("readinessProbe"), Value::Null),
        ("Deployment", at("securityContext"), Value::Null),
        ("Deployment", at("securityContext/runAsUser"), json!(0)),
        ("Deployment", at("securityContext/runAsNonRoot"), Value::Null),
        ("Deployment", at("securityContext/readOnlyRootFilesystem"), json!(false)),
        ("Deployment", at("securityContext/allowPrivilegeEscalation"), Value::Null),
        ("Deployment", at("securityContext/capabilities/drop"), json!(["NET_RAW"])),
        ("Deployment", at("args/1"), json!("--store=redis://u:hunter2@redis")),
        ("Deployment", at("env/0"), json!({"name": "TOLLGATE_ADMIN_TOKEN", "value": "hunter2"})),
        (
            "Deployment",
            at("volumeMounts/1"),
            json!({"name": "x", "mountPath": "/x", "subPath": "x"}),
        ),
        ("ServiceAccount", "/automountServiceAccountToken".to_owned(), json!(true)),
        ("ConfigMap", "/kind".to_owned(), json!("Secret")),
    ] {
        // Of several that are alike, any.
        let mut object = objects.of(kind).next().unwrap().clone();
        *object.pointer_mut(&path).unwrap_or_else(|| panic!("no {path}")) = worse.clone();
        let worsened = Objects::read(&object.to_string());
        assert!(!faults(&worsened).is_empty(), "{path} may be {worse}");
    }
}

/// What is wrong with what was rendered.
fn faults(objects: &Objects) -> Vec<String> {
    let mut faults = Vec::new();
    for template in objects.pod_templates() {
        let pod = &template["spec"];
        let mut expect = |is_so: bool, what: &str| {
            if !is_so {
                faults.push(format!("a pod: {what}"));
            }
        };
        expect(pod["automountServiceAccountToken"] == false, "has a token");
        expect(pod["enableServiceLinks"] == false, "has variables of Services");
        expect(pod["securityContext"]["runAsNonRoot"] == true, "may run as root");
        let seccomp = &pod["securityContext"]["seccompProfile"]["type"];
        expect(*seccomp == "RuntimeDefault", "may make any system call");
        expect(has_time_to_end(pod), "has too little time to end");
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            expect(pod[field].is_null(), field);
        }
        for volume in list(&pod["volumes"]) {
            expect(volume["hostPath"].is_null(), "has a directory of the node");
        }
        for container in containers(pod) {
            let name = container["name"].as_str().unwrap();
            let found = faults_of(container).into_iter();
            faults.extend(found.map(|fault| format!("the container {name}: {fault}")));
        }
    }
    for account in objects.of("ServiceAccount") {
        if account["automountServiceAccountToken"] != false {
            faults.push("a ServiceAccount has a token".to_owned());
        }
    }
    faults.extend(objects.of("Secret").map(|_| "there is a secret in the open".to_owned()));
    faults
}

fn faults_of(container: &Value) -> Vec<&'static str> {
    let mut faults = Vec::new();
    let mut expect = |is_so: bool, what| {
        if !is_so {
            faults.push(what);
        }
    };
    let image = container["image"].as_str().unwrap();
    let is_pinned = image.contains('@') || image.rsplit('/').next().unwrap().contains(':');
    expect(is_pinned && !image.ends_with(":latest"), "its image is of no version");
    for (part, what) in [("requests", "requests too little"), ("limits", "has no limits")] {
        let given = &container["resources"][part];
        expect(given["cpu"].is_string() && given["memory"].is_string(), what);
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        expect(container[probe].is_object(), "is not probed");
    }
    if container["name"] == "tollgate" {
        // Rule 13: being restarted and starting never depend on the store.
        for (probe, path) in
            [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
        {
            expect(container[probe]["httpGet"]["path"] == path, "is probed for something else");
        }
    }
    let security = &container["securityContext"];
    expect(security["runAsNonRoot"] == true, "may run as root");
    expect(security["runAsUser"].as_u64().is_some_and(|user| user > 0), "runs as no user");
    expect(security["readOnlyRootFilesystem"] == true, "may write to its image");
    expect(security["allowPrivilegeEscalation"] == false, "may gain privileges");
    expect(security["capabilities"]["drop"] == json!(["ALL"]), "has capabilities");
    expect(security["capabilities"]["add"].is_null(), "gets capabilities");
    expect(security["privileged"].is_null(), "is privileged");
    let has_password = |text: &&str| {
        let in_url = text.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        in_url.is_some_and(|(login, _)| login.contains(':') && !login.contains('/'))
    };
    expect(!texts(&container["args"]).iter().any(has_password), "has a password in its arguments");
    let is_secret = |variable: &Value| {
        let name = variable["name"].as_str().unwrap();
        let tells = ["TOKEN", "PASSWORD", "SECRET"].iter().any(|word| name.contains(word));
        tells && !name.ends_with("_FILE") && variable.get("value").is_some()
    };
    expect(!list(&container["env"]).iter().any(is_secret), "has a secret in a variable");
    let has_part = |mount: &Value| mount.get("subPath").is_some();
    expect(!list(&container["volumeMounts"]).iter().any(has_part), "mounts what never changes");
    faults
}

/// Whether the longest pause of its containers, and Tollgate's grace, fit into the time that it has.
fn has_time_to_end(pod: &Value) -> bool {
    let seconds = |container: &Value| {
        let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0);
        let arguments = texts(&container["args"]);
        let grace = arguments.iter().find_map(|it| it.strip_prefix("--grace=")?.strip_suffix('s'));
        pause + grace.map_or(0, |grace| grace.parse::<u64>().unwrap())
    };
    let needed = containers(pod).map(seconds).max().unwrap_or(0);
    pod["terminationGracePeriodSeconds"].as_u64().is_some_and(|given| given > needed)
}
