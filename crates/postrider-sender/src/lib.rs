//! One webhook attempt: resolve, address guard, connect, TLS, HTTP/1.1, a bounded read, and what came of it.
//!
//! The only crate that opens a connection to a receiver. A receiver's failure is data ([`Outcome`]), never an
//! error, and nothing a receiver does can make an attempt panic, grow or outlast its deadline. It neither signs
//! nor retries nor stores: exactly one request, except that a request that never touched a reused connection is
//! moved to a fresh one.
//!
//! [`Outcome`]: postrider_core::attempt::Outcome

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderValue;
use postrider_core::attempt::{Outcome, RequestLog, ResponseLog, Timings};
use postrider_core::field_name::FieldName;
use postrider_core::time::Timestamp;
use url::Url;

mod body;
mod connect;
mod dial;
mod failed_addresses;
mod failure;
mod fair_slots;
mod framing;
mod http_connection;
pub mod limits;
mod pool;
mod proxy;
mod request_head;
mod resolve;
mod resolver;
mod response_head;
mod round_trip;
mod sender;
mod stream;
mod target;
mod tenant;
mod tenant_cache;
mod tls;
mod tls_failure;
mod trust_store;

pub use proxy::{PROXY_RIGHT, Proxy};
pub use resolve::{LateAddresses, Resolve, ResolveError, Resolved};
pub use resolver::{ResolverFiles, SystemResolver};
pub use rustls::pki_types::CertificateDer;
pub use sender::{DEFAULT_USER_AGENT, Sender, SenderConfig, SenderError, check_user_agent};
pub use tenant::Tenant;
pub use trust_store::{TrustSource, TrustStore, TrustStoreError};

/// What to send.
#[derive(Debug, Clone)]
pub struct AttemptRequest {
    /// The account that the attempt is made for.
    pub tenant: Tenant,
    /// The endpoint's URL, as the address guard accepted it.
    pub url: Url,
    /// The contract's headers and the endpoint's own, in the order and the letter case in which they are sent. Those that
    /// the sender owns (`Host`, `Content-Length`, `Content-Type`, `User-Agent`, and what frames or negotiates a message)
    /// are passed over, and `Accept: */*` is added if there is no `Accept`. A value marked sensitive is sent as it is and
    /// masked in the log.
    pub headers: Vec<(FieldName, HeaderValue)>,
    /// The body, sent byte for byte.
    pub body: Bytes,
    /// The one deadline over name resolution, connecting, TLS, sending and the response's header block.
    pub timeout: Duration,
    /// Whether to send on a fresh connection, because an attempt for the same delivery failed on a reused one.
    pub fresh_connection: bool,
    /// When the attempt begins; a `Retry-After` date is read against it.
    pub started_at: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptReport {
    /// The outcome, decided when the response's header block was whole.
    pub outcome: Outcome,
    /// How long the phases took.
    pub timings: Timings,
    /// What was sent, with masked values.
    pub request: RequestLog,
    /// What came back, where a whole header block came back.
    pub response: Option<ResponseLog>,
    /// Whether nothing was tried, because the service itself had no file or port left, or its proxy can't be used: the
    /// receiver is not to blame, and the outcome says nothing of it.
    pub not_made: bool,
    /// Whether the request failed on a connection that had been used before. The next attempt for the same delivery should
    /// ask for a fresh one.
    pub on_reused_connection: bool,
}

/// Something that makes attempts: the [`Sender`], or a stand-in where the network must not be touched.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Makes one attempt. Ends at the latest [`postrider_core::limits::MAX_BODY_READ`] after the request's
    /// deadline. Dropping the future closes the connection.
    async fn attempt(&self, request: AttemptRequest) -> AttemptReport;
}
