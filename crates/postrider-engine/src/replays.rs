//! Replays: the use cases, and the one task that takes the running ones further, a part at a time.
//!
//! Nothing about a replay is kept in memory only: each part and how far it came are one commit, and after a restart
//! the task goes on from there. While none runs the task sleeps.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use postrider_core::audit::Action;
use postrider_core::endpoint::{Endpoint, EndpointNo, State};
use postrider_core::id::{DeliveryId, EndpointId, ReplayId};
use postrider_core::replay::{self, Counts, Pace, Replay};
use postrider_store::StoreError;
use postrider_store::model::{
    NewReplay, Page, PageRequest, ReplayFilter, ReplayPart, ReplayRange, ReplayStep, ReplayStepped,
};

use crate::config::{REPLAY_EVERY, REPLAY_LOOKS, REPLAY_NAP, REPLAY_SLICE, STORE_PAUSE};
use crate::going_on::finish_what_began;
use crate::model::ReplayDraft;
use crate::once::{self, Once};
use crate::{Acting, Engine, EngineError, Inner};

mod turns;

use self::turns::{Replays, Turns};

impl Engine {
    /// Counts what a replay would send again (`matched`) and what it would skip just now, and stores nothing.
    ///
    /// `NotFound` where the endpoint is not there, `Overloaded` where as many are being counted as may be.
    pub async fn count_replay(&self, draft: ReplayDraft) -> Result<Counts, EngineError> {
        let endpoint = self.0.endpoint_to_replay(draft.endpoint)?;
        Ok(self.0.count(&endpoint, &draft).await?.1)
    }

    /// A replay.
    pub async fn replay(&self, id: ReplayId) -> Result<Replay, EngineError> {
        Ok(self.0.store.replay(id).await?)
    }

    /// Replays, newest first.
    pub async fn replays(
        &self,
        filter: ReplayFilter,
        page: PageRequest,
    ) -> Result<Page<Replay>, EngineError> {
        Ok(self.0.store.replays(filter, page).await?)
    }
}

impl Acting {
    /// Counts, and makes a replay that runs by itself from then on. Its range ends with what is there now.
    ///
    /// `NotFound` where the endpoint is not there, `Conflict` where it is disabled or one of it runs already, or as many
    /// as may run at once; `Overloaded` where as many are being counted as may be. Nothing is stored then.
    pub async fn create_replay(&self, draft: ReplayDraft) -> Result<Replay, EngineError> {
        self.create_replay_once(draft, None).await
    }

    /// The same, once for each idempotency key: `AnsweredBefore` where an earlier call was answered.
    pub async fn create_replay_once(
        &self,
        draft: ReplayDraft,
        once: Option<Once<Replay>>,
    ) -> Result<Replay, EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        if inner.stopping.load(Ordering::Relaxed) {
            return Err(EngineError::ShuttingDown);
        }
        let endpoint = inner.endpoint_to_replay(draft.endpoint)?;
        if matches!(self.endpoint(endpoint.id)?.state, State::Disabled(_)) {
            return Err(EngineError::Conflict("the endpoint is disabled; enable it first"));
        }
        inner.refuse_second(endpoint.id).await?;
        let (range, Counts { matched, .. }) = inner.count(&endpoint, &draft).await?;
        finish_what_began(async move {
            let now = inner.now();
            let id = ReplayId::new(now, inner.chance.bits());
            let keep = once::keep(once.as_ref(), inner.time_for_ages(), || Replay {
                id,
                account: endpoint.account,
                endpoint: endpoint.id,
                livemode: endpoint.livemode,
                selection: draft.selection.clone(),
                state: replay::State::Running,
                counts: Counts { matched, ..Counts::default() },
                reached: range.above,
                through: range.through,
                created_at: now,
                finished_at: None,
            });
            let deed = who.did(Action::ReplayCreated, endpoint.account, id, now);
            let new =
                NewReplay { id, selection: draft.selection, range, matched, created_at: now, deed, keep };
            let made = inner.store.create_replay(new).await?;
            inner.replays.notify_one();
            Ok(made)
        })
        .await
    }

    /// Ends a replay early; what it has resent by then goes its own way. A cancelled one stays as it is.
    ///
    /// `NotFound` where it is not there, `Conflict` where it is done.
    pub async fn cancel_replay(&self, id: ReplayId) -> Result<Replay, EngineError> {
        let store = &self.0.store;
        let account = store.replay(id).await?.account;
        let deed = self.who.did(Action::ReplayCancelled, account, id, self.now());
        match store.cancel_replay(id, replay::CancelReason::ByHand, deed).await {
            Err(StoreError::Conflict(_)) => {
                let ended = store.replay(id).await?;
                match ended.state {
                    replay::State::Cancelled(_) => Ok(ended),
                    replay::State::Running | replay::State::Done => {
                        Err(EngineError::Conflict("the replay is done; there is nothing left to cancel"))
                    }
                }
            }
            cancelled => {
                self.0.replays.notify_one();
                Ok(cancelled?)
            }
        }
    }
}

