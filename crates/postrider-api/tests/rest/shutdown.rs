//! The end of serving: what runs is finished, what is idle is closed, what hangs is dropped.

use std::time::Duration;

use postrider_api::ApiOptions;
use tokio::net::TcpStream;

use crate::harness::{PATIENCE, Service};

const HEAD: &str = "POST /v1/accounts HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n\
    Authorization: Bearer op_the_operators_key_of_this_test\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn a_running_request_is_finished_and_idle_connections_are_closed() {
    let service = Service::start().await;
    let address = service.address;
    let mut idle = service.connect().await;
    assert_eq!(idle.request("GET", "/healthz", &[], b"").await.status, 200);
    let mut running = service.connect().await;
    running.send(HEAD.as_bytes()).await;
    assert_eq!(running.answer().await.status, 100);

    let (served, engine, _folder) = service.tell_to_stop();
    assert!(tokio::time::timeout(PATIENCE, idle.is_closed()).await.unwrap());
    assert!(TcpStream::connect(address).await.is_err(), "nothing is accepted any more");
    running.send(br#"{"name":"a"}"#).await;
    let answer = running.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    assert!(running.is_closed().await);
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap().unwrap();
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_still_runs_after_the_grace_is_dropped() {
    let options = ApiOptions { grace: Duration::from_millis(50), ..ApiOptions::default() };
    let service = Service::start_with(options).await;
    let mut hanging = service.connect().await;
    hanging.send(HEAD.as_bytes()).await;
    assert_eq!(hanging.answer().await.status, 100);
    let (served, engine, _folder) = service.tell_to_stop();
    tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap().unwrap();
    assert!(tokio::time::timeout(PATIENCE, hanging.is_closed()).await.unwrap());
    engine.shutdown(Duration::ZERO).await;
}
