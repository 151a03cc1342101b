//! Names as the whole service finds them, on a machine of the test's own: a network and mount namespace with its own
//! `/etc/resolv.conf`, `/etc/hosts` and name server. Where no namespace can be made, the sender's tests cover the same by
//! configuration.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scripted::{Reply, Scripted};
use crate::service::{Service, event, postrider, run};

const PATIENCE: Duration = Duration::from_secs(20);
/// Set within the namespace: the folder whose files stand in for those in `/etc`.
const FOLDER: &str = "NAMES_TEST_FOLDER";
const THIS_TEST: &str = "names::names_are_found_as_the_system_finds_them";
const RESOLV_CONF: &str = "nameserver 127.0.0.1\nsearch corp.test\noptions ndots:5\n";

#[test]
fn names_are_found_as_the_system_finds_them() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return inside(&PathBuf::from(folder));
    }
    if !in_namespace("true", Path::new("/")).stderr(Stdio::null()).status().is_ok_and(|ended| ended.success())
    {
        eprintln!("no network namespace can be made here; see the sender's tests");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("resolv.conf"), RESOLV_CONF).unwrap();
    std::fs::write(folder.path().join("hosts"), "127.0.0.1 receiver.internal\n").unwrap();
    let mount = "mount --bind $1/resolv.conf /etc/resolv.conf && mount --bind $1/hosts /etc/hosts && ";
    let again = format!("{mount} exec $2 --exact {THIS_TEST} --nocapture");
    let mut command = in_namespace(&again, folder.path());
    let ended = command.env(FOLDER, folder.path()).status().unwrap();
    assert!(ended.success());
}

/// A shell script as root of namespaces of its own, with a loopback interface; `$1` is the folder and `$2` this program.
fn in_namespace(script: &str, folder: &Path) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("ip link set lo up && {script}");
    command.args(["-rnm", "sh", "-c", &script, "sh"]).arg(folder);
    command.arg(std::env::current_exe().expect("a running program has a path"));
    command
}

fn inside(etc: &Path) {
    name_server();
    let folder = tempfile::tempdir().unwrap();
    let receiver = Scripted::start(|_| Reply::Status(200));
    let port = receiver.url().rsplit(':').next().unwrap().to_owned();
    let flags = ["--allow-nets", "127.0.0.0/8,::1/128", "--retry-schedule", "1s,1s"];
    let service = Service::start(folder.path(), &flags);

    for host in ["half.test", "my_host.test", "receiver.internal", "localhost"] {
        let delivery = send(&service, &format!("http://{host}:{port}/hook"));
        let delivered = until(&service, &delivery, |shown| shown["status"] == "delivered");
        assert_eq!(delivered["attempts"].as_array().unwrap().len(), 1, "{host}: {delivered}");
    }

    // The search list would lead to a receiver that answers 200.
    let before = receiver.seen().len();
    let delivery = send(&service, &format!("http://hooks.customer.test:{port}/hook"));
    let failed = until(&service, &delivery, |shown| shown["status"] == "exhausted");
    for attempt in failed["attempts"].as_array().unwrap() {
        assert_eq!(attempt["failure"]["code"], "dns_not_found", "{failed}");
    }
    assert_eq!(receiver.seen().len(), before);

    // Without a name server deliveries wait, and go on when there is one again.
    std::fs::write(etc.join("resolv.conf"), "search corp.test\n").unwrap();
    let (_, out, _) = run({
        let mut doctor = postrider(folder.path());
        doctor.args(["doctor", "--listen", "127.0.0.1:0"]);
        doctor
    });
    assert!(out.contains("no name server is configured in /etc/resolv.conf"), "{out}");
    let waiting = send(&service, &format!("http://later.test:{port}/hook"));
    let began = Instant::now();
    // Longer than the whole schedule of attempts would take.
    while began.elapsed() < Duration::from_secs(4) {
        let shown = service.get(&waiting);
        assert!(shown["status"] == "pending" && shown["attempt_count"] == 0, "{shown}");
    }
    std::fs::write(etc.join("resolv.conf"), RESOLV_CONF).unwrap();
    let delivered = until(&service, &waiting, |shown| shown["status"] == "delivered");
    assert_eq!(delivered["attempts"].as_array().unwrap().len(), 1, "{delivered}");
    assert!(service.terminate().success());
}

/// Sends an event to a new account's only endpoint; the path of its delivery.
fn send(service: &Service, url: &str) -> String {
    let account = service.account();
    service.endpoint(&account, url);
    let (status, taken) = service.post("/v1/events", &event(&account)).unwrap();
    assert_eq!(status, 202, "{taken}");
    format!("/v1/deliveries/{}", taken["deliveries"][0]["id"].as_str().unwrap())
}

fn until(service: &Service, delivery: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let shown = service.get(delivery);
        if is_so(&shown) {
            return shown;
        }
        assert!(began.elapsed() < PATIENCE, "{shown}");
    }
}

/// Answers on port 53: never about IPv6 addresses, and with 127.0.0.1 for every name but the customer's own zone.
fn name_server() {
    let socket = UdpSocket::bind("127.0.0.1:53").expect("the port of a machine of our own");
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut question) {
            let question = &question[..length];
            if let Some(reply) = reply_to(question) {
                socket.send_to(&reply, peer).expect("a datagram leaves");
            }
        }
    });
}

fn reply_to(question: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut at = 12;
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        name.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
        at = end;
    }
    let is_ipv4 = question[at + 2] == 1;
    let (name, asked) = (name.join("."), &question[12..at + 5]);
    let is_missing = name.starts_with("hooks.customer.test") && !name.ends_with(".corp.test");
    let (code, records) = if is_missing { (3, 0) } else { (0, u8::from(is_ipv4)) };
    if !is_missing && !is_ipv4 {
        return None;
    }
    let mut reply = question[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, records, 0, 0, 0, 0]);
    reply.extend(asked);
    if records > 0 {
        // The name again, type A, class IN, a minute, and four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}
