//! Names, addresses, and the guard between them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use postrider_core::address::AddressGuard;
use postrider_core::attempt::FailureCode;
use postrider_sender::{
    AttemptRequest, Resolve, ResolveError, Resolved, Sender, SenderConfig, Tenant, Transport as _,
};
use tokio::time::Instant;

use crate::receiver::{OK, Receiver};
use crate::setup::{SHORT, answered, config, failed_with, loopback_guard, request, sender_with_names};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[tokio::test]
async fn a_literal_address_is_checked_in_every_spelling() {
    let receiver = Receiver::answering(OK).await;
    let strict = Sender::new(SenderConfig { guard: AddressGuard::default(), ..config() }).unwrap();
    let port = receiver.address.port();
    for host in
        ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]"]
    {
        let report = strict.attempt(request(&format!("http://{host}:{port}/"))).await;
        let detail = failed_with(&report, FailureCode::AddressBlocked);
        assert!(detail.contains("which deliveries may not reach"), "{detail}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn one_forbidden_address_among_good_ones_blocks_the_attempt() {
    let receiver = Receiver::answering(OK).await;
    let url = format!("http://mixed.example:{}/", receiver.address.port());
    for forbidden in ["10.0.0.1", "169.254.169.254", "fd00::1", "::ffff:127.0.0.1", "100.64.0.1"] {
        let sender = sender_with_names(move |_| Ok(vec![ip("127.0.0.1"), ip(forbidden)]));
        let report = sender.attempt(request(&url)).await;
        let detail = failed_with(&report, FailureCode::AddressBlocked);
        assert!(detail.starts_with("mixed.example leads to ") && detail.contains(forbidden), "{detail}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn addresses_beyond_those_that_are_dialled_are_checked_too() {
    let sender = sender_with_names(|_| {
        let mut many = vec![ip("127.0.0.1"); 40];
        many.push(ip("10.0.0.1"));
        Ok(many)
    });
    let report = sender.attempt(request("http://many.example:1/")).await;
    failed_with(&report, FailureCode::AddressBlocked);
}

#[tokio::test]
async fn a_name_that_is_rebound_is_caught_at_the_next_connection() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let sender = sender_with_names({
        let asked = Arc::clone(&asked);
        move |host| {
            assert_eq!(host, "rebinding.example");
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(vec![ip(if first { "127.0.0.1" } else { "169.254.169.254" })])
        }
    });
    let url = format!("http://rebinding.example:{}/", receiver.address.port());
    answered(&sender.attempt(request(&url)).await, 200);
    failed_with(&sender.attempt(request(&url)).await, FailureCode::AddressBlocked);
    assert_eq!(asked.load(Ordering::SeqCst), 2, "resolved once for each connection");
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn names_without_addresses_and_silent_resolvers_have_their_codes() {
    for (answer, code) in [
        (Err(ResolveError::NotFound), FailureCode::DnsNotFound),
        (Ok(vec![]), FailureCode::DnsNotFound),
        (Err(ResolveError::Failed("the server is on fire".to_owned())), FailureCode::DnsFailed),
    ] {
        let sender = sender_with_names(move |_| answer.clone());
        let report = sender.attempt(request("http://nowhere.example/")).await;
        let detail = failed_with(&report, code);
        assert!(detail.starts_with("nowhere.example "), "{detail}");
        assert!(code != FailureCode::DnsFailed || detail.ends_with("the server is on fire"), "{detail}");
        assert!(report.timings.dns_us.is_some() && report.timings.connect_us.is_none());
    }
}

struct Silent;

#[async_trait]
impl Resolve for Silent {
    async fn resolve(&self, _host: &str, _: Tenant, _: Instant) -> Result<Resolved, ResolveError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_resolver_out_of_time_is_a_dns_failure() {
    let sender = Sender::new(SenderConfig { resolver: Arc::new(Silent), ..config() }).unwrap();
    let report = sender.attempt(AttemptRequest { timeout: SHORT, ..request("https://slow.example/") }).await;
    let detail = failed_with(&report, FailureCode::DnsFailed);
    assert!(detail.contains("200ms"), "{detail}");
}

#[tokio::test]
async fn rules_about_urls_hold_at_sending_time_too() {
    let receiver = Receiver::answering(OK).await;
    let port = receiver.address.port();
    for guard in [
        AddressGuard { require_https: true, ..loopback_guard() },
        AddressGuard { allow_ports: vec![443], ..loopback_guard() },
    ] {
        let sender = Sender::new(SenderConfig { guard, ..config() }).unwrap();
        failed_with(&sender.attempt(request(&receiver.url("/"))).await, FailureCode::AddressBlocked);
    }
    let allowed = AddressGuard { allow_ports: vec![port], ..loopback_guard() };
    let sender = Sender::new(SenderConfig { guard: allowed, ..config() }).unwrap();
    answered(&sender.attempt(request(&receiver.url("/"))).await, 200);
}

#[tokio::test]
async fn a_url_of_another_scheme_is_a_failure_and_no_panic() {
    for url in ["ftp://127.0.0.1/", "file:///etc/passwd", "data:text/plain,hello", "unix:/run/socket"] {
        let report = crate::setup::attempt(url).await;
        failed_with(&report, FailureCode::ConnectFailed);
        assert_eq!(report.request.url, url);
    }
}
