//! Several nodes on one store: what others bring about is taken in, endpoints that need one place are asked for, and what
//! another node holds is left to it. Where there is only one node none of this runs.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use postrider_core::account::AccountNo;
use postrider_core::endpoint::EndpointNo;
use postrider_core::id::DeliveryId;
use postrider_core::schedule::Jitter;
use postrider_core::time::Timestamp;
use postrider_sender::AttemptReport;
use postrider_store::StoreError;
use postrider_store::model::{NewEvent, News, Node};

use tokio::sync::MutexGuard;

use crate::config::{LOOK_AGAIN_SLICE, READ_HEALTH_EVERY, STORE_PAUSE};
use crate::lanes::{Attempted, Dispatch};
use crate::model::Submission;
use crate::{Engine, EngineError, Inner};

impl Engine {
    /// The nodes that serve from the store, this one among them.
    pub async fn nodes(&self) -> Result<Vec<Node>, EngineError> {
        let inner = &self.0;
        if inner.store.is_shared() {
            return Ok(inner.store.nodes().await?);
        }
        Ok(vec![Node {
            no: 1,
            name: format!("postrider-{}", std::process::id()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            is_self: true,
            started_at: inner.started_at,
            seen_at: inner.now(),
            pending: inner.lanes().pending(),
            leases: 0,
        }])
    }
}

/// Takes in what other nodes bring about.
pub(crate) async fn follow(inner: Arc<Inner>) {
    let mut unread: BTreeSet<AccountNo> = BTreeSet::new();
    let mut event_types_unread = false;
    loop {
        let News {
            started_over,
            may_send_again,
            others_are_gone,
            may_be_stranded,
            changed,
            event_types,
            free,
            cancelled,
        } = inner.store.news().await;
        unread.extend(changed);
        event_types_unread |= event_types;
        {
            let mut lanes = inner.lanes();
            if started_over {
                lanes.start_over();
            }
            if may_send_again {
                lanes.resume();
            }
            let now = inner.now();
            cancelled.into_iter().for_each(|(no, seq)| lanes.cancelled_elsewhere(no, seq, now));
            free.into_iter().for_each(|no| lanes.is_free(no));
            inner.wake_for(&mut lanes);
        }
        if may_be_stranded {
            inner.stranded.notify_one();
            // For an endpoint that was deleted meanwhile nobody else would notice them.
            inner.cancel.notify_one();
        }
        if started_over || others_are_gone {
            inner.due.notify_one();
            // Whoever is gone may have committed something for an endpoint that was deleted meanwhile.
            inner.cancel.notify_one();
        }
        while event_types_unread || !unread.is_empty() {
            match inner.read_what_changed(event_types_unread, &unread).await {
                Ok(()) => {
                    event_types_unread = false;
                    unread.clear();
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "what others have changed could not be read; trying again"
                    );
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
        inner.pump();
    }
}

/// Asks for endpoints that need one place, and hands over what another node holds.
pub(crate) async fn find_places(inner: Arc<Inner>) {
    loop {
        let wanted = inner.lanes().take_wanted();
        let Some(no) = wanted else {
            inner.places.notified().await;
            continue;
        };
        if inner.stopping.load(Ordering::Relaxed) {
            return;
        }
        let asked = match inner.store.hold(no).await {
            Ok(true) => {
                inner.lanes().held(no, inner.now());
                Ok(())
            }
            Ok(false) => {
                let keep = inner.lanes().held_elsewhere(no);
                inner.store.hand_over(no, keep).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = asked {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "an endpoint could not be asked for; trying again"
            );
            tokio::time::sleep(STORE_PAUSE).await;
            inner.lanes().ask_again(no);
        }
        inner.pump();
    }
}

/// Reads now and then what other nodes have written down of endpoints' health, for those who look at it here.
pub(crate) async fn follow_health(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(READ_HEALTH_EVERY).await;
        let all: Vec<EndpointNo> =
            inner.snapshot.load().all_endpoints().map(|endpoint| endpoint.no).collect();
        for slice in all.chunks(LOOK_AGAIN_SLICE) {
            match inner.store.health(slice.to_vec()).await {
                Ok(stored) => stored.iter().for_each(|(no, stored)| inner.lanes().learn(*no, stored)),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "failed to read shared endpoint health; retrying");
                    break;
                }
            }
        }
    }
}

impl Inner {
    /// Marks what is accepted for endpoints that another node holds as not this node's, and names it; with the term that
    /// begins before the commit.
    pub(crate) fn leave_to_others(&self, events: &mut [NewEvent]) -> (HashSet<DeliveryId>, u64) {
        let mut left = HashSet::new();
        if !self.store.is_shared() {
            return (left, 0);
        }
        let lanes = self.lanes();
        for delivery in events.iter_mut().flat_map(|new| &mut new.deliveries) {
            delivery.is_own = lanes.would_own(delivery.endpoint_no);
            if !delivery.is_own {
                left.insert(delivery.id);
            }
        }
        (left, lanes.term())
    }

