//! `listen`: deliveries forwarded to a port on this machine.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::receiver::Receiver;
use crate::service::{OPERATOR_KEY, Service, event, postrider, run};

/// `listen` as it runs, and the lines that it prints.
struct Listening {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Listening {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut listening = Self { child, lines: Box::new(lines) };
        listening.until("waiting for deliveries");
        listening
    }

    fn until(&mut self, wanted: &str) -> String {
        self.lines.by_ref().find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("no {wanted}"))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn listen(folder: &std::path::Path, url: &str, args: &[&str]) -> Command {
    let mut command = postrider(folder);
    command.arg("listen").args(args).args(["--url", url, "--key", OPERATOR_KEY]);
    command
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn deliveries_of_the_types_asked_for_are_forwarded_signed_and_their_answers_printed() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
    let (customer, local) = (Receiver::open(), Receiver::open());
    let account = service.account();
    service.endpoint(&account, &customer.url());
    let url = local.url();
    let args = ["--forward-to", &url, "--types", "policy.*", "--secret", SECRET];
    let mut listening = Listening::start(listen(folder.path(), &service.url, &args));
    for event_type in ["offer.created", "policy.cancelled"] {
        let mut trigger = postrider(folder.path());
        trigger.args(["trigger", event_type, "--url", &service.url, "--key", OPERATOR_KEY]);
        assert_eq!(run(trigger).0, Some(0));
    }
    let line = listening.until("answered 200");
    assert!(line.contains("policy.cancelled"), "the offer is not asked for: {line}");
    let arrived: Vec<_> = local.arrivals().into_values().collect();
    assert_eq!(arrived.len(), 1);
    let guid = local.arrivals().into_keys().next().unwrap();
    assert!(line.contains(&guid), "{line}");
    assert_eq!(arrived[0].body, customer.arrivals()[&guid].body, "byte for byte");
    assert!(postrider_signature::kasko::verify(SECRET, &arrived[0].body, &arrived[0].signature).is_ok());
}

#[test]
fn after_a_restart_of_the_service_it_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8"]);
    let (customer, local) = (Receiver::open(), Receiver::open());
    let account = service.account();
    service.endpoint(&account, &customer.url());
    let url = local.url();
    let mut listening = Listening::start(listen(folder.path(), &service.url, &["--forward-to", &url]));
    service.post("/v1/events", &event(&account)).unwrap();
    listening.until("answered 200");
    let address = service.url.trim_start_matches("http://").to_owned();
    service.terminate();
    listening.until("coming back");
    let mut again = postrider(folder.path());
    again.args(["serve", "--listen", &address, "--operator-key", OPERATOR_KEY]);
    again.args(["--allow-nets", "127.0.0.0/8", "--log-level", "warn"]);
    let service = Service::wait_for(again);
    service.post("/v1/events", &event(&account)).unwrap();
    listening.until("answered 200");
    assert_eq!(local.arrivals().len(), 2, "none twice, none left out");
}

#[test]
fn what_can_not_be_forwarded_or_followed_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), &[]);
    let failing = |url: &str, args: &[&str], wanted: &str| {
        let (code, _, err) = run(listen(folder.path(), url, args));
        assert!(code == Some(1) && err.contains(wanted), "{args:?}: {err}");
    };
    let local = ["--forward-to", "http://127.0.0.1:9/"];
    failing(&service.url, &["--forward-to", "http://192.0.2.1/"], "--allow-remote");
    failing(&service.url, &[&local[..], &["--types", "no spaces"]].concat(), "--types");
    failing(&service.url, &[&local[..], &["--secret", "short"]].concat(), "--secret");
    failing(&service.url, &[&local[..], &["--header-prefix", "ü"]].concat(), "header prefix");
    failing(&service.url, &[&local[..], &["--endpoint", "nonsense"]].concat(), "endpoint");
    failing("http://127.0.0.1:9", &local, "no answer from http://127.0.0.1:9");
    let mut stranger = postrider(folder.path());
    stranger.arg("listen").args(local).args(["--url", &service.url, "--key", "wrong"]);
    let (code, _, err) = run(stranger);
    assert!(code == Some(1) && err.contains("401"), "{err}");
}
