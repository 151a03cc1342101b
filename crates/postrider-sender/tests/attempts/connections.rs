//! Connections that can't be made, break, or stay silent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use postrider_core::attempt::FailureCode;
use postrider_sender::{AttemptRequest, Transport as _};
use tokio::net::{TcpListener, TcpStream};

use crate::receiver::{OK, Receiver};
use crate::setup::{SHORT, answered, attempt, failed_with, request, sender_with_names, short_attempt};

/// A port on which nothing listens.
async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test]
async fn a_refused_connection_is_called_so() {
    let port = free_port().await;
    let report = attempt(&format!("http://127.0.0.1:{port}/")).await;
    let detail = failed_with(&report, FailureCode::ConnectRefused);
    assert_eq!(detail, format!("nothing listens at 127.0.0.1:{port}"));
    assert!(report.timings.connect_us.is_some() && report.timings.first_byte_us.is_none());
}

/// A listener that never accepts, its queue filled until the next connection hangs. Both must be kept.
async fn unresponsive(address: SocketAddr) -> (socket2::Socket, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(1).expect("a bound socket listens");
    let address = address_of(&socket);
    let mut queued = Vec::new();
    while let Ok(connected) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        queued.push(connected.expect("a place in the queue"));
    }
    (socket, queued)
}

fn address_of(socket: &socket2::Socket) -> SocketAddr {
    socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address")
}

#[tokio::test]
async fn a_receiver_that_takes_no_connection_is_a_connect_timeout() {
    let (socket, _queued) = unresponsive("127.0.0.1:0".parse().unwrap()).await;
    let address = address_of(&socket);
    let report = short_attempt(&format!("http://{address}/")).await;
    let detail = failed_with(&report, FailureCode::ConnectTimeout);
    assert!(detail.contains(&address.to_string()) && detail.contains("200ms"), "{detail}");
    assert!(report.timings.connect_us.unwrap() >= 200_000 && report.timings.total_us >= 200_000);
}

#[tokio::test]
async fn a_receiver_that_says_nothing_is_a_timeout_at_the_deadline() {
    let receiver = Receiver::start(|mut peer| async move { peer.hang().await }).await;
    let began = Instant::now();
    let report = short_attempt(&receiver.url("/")).await;
    let detail = failed_with(&report, FailureCode::Timeout);
    assert_eq!(detail, format!("no answer from {} within 200ms", receiver.address));
    assert!(began.elapsed() >= SHORT);
    assert!(began.elapsed() < SHORT + Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(report.timings.total_us >= 200_000);
}

#[tokio::test]
async fn a_receiver_that_reads_nothing_of_a_large_body_is_a_timeout() {
    let receiver = Receiver::start(|peer| async move {
        std::future::pending::<()>().await;
        drop(peer);
    })
    .await;
    let large =
        AttemptRequest { timeout: SHORT, body: vec![b'x'; 64 << 20].into(), ..request(&receiver.url("/")) };
    failed_with(&crate::setup::sender().attempt(large).await, FailureCode::Timeout);
}

#[tokio::test]
async fn a_reset_before_the_answer_is_called_so_at_every_point() {
    for said in [None, Some(""), Some("HTTP/1.1 200 OK\r\nX-Half: ")] {
        let receiver = Receiver::start(move |mut peer| async move {
            let Some(said) = said else { return peer.reset() };
            peer.request().await;
            peer.say(said).await;
            peer.reset();
        })
        .await;
        let report = attempt(&receiver.url("/")).await;
        let detail = failed_with(&report, FailureCode::ConnectionReset);
        assert!(detail.contains(&receiver.address.to_string()), "{detail}");
        assert!(receiver.connections() == 1, "never repeated");
    }
}

#[tokio::test]
async fn a_close_before_the_answer_is_called_so_at_every_point() {
    for (said, words) in
        [("", "without an answer"), ("HTTP/1.1 200 OK\r\nX-Half: ", "25 bytes of a header block")]
    {
        let receiver = Receiver::start(move |mut peer| async move {
            peer.request().await;
            peer.say(said).await;
        })
        .await;
        let report = attempt(&receiver.url("/")).await;
        let detail = failed_with(&report, FailureCode::ConnectionClosed);
        assert!(detail.contains(words), "{detail}");
        assert_eq!((receiver.connections(), receiver.requests().len()), (1, 1), "never repeated");
    }
}

#[tokio::test]
async fn an_early_answer_to_an_unread_body_counts() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.first_bytes().await;
        peer.say("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").await;
        peer.hang().await;
    })
    .await;
    let large = AttemptRequest { body: vec![b'x'; 8 << 20].into(), ..request(&receiver.url("/")) };
    answered(&crate::setup::sender().attempt(large).await, 413);
}

#[tokio::test]
async fn the_next_checked_address_is_dialled_when_one_refuses() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender_with_names(|_| {
        Ok(vec!["::1".parse().unwrap(), "127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()])
    });
    let url = format!("http://several.example:{}/", receiver.address.port());
    answered(&sender.attempt(request(&url)).await, 200);
    let seen = String::from_utf8(receiver.requests().remove(0)).unwrap();
    assert!(seen.contains(&format!("\r\nHost: several.example:{}\r\n", receiver.address.port())), "{seen}");
}

#[tokio::test]
async fn when_every_address_refuses_the_last_is_named() {
    let sender = sender_with_names(|_| Ok(vec!["127.0.0.2".parse().unwrap(), "127.0.0.3".parse().unwrap()]));
    let port = free_port().await;
    let report = sender.attempt(request(&format!("http://down.example:{port}/"))).await;
    let detail = failed_with(&report, FailureCode::ConnectRefused);
    assert!(detail.contains("down.example (127.0.0."), "{detail}");
}

#[tokio::test]
async fn an_address_that_stays_silent_does_not_hold_up_the_next() {
    let receiver = Receiver::answering(OK).await;
    let port = receiver.address.port();
    let (_socket, _queued) = unresponsive(format!("127.0.0.2:{port}").parse().unwrap()).await;
    let sender = sender_with_names(|_| Ok(vec!["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()]));
    let report = sender.attempt(request(&format!("http://half-up.example:{port}/"))).await;
    answered(&report, 200);
    assert!(report.timings.connect_us.unwrap() >= 250_000, "the first was given its time");
}