    /// Before this node counts an endpoint as failing, or disables it, by failures that it alone has seen, it asks what all
    /// nodes know: another one may reach it. Waits for the store where that does not answer; nothing is sent meanwhile.
    pub(crate) async fn learn_before_it_turns(
        &self,
        dispatch: &Dispatch,
        report: &AttemptReport,
        sent_at: Timestamp,
    ) {
        if !self.store.is_shared() || report.outcome.is_received() {
            return;
        }
        let no = dispatch.endpoint.no;
        let attempted = || Attempted {
            outcome: &report.outcome,
            took: Duration::from_micros(report.timings.total_us),
            sent_at,
            now: self.now(),
            service_time: self.service_time(),
            jitter: Jitter(0),
        };
        while self.lanes().would_turn(dispatch, &attempted()) && !self.stopping.load(Ordering::Relaxed) {
            match self.store.health(vec![no]).await {
                Ok(stored) => {
                    stored.iter().for_each(|(no, stored)| self.lanes().learn(*no, stored));
                    return;
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "what others know of a receiver could not be read; trying again"
                    );
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Waits until a change that events were matched too early for is in memory.
    pub(crate) async fn await_change(
        self: &Arc<Self>,
        submissions: &[Submission],
    ) -> Result<(), EngineError> {
        if !self.store.is_shared() {
            // It is on its way into the snapshot; it is there once `changes` is free.
            drop(self.changes.lock().await);
            return Ok(());
        }
        let accounts: BTreeSet<AccountNo> = {
            let snapshot = self.snapshot.load();
            let of = |submission: &Submission| snapshot.account(submission.account).map(|e| e.account.no);
            submissions.iter().filter_map(of).collect()
        };
        Ok(self.read_again(accounts.into_iter().collect()).await?)
    }

    async fn read_what_changed(
        self: &Arc<Self>,
        event_types: bool,
        accounts: &BTreeSet<AccountNo>,
    ) -> Result<(), StoreError> {
        if event_types {
            self.read_event_types_again().await?;
        }
        if !accounts.is_empty() {
            self.read_again(accounts.iter().copied().collect()).await?;
        }
        Ok(())
    }

    /// Reads accounts in which something has changed elsewhere, and tells matching and the lanes.
    pub(crate) async fn read_again(self: &Arc<Self>, accounts: Vec<AccountNo>) -> Result<(), StoreError> {
        let changing = self.changes.lock().await;
        self.read_under(&changing, accounts).await
    }

    /// The same for one account, by whoever holds the configuration and was overtaken by another node.
    pub(crate) async fn read_changed(
        self: &Arc<Self>,
        changing: &MutexGuard<'_, ()>,
        account: AccountNo,
    ) -> Result<(), StoreError> {
        self.read_under(changing, vec![account]).await
    }

    async fn read_under(
        self: &Arc<Self>,
        _changing: &MutexGuard<'_, ()>,
        accounts: Vec<AccountNo>,
    ) -> Result<(), StoreError> {
        let loaded = self.store.load_accounts(accounts.clone()).await?;
        let now = self.now();
        let endpoints: Vec<_> = loaded.endpoints.iter().cloned().map(Arc::new).collect();
        {
            // The lanes come first: an event that is matched by the new configuration must find them.
            let mut lanes = self.lanes();
            for endpoint in &endpoints {
                lanes.configure(endpoint.clone(), now);
                lanes.adopt(endpoint, now);
            }
        }
        let mut gone = Vec::new();
        self.change_snapshot(|snapshot| gone = snapshot.replace_accounts(&accounts, &loaded, &endpoints));
        if !gone.is_empty() {
            let mut lanes = self.lanes();
            gone.iter().for_each(|endpoint| lanes.remove(endpoint.no));
            self.cancel.notify_one();
        }
        if endpoints.iter().any(|endpoint| !endpoint.is_readable()) {
            self.log_unreadable();
        }
        self.pump();
        Ok(())
    }
}
