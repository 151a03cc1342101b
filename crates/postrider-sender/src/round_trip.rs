//! One request and its response's head, on a waiting connection or a fresh one, within one deadline.

use std::sync::Arc;

use postrider_core::attempt::{FailureCode, Timings};
use tokio::time::{Instant, timeout_at};

use crate::AttemptRequest;
use crate::connect::{Connector, Deadline, elapsed_us};
use crate::failure::Failure;
use crate::http_connection::HttpConnection;
use crate::pool::Pool;
use crate::response_head::ResponseHead;
use crate::target::Target;

/// An attempt under way.
pub(crate) struct RoundTrip<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) attempt: &'a AttemptRequest,
    pub(crate) target: &'a Target<'a>,
    pub(crate) deadline: Deadline,
}

impl RoundTrip<'_> {
    /// Sends the request and waits for the head of the response.
    ///
    /// Sent once. The one exception: where a waiting connection turns out to be dead before a byte of the request
    /// was handed to it, the receiver can't have seen anything, and the request goes on a fresh one.
    pub(crate) async fn run(
        &self,
        head: &[u8],
        timings: &mut Timings,
    ) -> Result<(Box<HttpConnection>, ResponseHead), Failure> {
        // One that must not be used is closed: a receiver that serves one connection at a time would never come to the fresh
        // one.
        let waiting = self.pool.take(self.target.origin).filter(|_| !self.attempt.fresh_connection);
        // A connection to the address where the last attempt failed is closed: a retry begins at another one.
        let waiting = waiting.filter(|connection| {
            let (tenant, origin) = (self.attempt.tenant, self.target.origin);
            !self.connector.failed.failed_last_at(tenant, origin, connection.peer.ip())
        });
        if let Some(mut connection) = waiting {
            match self.send(&mut connection, head, timings).await {
                Ok(response) => return Ok((connection, response)),
                Err(failure) => {
                    let is_silence = failure.code == FailureCode::Timeout;
                    if is_silence || !connection.wrote_nothing() {
                        self.pool.distrust(self.target.origin, !is_silence);
                        return Err(Failure { on_reused_connection: true, ..failure });
                    }
                }
            }
        }
        // Boxed because it is large and, with connections reused, rare.
        let connected = self.connector.connect(self.target, self.attempt.tenant, self.deadline, timings);
        let mut connection = Box::pin(connected).await?;
        let response = self.send(&mut connection, head, timings).await?;
        Ok((connection, response))
    }

    async fn send(
        &self,
        connection: &mut HttpConnection,
        head: &[u8],
        timings: &mut Timings,
    ) -> Result<ResponseHead, Failure> {
        let began = Instant::now();
        let responded = timeout_at(self.deadline.at, connection.send(head, &self.attempt.body)).await;
        let place = self.target.at(connection.peer);
        match responded {
            Ok(Ok(response)) => {
                timings.first_byte_us = Some(elapsed_us(began));
                Ok(response)
            }
            Ok(Err(error)) => {
                Err(Failure::of_exchange(place, connection.read_bytes(), &error).at(connection.peer))
            }
            Err(_deadline) => {
                let failure = Failure::of_silence(place, connection.read_bytes(), self.deadline.timeout);
                Err(failure.at(connection.peer))
            }
        }
    }
}