impl Inner {
    fn endpoint_to_replay(&self, id: EndpointId) -> Result<Arc<Endpoint>, EngineError> {
        self.snapshot.load().endpoint(id).cloned().ok_or(EngineError::NotFound)
    }

    /// Refuses a second replay of an endpoint before its range is counted; the store refuses it in any case.
    async fn refuse_second(&self, endpoint: EndpointId) -> Result<(), EngineError> {
        let filter = ReplayFilter { endpoint: Some(endpoint), ..ReplayFilter::default() };
        // One runs at most, and none is made while it runs: it is the newest.
        let newest = self.store.replays(filter, PageRequest { limit: 1, before: None }).await?;
        match newest.rows.first() {
            Some(Replay { state: replay::State::Running, .. }) => Err(EngineError::Conflict(
                "a replay of this endpoint is running; wait until it is done, or cancel it",
            )),
            _ => Ok(()),
        }
    }

    /// The range and what of it is chosen and skipped, counted in short reads. Ends early where the caller goes away.
    async fn count(
        &self,
        endpoint: &Endpoint,
        draft: &ReplayDraft,
    ) -> Result<(ReplayRange, Counts), EngineError> {
        let counting = self.replay_counts.begin(endpoint.account_no).ok_or(EngineError::Overloaded)?;
        let whole = {
            let _turn = counting.turn().await;
            self.store.replay_range(endpoint.no, draft.selection.clone()).await?
        };
        let (mut rest, mut counts) = (whole, Counts::default());
        loop {
            let part = {
                let _turn = counting.turn().await;
                self.store.look_through(rest, draft.selection.clone(), usize::MAX).await?
            };
            counts.matched += u64::try_from(part.chosen.len()).unwrap_or(u64::MAX);
            counts.skipped += part.skipped;
            match part.reached {
                Some(reached) => rest.above = reached,
                None => return Ok((whole, counts)),
            }
        }
    }
}

/// What came of a replay's turn.
enum Turn {
    /// It was taken further, and goes on at its next turn.
    Advanced(Replay),
    /// Its lane has enough to do at the moment.
    Busy(Replay),
    /// Its endpoint takes nothing at the moment.
    Waits(Replay),
    /// There is nothing left to do for it.
    Ended,
}

