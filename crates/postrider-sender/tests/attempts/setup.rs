//! Senders and requests as the tests want them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use postrider_core::address::AddressGuard;
use postrider_core::attempt::{FailureCode, Outcome};
use postrider_core::field_name::FieldName;
use postrider_core::time::Timestamp;
use postrider_sender::{
    AttemptReport, AttemptRequest, Resolve, ResolveError, Resolved, Sender, SenderConfig, Tenant,
    Transport as _,
};
use tokio::time::Instant;

pub(crate) const BODY: &[u8] = b"{\"livemode\":false,\"n\":1.10, \"big\":12345678901234567890123}";
/// Long enough that only a broken sender runs into it.
pub(crate) const AMPLE: Duration = Duration::from_secs(10);
/// The deadline of attempts that shall run out of time.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// A guard that lets loopback pass, where the receivers are.
pub(crate) fn loopback_guard() -> AddressGuard {
    let nets = ["127.0.0.0/8", "::1/128"];
    AddressGuard {
        allow_nets: nets.iter().map(|net| net.parse().expect("a network")).collect(),
        ..AddressGuard::default()
    }
}

pub(crate) fn config() -> SenderConfig {
    SenderConfig { guard: loopback_guard(), resolver: Arc::new(NoNames), ..SenderConfig::default() }
}

pub(crate) fn sender() -> Sender {
    Sender::new(config()).expect("a sender")
}

/// A sender for which names lead where `names` says.
pub(crate) fn sender_with_names<F>(names: F) -> Sender
where
    F: Fn(&str) -> Result<Vec<IpAddr>, ResolveError> + Send + Sync + 'static,
{
    Sender::new(SenderConfig { resolver: Arc::new(Names(names)), ..config() }).expect("a sender")
}

/// For tests in which no name may be resolved.
struct NoNames;

#[async_trait]
impl Resolve for NoNames {
    async fn resolve(&self, host: &str, _: Tenant, _: Instant) -> Result<Resolved, ResolveError> {
        panic!("{host} was resolved, but a literal address needs no resolver")
    }
}

pub(crate) struct Names<F>(pub(crate) F);

#[async_trait]
impl<F> Resolve for Names<F>
where
    F: Fn(&str) -> Result<Vec<IpAddr>, ResolveError> + Send + Sync,
{
    async fn resolve(&self, host: &str, _: Tenant, _: Instant) -> Result<Resolved, ResolveError> {
        (self.0)(host).map(Resolved::from)
    }
}

pub(crate) fn request(url: &str) -> AttemptRequest {
    AttemptRequest {
        tenant: Tenant(1),
        url: url.parse().expect("a URL"),
        headers: vec![header("X-KASKO-Event", "policy.created"), header("X-KASKO-Delivery", "baf59150")],
        body: Bytes::from_static(BODY),
        timeout: AMPLE,
        fresh_connection: false,
        started_at: Timestamp::from_ms(784_111_777_000), // Sun, 06 Nov 1994 08:49:37 GMT
    }
}

pub(crate) fn header(name: &'static str, value: &'static str) -> (FieldName, HeaderValue) {
    (FieldName::parse(name).expect("a token"), HeaderValue::from_static(value))
}

/// One attempt at `url` with a new sender.
pub(crate) async fn attempt(url: &str) -> AttemptReport {
    sender().attempt(request(url)).await
}

/// One attempt that shall run out of time.
pub(crate) async fn short_attempt(url: &str) -> AttemptReport {
    sender().attempt(AttemptRequest { timeout: SHORT, ..request(url) }).await
}

/// Asserts the failure's code, and gives its words.
#[track_caller]
pub(crate) fn failed_with(report: &AttemptReport, expected: FailureCode) -> &str {
    match &report.outcome {
        Outcome::Failed { code, detail } => {
            assert_eq!(*code, expected, "{detail}");
            assert_eq!(report.response, None);
            detail
        }
        Outcome::Answered { status, .. } => panic!("answered {status}, expected {expected}"),
    }
}

/// Asserts the status of an answer.
#[track_caller]
pub(crate) fn answered(report: &AttemptReport, expected: u16) {
    match &report.outcome {
        Outcome::Answered { status, .. } => assert_eq!(*status, expected),
        Outcome::Failed { code, detail } => panic!("{code}: {detail}, expected {expected}"),
    }
    assert!(report.response.is_some());
}

#[track_caller]
pub(crate) fn body(report: &AttemptReport) -> (&[u8], bool) {
    let response = report.response.as_ref().expect("an answer");
    (&response.body, response.body_truncated)
}
