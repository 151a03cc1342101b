//! The load: hands events in to the service and notes the guid and moment of each that was accepted. What was
//! refused for the moment is tried again and counted; any other refusal ends the run, since nothing it
//! measured would then be true.
//!
//! Each connection takes the accounts in turn, request by request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cli::LoadArgs;
use crate::post::Connection;
use crate::records::{self, MAX_RECORDS, Record};
use crate::{bare, clock};

/// How long a refused connection waits before it hands the same events in again.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);

/// What a run came to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Events that were answered with 202.
    pub(crate) accepted: u64,
    /// Requests that were answered with 429 or 503.
    pub(crate) refused: u64,
    /// The first request, on the machine's monotonic clock.
    pub(crate) began_ns: u64,
    /// The last answer.
    pub(crate) ended_ns: u64,
}

/// Hands events in until the time is over.
pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<Load> {
    let plan = Arc::new(Plan::new(&args)?);
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        connections.push(Connection::open(args.to).await?);
    }
    let (began, began_ns) = (Instant::now(), clock::now_ns());
    let mut loops = JoinSet::new();
    for (index, connection) in (0..args.connections).zip(connections) {
        let schedule = args.rate.map(|rate| Schedule {
            first: began + Duration::from_secs(1) * index / rate,
            every: Duration::from_secs(1) * args.connections / rate,
        });
        let plan = Arc::clone(&plan);
        let first = usize::try_from(index)?;
        loops.spawn(async move { hand_in(connection, &plan, first, schedule, began + plan.lasting).await });
    }
    let (mut accepted, mut refused) = (Vec::new(), 0);
    while let Some(done) = loops.join_next().await {
        let (of_one, refused_of_one) = done.context("a loop broke off")??;
        accepted.extend(of_one);
        refused += refused_of_one;
    }
    let ended_ns = clock::now_ns();
    if accepted.len() > MAX_RECORDS {
        bail!("more than {MAX_RECORDS} events in one run; ask for fewer seconds");
    }
    if let Some(path) = &args.records {
        records::write(path, &accepted)?;
    }
    Ok(Load { accepted: u64::try_from(accepted.len())?, refused, began_ns, ended_ns })
}

/// What is the same for all connections.
struct Plan {
    to: SocketAddr,
    path: &'static str,
    authorization: HeaderValue,
    /// One body per account.
    bodies: Vec<Bytes>,
    lasting: Duration,
    /// How many events are still to be handed in.
    left: AtomicU64,
    events_per_request: u64,
    /// Whether a connection that breaks ends only its own loop.
    may_break: bool,
}

