//! What the commands that create something say if it is unknown whether they did, and that a repetition is safe.

use std::path::Path;
use std::process::Command;

use crate::scripted::{Reply, Scripted};
use crate::service::{OPERATOR_KEY, Service, postrider, run};

const UNKNOWN: &str = "the call may have been carried out";

/// A command against the service at `url`.
fn command(folder: &Path, url: &str, words: &[&str]) -> Command {
    let mut command = postrider(folder);
    command.args(words).args(["--url", url, "--key", OPERATOR_KEY]);
    command
}

/// The key that the error names.
fn named_key(err: &str) -> String {
    let (_, rest) = err.split_once("--idempotency-key ").unwrap_or_else(|| panic!("no key in: {err}"));
    rest.split([';', ' ', '\n']).next().unwrap().to_owned()
}

/// The idempotency key of a request, in lower case.
fn sent_key(head: &str) -> Option<String> {
    head.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).map(|key| key.trim().to_owned())
}

#[test]
fn every_creating_command_names_the_key_to_repeat_it_with_if_the_outcome_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let acc = "acc_0197f2b3c4d57e6f8a9b0c1d2e3f4a5b";
    let ep = "ep_0197f2b3c4d57e6f8a9b0c1d2e3f4a5c";
    std::fs::write(folder.path().join("payload.json"), "{}").unwrap();
    for reply in [(|| Reply::Status(503)) as fn() -> Reply, || Reply::Status(500), || Reply::Garbage] {
        let service = Scripted::start(move |_| reply());
        for words in [
            &["accounts", "create", "Acme"][..],
            &["keys", "create", acc, "--test"],
            &["portal-links", "create", acc],
            &["endpoints", "create", "https://example.com/hook", "--account", acc, "--test"],
            &["endpoints", "test", ep],
            &["event-types", "create", "claim.opened"],
            &["trigger", "policy.created", "--account", acc, "--file", "payload.json"],
            &["deliveries", "resend", "dlv_0197f2b3c4d57e6f8a9b0c1d2e3f4a5e"],
            &["replays", "create", "--endpoint", ep],
        ] {
            let (code, _, err) = run(command(folder.path(), &service.url(), words));
            assert!(code == Some(1) && err.contains(UNKNOWN), "{words:?}: {code:?} {err}");
            let request = service.seen().pop().unwrap();
            assert_eq!(Some(named_key(&err)), sent_key(&request.head), "{words:?}: {err}");
            let with_key = [words, &["--idempotency-key", "order-1"]].concat();
            let (_, _, err) = run(command(folder.path(), &service.url(), &with_key));
            assert!(err.contains(UNKNOWN) && err.contains("with the same --idempotency-key"), "{err}");
            assert_eq!(sent_key(&service.seen().pop().unwrap().head).as_deref(), Some("order-1"));
        }
        let (_, _, err) = run(command(folder.path(), &service.url(), &["endpoints", "delete", ep]));
        assert!(err.contains(UNKNOWN) && err.contains("check before you repeat"), "{err}");
        let (_, _, err) = run(command(folder.path(), &service.url(), &["endpoints", "show", ep]));
        assert!(!err.contains(UNKNOWN), "a read is repeated without harm: {err}");
    }
}

#[test]
fn a_command_that_never_reached_the_service_or_was_refused_says_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let refusing = Scripted::start(|_| Reply::Status(422));
    for url in [nobody, refusing.url()] {
        let (code, _, err) = run(command(folder.path(), &url, &["accounts", "create", "Acme"]));
        assert!(code == Some(1) && !err.contains(UNKNOWN), "{err}");
    }
    let (code, _, err) = run(command(folder.path(), &refusing.url(), &["accounts", "create", "a\tb"]));
    assert!(code == Some(2) && err.contains("control characters"), "{err}");
}

/// The service commits and the response is lost; the repetition with the named key finds what was made.
#[test]
fn a_command_repeated_with_the_named_key_is_carried_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let lost = Scripted::start(|_| Reply::Garbage);
    let (_, _, err) = run(command(folder.path(), &lost.url(), &["accounts", "create", "Acme"]));
    let key = named_key(&err);
    let service = Service::start(folder.path(), &[]);
    let repeat = || {
        let words = ["accounts", "create", "Acme", "--json", "--idempotency-key", &key];
        run(command(folder.path(), &service.url, &words))
    };
    let (first, second) = (repeat(), repeat());
    assert_eq!((first.0, second.0), (Some(0), Some(0)), "{}{}", first.2, second.2);
    assert_eq!(first.1, second.1);
    assert_eq!(service.get("/v1/accounts")["data"].as_array().unwrap().len(), 1);
}
