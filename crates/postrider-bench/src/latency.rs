//! Joins what was handed in with what arrived. An event that did not arrive is a fault of the whole row, never
//! a gap in a statistic.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::children::Receiver;
use crate::records::{self, Record};
use crate::{clock, statistics};

/// Longest wait for the last arrival after the last event was accepted.
const ARRIVE_WITHIN: Duration = Duration::from_secs(25);
const POLL: Duration = Duration::from_millis(20);

/// What became of the events of one load.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Events that were accepted and never arrived.
    pub(crate) missing: usize,
    /// Requests beyond the first of each guid.
    pub(crate) repeated: usize,
    /// The last event's first arrival.
    pub(crate) last_ns: u64,
    /// From hand-in to first arrival, each in milliseconds.
    pub(crate) latencies_ms: Vec<f64>,
    /// Hand-in and first arrival of each.
    pairs: Vec<(u64, u64)>,
}

/// Waits until every accepted event has arrived, or time is up.
pub(crate) async fn wait_for_all(
    receiver: &mut Receiver,
    accepted: &[Record],
    scratch: &Path,
) -> anyhow::Result<Arrived> {
    wait_within(receiver, accepted, scratch, ARRIVE_WITHIN).await
}

/// The same with a longer patience, for what waits to be tried again.
pub(crate) async fn wait_within(
    receiver: &mut Receiver,
    accepted: &[Record],
    scratch: &Path,
    patience: Duration,
) -> anyhow::Result<Arrived> {
    let began = Instant::now();
    let mut first_arrivals = HashMap::with_capacity(accepted.len());
    let mut requests = 0;
    loop {
        let counted = usize::try_from(receiver.count().await?)?;
        let over = began.elapsed() > patience;
        if requests + counted >= accepted.len() || over {
            receiver.take(scratch).await?;
            let taken = records::read(scratch)?;
            requests += taken.len();
            records::earliest(&taken, &mut first_arrivals);
            let arrived = join(accepted, &first_arrivals, requests);
            if arrived.missing == 0 || over {
                return Ok(arrived);
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

fn join(accepted: &[Record], first_arrivals: &HashMap<u128, u64>, requests: usize) -> Arrived {
    let pairs = accepted.iter().filter_map(|event| {
        let arrived_ns = *first_arrivals.get(&event.guid)?;
        Some((event.at_ns, arrived_ns))
    });
    let pairs: Vec<(u64, u64)> = pairs.collect();
    Arrived {
        missing: accepted.len() - pairs.len(),
        repeated: requests - first_arrivals.len().min(requests),
        last_ns: pairs.iter().map(|(_, arrived)| *arrived).max().unwrap_or(0),
        latencies_ms: pairs
            .iter()
            .map(|(handed_in, arrived)| clock::seconds(arrived.saturating_sub(*handed_in)) * 1e3)
            .collect(),
        pairs,
    }
}

impl Arrived {
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        statistics::percentile(&self.latencies_ms, percent).unwrap_or(f64::NAN)
    }

    /// When the last event came that took longer than `late`.
    pub(crate) fn last_late_ns(&self, late: Duration) -> Option<u64> {
        let late_ns = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
        let late_ones =
            self.pairs.iter().filter(|(handed_in, arrived)| arrived.saturating_sub(*handed_in) > late_ns);
        late_ones.map(|(_, arrived)| *arrived).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(guid: u128, at_ns: u64) -> Record {
        Record { guid, at_ns }
    }

    #[test]
    fn each_event_is_joined_with_its_arrival() {
        let arrivals = HashMap::from([(1, 3_000_000), (2, 9_000_000), (77, 1)]);
        let arrived = join(&[event(1, 1_000_000), event(2, 5_000_000)], &arrivals, 5);
        assert_eq!((arrived.missing, arrived.repeated, arrived.last_ns), (0, 2, 9_000_000));
        assert_eq!(arrived.latencies_ms, [2.0, 4.0]);
        assert_eq!(arrived.last_late_ns(Duration::from_millis(3)), Some(9_000_000));
        assert_eq!(arrived.last_late_ns(Duration::from_millis(4)), None);
        assert_eq!((arrived.percentile_ms(50.0), arrived.percentile_ms(99.0)), (2.0, 4.0));
    }

    #[test]
    fn an_event_that_did_not_arrive_is_missing_even_where_others_arrived_twice() {
        let arrivals = HashMap::from([(1, 3)]);
        assert_eq!(join(&[event(1, 1), event(2, 1)], &arrivals, 2).missing, 1);
    }
}
