//! Attempts through the operator's proxy, over real sockets.

use postrider_core::attempt::FailureCode;
use postrider_sender::{Proxy, Sender, SenderConfig, Transport as _};
use tokio::net::TcpStream;

use crate::receiver::{OK, Peer, Receiver};
use crate::setup::{BODY, SHORT, answered, config, failed_with, request};

/// A proxy that makes the tunnels it is asked for; what was asked is in its requests.
pub(crate) async fn tunnelling() -> Receiver {
    Receiver::start(|mut peer: Peer| async move {
        let Some(asked) = peer.request().await else { return };
        let asked = String::from_utf8(asked).expect("a request is text");
        let address =
            asked.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("a tunnel");
        let mut there = TcpStream::connect(address).await.expect("the receiver is there");
        peer.say("HTTP/1.1 200 Connection established\r\nX-Proxy: a\r\n\r\n").await;
        let (mut here, _) = peer.into_parts();
        // Whichever side closes first ends it.
        drop(tokio::io::copy_bidirectional(&mut here, &mut there).await);
    })
    .await
}

fn through(proxy: &str) -> Sender {
    let proxy: Proxy = proxy.parse().expect("a proxy's URL");
    Sender::new(SenderConfig { proxy: Some(proxy), ..config() }).expect("a sender")
}

#[tokio::test]
async fn a_delivery_goes_through_the_tunnel_and_the_connection_is_used_again() {
    let (receiver, proxy) = (Receiver::answering(OK).await, tunnelling().await);
    let sender = through(&format!("http://user:pass@{}", proxy.address));
    let url = format!("http://{}/hook", receiver.address);
    for _ in 0..2 {
        answered(&sender.attempt(request(&url)).await, 200);
    }
    let asked = String::from_utf8(proxy.requests()[0].clone()).unwrap();
    let address = receiver.address;
    assert_eq!(
        asked,
        format!(
            "CONNECT {address} HTTP/1.1\r\nHost: {address}\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        )
    );
    assert_eq!((proxy.connections(), receiver.connections(), receiver.requests().len()), (1, 1, 2));
    let arrived = &receiver.requests()[0];
    assert!(arrived.starts_with(b"POST /hook HTTP/1.1\r\n") && arrived.ends_with(BODY));
    assert!(
        !String::from_utf8_lossy(arrived).to_lowercase().contains("proxy"),
        "the receiver sees none of it"
    );
}

#[tokio::test]
async fn the_guard_holds_behind_a_proxy() {
    let proxy = tunnelling().await;
    let report = through(&format!("http://{}", proxy.address)).attempt(request("http://10.0.0.1/hook")).await;
    failed_with(&report, FailureCode::AddressBlocked);
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn what_the_proxy_says_of_a_receiver_is_the_receivers_failure() {
    for status in ["403 Forbidden", "502 Bad Gateway", "504 Gateway Timeout"] {
        let proxy = Receiver::answering(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        let url = format!("http://user:pass@{}", proxy.address);
        let report = through(&url).attempt(request("http://127.0.0.1:9/hook")).await;
        let detail = failed_with(&report, FailureCode::ConnectFailed);
        assert!(detail.contains("made no connection to") && detail.contains(&status[..3]), "{detail}");
        assert!(!detail.contains("pass"), "{detail}");
        assert!(!report.not_made);
    }
}

#[tokio::test]
async fn a_proxy_that_can_t_be_used_uses_up_no_attempt() {
    let said = |answer: &'static str| Receiver::answering(answer);
    let unwilling = [
        (
            said("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await,
            "asks for a user and a password (407)",
        ),
        (said("SSH-2.0-OpenSSH_9.2\r\n\r\n").await, "does not answer in HTTP/1.1"),
        (said("HTTP/1.1 200 OK\r\n\r\nand more").await, "sent more than an answer"),
        // It closes or resets, as it comes.
        (Receiver::start(|_peer| async {}).await, "the connection"),
    ];
    for (proxy, why) in &unwilling {
        let report =
            through(&format!("http://{}", proxy.address)).attempt(request("http://127.0.0.1:9/")).await;
        let detail = failed_with(&report, FailureCode::ConnectFailed);
        assert!(report.not_made && detail.contains(why), "{detail}");
    }
    let nobody = through("http://127.0.0.1:9").attempt(request("http://127.0.0.1:9/")).await;
    assert!(nobody.not_made, "{:?}", nobody.outcome);
}

#[tokio::test]
async fn a_proxy_that_hangs_or_never_ends_its_answer_is_bounded() {
    let hanging = Receiver::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.hang().await;
    })
    .await;
    let endless = Receiver::answering(format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(64 * 1024))).await;
    let mut attempt = request("http://127.0.0.1:9/");
    attempt.timeout = SHORT;
    let report = through(&format!("http://{}", hanging.address)).attempt(attempt.clone()).await;
    failed_with(&report, FailureCode::ConnectTimeout);
    attempt.timeout = crate::setup::AMPLE;
    let report = through(&format!("http://{}", endless.address)).attempt(attempt).await;
    assert!(failed_with(&report, FailureCode::ConnectFailed).contains("more than 8192 bytes"));
}
