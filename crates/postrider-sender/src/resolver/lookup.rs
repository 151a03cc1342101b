//! One lookup: both families are asked together, and what is known is published as it arrives.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::configuration::Configuration;
use super::message::{Family, Question, Reply};
use crate::Tenant;
use crate::fair_slots::FairSlots;
use crate::limits::{
    FAILED_LOOKUP_AGE, LOOKUP_DEADLINE, LOOKUP_SLOT_PATIENCE, MAX_ADDRESSES_OF_NAME, MAX_NEGATIVE_LOOKUP_AGE,
    RESOLUTION_DELAY, WAITED_LOOKUP_AGE,
};
use crate::resolve::ResolveError;

/// What is said where no lookup slot became free.
pub(super) const NO_SLOT: &str = "too many name lookups are under way";

/// How far a lookup is.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// It waits for a slot.
    Queued,
    /// The name servers are being asked.
    Running,
    /// Addresses are known; unless `is_complete`, those of the other family may follow.
    Known { addresses: Arc<[IpAddr]>, began: Instant, is_complete: bool },
    /// It has ended without an address.
    Failed(ResolveError),
}

impl Progress {
    pub(super) fn is_decided(&self) -> bool {
        matches!(self, Self::Known { .. } | Self::Failed(_))
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Known { is_complete: true, .. } | Self::Failed(_))
    }
}

/// The bounds that all lookups share.
pub(super) struct LookupSlots {
    /// Lookups under way.
    pub(super) running: Arc<FairSlots>,
    /// Lookups that have an address and wait for the other family's.
    pub(super) late: Arc<FairSlots>,
}

/// A lookup to be made.
pub(super) struct Lookup {
    pub(super) host: Arc<str>,
    pub(super) tenant: Tenant,
    pub(super) configuration: Arc<Configuration>,
    pub(super) progress: watch::Sender<Progress>,
}

/// What has come of the two questions so far; `None` where nothing has.
#[derive(Default)]
struct Halves {
    v6: Option<Result<Reply, ResolveError>>,
    v4: Option<Result<Reply, ResolveError>>,
}

impl Lookup {
    /// Looks the name up and publishes what becomes known, except for the last of it, which it returns with how long that may
    /// be believed.
    pub(super) async fn run(&self, slots: &LookupSlots) -> (Progress, Duration) {
        let queued = Instant::now();
        let Ok(slot) = timeout(LOOKUP_SLOT_PATIENCE, slots.running.take(self.tenant)).await else {
            return failed(ResolveError::Shortage(NO_SLOT.to_owned()));
        };
        let began = Instant::now();
        self.progress.send_replace(Progress::Running);
        let mut slot = Some(slot);
        let mut halves = Halves::default();
        if self.configuration.no_aaaa {
            halves.v6 = Some(Ok(Reply::nothing()));
        }
        let deadline = began + LOOKUP_DEADLINE;
        let (mut v6, mut v4) =
            (std::pin::pin!(self.ask(Family::V6, deadline)), std::pin::pin!(self.ask(Family::V4, deadline)));
        let mut published_at = None;
        while halves.v6.is_none() || halves.v4.is_none() {
            let delay = published_at.unwrap_or(deadline);
            tokio::select! {
                reply = &mut v6, if halves.v6.is_none() => halves.v6 = Some(reply),
                reply = &mut v4, if halves.v4.is_none() => halves.v4 = Some(reply),
                () = sleep_until(delay), if published_at.is_some() && slot.is_some() => {
                    // The other family's addresses are worth waiting for, but not in a slot.
                    drop(slot.take());
                    let Some(late) = slots.late.try_take(self.tenant) else { break };
                    self.progress.send_replace(halves.known(began, false));
                    self.wait_for_the_other(&mut halves, v6.as_mut(), v4.as_mut()).await;
                    drop(late);
                    break;
                }
            }
            if published_at.is_none() && halves.has_addresses() {
                published_at = Some(Instant::now() + RESOLUTION_DELAY);
            }
        }
        halves.conclude(began, began.duration_since(queued))
    }

