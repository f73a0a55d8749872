//! Values that cannot work are refused when the chart is rendered, by name.

use std::path::Path;

use crate::{
    cases::RELEASE,
    program::{CHART, template},
};

#[test]
fn a_value_that_breaks_its_rule_is_named() {
    for (set, named) in [
        ("form=both", "/form"),
        ("replicas=two", "/replicas"),
        ("replica=2", "replica"),
        ("store.uri=redis://redis", "uri"),
        ("store.url=postgres://db", "/store/url"),
        ("store.url=file:/srv/tollgate.redb", "/store/url"),
        ("store.create=always", "/store/create"),
        ("store.password.secretName=My Secret", "/store/password/secretName"),
        ("check.port=70000", "/check/port"),
        ("operator.reach=off", "/operator/reach"),
        ("bindAddress=localhost", "/bindAddress"),
        ("image.tag=a b", "/image/tag"),
        ("image.digest=sha256:1", "/image/digest"),
        ("webhooks.secrets[0].source=paypal", "/webhooks/secrets/0"),
        ("settings.Max-Staleness=1m", "Max-Staleness"),
        ("shutdown.graceSeconds=0", "/shutdown/graceSeconds"),
        ("shutdown.graceSeconds=10s", "/shutdown/graceSeconds"),
        ("resources.limits.memory=null", "/resources/limits"),
        ("resources.limits.memory=much", "/resources/limits/memory"),
        ("probes.liveness.failureThreshold=0", "/probes/liveness/failureThreshold"),
        ("probes.liveness.path=/readyz", "path"),
        ("sidecar.socketPath=check.sock", "/sidecar/socketPath"),
        ("sidecar.socketMode=rw", "/sidecar/socketMode"),
        ("networkPolicy.gateways[0]=gateway", "/networkPolicy/gateways/0"),
        ("monitor.interval=15", "/monitor/interval"),
    ] {
        refuses(&[set], named);
    }
}

#[test]
fn values_that_are_impossible_together_are_refused_with_a_sentence() {
    let own = "store.url=file:tollgate.redb,replicas=1,operator.reach=pod";
    let webhook = "webhooks.secrets[0].secretName=w,webhooks.secrets[0].key=k";
    let billabear = format!("webhooks.enabled=true,{webhook},webhooks.secrets[0].source=billabear");
    let stripe = format!("webhooks.enabled=true,{webhook},webhooks.secrets[0].source=stripe");
    for (set, sentence) in [
        ("store.url=redis://:hunter2@redis", "store.url holds a password: put it into a Secret"),
        ("store.url=redis://u:hun@ter2@redis", "store.url holds a password"),
        ("store.url=redis+unix:///s?pass=hunter2", "store.url holds a password"),
        ("store.url=redis+sentinel://a/m?sentinelPassword=x", "store.url holds a password"),
        (
            "extraEnv[0].name=TOLLGATE_ADMIN_TOKEN,extraEnv[0].value=hunter2",
            "extraEnv gives TOLLGATE_ADMIN_TOKEN as a value",
        ),
        ("settings.grace=30s", "settings.grace: the chart gives --grace itself"),
        ("settings.admin-tls-client-ca=/ca", "the chart gives --admin-tls-client-ca itself"),
        ("check.tls.clientCa.secretName=ca", "check.tls.clientCa.secretName needs"),
        ("policy.inline=x,policy.configMapName=y", "exclude each other"),
        (
            "policy.configMapName=y,policy.restartOnChange=true",
            "policy.restartOnChange is for policy.inline",
        ),
        ("store.ca.secretName=ca", "store.url must begin with rediss"),
        ("form=sidecar,operator.reach=pod", "operator.reach must be none with form: sidecar"),
        (&format!("form=sidecar,{stripe}"), "webhooks.enabled must be false with form: sidecar"),
        ("form=sidecar,store.url=memory:", "which is one process's own: sidecars follow"),
        ("form=sidecar,check.tls.secretName=t", "check.tls.secretName is for form: shared"),
        ("form=sidecar,monitor.enabled=true", "monitor.enabled needs sidecar.podLabels"),
        (&format!("{own},replicas=2"), "replicas must be 1"),
        (&format!("{own},autoscaling.enabled=true"), "autoscaling.enabled false"),
        (&format!("{own},operator.reach=none"), "nobody could ever change a customer there"),
        ("autoscaling.enabled=true,autoscaling.maxReplicas=1", "must not be less than"),
        ("operator.reach=service", "operator.reach: service needs operator.tls.secretName"),
        (
            "operator.reach=pod,operator.tls.secretName=t",
            "operator.tls.secretName is for operator.reach: service, which is pod",
        ),
        ("webhooks.enabled=true", "webhooks.enabled needs webhooks.secrets"),
        (&billabear, "webhooks.secrets names billabear"),
        (&stripe, "networkPolicy.webhooks names nobody"),
        ("networkPolicy.gateways=null", "networkPolicy.gateways names nobody"),
        (
            "operator.reach=service,operator.plaintext=allow",
            "networkPolicy.operators names nobody, and operator.reach is service",
        ),
        ("service.headless=true,service.type=NodePort", "service.headless is for"),
        ("check.port=7602", "check.port and admin.port are both 7602"),
    ] {
        refuses(&[set], sentence);
    }
}

#[test]
fn whoever_includes_the_sidecar_has_to_choose_its_form() {
    let charts = crate::program::charts();
    let chart = charts.path().join("helm/examples/nginx-sidecar");
    let set = ["--set", "tollgate.form=shared"];
    let refused = template(&chart, RELEASE, &set).unwrap_err();
    assert!(refused.contains("tollgate.sidecar needs form: sidecar"), "{refused}");
}

fn refuses(set: &[&str], named: &str) {
    let arguments: Vec<_> = set.iter().flat_map(|set| ["--set", set]).collect();
    let refused = template(Path::new(CHART), RELEASE, &arguments)
        .map(|_| panic!("{set:?} was rendered"))
        .unwrap_err();
    assert!(refused.contains(named), "{set:?} is refused without {named}: {refused}");
    assert!(!refused.contains("ter2"), "{set:?} is repeated: {refused}");
}
