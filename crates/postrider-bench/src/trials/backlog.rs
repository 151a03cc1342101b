//! A dead endpoint with very many pending deliveries: what they take in memory, how soon the service starts with them,
//! what a healthy endpoint feels of them, and how they are drained when the dead one recovers.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{RECOVER_WITHIN, Trial, dead_endpoint, fill, other_receiver};
use crate::children::Receiver;
use crate::latency::{self, Arrived};
use crate::place::Place;
use crate::records::{self, Record};
use crate::round::Run;
use crate::service::Service;
use crate::table::{Budget, Row, Unit};
use crate::{bare, clock, process, progress, statistics};

/// Between two looks at the drain.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Nothing comes for so long: the rest does not come at all.
const QUIET: Duration = Duration::from_secs(20);
/// What was read and written for the start, or for the last event, is over by then.
const REST: Duration = Duration::from_secs(3);

pub(super) async fn rows(trial: &mut Trial<'_>) -> anyhow::Result<Vec<Row>> {
    let pending = trial.args.pending;
    let folder = trial.folder()?;
    let mut service = trial.start(&folder)?;
    let mut dead = other_receiver().await?;
    let healthy = service.set_up(1, trial.bench.receiver.address).await?;
    let down = dead_endpoint(&mut service, &mut dead, folder.path()).await?;
    progress::say("a healthy endpoint alone");
    let alone = trial.at_fixed_rate(&service, &healthy, &folder).await?;
    progress::say(&format!("handing in {pending} events for an endpoint that is down"));
    let mut accepted = fill(&service, &down.accounts, pending, folder.path()).await?;
    let untried_since_ms = accepted.iter().map(accepted_ms).min().unwrap_or_default();
    accepted.extend(down.first);
    // What a million events leave for the kernel to write out holds up every sync after them, and is not what is measured.
    tokio::task::spawn_blocking(rustix::fs::sync).await?;
    tokio::time::sleep(REST).await;
    let filled_mib = process::resident_mib(service.pid)?;
    progress::say("a healthy endpoint beside the backlog");
    let beside = trial.at_fixed_rate(&service, &healthy, &folder).await?;
    service.stop().await?;

    progress::say("starting with the backlog");
    let (service, start_seconds) = restart(trial, &folder, &healthy[0]).await?;
    tokio::time::sleep(REST).await;
    let started_mib = process::resident_mib(service.pid)?;
    let drain = drain(trial, &service, (&mut dead, &accepted, untried_since_ms), &healthy, &folder).await?;
    service.stop().await?;
    dead.stop().await?;

    let mut rows = vec![
        Row::new(
            format!("memory with {pending} pending deliveries"),
            Unit::Mebibytes,
            &[filled_mib.max(started_mib)],
        )
        .within(Budget::AtMost(256.0)),
        Row::new(format!("start to first 202 with {pending} pending"), Unit::Seconds, &[start_seconds])
            .within(Budget::AtMost(2.0)),
        healthy_row(format!("a healthy endpoint's p99 beside {pending} pending"), &beside, &alone)
            .within(Budget::AtMost(2.0))
            .unless_wrong(beside.missing, beside.repeated, beside.accepted),
    ];
    rows.extend(drain.rows(&alone, u64::try_from(accepted.len())?));
    Ok(rows)
}

fn healthy_row(what: String, run: &Run, alone: &Run) -> Row {
    Row::new(what, Unit::Milliseconds, &[run.p99_ms]).against("alone", &[run.p99_ms], &[alone.p99_ms])
}

/// Starts it again on the same store, and waits until an event of the healthy account has arrived.
async fn restart(trial: &mut Trial<'_>, folder: &Place, account: &str) -> anyhow::Result<(Service, f64)> {
    let mut service = trial.start(folder)?;
    let (seconds, guid) = service.first_event(account, &bare::payload()?).await?;
    let event = [Record { guid, at_ns: clock::now_ns() }];
    let arrived = folder.path().join("arrived");
    let arrived = latency::wait_for_all(&mut trial.bench.receiver, &event, &arrived).await?;
    ensure!(arrived.missing == 0, "the first event after the start did not arrive");
    Ok((service, seconds))
}

/// How the backlog went.
struct Drain {
    /// From the receiver's return to the first delivery: the service finds out by itself.
    noticed_seconds: f64,
    /// Deliveries so far, at each look.
    looks: Vec<(Duration, u64)>,
    arrived: Arrived,
    out_of_age_ms: f64,
    /// A healthy endpoint meanwhile.
    beside: Run,
}

