//! An endpoint that is paused, moved or deleted while a request to it is on its way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::receiver;
use crate::service::{Service, event};

const PATIENCE: Duration = Duration::from_secs(30);
const FLAGS: [&str; 4] = ["--allow-nets", "127.0.0.0/8", "--retry-schedule", "1s,1s,1s"];

/// A receiver that tells of each request, and answers it when it is told how.
struct Holding {
    url: String,
    arrived: Receiver<()>,
    answer: Sender<u16>,
}

impl Holding {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let ((tell, arrived), (answer, answers)) = (channel(), channel());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                drop(hold(&stream, &tell, &answers));
            }
        });
        Self { url, arrived, answer }
    }

    fn wait(&self) {
        self.arrived.recv_timeout(PATIENCE).expect("a request arrives");
    }
}

/// One connection, one request after the other.
fn hold(stream: &TcpStream, tell: &Sender<()>, answers: &Receiver<u16>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        tell.send(()).ok();
        let status = answers.recv().unwrap_or(500);
        (&*stream).write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
    }
}

/// A service with one endpoint at `url`, and a delivery to it.
struct Scene {
    service: Service,
    endpoint: String,
    delivery: String,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn at(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::start(folder.path(), &FLAGS);
        let account = service.account();
        let endpoint = service.endpoint(&account, url)["id"].as_str().unwrap().to_owned();
        let (status, accepted) = service.post("/v1/events", &event(&account)).unwrap();
        assert_eq!(status, 202, "{accepted}");
        let delivery = accepted["deliveries"][0]["id"].as_str().unwrap().to_owned();
        Self { service, endpoint, delivery, _folder: folder }
    }

    /// Waits until the delivery is as wanted.
    fn until(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let delivery = self.service.get(&format!("/v1/deliveries/{}", self.delivery));
            if is_so(&delivery) {
                return delivery;
            }
            assert!(began.elapsed() < PATIENCE, "{delivery}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn an_endpoint_paused_in_mid_attempt_keeps_its_delivery_until_it_is_resumed() {
    let receiver = Holding::open();
    let scene = Scene::at(&receiver.url);
    receiver.wait();
    assert_eq!(scene.service.post(&format!("/v1/endpoints/{}/pause", scene.endpoint), "").unwrap().0, 200);
    receiver.answer.send(500).unwrap();
    scene.until(|delivery| delivery["attempt_count"] == 1);
    let quiet = receiver.arrived.recv_timeout(Duration::from_millis(1_500));
    assert!(quiet.is_err(), "its retry is held");
    assert_eq!(scene.until(|_| true)["status"], "pending");
    assert_eq!(scene.service.post(&format!("/v1/endpoints/{}/resume", scene.endpoint), "").unwrap().0, 200);
    receiver.wait();
    receiver.answer.send(200).unwrap();
    let delivery = scene.until(|delivery| delivery["status"] == "delivered");
    assert_eq!(delivery["attempt_count"], 2, "{delivery}");
    assert!(scene.service.terminate().success());
}

#[test]
fn an_url_changed_in_mid_attempt_applies_from_the_next_one() {
    let (old, new) = (Holding::open(), receiver::Receiver::open());
    let scene = Scene::at(&old.url);
    old.wait();
    let change = format!(r#"{{"url":"{}"}}"#, new.url());
    assert_eq!(scene.service.patch(&format!("/v1/endpoints/{}", scene.endpoint), &change), 200);
    old.answer.send(500).unwrap();
    assert_eq!(scene.until(|delivery| delivery["status"] == "delivered")["attempt_count"], 2);
    assert_eq!(new.arrivals().len(), 1);
    assert!(old.arrived.try_recv().is_err(), "the old one got no second request");
    assert!(scene.service.terminate().success());
}

#[test]
fn an_endpoint_deleted_in_mid_attempt_ends_its_delivery_and_the_attempt_is_in_the_log() {
    let receiver = Holding::open();
    let scene = Scene::at(&receiver.url);
    receiver.wait();
    assert_eq!(scene.service.delete(&format!("/v1/endpoints/{}", scene.endpoint)), 204);
    assert_eq!(scene.until(|delivery| delivery["status"] != "pending")["status"], "cancelled");
    receiver.answer.send(500).unwrap();
    let logged = scene.until(|delivery| delivery["attempts"].as_array().unwrap().len() == 1);
    assert_eq!(logged["status"], "cancelled", "it is in the log, and changes nothing any more");
    assert!(scene.service.terminate().success());
}
