//! The real transport: its configuration, and an attempt from start to report.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use postrider_core::address::AddressGuard;
use postrider_core::attempt::{HeaderLog, Outcome, RequestLog, ResponseLog, Timings};
use postrider_core::limits::MAX_BODY_READ;
use postrider_core::retry_after::parse_retry_after;
use tokio::time::{Instant, timeout_at};

use crate::body::{BodyDecoder, BodyEnd};
use crate::connect::{Connector, Deadline, elapsed_us};
use crate::failed_addresses::FailedAddresses;
use crate::failure::Failure;
use crate::framing::{BodyLength, Framing};
use crate::http_connection::HttpConnection;
use crate::limits::{DEFAULT_MAX_IDLE, MAX_USER_AGENT_BYTES};
use crate::pool::Pool;
use crate::proxy::Proxy;
use crate::request_head::RequestHead;
use crate::resolve::Resolve;
use crate::resolver::SystemResolver;
use crate::response_head::ResponseHead;
use crate::round_trip::RoundTrip;
use crate::target::Target;
use crate::trust_store::TrustStore;
use crate::{AttemptReport, AttemptRequest, Transport, tls};

/// The `User-Agent` of this version.
pub const DEFAULT_USER_AGENT: &str = concat!("Postrider/", env!("CARGO_PKG_VERSION"));

/// How a [`Sender`] behaves.
#[derive(Clone)]
pub struct SenderConfig {
    /// Where deliveries may go.
    pub guard: AddressGuard,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// The certificate authorities that receivers are checked against.
    pub trust: TrustStore,
    /// Who turns names into addresses.
    pub resolver: Arc<dyn Resolve>,
    /// How many unused connections are kept open in all; 0 keeps none.
    pub max_idle: usize,
    /// The proxy that every connection goes through, where there is one.
    pub proxy: Option<Proxy>,
}

impl Default for SenderConfig {
    /// The guard at its strictest, this version's `User-Agent`, the built-in authorities and the system's resolver.
    fn default() -> Self {
        Self {
            guard: AddressGuard::default(),
            user_agent: DEFAULT_USER_AGENT.to_owned(),
            trust: TrustStore::built_in(),
            resolver: Arc::new(SystemResolver::new()),
            max_idle: DEFAULT_MAX_IDLE,
            proxy: None,
        }
    }
}

/// Why a [`Sender`] can't be made.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// The `User-Agent` can't be a header's value.
    #[error("the user agent {0:?} can't be sent as a header")]
    UserAgent(String),
    /// The TLS configuration is unusable.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The header value of a user agent.
///
/// # Errors
/// The text is empty, longer than [`MAX_USER_AGENT_BYTES`], or has characters other than visible ASCII and spaces inside.
pub fn check_user_agent(text: &str) -> Result<HeaderValue, SenderError> {
    let is_visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let is_good = !text.is_empty() && text.len() <= MAX_USER_AGENT_BYTES && is_visible && text.trim() == text;
    let value = if is_good { HeaderValue::try_from(text).ok() } else { None };
    value.ok_or_else(|| SenderError::UserAgent(text.to_owned()))
}

/// Makes attempts over the network. Cheap to share behind an `Arc`; holds the connections that wait for reuse.
pub struct Sender {
    connector: Connector,
    pool: Arc<Pool>,
    user_agent: HeaderValue,
}

impl Sender {
    /// A sender that has touched neither the network nor the system's configuration yet.
    ///
    /// # Errors
    /// Where the configuration can't work.
    pub fn new(config: SenderConfig) -> Result<Self, SenderError> {
        let SenderConfig { guard, user_agent, trust, resolver, max_idle, proxy } = config;
        let user_agent = check_user_agent(&user_agent)?;
        let tls = tls::connector(&trust)?;
        let connector = Connector { guard, resolver, tls, proxy, failed: FailedAddresses::new() };
        Ok(Self { connector, pool: Pool::new(max_idle), user_agent })
    }

    /// From the request to the outcome and, where there was an answer, what is kept of it.
    async fn perform(
        &self,
        attempt: &AttemptRequest,
        began: Instant,
        sent: &mut HeaderLog,
        timings: &mut Timings,
    ) -> Result<(Outcome, ResponseLog), Failure> {
        let target = Target::of(&attempt.url)?;
        let request = RequestHead::write(attempt, &target, &self.user_agent)?;
        *sent = request.log;

        let round_trip = RoundTrip {
            connector: &self.connector,
            pool: &self.pool,
            attempt,
            target: &target,
            deadline: Deadline { at: began + attempt.timeout, timeout: attempt.timeout },
        };
        let responded = round_trip.run(&request.bytes, timings).await;
        let (mut connection, head) =
            responded.inspect_err(|failure| self.connector.note_failure(&target, attempt.tenant, failure))?;

        // The header block is complete, so the outcome is decided: nothing below can change it.
        timings.total_us = elapsed_us(began);
        let now = attempt.started_at.plus(began.elapsed());
        let ResponseHead { status, log, retry_after, framing } = head;
        let retry_after = retry_after.filter(|_| is_not_now(status));
        let retry_after = retry_after.and_then(|text| parse_retry_after(&text, now));
        let outcome = Outcome::Answered { status, retry_after };

        let address = connection.peer.ip();
        let goes_elsewhere =
            self.connector.failed.note(attempt.tenant, target.origin, address, outcome.is_received());
        let (body, end) = read_body(&mut connection, framing).await;
        if end == BodyEnd::Whole && !goes_elsewhere {
            self.pool.put(target.origin, attempt.tenant, &framing, connection);
        }
        let body_truncated = end == BodyEnd::CutOff || !framing.is_certain;
        Ok((outcome, ResponseLog { headers: log, body, body_truncated }))
    }
}

/// Whether a status says "not now": with these two, `Retry-After` is followed.
fn is_not_now(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// Reads as much of the body as the log keeps, for at most [`MAX_BODY_READ`].
async fn read_body(connection: &mut HttpConnection, framing: Framing) -> (Bytes, BodyEnd) {
    if framing.body == BodyLength::Fixed(0) {
        return (Bytes::new(), BodyEnd::Whole);
    }
    let mut decoder = BodyDecoder::new(framing.body);
    let until = Instant::now() + MAX_BODY_READ;
    let end = timeout_at(until, connection.read_body(&mut decoder)).await.unwrap_or(BodyEnd::CutOff);
    (Bytes::from(decoder.kept), end)
}

#[async_trait]
impl Transport for Sender {
    async fn attempt(&self, attempt: AttemptRequest) -> AttemptReport {
        let began = Instant::now();
        let mut timings = Timings::default();
        let mut headers = HeaderLog::default();
        let performed = self.perform(&attempt, began, &mut headers, &mut timings).await;
        let request = RequestLog { url: attempt.url.into(), headers };
        match performed {
            Ok((outcome, response)) => AttemptReport {
                outcome,
                timings,
                request,
                response: Some(response),
                not_made: false,
                on_reused_connection: false,
            },
            Err(Failure { code, detail, not_made, on_reused_connection, .. }) => {
                timings.total_us = elapsed_us(began);
                let outcome = Outcome::Failed { code, detail };
                AttemptReport { outcome, timings, request, response: None, not_made, on_reused_connection }
            }
        }
    }
}