impl Plan {
    fn new(args: &LoadArgs) -> anyhow::Result<Self> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", args.key))?;
        authorization.set_sensitive(true);
        let payload = bare::payload()?;
        let payload = payload.trim_end();
        let body = |account: &String| {
            let account = serde_json::Value::from(account.as_str());
            let event =
                format!(r#"{{"account":{account},"type":"{}","payload":{payload}}}"#, bare::EVENT_TYPE);
            match args.batch {
                1 => event.into(),
                many => format!(r#"{{"events":[{}]}}"#, vec![event; many as usize].join(",")).into(),
            }
        };
        Ok(Self {
            to: args.to,
            path: if args.batch == 1 { "/v1/events" } else { "/v1/events/batch" },
            authorization,
            bodies: args.accounts.iter().map(body).collect(),
            lasting: Duration::from_secs(args.seconds),
            left: AtomicU64::new(args.events.unwrap_or(u64::MAX)),
            events_per_request: args.batch.into(),
            may_break: args.may_break,
        })
    }

    /// Takes one request's events from those that are left.
    fn take_one_request(&self) -> bool {
        let take = |left: u64| left.checked_sub(self.events_per_request);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// When one connection hands in, where the rate is fixed.
#[derive(Clone, Copy)]
struct Schedule {
    first: Instant,
    every: Duration,
}

/// One connection's loop: its accepted events, and how often it was refused.
async fn hand_in(
    mut connection: Connection,
    plan: &Plan,
    first_body: usize,
    schedule: Option<Schedule>,
    end: Instant,
) -> anyhow::Result<(Vec<Record>, u64)> {
    let (mut accepted, mut refused) = (Vec::new(), 0);
    let mut slot = schedule.map(|schedule| schedule.first);
    // From where it starts, each connection takes all accounts in turn.
    let mut bodies = plan.bodies.iter().cycle().skip(first_body % plan.bodies.len());
    while slot.unwrap_or_else(Instant::now) < end && plan.take_one_request() {
        let Some(body) = bodies.next() else { break };
        let at_ns = match slot {
            Some(slot) => at_slot(slot).await,
            None => clock::now_ns(),
        };
        loop {
            let headers = [(header::AUTHORIZATION, plan.authorization.clone())];
            let (status, answer) = match connection.post(plan.path, headers, body.clone()).await {
                Ok(answer) => answer,
                Err(_broken) if plan.may_break => return Ok((accepted, refused)),
                Err(broken) => return Err(broken),
            };
            match status {
                StatusCode::ACCEPTED => {
                    let guids = event_guids(&answer);
                    accepted.extend(guids.map(|guid| Record { guid, at_ns }));
                    break;
                }
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    refused += 1;
                    tokio::time::sleep(AFTER_REFUSAL).await;
                    if connection.is_closed() && !plan.may_break {
                        connection = Connection::open(plan.to).await?;
                    }
                }
                other => bail!("the service answered {other}: {}", String::from_utf8_lossy(&answer)),
            }
        }
        slot = slot.zip(schedule).map(|(slot, schedule)| slot + schedule.every);
    }
    Ok((accepted, refused))
}

/// Waits for the slot. The event counts as handed in now, or, where the request before it took beyond the slot,
/// when it should have been: a stalled service must not hide its stall by slowing the load.
async fn at_slot(slot: Instant) -> u64 {
    let late = slot.elapsed();
    if late.is_zero() {
        tokio::time::sleep_until(slot).await;
        return clock::now_ns();
    }
    clock::now_ns().saturating_sub(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX))
}

/// The events' ids in an answer: of all ids in it, only an event's is 32 bare hex digits.
fn event_guids(answer: &[u8]) -> impl Iterator<Item = u128> {
    const BEFORE: &[u8] = br#""id":""#;
    let starts = answer.windows(BEFORE.len()).enumerate().filter(|(_, window)| *window == BEFORE);
    starts.filter_map(|(at, _)| {
        let start = at + BEFORE.len();
        let hex = answer.get(start..start + 32)?;
        (answer.get(start + 32) == Some(&b'"')).then(|| records::guid(hex)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ids_of_events_are_taken_from_an_answer() {
        let answer = br#"{"results":[
            {"id":"0000000000000000000000000000000a","deliveries":[{"id":"dlv_000000000000000000000000000000ff"}]},
            {"id":"0000000000000000000000000000000b","deliveries":[]}]}"#;
        assert_eq!(event_guids(answer).collect::<Vec<_>>(), [10, 11]);
        assert_eq!(event_guids(br#"{"id":"0000000000000000000000000000000a"#).count(), 0);
    }

    #[test]
    fn a_batch_holds_as_many_events_as_asked_for_and_each_account_has_its_body() {
        let plan = |batch| {
            Plan::new(&LoadArgs {
                to: ([127, 0, 0, 1], 1).into(),
                key: "k".into(),
                accounts: vec!["acc_1".into(), "acc_2".into()],
                connections: 1,
                seconds: 1,
                batch,
                rate: None,
                events: None,
                may_break: false,
                records: None,
            })
            .unwrap()
        };
        let parsed = |body: &Bytes| serde_json::from_slice::<serde_json::Value>(body).unwrap();
        let (one, three) = (plan(1), plan(3));
        assert_eq!((one.path, three.path), ("/v1/events", "/v1/events/batch"));
        assert_eq!(parsed(&one.bodies[1])["account"], "acc_2");
        let events = parsed(&three.bodies[0]);
        assert_eq!(events["events"].as_array().unwrap().len(), 3);
        assert_eq!(events["events"][2]["payload"]["policy_id"], "TEST-POLICY-12345");
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_past_its_slot_counts_from_the_slot() {
        let slot = Instant::now();
        tokio::time::advance(Duration::from_secs(3)).await;
        let before = clock::now_ns();
        let at = at_slot(slot).await;
        assert!(at <= clock::now_ns() - 3_000_000_000 && at >= before - 3_000_000_000);
    }
}