async fn drain(
    trial: &mut Trial<'_>,
    service: &Service,
    (dead, accepted, untried_since_ms): (&mut Receiver, &[Record], u64),
    healthy: &[String],
    folder: &Place,
) -> anyhow::Result<Drain> {
    progress::say("the dead endpoint is back; waiting for its next probe (some minutes)");
    dead.be_down(false).await?;
    let up = Instant::now();
    while dead.count().await? == 0 {
        ensure!(up.elapsed() < RECOVER_WITHIN, "the recovered endpoint was not tried again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let noticed_seconds = up.elapsed().as_secs_f64();
    progress::say("draining the backlog");
    let wanted = u64::try_from(accepted.len())?;
    let (looks, beside) = tokio::join!(watch(dead, wanted), trial.at_fixed_rate(service, healthy, folder));
    let (looks, beside) = (looks?, beside?);
    let scratch = folder.path().join("drained");
    let arrived = latency::wait_for_all(dead, accepted, &scratch).await?;
    let out_of_age_ms = furthest_out_of_age_ms(&records::read(&scratch)?, untried_since_ms);
    Ok(Drain { noticed_seconds, looks, arrived, out_of_age_ms, beside })
}

/// Counts the deliveries until all are there, or nothing has come for a while.
async fn watch(dead: &mut Receiver, wanted: u64) -> anyhow::Result<Vec<(Duration, u64)>> {
    let began = Instant::now();
    let mut looks = vec![(Duration::ZERO, 0)];
    loop {
        let count = dead.count().await?;
        if looks.last().is_none_or(|(_, before)| *before < count) {
            looks.push((began.elapsed(), count));
        }
        let last = looks.last().map_or(Duration::ZERO, |(at, _)| *at);
        if count >= wanted || began.elapsed().saturating_sub(last) > QUIET {
            return Ok(looks);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// An event's guid begins with the milliseconds at which it was accepted.
fn accepted_ms(event: &Record) -> u64 {
    u64::try_from(event.guid >> 80).unwrap_or(u64::MAX)
}

/// By how much of their age deliveries came before older ones, at most: several are under way at once, and any of
/// them may be first. What was accepted before `since_ms` had been tried before, and comes when its own retry does.
fn furthest_out_of_age_ms(arrivals: &[Record], since_ms: u64) -> f64 {
    let mut newest_ms = 0;
    let mut furthest_ms = 0;
    for accepted_ms in arrivals.iter().map(accepted_ms).filter(|ms| *ms >= since_ms) {
        newest_ms = newest_ms.max(accepted_ms);
        furthest_ms = furthest_ms.max(newest_ms - accepted_ms);
    }
    statistics::count(furthest_ms)
}

impl Drain {
    /// Deliveries a second between two moments of the drain.
    fn rate(&self, from: Duration, to: Duration) -> Option<f64> {
        let at = |moment: Duration| self.looks.iter().rev().find(|(at, _)| *at <= moment);
        let ((from_at, from_count), (to_at, to_count)) = (at(from)?, at(to)?);
        let seconds = to_at.checked_sub(*from_at)?.as_secs_f64();
        (seconds > 0.0).then(|| statistics::count(to_count - from_count) / seconds)
    }

    fn rows(&self, alone: &Run, accepted: u64) -> Vec<Row> {
        let seconds = Duration::from_secs;
        let end = self.looks.last().map_or(Duration::ZERO, |(at, _)| *at);
        let rate = |what: &str, from, to| {
            let values: Vec<f64> = self.rate(from, to).into_iter().collect();
            Row::new(format!("drain: {what}"), Unit::EventsPerSecond, &values)
        };
        vec![
            Row::new(
                "dead endpoint is back: until it is tried again",
                Unit::Seconds,
                &[self.noticed_seconds],
            ),
            rate("in the first half second", Duration::ZERO, Duration::from_millis(500)),
            rate("in the third second", seconds(2), seconds(3)),
            rate("over all of it", Duration::ZERO, end).unless_wrong(
                self.arrived.missing,
                self.arrived.repeated,
                accepted,
            ),
            Row::new(
                "drain: furthest that one came before an older one, in age",
                Unit::Milliseconds,
                &[self.out_of_age_ms],
            ),
            healthy_row("a healthy endpoint's p99 during the drain".to_owned(), &self.beside, alone)
                .unless_wrong(self.beside.missing, self.beside.repeated, self.beside.accepted),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_an_older_one_is_found() {
        let of = |ms: u128| Record { guid: ms << 80 | 7, at_ns: 0 };
        assert!(furthest_out_of_age_ms(&[of(1), of(2), of(2), of(9)], 0).abs() < f64::EPSILON);
        assert!(
            (furthest_out_of_age_ms(&[of(1), of(9), of(2), of(4), of(10)], 4) - 5.0).abs() < f64::EPSILON
        );
    }
}
