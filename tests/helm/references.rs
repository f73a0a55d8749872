//! What names something else names what is there: ports, labels, accounts, volumes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    cases::Case,
    objects::{Objects, container, containers, list},
};

#[test]
fn whatever_is_named_is_there() {
    for case in Case::all() {
        let objects = case.objects();
        let [template] = objects.pod_templates()[..] else { panic!("{}", case.name) };
        let (labels, pod) = (&template["metadata"]["labels"], &template["spec"]);
        let ports: BTreeSet<_> = containers(pod).flat_map(|it| names(&it["ports"])).collect();
        let count = containers(pod).flat_map(|it| names(&it["ports"])).count();
        assert_eq!(count, ports.len(), "two ports of {} have one name", case.name);

        for (selector, whose) in selectors(&objects) {
            for (name, value) in selector.as_object().unwrap() {
                assert_eq!(labels[name], *value, "{} of {whose} in {}", name, case.name);
            }
        }
        for service in objects.of("Service") {
            for port in list(&service["spec"]["ports"]) {
                assert!(ports.contains(text(&port["targetPort"])), "{port}");
            }
        }
        for policy in objects.of("NetworkPolicy") {
            for port in list(&policy["spec"]["ingress"]).iter().flat_map(|it| list(&it["ports"])) {
                assert!(ports.contains(text(&port["port"])), "{port}");
            }
            let open =
                list(&policy["spec"]["ingress"]).iter().find(|it| list(&it["from"]).is_empty());
            assert_eq!(open, None, "anybody may come in");
        }
        for monitor in objects.of("ServiceMonitor") {
            let service = objects.one("Service");
            let exposed: Vec<_> = names(&service["spec"]["ports"]).collect();
            assert!(exposed.contains(&text(&monitor["spec"]["endpoints"][0]["port"])));
            let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
            for (name, value) in wanted {
                assert_eq!(service["metadata"]["labels"][name], *value);
            }
        }
        for monitor in objects.of("PodMonitor") {
            assert!(ports.contains(text(&monitor["spec"]["podMetricsEndpoints"][0]["port"])));
        }
        for scaler in objects.of("HorizontalPodAutoscaler") {
            let named = &objects.one("Deployment")["metadata"]["name"];
            assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], *named);
        }
        for account in objects.of("ServiceAccount") {
            assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
        }
        let volumes: BTreeSet<_> = names(&pod["volumes"]).collect();
        let mounted: BTreeSet<_> =
            containers(pod).flat_map(|it| names(&it["volumeMounts"])).collect();
        assert_eq!(volumes, mounted, "{}", case.name);
        for volume in list(&pod["volumes"]) {
            let map = &volume["configMap"]["name"];
            let is_there = objects.of("ConfigMap").any(|it| it["metadata"]["name"] == *map);
            assert!(map.is_null() || is_there, "{map} in {}", case.name);
        }
    }
}

#[test]
fn a_sidecar_starts_before_its_gateway_and_outlives_it() {
    let cases = Case::all();
    let case = cases.iter().find(|case| case.name == "nginx-sidecar").unwrap();
    let objects = case.objects();
    let pod = objects.pod();
    let sidecar = &list(&pod["initContainers"])[0];
    assert_eq!(
        (&sidecar["name"], &sidecar["restartPolicy"]),
        (&"tollgate".into(), &"Always".into())
    );
    let of = |name: &str| {
        let mounts = list(&container(pod, name)["volumeMounts"]);
        mounts.iter().map(|mount| text(&mount["name"])).collect::<BTreeSet<_>>()
    };
    let shared: Vec<_> = of("tollgate").intersection(&of("nginx")).copied().collect();
    assert_eq!(shared, ["tollgate-socket"], "the gateway sees more than the socket");
    assert_eq!(objects.of("ServiceAccount").count(), 0);
    assert_eq!(objects.of("NetworkPolicy").count(), 0);
}

#[test]
fn a_pod_that_ends_has_time_for_its_pause_its_grace_and_its_snapshot() {
    for (name, pause, grace, whole) in [("shared-default", 5, 10, 20), ("everything", 15, 20, 40)] {
        let objects = Case::of_values(name).objects();
        let pod = objects.pod();
        let tollgate = container(pod, "tollgate");
        assert_eq!(tollgate["lifecycle"]["preStop"]["sleep"]["seconds"], pause);
        assert!(list(&tollgate["args"]).contains(&format!("--grace={grace}s").into()));
        assert_eq!(pod["terminationGracePeriodSeconds"], whole);
    }
}

/// Every selector of pods, and whose it is.
fn selectors(objects: &Objects) -> Vec<(&Value, &str)> {
    let places = [
        ("Deployment", "/spec/selector/matchLabels"),
        ("Service", "/spec/selector"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
        ("PodMonitor", "/spec/selector/matchLabels"),
    ];
    let of_objects = places.into_iter().flat_map(|(kind, place)| {
        objects.of(kind).map(move |object| (object.pointer(place).unwrap(), kind))
    });
    let spread = list(&objects.pod()["topologySpreadConstraints"]).iter();
    let spread = spread.map(|it| (&it["labelSelector"]["matchLabels"], "a spread"));
    of_objects.chain(spread).collect()
}

fn names(values: &Value) -> impl Iterator<Item = &str> {
    list(values).iter().map(|value| text(&value["name"]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
