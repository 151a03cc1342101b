//! One request and its answer's header block, on a waiting connection or a fresh one, within one deadline.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use postrider_core::attempt::{FailureCode, Timings};
use tokio::time::{Instant, timeout_at};

use crate::AttemptRequest;
use crate::connect::{Connector, Deadline, elapsed_us};
use crate::failure::Failure;
use crate::link::Link;
use crate::pool::Pool;
use crate::request;
use crate::target::Target;

/// An attempt under way.
pub(crate) struct Exchange<'a> {
    pub(crate) connector: &'a Connector,
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) user_agent: &'a HeaderValue,
    pub(crate) attempt: &'a AttemptRequest,
    pub(crate) target: &'a Target<'a>,
    pub(crate) deadline: Deadline,
}

impl Exchange<'_> {
    /// Sends the request and waits for the header block of the answer.
    ///
    /// Sent once. The one exception: where a waiting connection turns out to be dead before a byte of the request
    /// was handed to it, the receiver can't have seen anything, and the request goes on a fresh one.
    pub(crate) async fn run(
        &self,
        request: Request<Full<Bytes>>,
        timings: &mut Timings,
    ) -> Result<(Box<Link>, Response<Incoming>), Failure> {
        let mut request = request;
        // A connection to the address where the last attempt failed is closed: a retry begins at another one.
        let waiting = self.pool.take(self.target.origin).filter(|link| {
            !self.connector.failed.failed_last_at(self.attempt.tenant, self.target.origin, link.peer.ip())
        });
        if let Some(mut link) = waiting {
            match self.send(&mut link, request, timings).await {
                Ok(response) => return Ok((link, response)),
                Err(failure) if failure.code == FailureCode::Timeout || !link.wrote_nothing() => {
                    return Err(failure);
                }
                Err(_nothing_was_sent) => {}
            }
            request = request::build(self.attempt, self.target, self.user_agent)?;
        }
        // Boxed because it is large and, with connections reused, rare.
        let connected = self.connector.connect(self.target, self.attempt.tenant, self.deadline, timings);
        let mut link = Box::pin(connected).await?;
        let response = self.send(&mut link, request, timings).await?;
        Ok((link, response))
    }

    async fn send(
        &self,
        link: &mut Link,
        request: Request<Full<Bytes>>,
        timings: &mut Timings,
    ) -> Result<Response<Incoming>, Failure> {
        let began = Instant::now();
        let answered = timeout_at(self.deadline.at, link.send(request)).await;
        let place = self.target.at(link.peer);
        match answered {
            Ok(Ok(response)) => {
                timings.first_byte_us = Some(elapsed_us(began));
                Ok(response)
            }
            Ok(Err(error)) => Err(Failure::of_exchange(place, link, &error).at(link.peer)),
            Err(_deadline) => Err(Failure::of_silence(place, link, self.deadline.timeout).at(link.peer)),
        }
    }
}