    async fn wait_for_the_other(
        &self,
        halves: &mut Halves,
        v6: impl Future<Output = Result<Reply, ResolveError>>,
        v4: impl Future<Output = Result<Reply, ResolveError>>,
    ) {
        if halves.v6.is_none() {
            halves.v6 = Some(v6.await);
        } else {
            halves.v4 = Some(v4.await);
        }
    }

    async fn ask(&self, family: Family, deadline: Instant) -> Result<Reply, ResolveError> {
        let question = Question::about(&self.host, family).map_err(ResolveError::Impossible)?;
        let asked = timeout_at(deadline, self.configuration.name_servers.ask(&question)).await;
        asked.unwrap_or_else(|_silence| {
            Err(ResolveError::Failed(format!("no name server answered within {LOOKUP_DEADLINE:?}")))
        })
    }
}

impl Halves {
    fn replies(&self) -> impl Iterator<Item = &Reply> {
        [&self.v6, &self.v4].into_iter().filter_map(|half| half.as_ref()?.as_ref().ok())
    }

    fn has_addresses(&self) -> bool {
        self.replies().any(|reply| !reply.addresses.is_empty())
    }

    fn known(&self, began: Instant, is_complete: bool) -> Progress {
        let addresses: Vec<IpAddr> =
            self.replies().flat_map(|reply| reply.addresses.iter().copied()).collect();
        if addresses.len() > MAX_ADDRESSES_OF_NAME {
            let why =
                format!("it has {} addresses; at most {MAX_ADDRESSES_OF_NAME} are taken", addresses.len());
            return Progress::Failed(ResolveError::Failed(why));
        }
        Progress::Known { addresses: addresses.into(), began, is_complete }
    }

    /// What the lookup comes to, and how long it may be believed.
    fn conclude(&self, began: Instant, waited: Duration) -> (Progress, Duration) {
        if self.has_addresses() {
            let positive = self.replies().filter(|reply| !reply.addresses.is_empty());
            let age = positive.map(|reply| reply.age).min().unwrap_or_default();
            let is_whole = matches!((&self.v6, &self.v4), (Some(Ok(_)), Some(Ok(_))));
            // Half an answer is soon completed.
            let age = if is_whole { age } else { age.min(MAX_NEGATIVE_LOOKUP_AGE) };
            let age = if waited > RESOLUTION_DELAY { age.max(WAITED_LOOKUP_AGE) } else { age };
            return (self.known(began, true), age);
        }
        let mut absent_for = None;
        let mut error = None;
        for half in [&self.v6, &self.v4].into_iter().flatten() {
            match half {
                Ok(reply) if reply.name_is_missing => {
                    return (Progress::Failed(ResolveError::NotFound), reply.age);
                }
                Ok(reply) => {
                    absent_for = Some(absent_for.map_or(reply.age, |age: Duration| age.min(reply.age)));
                }
                Err(shortage @ ResolveError::Shortage(_)) => error = Some(shortage.clone()),
                Err(other) => drop(error.get_or_insert_with(|| other.clone())),
            }
        }
        match error {
            Some(error) => failed(error),
            None => (Progress::Failed(ResolveError::NotFound), absent_for.unwrap_or_default()),
        }
    }
}

impl Reply {
    /// For a question that is not asked.
    fn nothing() -> Self {
        Self {
            addresses: Vec::new(),
            age: MAX_NEGATIVE_LOOKUP_AGE,
            name_is_missing: false,
            is_truncated: false,
            alias: None,
        }
    }
}

fn failed(error: ResolveError) -> (Progress, Duration) {
    let age = match error {
        // It may be over at once.
        ResolveError::Shortage(_) => Duration::ZERO,
        _ => FAILED_LOOKUP_AGE,
    };
    (Progress::Failed(error), age)
}
