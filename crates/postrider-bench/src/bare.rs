//! The bare limit: the contract's signed POST in a loop, from the service's own HTTP library to the receiver.
//! No queue, no store, no retry: what nobody can beat on this machine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use postrider_core::catalogue::Catalogue;
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::cli::BareArgs;
use crate::post::Connection;
use crate::{clock, statistics};

/// What one run of the loop came to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Bare {
    /// POSTs answered with 200.
    pub(crate) requests: u64,
    /// From the first POST to the last answer.
    pub(crate) seconds: f64,
    /// User and system time of the posting process over the same span.
    pub(crate) cpu_seconds: f64,
}

impl Bare {
    pub(crate) fn per_second(&self) -> f64 {
        statistics::count(self.requests) / self.seconds
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu_seconds * 1e6 / statistics::count(self.requests)
    }
}

/// The contract's example of `policy.created`.
pub(crate) fn payload() -> anyhow::Result<String> {
    let catalogue = Catalogue::built_in();
    let example = catalogue.get(EVENT_TYPE).and_then(|known| known.example());
    Ok(example.context("the catalogue lacks the example's type")?.to_owned())
}

/// The type of every event here.
pub(crate) const EVENT_TYPE: &str = "policy.created";

/// Runs the loop.
pub(crate) async fn run(args: BareArgs) -> anyhow::Result<Bare> {
    let body = Bytes::from(payload()?);
    let start = Arc::new(Barrier::new(usize::try_from(args.connections)? + 1));
    let mut loops = JoinSet::new();
    for index in 0..args.connections {
        let connection = Connection::open(args.to).await?;
        let (start, body) = (Arc::clone(&start), body.clone());
        let lasting = Duration::from_secs(args.seconds);
        loops.spawn(async move {
            start.wait().await;
            post_until(connection, u128::from(index) << 64, &body, lasting).await
        });
    }
    start.wait().await;
    let (began_ns, began_cpu_ns) = (clock::now_ns(), clock::own_cpu_ns());
    let mut requests = 0;
    while let Some(done) = loops.join_next().await {
        requests += done.context("a loop broke off")??;
    }
    Ok(Bare {
        requests,
        seconds: clock::seconds(clock::now_ns() - began_ns),
        cpu_seconds: clock::seconds(clock::own_cpu_ns() - began_cpu_ns),
    })
}

/// Posts one after the other, each with a guid and a signature of its own.
async fn post_until(
    mut connection: Connection,
    first_guid: u128,
    body: &Bytes,
    lasting: Duration,
) -> anyhow::Result<u64> {
    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    const AGENT: HeaderValue = HeaderValue::from_static("Postrider-bench");
    let end = clock::now_ns() + u64::try_from(lasting.as_nanos())?;
    let mut sent = 0;
    while clock::now_ns() < end {
        let guid = format!("{:032x}", first_guid + u128::from(sent));
        let headers = [
            (header::USER_AGENT, AGENT),
            (HeaderName::from_static("x-kasko-event"), HeaderValue::from_static(EVENT_TYPE)),
            (HeaderName::from_static("x-kasko-delivery"), HeaderValue::try_from(guid)?),
            (
                HeaderName::from_static("x-kasko-signature"),
                HeaderValue::try_from(postrider_signature::kasko::sign(SECRET, body))?,
            ),
        ];
        let (status, _) = connection.post("/", headers, body.clone()).await?;
        ensure!(status == 200, "the receiver answered {status}");
        sent += 1;
    }
    Ok(sent)
}