/// Takes the running replays further.
pub(crate) async fn run(inner: Arc<Inner>) {
    let mut pace = Pace::new(inner.config.replays.per_second, inner.now());
    while !inner.stopping.load(Ordering::Relaxed) {
        let done = match inner.store.running_replays().await {
            Ok(running) if running.is_empty() => {
                inner.replays.notified().await;
                Ok(())
            }
            Ok(running) => take_further(&inner, Turns::of(running), &mut pace).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::error!(error = &error as &dyn std::error::Error, "replays could not be taken further");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

/// Gives turns until another replay is made, none is left, or the store fails: then they are read again, because
/// whether the last commit took place may be unknown.
async fn take_further(inner: &Arc<Inner>, mut turns: Turns, pace: &mut Pace) -> Result<(), StoreError> {
    while !turns.is_empty() {
        let mut failed = Ok(());
        let mut all_wait = true;
        for _ in 0..turns.accounts() {
            if inner.stopping.load(Ordering::Relaxed) {
                return Ok(());
            }
            if pace.allows(inner.now()) == 0 {
                // Those left out come first the next time.
                all_wait = false;
                break;
            }
            let Some((account, replays)) = turns.next() else { break };
            match account_turn(inner, replays, pace).await {
                (left, Ok(waits)) => {
                    all_wait &= waits;
                    turns.put_back(account, left);
                }
                // The others have their turn all the same.
                (left, Err(error)) => {
                    turns.put_back(account, left);
                    failed = Err(error);
                }
            }
        }
        failed?;
        let nap = if all_wait { REPLAY_NAP } else { REPLAY_EVERY };
        if !turns.is_empty() && tokio::time::timeout(nap, inner.replays.notified()).await.is_ok() {
            return Ok(());
        }
    }
    Ok(())
}

/// Takes one of an account's replays further: the first one whose lane has room. Gives those that go on, and whether all
/// of them wait.
async fn account_turn(
    inner: &Arc<Inner>,
    mut replays: Replays,
    pace: &mut Pace,
) -> (Replays, Result<bool, StoreError>) {
    let mut all_wait = true;
    for _ in 0..replays.len() {
        let Some((no, replay)) = replays.pop_front() else { break };
        match turn(inner, no, replay, pace).await {
            Ok(Turn::Advanced(replay)) => {
                replays.push_back((no, replay));
                return (replays, Ok(false));
            }
            Ok(Turn::Busy(replay)) => {
                all_wait = false;
                replays.push_back((no, replay));
            }
            Ok(Turn::Waits(replay)) => replays.push_back((no, replay)),
            Ok(Turn::Ended) => {}
            Err(error) => return (replays, Err(error)),
        }
    }
    (replays, Ok(all_wait))
}

/// Gives a replay's lane as much as it has room for and the pace allows.
async fn turn(
    inner: &Arc<Inner>,
    no: EndpointNo,
    replay: Replay,
    pace: &mut Pace,
) -> Result<Turn, StoreError> {
    let standing = inner.lanes().standing(no);
    // Where the endpoint is gone, its deletion has ended the replay.
    let Some(standing) = standing else { return Ok(Turn::Ended) };
    let room = inner.config.replays.room(standing).min(pace.allows(inner.now())).min(REPLAY_SLICE);
    if room == 0 {
        return Ok(if standing.is_well { Turn::Busy(replay) } else { Turn::Waits(replay) });
    }
    let part = look(inner, no, &replay, usize::try_from(room).unwrap_or(usize::MAX)).await?;
    let now = inner.now();
    let with_id = |seq| (seq, DeliveryId::new(now, inner.chance.bits()));
    let step = ReplayStep {
        id: replay.id,
        from: replay.reached,
        chosen: part.chosen.into_iter().map(with_id).collect(),
        skipped: part.skipped,
        reached: part.reached,
        at: now,
    };
    let term = inner.lanes().term();
    match inner.store.step_replay(step).await {
        Ok(ReplayStepped { replay, made }) => {
            pace.made(u64::try_from(made.len()).unwrap_or(u64::MAX));
            inner.pump_after(now, |lanes| {
                for row in made {
                    let (no, item) = inner.item_of(row);
                    lanes.enter(no, item, term, now);
                }
            });
            Ok(if replay.state == replay::State::Running { Turn::Advanced(replay) } else { Turn::Ended })
        }
        // It was cancelled meanwhile.
        Err(StoreError::Conflict(_) | StoreError::NotFound) => Ok(Turn::Ended),
        Err(error) => Err(error),
    }
}

/// Looks through the replay's range until `wanted` are chosen, as far as one turn goes.
async fn look(
    inner: &Arc<Inner>,
    no: EndpointNo,
    replay: &Replay,
    wanted: usize,
) -> Result<ReplayPart, StoreError> {
    let mut rest = ReplayRange { endpoint_no: no, above: replay.reached, through: replay.through };
    let mut all = ReplayPart::default();
    for _ in 0..REPLAY_LOOKS {
        let missing = wanted - all.chosen.len();
        let part = inner.store.look_through(rest, replay.selection.clone(), missing).await?;
        all.chosen.extend(part.chosen);
        all.skipped += part.skipped;
        all.reached = part.reached;
        match part.reached {
            Some(reached) if all.chosen.len() < wanted => rest.above = reached,
            _ => break,
        }
    }
    Ok(all)
}
