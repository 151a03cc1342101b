//! The real transport: its configuration, and an attempt from start to report.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use postrider_core::address::AddressGuard;
use postrider_core::attempt::{HeaderLog, Outcome, RequestLog, ResponseLog, Timings};
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use crate::connect::{Connector, Deadline, elapsed_us};
use crate::exchange::Exchange;
use crate::failed_addresses::FailedAddresses;
use crate::failure::Failure;
use crate::limits::DEFAULT_MAX_IDLE;
use crate::pool::Pool;
use crate::proxy::Proxy;
use crate::resolve::Resolve;
use crate::resolver::SystemResolver;
use crate::target::Target;
use crate::{AttemptReport, AttemptRequest, Transport, request, response, tls};

/// How a [`Sender`] behaves.
#[derive(Clone)]
pub struct SenderConfig {
    /// Where deliveries may go.
    pub guard: AddressGuard,
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Certificate authorities to trust beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Who turns names into addresses.
    pub resolver: Arc<dyn Resolve>,
    /// How many unused connections are kept open in all; 0 keeps none.
    pub max_idle: usize,
    /// The proxy that every connection goes through, where there is one.
    pub proxy: Option<Proxy>,
}

impl Default for SenderConfig {
    /// The guard at its strictest, this version's `User-Agent`, the public roots and the system's resolver.
    fn default() -> Self {
        Self {
            guard: AddressGuard::default(),
            user_agent: concat!("Postrider/", env!("CARGO_PKG_VERSION")).to_owned(),
            extra_roots: Vec::new(),
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
    /// The TLS configuration is unusable: one of the extra roots is not a CA certificate.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
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
        let SenderConfig { guard, user_agent, extra_roots, resolver, max_idle, proxy } = config;
        let Ok(user_agent) = HeaderValue::try_from(&user_agent) else {
            return Err(SenderError::UserAgent(user_agent));
        };
        let tls = tls::connector(&extra_roots)?;
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
        let request = request::build(attempt, &target, &self.user_agent)?;
        *sent = request::header_log(request.headers());

        let deadline = Deadline { at: began + attempt.timeout, timeout: attempt.timeout };
        let exchange = Exchange {
            connector: &self.connector,
            pool: &self.pool,
            user_agent: &self.user_agent,
            attempt,
            target: &target,
            deadline,
        };
        let exchanged = exchange.run(request, timings).await;
        let (mut link, answer) =
            exchanged.inspect_err(|failure| self.connector.note_failure(&target, attempt.tenant, failure))?;

        // The header block is whole, so the outcome is decided: nothing below can change it.
        timings.total_us = elapsed_us(began);
        let (head, body) = answer.into_parts();
        let now = attempt.started_at.plus(began.elapsed());
        let retry_after = response::retry_after(head.status, &head.headers, now);
        let outcome = Outcome::Answered { status: head.status.as_u16(), retry_after };

        let address = link.peer.ip();
        let goes_elsewhere =
            self.connector.failed.note(attempt.tenant, target.origin, address, outcome.is_received());
        let (kept, whole) = response::read(&mut link, &head.headers, body).await;
        if whole && !goes_elsewhere {
            self.pool.put(target.origin, link);
        }
        Ok((outcome, kept))
    }
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
            Ok((outcome, response)) => {
                AttemptReport { outcome, timings, request, response: Some(response), not_made: false }
            }
            Err(Failure { code, detail, not_made, .. }) => {
                timings.total_us = elapsed_us(began);
                let outcome = Outcome::Failed { code, detail };
                AttemptReport { outcome, timings, request, response: None, not_made }
            }
        }
    }
}
