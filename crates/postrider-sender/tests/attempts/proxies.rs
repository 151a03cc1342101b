//! Attempts through the operator's proxy, over real sockets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postrider_core::attempt::FailureCode;
use postrider_sender::{
    AttemptReport, AttemptRequest, Proxy, Resolve, ResolveError, Resolved, Sender, SenderConfig, Tenant,
    Transport as _,
};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::receiver::{OK, Peer, Receiver};
use crate::setup::{AMPLE, BODY, Names, SHORT, answered, config, failed_with, request};

/// A proxy that makes the tunnels it is asked for; what was asked is in its requests.
pub(crate) async fn tunnelling() -> Receiver {
    Receiver::start(|mut peer: Peer| async move {
        let Some(asked) = peer.request().await else { return };
        let asked = String::from_utf8(asked).expect("a request is text");
        let address =
            asked.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("a tunnel");
        carry(peer, address).await;
    })
    .await
}

/// Makes a tunnel, and carries what goes through it until a side closes.
async fn carry(mut peer: Peer, address: &str) {
    let mut there = TcpStream::connect(address).await.expect("the receiver is there");
    peer.say("HTTP/1.1 200 Connection established\r\nX-Proxy: a\r\n\r\n").await;
    let (mut here, _) = peer.into_parts();
    drop(tokio::io::copy_bidirectional(&mut here, &mut there).await);
}

fn through(proxy: &str) -> Sender {
    let proxy: Proxy = proxy.parse().expect("a proxy's URL");
    Sender::new(SenderConfig { proxy: Some(proxy), ..config() }).expect("a sender")
}

