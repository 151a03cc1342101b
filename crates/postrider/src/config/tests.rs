//! Configurations, right and wrong, and what is said about the wrong ones.

use std::path::Path;

use super::flags::ServeFlags;
use super::*;

fn config(change: impl FnOnce(&mut ServeFlags)) -> anyhow::Result<Config> {
    let mut flags = ServeFlags::default();
    change(&mut flags);
    Config::read(&Layers::read(&flags, &Default::default())?, 1_024)
}

#[test]
fn the_defaults_are_a_whole_configuration() {
    let config = config(|_| {}).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8040");
    assert_eq!(config.store, StoreUrl::Sqlite("postrider.db".into()));
    assert_eq!(config.master_key_file, Path::new("postrider.key"));
    assert_eq!(config.retry_schedule, RetrySchedule::default());
    assert_eq!(config.max_in_flight, 512, "half of the files");
}

#[test]
fn a_wrong_value_names_its_place_and_what_would_be_right() {
    let refused = |change: fn(&mut ServeFlags)| config(change).unwrap_err().to_string();
    for (shown, change) in [
        (
            "--listen is \"8040\"; it must be an address such as 127.0.0.1:8040",
            (|f| f.listen = Some("8040".into())) as fn(&mut ServeFlags),
        ),
        (
            "--store is \"mysql:x\"; it must be sqlite:PATH or postgres://USER@HOST:PORT/DATABASE, such as sqlite:postrider.db",
            |f| f.store = Some("mysql:x".into()),
        ),
        ("--allow-nets is \"10.0.0.0/99\"; it must be networks such as 127.0.0.0/8,10.1.0.0/16", |f| {
            f.allow_nets = Some("10.0.0.0/99".into())
        }),
        ("--deny-nets is \"10.0.0.1\"; it must be networks such as 203.0.113.0/24,2001:db8::/32", |f| {
            f.deny_nets = Some("10.0.0.1".into())
        }),
        ("--retry-schedule is \"soon\"; it must be 1 to 30 delays such as 5s,5m,2h", |f| {
            f.retry_schedule = Some("soon".into())
        }),
        ("--retention-days is \"0\"; it must be a whole number from 1 to 3650", |f| {
            f.retention_days = Some("0".into())
        }),
        (
            "--otlp-endpoint is \"127.0.0.1:4318\"; it must be the collector's http or https URL without user, \
             query or fragment, such as http://127.0.0.1:4318",
            |f| f.otlp_endpoint = Some("127.0.0.1:4318".into()),
        ),
        (
            "--proxy is \"•••\"; it must be a proxy's URL such as http://proxy.internal:3128 or \
             http://user:password@10.0.0.1:3128",
            |f| f.proxy = Some("http://user:secret@proxy:3128/path".into()),
        ),
        (
            "--user-agent is \"tab\\there\"; it must be 1 to 256 visible ASCII characters, such as \
             Example-Webhooks/1.0",
            |f| f.user_agent = Some("tab\there".into()),
        ),
        ("--log-format is \"xml\"; it must be text or json", |f| f.log_format = Some("xml".into())),
        ("--require-https is \"maybe\"; it must be true or false", |f| {
            f.require_https = Some("maybe".into())
        }),
    ] {
        assert_eq!(refused(change), shown);
    }
}

#[test]
fn a_denied_network_wins_over_an_allowed_one() {
    let config = config(|flags| {
        flags.allow_nets = Some("10.0.0.0/8".into());
        flags.deny_nets = Some(" 10.1.0.0/16, 8.8.8.0/24,".into());
    });
    let guard = config.unwrap().guard;
    for (address, is_allowed) in
        [("10.0.0.1", true), ("10.1.0.1", false), ("8.8.8.8", false), ("8.8.4.4", true)]
    {
        assert_eq!(guard.check_address(address.parse().unwrap()).is_ok(), is_allowed, "{address}");
    }
}

#[test]
fn with_postgresql_the_master_key_must_be_named_and_no_password_is_shown() {
    let with = |store: &str, key: Option<&str>| {
        let (store, key) = (Some(store.to_owned()), key.map(str::to_owned));
        config(move |flags| (flags.store, flags.master_key_file) = (store, key))
    };
    let refused = with("postgres://u:secret@h/d", None).unwrap_err().to_string();
    assert!(refused.contains("--master-key-file must name") && refused.contains("base64"), "{refused}");
    let config = with("postgres://u:secret@h/d", Some("k")).unwrap();
    assert_eq!(config.master_key_file, Path::new("k"));
    assert!(!format!("{config:?}").contains("secret"));
    let refused = with("mysql://u:secret@h/d", None).unwrap_err().to_string();
    assert!(!refused.contains("secret"), "{refused}");
}

#[test]
fn an_operator_key_is_long_wherever_the_service_listens() {
    for listen in ["127.0.0.1:8040", "0.0.0.0:8040"] {
        let with = |key: Option<&str>| {
            let key = key.map(str::to_owned);
            config(move |flags| (flags.listen, flags.operator_key) = (Some(listen.into()), key))
        };
        assert!(with(Some("short")).is_err() && with(Some(&"k".repeat(32))).is_ok(), "{listen}");
        assert!(with(None).is_ok(), "the first start generates a long one");
    }
}

#[test]
fn log_levels_are_one_for_all_and_others_for_single_targets() {
    let read = |text: &'static str| config(move |flags| flags.log_level = Some(text.into()));
    for right in ["info", "warn, postrider::attempt=info", "info,postrider_store=debug,hyper=off", "off"] {
        assert!(read(right).is_ok(), "{right}");
    }
    for wrong in ["", "loud", "info,", "postrider_store", "info,=debug", "info,x=loud", "3"] {
        let refused = read(wrong).unwrap_err().to_string();
        assert!(refused.contains("postrider::attempt=off"), "{wrong}: {refused}");
    }
    assert!(config(|flags| flags.log_attempts = Some("some".into())).is_err());
}
