//! The commands over the REST surface, as a person and as a script use them.

use std::path::Path;

use serde_json::Value;

use crate::receiver::Receiver;
use crate::service::{OPERATOR_KEY, Service, postrider, run};

/// A service, and the commands against it.
struct Here {
    folder: tempfile::TempDir,
    service: Service,
}

impl Here {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
        Self { folder, service }
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        command(self.folder.path(), &self.service.url, args)
    }

    /// What a script gets.
    fn json(&self, args: &[&str]) -> Value {
        let (code, out, err) = self.run(&[args, &["--json"]].concat());
        assert_eq!(code, Some(0), "{args:?}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    }
}

fn command(folder: &Path, url: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = postrider(folder);
    command.args(args).env("POSTRIDER_URL", url).env("POSTRIDER_OPERATOR_KEY", OPERATOR_KEY);
    run(command)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

#[test]
fn accounts_are_made_listed_renamed_and_deleted() {
    let here = Here::start();
    let made = here.json(&["accounts", "create", "Acme"]);
    assert!(made["secret_keys"]["live"].as_str().unwrap().starts_with("sk_live_"));
    let id = text(&made, "id");
    let (code, out, _) = here.run(&["accounts", "list"]);
    assert!(code == Some(0) && out.contains("ACCOUNT") && out.contains(id), "{out}");
    let (code, out, _) = here.run(&["accounts", "rename", id, "Bolt"]);
    assert!(code == Some(0) && out.contains("Bolt"), "{out}");
    let (code, out, _) = here.run(&["accounts", "show", id]);
    assert!(code == Some(0) && out.contains("name") && out.contains("Bolt"), "{out}");
    assert_eq!(here.run(&["accounts", "delete", id]).0, Some(0));
    let (code, _, err) = here.run(&["accounts", "show", id]);
    assert!(code == Some(1) && err.contains("404"), "{err}");
}

#[test]
fn a_list_is_read_over_as_many_pages_as_it_takes() {
    let here = Here::start();
    for number in 0..3 {
        here.json(&["accounts", "create", &format!("A{number}")]);
    }
    let (code, out, err) = here.run(&["accounts", "list", "--limit", "2", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let first: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(first["data"].as_array().map(Vec::len), Some(2));
    let rest = here.json(&["accounts", "list", "--cursor", text(&first, "next_cursor")]);
    assert_eq!(rest["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(rest["next_cursor"], Value::Null);
    let (code, out, err) = here.run(&["accounts", "list", "--limit", "2"]);
    assert!(code == Some(0) && !out.contains("--cursor") && err.contains("--cursor"), "{out}{err}");
}

#[test]
fn an_endpoint_is_made_changed_paused_resumed_and_deleted() {
    let here = Here::start();
    let account = here.service.account();
    let url = "http://127.0.0.1:9/hook";
    let create =
        ["endpoints", "create", url, "--account", &account, "--test", "--types", "policy.*,offer.created"];
    let made = here
        .json(&[&create[..], &["--header", "X-Tenant=acme", "--rate-limit", "10/20", "--ordered"]].concat());
    assert!(text(&made, "secret").starts_with("whsec_"));
    assert_eq!(made["event_types"], serde_json::json!(["policy.*", "offer.created"]));
    assert_eq!(made["rate_limit"], serde_json::json!({ "per_second": 10, "burst": 20 }));
    assert_eq!((&made["ordered"], &made["livemode"]), (&Value::Bool(true), &Value::Bool(false)));
    let id = text(&made, "id");
    let change = [
        "endpoints",
        "change",
        id,
        "--description",
        "of the shop",
        "--rate-limit",
        "none",
        "--ordered",
        "no",
    ];
    let changed = here.json(&change);
    assert_eq!(text(&changed, "description"), "of the shop");
    assert_eq!((&changed["rate_limit"], &changed["ordered"]), (&Value::Null, &Value::Bool(false)));
    assert_eq!(changed["event_types"], made["event_types"], "what is not named stays");
    assert_eq!(text(&here.json(&["endpoints", "pause", id]), "state"), "paused");
    let (_, out, _) = here.run(&["endpoints", "list", "--state", "paused"]);
    assert!(out.contains(id) && out.contains("BACKLOG"), "{out}");
    assert_eq!(text(&here.json(&["endpoints", "resume", id]), "state"), "enabled");
    assert_eq!(text(&here.json(&["endpoints", "disable", id]), "state"), "disabled");
    assert_eq!(text(&here.json(&["endpoints", "enable", id]), "state"), "enabled");
    assert_eq!(here.json(&["endpoints", "secret", id])["secret"], made["secret"]);
    let rotated = here.json(&["endpoints", "rotate", id, "--overlap-seconds", "60"]);
    assert_ne!(rotated["secret"], made["secret"], "{rotated}");
    assert_eq!(here.run(&["endpoints", "rotate", id]).0, Some(1), "one overlap at a time");
    let (code, out, err) = here.run(&["endpoints", "end-overlap", id]);
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, _, err) = here.run(&["endpoints", "change", id]);
    assert!(code == Some(1) && err.contains("nothing to change"), "{err}");
    let (code, _, err) = here.run(&["endpoints", "change", id, "--timeout-ms", "1"]);
    assert!(code == Some(1) && err.contains("/timeout_ms"), "{err}");
    assert_eq!(here.run(&["endpoints", "delete", id]).0, Some(0));
    assert_eq!(here.json(&["endpoints", "list"])["data"], serde_json::json!([]));
}

#[test]
fn an_event_is_followed_from_its_payload_to_a_replay() {
    let here = Here::start();
    let receiver = Receiver::open();
    let account = here.service.account();
    let endpoint = here.service.endpoint(&account, &receiver.url());
    let endpoint = text(&endpoint, "id");
    let (code, out, err) = here.run(&["trigger", "policy.created", "--account", &account]);
    assert_eq!(code, Some(0), "{out}{err}");
    let events = here.json(&["events", "list", "--type", "policy.created", "--test", "--since", "1h"]);
    let event = text(&events["data"][0], "id");
    let (code, payload, _) = here.run(&["events", "payload", event]);
    let arrived = receiver.arrivals().into_values().next().unwrap();
    assert_eq!((code, payload.as_bytes()), (Some(0), arrived.body.as_slice()));
    let (_, out, _) = here.run(&["events", "routing", event]);
    assert!(out.contains("MATCHES") && out.contains(endpoint), "{out}");
    let list = here.json(&["deliveries", "list", "--status", "delivered", "--event", event]);
    let delivery = text(&list["data"][0], "id");
    let (_, out, _) = here.run(&["deliveries", "show", delivery]);
    assert!(out.contains("OUTCOME") && out.contains("received") && out.contains("resend_of"), "{out}");
    let resent = here.json(&["deliveries", "resend", delivery]);
    assert_eq!(text(&resent, "resend_of"), delivery);
    let create = ["replays", "create", "--endpoint", endpoint, "--type", "policy.created"];
    let counted = here.json(&[&create[..], &["--dry-run"]].concat());
    assert_eq!(counted["dry_run"], Value::Bool(true));
    let done = here.json(&[&create[..], &["--wait"]].concat());
    assert_eq!(text(&done, "state"), "done");
    let (_, out, _) = here.run(&["replays", "list"]);
    assert!(out.contains(text(&done, "id")), "{out}");
    let (code, _, err) = here.run(&["replays", "cancel", text(&done, "id")]);
    assert!(code == Some(1) && err.contains("409"), "{err}");
    let (_, out, _) = here.run(&["event-types", "list"]);
    assert!(out.contains("policy.created") && out.contains("DESCRIPTION"), "{out}");
    assert_eq!(text(&here.json(&["event-types", "show", "policy.created"]), "name"), "policy.created");
}

#[test]
fn keys_are_issued_listed_used_and_revoked() {
    let here = Here::start();
    let account = here.service.account();
    let made = here.json(&["keys", "create", &account, "--test"]);
    let (id, secret_key) = (text(&made, "id"), text(&made, "secret_key"));
    assert!(secret_key.starts_with("sk_test_"));
    let (_, out, _) = here.run(&["endpoints", "list", "--key", secret_key]);
    let (code, listed, err) = here.run(&["keys", "list", &account]);
    assert!(code == Some(0) && listed.contains(id) && listed.contains("LAST USED"), "{out}{listed}{err}");
    assert!(!listed.contains(secret_key));
    assert_eq!(here.run(&["keys", "revoke", id]).0, Some(0));
    let (code, _, err) = here.run(&["endpoints", "list", "--key", secret_key]);
    assert!(code == Some(1) && err.contains("401"), "{err}");
    let (code, _, err) = here.run(&["keys", "revoke", id]);
    assert!(code == Some(1) && err.contains("404"), "{err}");
}

#[test]
fn a_test_event_goes_to_one_endpoint_and_what_is_pending_can_be_given_up() {
    let here = Here::start();
    let receiver = Receiver::open();
    let account = here.service.account();
    let endpoint = here.service.endpoint(&account, &receiver.url());
    let endpoint = text(&endpoint, "id");
    here.json(&["endpoints", "pause", endpoint]);
    let sent = here.json(&["endpoints", "test", endpoint, "--type", "offer.created"]);
    assert_eq!(text(&sent, "type"), "offer.created");
    let list = here.json(&["deliveries", "list", "--status", "pending", "--endpoint", endpoint]);
    let delivery = text(&list["data"][0], "id");
    assert_eq!(text(&here.json(&["deliveries", "cancel", delivery]), "status"), "cancelled");
    let (code, _, err) = here.run(&["deliveries", "cancel", delivery]);
    assert!(code == Some(1) && err.contains("409"), "{err}");
    let (code, _, err) = here.run(&["endpoints", "test", endpoint, "--type", "no.such"]);
    assert!(code == Some(1) && err.contains("422"), "{err}");
}

#[test]
fn wrong_use_is_exit_code_2_and_what_the_service_refuses_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = "http://127.0.0.1:9";
    for wrong in [
        &["accounts"][..],
        &["accounts", "show"],
        &["accounts", "show", ""],
        &["accounts", "show", "two words"],
        &["accounts", "list", "--limit", "0"],
        &["deliveries", "list", "--status", "lost"],
        &["deliveries", "list", "--live", "--test"],
        &["events", "list", "--since", "yesterday"],
        &["endpoints", "create", "http://x", "--rate-limit", "fast"],
        &["endpoints", "create", "http://x", "--header", "novalue"],
        &["endpoints", "create", "http://x", "--filter", "{"],
        &["replays", "create"],
        &["replays", "create", "--endpoint", "ep_x", "--dry-run", "--wait"],
        &["keys", "create", "acc_x"],
        &["keys", "create", "acc_x", "--live", "--test"],
        &["listen"],
        &["listen", "--forward-to", "3000"],
        &["completions", "cmd"],
    ] {
        let (code, _, err) = command(folder.path(), nobody, wrong);
        assert!(
            code == Some(2) && (err.contains("error:") || err.contains("Usage:")),
            "{wrong:?}: {code:?} {err}"
        );
    }
    let (code, _, err) = command(folder.path(), nobody, &["accounts", "list"]);
    assert!(code == Some(1) && err.contains("is the service running there"), "{err}");
    let mut no_key = postrider(folder.path());
    no_key.args(["accounts", "list"]);
    let (code, _, err) = run(no_key);
    assert!(code == Some(1) && err.contains("POSTRIDER_KEY"), "{err}");
}

#[test]
fn an_id_can_not_lead_to_another_route() {
    let here = Here::start();
    let account = here.service.account();
    for odd in ["../endpoints", ".", "..", "x?limit=1", "x#y", "%2e%2e"] {
        let (code, _, err) = here.run(&["accounts", "delete", odd]);
        assert!(code == Some(1) && err.contains("404"), "{odd}: {err}");
    }
    assert_eq!(text(&here.json(&["accounts", "show", &account]), "id"), account);
}

#[test]
fn completions_know_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = command(folder.path(), "", &["completions", shell]);
        assert!(code == Some(0) && out.contains("deliveries") && out.contains("forward-to"), "{shell}");
    }
}

#[test]
fn the_audit_log_tells_who_did_what() {
    let here = Here::start();
    let account = here.service.account();
    here.json(&["accounts", "rename", &account, "Renamed"]);
    let found = here.json(&["audit", "--account", &account, "--action", "account.renamed"]);
    assert_eq!(found["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(text(&found["data"][0], "target"), account);
    let (code, out, err) = here.run(&["audit", "--since", "1h"]);
    assert!(code == Some(0) && out.contains("account.renamed") && out.contains("127.0.0.1"), "{out}{err}");
    let (code, out, err) = here.run(&["audit", "--action", "endpoint.exploded"]);
    assert!(code == Some(1) && err.contains("action"), "{out}{err}");
}

#[test]
fn event_types_are_made_changed_archived_and_triggered() {
    let here = Here::start();
    let account = here.json(&["accounts", "create", "Acme"]);
    let file = |name: &str, text: &str| {
        let path = here.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let schema =
        file("schema.json", r#"{"required": ["claim"], "properties": {"claim": {"type": "string"}}}"#);
    let example = file("example.json", "{ \"claim\" : \"C-1\", \"n\": 1.10 }\n");
    let create = ["event-types", "create", "claim.opened", "--description", "A claim.", "--schema", &schema];
    let made = here.json(&[&create[..], &["--example", &example, "--idempotency-key", "k1"]].concat());
    assert_eq!((&made["custom"], &made["validation"]), (&Value::Bool(true), &Value::from("on")));
    let again = [&create[..], &["--example", &example, "--idempotency-key", "k1", "--json"]].concat();
    let (code, out, err) = here.run(&again);
    assert!(code == Some(0) && err.contains("made before"), "{out}{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), made);
    let (code, _, err) = here.run(&create);
    assert!(code == Some(1) && err.contains("409"), "{err}");
    let (code, out, _) = here.run(&["event-types", "list"]);
    assert!(code == Some(0) && out.contains("ARCHIVED") && out.contains("claim.opened"), "{out}");

    let trigger = ["trigger", "claim.opened", "--account", text(&account, "id")];
    let sent = here.json(&trigger);
    let (_, payload, _) = here.run(&["events", "payload", text(&sent, "id")]);
    assert_eq!(payload, "{ \"claim\" : \"C-1\", \"n\": 1.10 }", "the example, byte for byte");
    let (code, _, err) = here.run(&[&trigger[..], &["--set", "claim=7"]].concat());
    assert!(code == Some(1) && err.contains("/payload/claim"), "{err}");

    let narrow = file("narrow.json", r#"{"required": ["other"]}"#);
    let (code, _, err) = here.run(&["event-types", "update", "claim.opened", "--schema", &narrow]);
    assert!(code == Some(1) && err.contains("own example"), "{err}");
    let (code, _, err) = here.run(&["event-types", "update", "claim.opened"]);
    assert!(code == Some(1) && err.contains("nothing to change"), "{err}");
    let off = here.json(&["event-types", "update", "claim.opened", "--validation", "off", "--archived"]);
    assert_eq!((&off["validation"], &off["archived"]), (&Value::from("off"), &Value::Bool(true)));
    let (code, _, err) = here.run(&trigger);
    assert!(code == Some(1) && err.contains("archived"), "{err}");
    let back = here.json(&["event-types", "update", "claim.opened", "--archived", "no", "--schema", "none"]);
    assert_eq!((&back["archived"], &back["schema"]), (&Value::Bool(false), &Value::Null));
    let (code, out, _) = here.run(&["event-types", "show", "claim.opened"]);
    assert!(code == Some(0) && out.contains("1.10"), "{out}");
}

#[test]
fn a_way_into_the_portal_is_made_and_revoked() {
    let here = Here::start();
    let account = here.json(&["accounts", "create", "Acme"]);
    let id = text(&account, "id");
    let made = here.json(&["portal-links", "create", id, "--test", "--expires-in", "120"]);
    assert_eq!(made["livemode"], Value::Bool(false));
    let (code, out, err) = here.run(&["portal-links", "create", id]);
    let opened = format!("{}/portal/", here.service.url);
    assert!(code == Some(0) && out.contains("lnk_") && err.contains(&opened), "{out}{err}");
    let (code, _, err) = here.run(&["portal-links", "create", id, "--expires-in", "1"]);
    assert!(code == Some(1) && err.contains("/expires_in_seconds"), "{err}");
    let link = text(&made, "id");
    assert_eq!(here.run(&["portal-links", "revoke", id, link]).0, Some(0));
    let (code, _, err) = here.run(&["portal-links", "revoke", id, link]);
    assert!(code == Some(1) && err.contains("404"), "{err}");
}