/// The same where names lead where `names` says.
fn sender_with_names_through<F>(names: F, proxy: &str) -> Sender
where
    F: Fn(&str) -> Result<Vec<IpAddr>, ResolveError> + Send + Sync + 'static,
{
    let proxy: Proxy = proxy.parse().expect("a proxy's URL");
    let config = SenderConfig { resolver: Arc::new(Names(names)), proxy: Some(proxy), ..config() };
    Sender::new(config).expect("a sender")
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

/// One attempt through this proxy.
async fn attempt_through(proxy: &Receiver, timeout: Duration) -> AttemptReport {
    let sender = through(&format!("http://user:hunter2@{}", proxy.address));
    sender.attempt(AttemptRequest { timeout, ..request("http://127.0.0.1:9/hook") }).await
}

#[tokio::test]
async fn what_the_proxy_says_of_a_receiver_is_the_receivers_failure() {
    for status in ["403 Forbidden", "502 Bad Gateway", "504 Gateway Timeout"] {
        let proxy = Receiver::answering(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
        let report = attempt_through(&proxy, AMPLE).await;
        let detail = failed_with(&report, FailureCode::ConnectFailed);
        assert!(detail.contains(&format!("leave through answered {}", &status[..3])), "{detail}");
        let port = proxy.address.port().to_string();
        assert!(!detail.contains("hunter2") && !detail.contains(&port), "customers read this: {detail}");
        assert!(!report.not_made);
    }
    // Some proxies only hang up where they reach nobody.
    let report = attempt_through(&Receiver::start(|_peer| async {}).await, AMPLE).await;
    assert!(failed_with(&report, FailureCode::ConnectFailed).contains("closed the connection"));
    assert!(!report.not_made);
}

/// A customer's receiver must not have its attempts made for ever.
#[tokio::test]
async fn a_receiver_that_speaks_first_is_a_failed_attempt() {
    let proxy = Receiver::answering("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-OpenSSH_9.2\r\n").await;
    let report = attempt_through(&proxy, AMPLE).await;
    failed_with(&report, FailureCode::InvalidHttp);
    assert!(!report.not_made);
}

#[tokio::test]
async fn another_address_is_asked_for_where_the_first_is_refused_or_leads_nowhere() {
    let receiver = Receiver::answering(OK).await;
    for first in ["HTTP/1.1 500 Internal Server Error\r\n\r\n", "HTTP/1.1 403 Forbidden\r\n\r\n", ""] {
        let port = receiver.address.port();
        let proxy = Receiver::start(move |mut peer: Peer| async move {
            let asked = String::from_utf8(peer.request().await.expect("it asks")).expect("a request is text");
            if asked.starts_with("CONNECT [::1]") && first.is_empty() {
                peer.hang().await;
            } else if asked.starts_with("CONNECT [::1]") {
                peer.say(first).await;
            } else {
                carry(peer, &format!("127.0.0.1:{port}")).await;
            }
        })
        .await;
        let names = |_: &str| Ok(vec!["::1".parse().expect("v6"), "127.0.0.1".parse().expect("v4")]);
        let sender = sender_with_names_through(names, &format!("http://{}", proxy.address));
        let mut attempt = request(&format!("http://both.example:{port}/hook"));
        attempt.timeout = Duration::from_secs(2);
        answered(&sender.attempt(attempt).await, 200);
        assert_eq!(proxy.connections(), 2);
    }
}

#[tokio::test]
async fn a_proxy_that_can_t_be_used_uses_up_no_attempt() {
    let said = |answer: String| Receiver::answering(answer);
    let unwilling = [
        (
            said("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_owned()).await,
            "asks for a user and a password (407)",
        ),
        (said("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()).await, "does not answer in HTTP/1.1"),
        (
            said(format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(64 * 1024))).await,
            "more than 8192 bytes of headers",
        ),
    ];
    for (proxy, why) in &unwilling {
        let report = attempt_through(proxy, AMPLE).await;
        let detail = failed_with(&report, FailureCode::ConnectFailed);
        assert!(report.not_made && detail.contains(why) && !detail.contains("hunter2"), "{detail}");
    }
    let nobody = through("http://127.0.0.1:9").attempt(request("http://127.0.0.1:9/")).await;
    assert!(nobody.not_made, "{:?}", nobody.outcome);
    let unknown = sender_with_names_through(|_| Err(ResolveError::NotFound), "http://proxy.example:3128");
    assert!(unknown.attempt(request("http://127.0.0.1:9/")).await.not_made);
}

/// Nobody can tell that from a receiver that hangs behind it.
#[tokio::test]
async fn a_tunnel_that_is_never_made_runs_into_the_deadline() {
    let hanging = Receiver::start(|mut peer: Peer| async move {
        peer.request().await;
        peer.hang().await;
    })
    .await;
    let report = attempt_through(&hanging, SHORT).await;
    failed_with(&report, FailureCode::ConnectTimeout);
    assert!(!report.not_made);
}

/// The receiver's name is found after so long, the proxy's never.
struct Slow(Duration);

#[async_trait]
impl Resolve for Slow {
    async fn resolve(&self, host: &str, _: Tenant, _: Instant) -> Result<Resolved, ResolveError> {
        if host == "proxy.example" {
            std::future::pending::<()>().await;
        }
        drop(tokio::time::timeout(self.0, std::future::pending::<()>()).await);
        Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)].into())
    }
}

/// Who lets their name server answer just in time must not have their attempts made for ever.
#[tokio::test(start_paused = true)]
async fn a_proxy_that_was_hardly_given_time_is_not_the_one_at_fault() {
    for (named_after_ms, is_the_proxys) in [(10, true), (995, false)] {
        let resolver = Arc::new(Slow(Duration::from_millis(named_after_ms)));
        let proxy: Proxy = "http://proxy.example:3128".parse().expect("a proxy's URL");
        let sender =
            Sender::new(SenderConfig { resolver, proxy: Some(proxy), ..config() }).expect("a sender");
        let timeout = Duration::from_secs(1);
        let report = sender.attempt(AttemptRequest { timeout, ..request("http://slow.example:9/") }).await;
        assert_eq!(report.not_made, is_the_proxys, "{named_after_ms} ms: {:?}", report.outcome);
        if !is_the_proxys {
            failed_with(&report, FailureCode::ConnectTimeout);
        }
    }
}
