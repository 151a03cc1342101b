//! Names with several addresses: those that arrive later, and which of them an attempt begins at.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use postrider_core::attempt::FailureCode;
use postrider_sender::{
    AttemptRequest, Resolve, ResolveError, Resolved, Sender, SenderConfig, Tenant, Transport as _,
};
use tokio::time::Instant;

use crate::receiver::{OK, Receiver};
use crate::setup::{AMPLE, SHORT, answered, config, failed_with, request, sender_with_names};

/// A name whose addresses arrive in two parts, as text.
struct TwoParts(&'static str, Option<&'static [&'static str]>);

#[async_trait]
impl Resolve for TwoParts {
    async fn resolve(&self, _: &str, _: Tenant, _: Instant) -> Result<Resolved, ResolveError> {
        let later = self.1;
        let later = async move {
            let forever = std::future::pending::<()>();
            drop(tokio::time::timeout(Duration::from_millis(50), forever).await);
            match later {
                Some(later) => later.iter().map(|address| ip(address)).collect(),
                None => std::future::pending().await,
            }
        };
        Ok(Resolved { late: Some(Box::pin(later)), ..vec![ip(self.0)].into() })
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn sender_with(resolver: TwoParts) -> Sender {
    Sender::new(SenderConfig { resolver: Arc::new(resolver), ..config() }).expect("a sender")
}

#[tokio::test]
async fn an_address_that_arrives_later_is_dialled_if_the_first_does_not_take_the_connection() {
    let receiver = Receiver::answering(OK).await;
    let url = format!("http://late.example:{}/", receiver.address.port());
    // Nothing listens at 127.0.0.2.
    let report = sender_with(TwoParts("127.0.0.2", Some(&["127.0.0.1"]))).attempt(request(&url)).await;
    answered(&report, 200);
    let report = sender_with(TwoParts("127.0.0.2", Some(&[]))).attempt(request(&url)).await;
    failed_with(&report, FailureCode::ConnectRefused);
    let short = AttemptRequest { timeout: SHORT, ..request(&url) };
    let report = sender_with(TwoParts("127.0.0.2", None)).attempt(short).await;
    failed_with(&report, FailureCode::ConnectRefused);
    let report = sender_with(TwoParts("127.0.0.1", None)).attempt(request(&url)).await;
    answered(&report, 200);
}

#[tokio::test]
async fn an_address_that_arrives_later_is_checked_before_anything_more_is_dialled() {
    let receiver = Receiver::answering(OK).await;
    let url = format!("http://late.example:{}/", receiver.address.port());
    for later in [&["10.0.0.1"], &["::ffff:127.0.0.1"], &["2a00::5efe:7f00:1"]] {
        let report = sender_with(TwoParts("127.0.0.2", Some(later))).attempt(request(&url)).await;
        let detail = failed_with(&report, FailureCode::AddressBlocked);
        assert!(detail.starts_with("late.example leads to ") && detail.contains(later[0]), "{detail}");
    }
    let mixed = sender_with(TwoParts("127.0.0.2", Some(&["127.0.0.1", "10.0.0.1"])));
    failed_with(&mixed.attempt(request(&url)).await, FailureCode::AddressBlocked);
    assert_eq!(receiver.connections(), 0);
}

/// How a receiver fails that takes connections.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Silence,
    Reset,
    BadGateway,
    NoHttp,
}

#[tokio::test]
async fn a_retry_after_a_failure_at_one_address_begins_at_another() {
    for trouble in [Trouble::Silence, Trouble::Reset, Trouble::BadGateway, Trouble::NoHttp] {
        let good = Receiver::answering(OK).await;
        let port = good.address.port();
        let bad = Receiver::start_at(
            &SocketAddr::new(ip("127.0.0.2"), port).to_string(),
            move |mut peer| async move {
                while peer.request().await.is_some() {
                    match trouble {
                        Trouble::Silence => std::future::pending().await,
                        Trouble::Reset => return peer.reset(),
                        Trouble::BadGateway => {
                            peer.say("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n").await
                        }
                        Trouble::NoHttp => peer.say("220 mail.example ESMTP\r\n").await,
                    };
                }
            },
        )
        .await;
        let sender = sender_with_names(|_| Ok(vec![ip("127.0.0.2"), ip("127.0.0.1")]));
        let attempt = || request(&format!("http://two.example:{port}/"));
        let timeout = if matches!(trouble, Trouble::Silence) { SHORT } else { AMPLE };
        let first = sender.attempt(AttemptRequest { timeout, ..attempt() }).await;
        assert!(!first.outcome.is_received(), "{trouble:?}");
        for _retry in 0..3 {
            answered(&sender.attempt(attempt()).await, 200);
        }
        assert_eq!(bad.connections(), 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_waiting_connection_to_the_address_that_failed_last_is_not_used() {
    let good = Receiver::answering(OK).await;
    let port = good.address.port();
    // Well at first, and then it fails; the second connection to it keeps waiting meanwhile.
    let bad =
        Receiver::start_at(&SocketAddr::new(ip("127.0.0.2"), port).to_string(), |mut peer| async move {
            let mut requests = 0;
            while peer.request().await.is_some() {
                requests += 1;
                let status = if requests == 1 { "200 OK" } else { "503 Busy" };
                peer.say(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
            }
        })
        .await;
    let sender = sender_with_names(|_| Ok(vec![ip("127.0.0.2"), ip("127.0.0.1")]));
    let attempt = || sender.attempt(request(&format!("http://two.example:{port}/")));
    let (one, other) = tokio::join!(attempt(), attempt());
    assert!(one.outcome.is_received() && other.outcome.is_received());
    assert_eq!(bad.connections(), 2);
    answered(&attempt().await, 503);
    answered(&attempt().await, 200);
    assert_eq!(good.connections(), 1);
}

/// Finds the address after having waited for the service's own capacity.
struct Waited(Duration);

#[async_trait]
impl Resolve for Waited {
    async fn resolve(&self, _: &str, _: Tenant, _: Instant) -> Result<Resolved, ResolveError> {
        Ok(Resolved { waited: self.0, ..vec![ip("127.0.0.1")].into() })
    }
}

#[tokio::test]
async fn an_attempt_whose_lookup_waited_for_a_slot_is_made_later_with_its_whole_time() {
    let receiver = Receiver::answering(OK).await;
    let url = format!("http://slow.example:{}/", receiver.address.port());
    for (waited, is_made) in [(AMPLE / 100, true), (AMPLE / 2, false)] {
        let resolver = Arc::new(Waited(waited));
        let sender = Sender::new(SenderConfig { resolver, ..config() }).unwrap();
        let report = sender.attempt(request(&url)).await;
        assert_eq!(!report.not_made, is_made, "{:?}", report.outcome);
    }
    assert_eq!(receiver.connections(), 1);
}
