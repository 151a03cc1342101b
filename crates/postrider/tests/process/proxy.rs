//! Deliveries that leave through a proxy, which comes and goes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scripted::{Reply, Scripted};
use crate::service::{Service, event, postrider, run, serve};

const PATIENCE: Duration = Duration::from_secs(20);

/// A free port, and its address.
fn port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Wants a password of so many, and then makes every tunnel that it is asked for, until the test's process ends.
fn tunnel(listener: TcpListener, refused: usize) {
    std::thread::spawn(move || {
        for (number, here) in listener.incoming().map_while(Result::ok).enumerate() {
            std::thread::spawn(move || if number < refused { refuse(here) } else { carry(here) });
        }
    });
}

fn refuse(mut here: TcpStream) {
    head(&here);
    here.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").expect("it waits for this");
}

/// The request's first line, once all of its head is read.
fn head(here: &TcpStream) -> String {
    let mut lines = BufReader::new(here).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    lines.for_each(drop);
    first
}

fn carry(mut here: TcpStream) {
    let asked = head(&here);
    // Whoever only looks whether somebody is there asks for nothing.
    let Some(to) = asked.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else { return };
    let mut there = TcpStream::connect(to).expect("the receiver is there");
    here.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("it waits for this");
    let (mut back, mut out) = (there.try_clone().expect("a handle"), here.try_clone().expect("a handle"));
    std::thread::spawn(move || std::io::copy(&mut back, &mut out));
    drop(std::io::copy(&mut here, &mut there));
}

#[test]
fn while_the_proxy_can_t_be_used_deliveries_wait_and_use_up_no_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, (listener, proxy)) = (Scripted::start(|_| Reply::Status(200)), port());
    tunnel(listener, 2);
    let url = format!("http://user:secret@{proxy}");
    let service = Service::start(folder.path(), &["--allow-nets", "127.0.0.0/8", "--proxy", &url]);
    let account = service.account();
    service.endpoint(&account, &format!("{}/hook", receiver.url()));
    let (status, taken) = service.post("/v1/events", &event(&account)).unwrap();
    assert_eq!(status, 202, "{taken}");
    let delivery = format!("/v1/deliveries/{}", taken["deliveries"][0]["id"].as_str().unwrap());
    receiver.wait(PATIENCE, |seen| seen.len() == 1);
    let began = Instant::now();
    while service.get(&delivery)["status"] != "delivered" {
        assert!(began.elapsed() < PATIENCE, "{}", service.get(&delivery));
    }
    assert_eq!(service.get(&delivery)["attempts"].as_array().unwrap().len(), 1);
    assert!(!receiver.seen()[0].head.contains("proxy"), "{}", receiver.seen()[0].head);
    assert!(service.terminate().success());
}

#[test]
fn doctor_looks_for_the_proxy_and_nobody_shows_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, proxy) = port();
    drop(listener);
    let url = format!("http://user:secret@{proxy}");
    for status in ["problem", "good"] {
        let mut doctor = postrider(folder.path());
        doctor.args([
            "doctor",
            "--json",
            "--resolve",
            "localhost",
            "--listen",
            "127.0.0.1:0",
            "--proxy",
            &url,
        ]);
        let (code, out, err) = run(doctor);
        assert_eq!(code, Some(i32::from(status == "problem")), "{out}{err}");
        let found: Value = serde_json::from_str(&out).unwrap();
        let checks = found["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["area"] == "proxy").unwrap();
        assert_eq!(check["status"], status, "{check}");
        assert!(!out.contains("secret"), "{out}");
        if status == "problem" {
            tunnel(TcpListener::bind(proxy).expect("nobody took the port meanwhile"), 0);
        }
    }
    let mut shown = serve(folder.path());
    shown.args(["--print-config", "--proxy", &url]);
    let (_, out, _) = run(shown);
    assert!(out.contains(&format!("\"http://•••@{proxy}\"")) && !out.contains("secret"), "{out}");
}
