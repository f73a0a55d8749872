use clap::{Args, Command, FromArgMatches};

use super::*;

fn command() -> Command {
    Config::augment_args(Command::new("serve"))
}

/// The configuration and everything shown of it, with these flags and no variables.
fn read(flags: &[&str]) -> Result<(Config, Shown), clap::Error> {
    let plain = command().mut_args(|arg| arg.env(None));
    let matches = plain.try_get_matches_from([&["serve"], flags].concat())?;
    let mut config = Config::from_arg_matches(&matches)?;
    config.admin_token_variable = None;
    let shown = config.show(&matches);
    Ok((config, shown))
}

fn config(flags: &[&str]) -> Config {
    read(flags).unwrap().0
}

fn refused(flags: &[&str]) -> String {
    config(flags).validate().unwrap_err().to_string()
}

#[test]
fn the_flags_fit_together() {
    command().debug_assert();
}

#[test]
fn the_defaults_are_sound() {
    config(&[]).validate().unwrap();
}

#[test]
fn every_flag_has_the_variable_of_its_name_and_a_reason() {
    for arg in command().get_arguments() {
        let flag = arg.get_long().unwrap();
        let variable = format!("TOLLGATE_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(arg.get_env().unwrap(), variable.as_str());
        assert!(arg.get_help().is_some(), "{flag}");
        assert!(arg.get_help_heading().is_some(), "{flag}");
    }
}

#[test]
fn a_setting_that_might_hold_a_secret_is_not_shown_in_the_help() {
    for arg in command().get_arguments().filter(|arg| arg.get_id() == "store") {
        assert!(arg.is_hide_env_values_set());
    }
}

#[test]
fn every_setting_is_shown_once() {
    let (_, shown) = read(&["--stale-limit", "90m", "--check-socket=/run/tollgate.sock"]).unwrap();
    for arg in command().get_arguments() {
        let flag = arg.get_long().unwrap();
        let found = shown.settings.iter().filter(|setting| setting.setting == flag).count();
        assert_eq!(found, 1, "{flag}");
    }
    let setting = |name: &str| {
        let found = shown.settings.iter().find(|setting| setting.setting == name).unwrap();
        (found.value.as_str(), found.source)
    };
    assert_eq!(setting("stale-limit"), ("90m", "flag"));
    assert_eq!(setting("max-staleness"), ("30s", "default"));
    assert_eq!(setting("check-socket"), ("/run/tollgate.sock", "flag"));
    assert_eq!(setting("check-socket-mode"), ("0660", "default"));
    assert_eq!(setting("unknown-customers"), ("deny", "default"));
    assert_eq!(setting("TOLLGATE_ADMIN_TOKEN"), ("none", "default"));
}

#[test]
fn no_way_of_printing_a_configuration_shows_a_secret() {
    let (mut config, _) = read(&["--store", "redis://alice:hunter2@redis"]).unwrap();
    config.admin_token_variable = Some(Secret::new("hunter2-hunter2-hunter2"));
    let matches = command().try_get_matches_from(["serve"]).unwrap();
    let shown = serde_json::to_string(&config.show(&matches)).unwrap();
    assert!(shown.contains("redis://alice:***@redis"), "{shown}");
    for printed in [shown, format!("{config:?}")] {
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn a_refused_store_is_not_repeated() {
    let url = "redis+cluster://alice:hunter2@redis/1";
    let error = read(&["--store", url]).unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    assert!(error.contains("--store <URL>") && error.contains("redis+cluster://"), "{error}");
}

#[test]
fn values_that_break_a_rule_are_refused() {
    for flags in [
        &["--cache-capacity", "0"][..],
        &["--customer-header", "X Customer"],
        &["--tenant-header", ""],
        &["--default-tenant", "a:b"],
        &["--key-prefix", "{a}"],
        &["--log-level", "loud=loud"],
        &["--max-staleness", "30"],
        &["--unknown-customers", "maybe"],
        &["--workers", "0"],
        &["--admin-listen", "off"],
        &["--boot-from", "ftp://tollgate"],
        &["--boot-from", "tollgate:7601"],
        &["--expect-epoch", "E 1"],
        &["--snapshot-file", ""],
    ] {
        assert!(read(flags).is_err(), "{flags:?}");
    }
}

#[test]
fn values_that_are_impossible_together_are_refused_by_name() {
    let loopback = "127.0.0.1:7600";
    let boot = ["--store", "redis://redis", "--boot-token-file", "/nowhere", "--boot-from"];
    for (flags, named) in [
        (&["--stale-limit", "1s"][..], "--stale-limit"),
        (&["--grace", "0s"], "--grace"),
        (&["--heartbeat", "1m"], "--heartbeat"),
        (&["--operator-listen", "0.0.0.0:7601"], "--operator-plaintext"),
        (&["--operator-listen", loopback], "--check-listen and --operator-listen"),
        (&["--admin-listen", loopback], "--check-listen and --admin-listen"),
        (&["--check-listen", "off"], "--check-socket"),
        (&["--tenant-header", "x-customer-id"], "--customer-header and --tenant-header"),
        (
            &["--min-revision-header", "x-customer-id"],
            "--customer-header and --min-revision-header",
        ),
        (
            &["--tenant-header", "X-A", "--min-revision-header", "x-a"],
            "--tenant-header and --min-revision-header",
        ),
        (&["--store-password-file", "/nowhere"], "--store-password-file"),
        (&["--admin-token-file", "/nowhere"], "--admin-token-file"),
        (&["--snapshot-file", "snapshot"], "--snapshot-file"),
        (&["--boot-from", "http://127.0.0.1:7601"], "--boot-from"),
        (&["--store", "redis://redis", "--boot-from", "http://tollgate"], "--boot-token-file"),
        (&["--boot-token-file", "/nowhere"], "--boot-token-file"),
        (&["--boot-timeout", "0s"], "--boot-timeout"),
        (&["--boot-ca", "/nowhere"], "--boot-ca needs --boot-from"),
        (
            &[&boot[..], &["http://tollgate", "--boot-key", "/nowhere"]].concat(),
            "--boot-from must begin with https://",
        ),
        (
            &[&boot[..], &["https://tollgate", "--boot-key", "/nowhere"]].concat(),
            "--boot-key needs --boot-cert",
        ),
        (
            &[&boot[..], &["https://tollgate", "--boot-ca", "/nowhere"]].concat(),
            "--boot-ca cannot be read from /nowhere",
        ),
        (&["--check-tls-cert", "/nowhere"], "--check-tls-cert needs --check-tls-key"),
        (&["--operator-tls-key", "/nowhere"], "--operator-tls-key needs --operator-tls-cert"),
        (&["--admin-tls-client-ca", "/nowhere"], "--admin-tls-client-ca needs --admin-tls-cert"),
        (
            &["--admin-tls-key", "/nowhere", "--admin-tls-cert", "/nowhere"],
            "--admin-tls-cert cannot be read from /nowhere",
        ),
        (
            &["--operator-listen", "off", "--operator-tls-cert", "/nowhere"],
            "--operator-tls-cert is for --operator-listen, which is off",
        ),
    ] {
        let sentence = refused(flags);
        assert!(sentence.contains(named), "{flags:?}: {sentence}");
    }
}

#[test]
fn what_looks_alike_and_is_possible_passes() {
    for flags in [
        &["--operator-listen", "0.0.0.0:7601", "--operator-plaintext", "allow"][..],
        &["--operator-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        &["--operator-listen", "[::1]:7601"],
        &["--operator-listen", "off"],
        &["--check-listen", "off", "--check-socket", "/run/tollgate.sock"],
        &["--default-tenant", "off", "--tenant-header", "X-Tenant-Id"],
    ] {
        config(flags).validate().unwrap();
    }
}

#[test]
fn the_snapshot_file_is_in_the_data_directory_when_the_store_is_redis() {
    let file = |flags: &[&str]| config(flags).snapshot_file();
    assert_eq!(file(&[]), None);
    assert_eq!(file(&["--store", "memory:"]), None);
    let redis = ["--store", "redis://redis", "--data-dir", "/data"];
    assert_eq!(file(&redis), Some("/data/snapshot".into()));
    let given = [&redis[..], &["--snapshot-file", "/other/file"]].concat();
    assert_eq!(file(&given), Some("/other/file".into()));
    assert_eq!(file(&[&redis[..], &["--snapshot-file", "off"]].concat()), None);
    config(&["--snapshot-file", "off"]).validate().unwrap();
}

#[test]
fn an_admin_token_comes_from_one_place_and_is_long_enough() {
    let mut config = config(&[]);
    assert!(config.admin_token().unwrap().is_none());
    config.admin_token_variable = Some(Secret::new("fifteen-bytes-x"));
    assert!(matches!(config.admin_token(), Err(ConfigError::AdminTokenShort(16))));
    config.admin_token_variable = Some(Secret::new("sixteen-bytes-xx"));
    assert!(config.admin_token().unwrap().is_some());
    config.admin_token_file = Some("/nowhere".into());
    assert!(matches!(config.admin_token(), Err(ConfigError::AdminTokenTwice)));
}

#[test]
fn the_policy_is_what_the_settings_say() {
    let policy = config(&["--when-undecided", "deny", "--when-unlisted", "error"]).decisions();
    assert_eq!(policy.when_undecided, WhenUndecided::Deny);
    assert_eq!(policy.when_unlisted, Unlisted::Error);
    assert_eq!(policy.unknown_customers, Unknown::Deny);
    assert_eq!(config(&[]).decisions(), Policy::default());
}
