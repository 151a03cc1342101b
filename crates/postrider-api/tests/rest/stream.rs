//! The stream of finished attempts as a client meets it.

use std::time::Duration;

use postrider_api::ApiOptions;
use postrider_core::attempt::FailureCode;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::client::Connection;
use crate::harness::{Account, OPERATOR_KEY, PATIENCE, Service, event_body, payload};

const PATH: &str = "/v1/deliveries/stream";

/// An open stream. Each of its pieces is one chunk of the body, so that its lines can be read as they come.
struct Stream {
    connection: TcpStream,
    text: String,
}

/// One event: its id, its name and its data.
#[derive(Debug)]
struct Event {
    id: Option<String>,
    name: String,
    data: Value,
}

impl Stream {
    async fn open(service: &Service, key: &str, query: &str, last_event_id: Option<&str>) -> Self {
        let mut connection = Connection::open(service.address).await;
        let last = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let head =
            format!("GET {PATH}{query} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n{last}\r\n");
        connection.send(head.as_bytes()).await;
        let mut stream = Self { connection: connection.stream, text: String::new() };
        let head = stream.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/event-stream\r\n"), "{head}");
        // From here on it is live.
        stream.until("retry: 2000\n\n").await;
        stream
    }

    /// Reads up to a text and gives what came with it.
    async fn until(&mut self, end: &str) -> String {
        let reading = async {
            loop {
                if let Some(at) = self.text.find(end) {
                    return self.text.drain(..at + end.len()).collect();
                }
                let mut buffer = vec![0; 4_096];
                let count = self.connection.read(&mut buffer).await.unwrap();
                assert!(count > 0, "the stream was closed after {:?}", self.text);
                self.text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap()
    }

    async fn event(&mut self) -> Event {
        self.until("event: ").await.lines().for_each(drop);
        let name = self.until("\n").await.trim().to_owned();
        let data = self.until("\n\n").await;
        let data = serde_json::from_str(data.trim().strip_prefix("data: ").unwrap()).unwrap();
        Event { id: None, name, data }
    }

    /// The next attempt, with its id.
    async fn attempt(&mut self) -> Event {
        self.until("id: ").await;
        let id = self.until("\n").await.trim().to_owned();
        let event = self.event().await;
        assert_eq!(event.name, "attempt", "{event:?}");
        Event { id: Some(id), ..event }
    }

    /// Whether nothing comes any more, in an orderly way.
    async fn ends(mut self) -> bool {
        self.until("0\r\n\r\n").await;
        true
    }
}

/// A service whose receivers answer.
async fn service_with(options: ApiOptions) -> Service {
    let service = Service::start_with(options).await;
    service.receivers.answer_with(200);
    service
}

async fn live_event(service: &Service, account: &Account) -> Value {
    let body = event_body(&account.id, &payload(true));
    service.operator("POST", "/v1/events", &body).await.json()
}

#[tokio::test]
async fn each_finished_attempt_is_one_event_with_what_the_log_tells_of_it() {
    let service = service_with(ApiOptions::default()).await;
    let account = service.account("a").await;
    let endpoint = service.endpoint(&account, json!({})).await;
    let mut stream = Stream::open(&service, OPERATOR_KEY, "", None).await;
    let event = service.event(&account).await;
    let told = stream.attempt().await.data;
    let delivery = &event["deliveries"][0]["id"];
    let started_at = &told["attempt"]["started_at"];
    assert_eq!(
        told,
        json!({
            "delivery": delivery, "event": event["id"], "type": "policy.created", "account": account.id,
            "endpoint": endpoint["id"], "livemode": false, "status": "delivered", "next_attempt_at": null,
            "attempt": {
                "number": 1, "probe": false, "started_at": started_at, "total_ms": 2.125,
                "outcome": "received", "status": 200, "failure": null,
            },
        })
    );
    let logged = service.wait_for_delivery(delivery, |row| row["status"] == "delivered").await;
    assert_eq!(logged["attempts"][0]["started_at"], *started_at);
    service.receivers.answer_with(500);
    service.event(&account).await;
    let told = stream.attempt().await.data;
    assert_eq!((&told["status"], &told["attempt"]["failure"]["code"]), (&json!("pending"), &json!("status")));
    assert!(told["next_attempt_at"].is_string());
    service.stop().await;
}

#[tokio::test]
async fn a_stream_that_broke_off_goes_on_behind_its_last_event() {
    let service = service_with(ApiOptions::default()).await;
    let account = service.account("a").await;
    service.endpoint(&account, json!({})).await;
    let mut stream = Stream::open(&service, OPERATOR_KEY, "", None).await;
    service.event(&account).await;
    let last = stream.attempt().await.id.unwrap();
    drop(stream);
    let mut missed = Vec::new();
    for _ in 0..3 {
        let event = service.event(&account).await;
        let id = event["deliveries"][0]["id"].clone();
        service.wait_for_delivery(&id, |row| row["status"] == "delivered").await;
        missed.push(id);
    }
    let mut stream = Stream::open(&service, OPERATOR_KEY, "", Some(&last)).await;
    let mut told = Vec::new();
    for _ in &missed {
        told.push(stream.attempt().await.data["delivery"].clone());
    }
    assert_eq!(told, missed);
    let event = service.event(&account).await;
    assert_eq!(stream.attempt().await.data["delivery"], event["deliveries"][0]["id"]);
    service.stop().await;
}

#[tokio::test]
async fn a_key_s_stream_shows_its_own_account_and_mode_alone() {
    let service = service_with(ApiOptions::default()).await;
    let (a, b) = (service.account("a").await, service.account("b").await);
    for account in [&a, &b] {
        service.endpoint(account, json!({})).await;
        service.endpoint(account, json!({ "livemode": true })).await;
    }
    let mut streams = Vec::new();
    for (key, account, livemode) in
        [(&a.live_key, &a, true), (&a.test_key, &a, false), (&b.live_key, &b, true), (&b.test_key, &b, false)]
    {
        let query = format!("?account={}&livemode={livemode}", account.id);
        streams.push((Stream::open(&service, key, "", None).await, account, livemode));
        streams.push((Stream::open(&service, key, &query, None).await, account, livemode));
    }
    for _ in 0..2 {
        for account in [&a, &b] {
            service.event(account).await;
            live_event(&service, account).await;
        }
    }
    for (stream, account, livemode) in &mut streams {
        for _ in 0..2 {
            let told = stream.attempt().await.data;
            assert_eq!((&told["account"], &told["livemode"]), (&json!(account.id), &json!(livemode)));
        }
    }
    let other = format!("{PATH}?account={}", b.id);
    for path in [other.as_str(), "/v1/deliveries/stream?livemode=true"] {
        let answer = service.call(&a.test_key, "GET", path, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{path}");
    }
    // From the beginning of the log on it is the same.
    let mut log = Stream::open(&service, &b.live_key, "", Some("0-0-0")).await;
    for _ in 0..2 {
        let told = log.attempt().await.data;
        assert_eq!((&told["account"], &told["livemode"]), (&json!(b.id), &json!(true)));
    }
    live_event(&service, &b).await;
    assert_eq!(log.attempt().await.data["account"], json!(b.id));
    service.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_for_a_stream_is_said_before_it_begins() {
    let service = Service::start().await;
    for (query, named) in [("?limit=5", "limit"), ("?status=lost", "status"), ("?since=now", "since")] {
        let answer = service.operator("GET", &format!("{PATH}{query}"), "").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "bad_parameter"), "{query}");
        assert!(answer.detail().contains(named), "{}", answer.detail());
    }
    let key = format!("Bearer {OPERATOR_KEY}");
    let headers = [("Authorization", key.as_str()), ("Last-Event-ID", "yesterday")];
    let answer = service.connect().await.request("GET", PATH, &headers, b"").await;
    assert_eq!(answer.status, 400);
    assert!(answer.detail().contains("Last-Event-ID"), "{}", answer.detail());
    assert_eq!(service.connect().await.request("GET", PATH, &[], b"").await.status, 401);
    service.stop().await;
}

#[tokio::test]
async fn a_quiet_stream_shows_that_it_is_there_and_ends_with_its_key() {
    let options = ApiOptions { stream_heartbeat: Duration::from_millis(20), ..ApiOptions::default() };
    let service = service_with(options).await;
    let account = service.account("a").await;
    let mut stream = Stream::open(&service, &account.test_key, "", None).await;
    stream.until(": still here\n\n").await;
    stream.until(": still here\n\n").await;
    let path = format!("/v1/accounts/{}", account.id);
    assert_eq!(service.operator("DELETE", &path, "").await.status, 204);
    let end = stream.event().await;
    assert_eq!((end.name.as_str(), &end.data["reason"]), ("end", &json!("unauthorized")));
    assert!(stream.ends().await);
    service.stop().await;
}

#[tokio::test]
async fn so_many_streams_are_open_and_no_more() {
    let service = service_with(ApiOptions { max_streams: 4, ..ApiOptions::default() }).await;
    let account = service.account("a").await;
    let first = Stream::open(&service, &account.test_key, "", None).await;
    let refused = service.call(&account.live_key, "GET", PATH, "").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Stream::open(&service, OPERATOR_KEY, "", None).await);
    }
    assert_eq!(service.operator("GET", PATH, "").await.status, 503);
    drop(first);
    // The slot is free once the server has noticed, which it does when it next writes.
    let opened = async {
        loop {
            let head = format!(
                "HEAD {PATH} HTTP/1.1\r\nHost: api\r\nConnection: close\r\nAuthorization: Bearer {OPERATOR_KEY}\r\n\r\n"
            );
            let mut connection = service.connect().await;
            connection.send(head.as_bytes()).await;
            let mut answer = String::new();
            connection.stream.read_to_string(&mut answer).await.unwrap();
            if answer.starts_with("HTTP/1.1 200 ") {
                return;
            }
            service.event(&account).await;
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.unwrap();
    drop(others);
    service.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_service_does_and_does_not_hold_it_up() {
    let service = service_with(ApiOptions::default()).await;
    let mut stream = Stream::open(&service, OPERATOR_KEY, "", None).await;
    let (served, engine, _folder) = service.tell_to_stop();
    let end = stream.event().await;
    assert_eq!((end.name.as_str(), &end.data["reason"]), ("end", &json!("shutting_down")));
    assert!(stream.ends().await);
    tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap().unwrap();
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_customers_stream_names_no_internal_address_and_the_operators_does() {
    let service = Service::start().await;
    let account = service.account("a").await;
    let detail = "inside.corp leads to 10.1.2.3, a private address, which deliveries may not reach";
    service.receivers.fail_with(FailureCode::AddressBlocked, detail);
    let mut of_operator = Stream::open(&service, OPERATOR_KEY, "", None).await;
    let mut of_customer = Stream::open(&service, &account.test_key, "", None).await;
    service.endpoint(&account, json!({ "retry_schedule": ["1h"] })).await;
    service.event(&account).await;
    let told = async |stream: &mut Stream| stream.event().await.data["attempt"]["failure"]["detail"].clone();
    assert_eq!(told(&mut of_operator).await, detail);
    assert_eq!(told(&mut of_customer).await, "inside.corp leads to a forbidden address");
    drop((of_operator, of_customer));
    service.stop().await;
}
