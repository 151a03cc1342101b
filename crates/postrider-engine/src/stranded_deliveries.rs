//! Recovers stranded deliveries: pending rows that this node owns in the store and that no lane tracks.
//!
//! A commit whose result was lost, or a bug in the lanes, can leave a pending delivery with a living node that never sends
//! it. This task compares the lanes with the store and makes the affected lanes read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::delivery::DeliverySeq;
use postrider_core::endpoint::EndpointNo;
use postrider_store::StoreError;
use postrider_store::model::Wanted;

use crate::Inner;
use crate::config::{LOOK_AGAIN_SLICE, STRANDED_EVERY};

/// How long a delivery must be unknown before it counts as stranded: one that was just committed is on its way into its
/// lane.
const CONFIRM_AFTER: Duration = Duration::from_secs(2);

/// How many numbers are read, and then compared under one hold of the lanes' lock, unless one lane has more.
const NUMBERS_AT_ONCE: usize = 2_000;

type Suspects = BTreeMap<EndpointNo, Vec<DeliverySeq>>;

/// Compares memory with the store, every [`STRANDED_EVERY`] and whenever there is a reason to.
pub(crate) async fn run(inner: Arc<Inner>) {
    loop {
        // Whichever comes first.
        drop(tokio::time::timeout(STRANDED_EVERY, inner.stranded.notified()).await);
        if let Err(error) = inner.recover_stranded().await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "failed to compare lanes with the store; trying again"
            );
        }
    }
}

impl Inner {
    async fn recover_stranded(self: &Arc<Self>) -> Result<(), StoreError> {
        let all: Vec<EndpointNo> = self.snapshot.load().all_endpoints().map(|endpoint| endpoint.no).collect();
        let suspects = self.untracked_in(&all).await?;
        if suspects.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(CONFIRM_AFTER).await;
        let endpoints: Vec<EndpointNo> = suspects.keys().copied().collect();
        for (no, seqs) in self.untracked_in(&endpoints).await? {
            let stays = |seq: &&DeliverySeq| suspects.get(&no).is_some_and(|before| before.contains(seq));
            let count = seqs.iter().filter(stays).count();
            if count > 0 {
                self.meters.found_stranded(count);
                let endpoint =
                    self.snapshot.load().all_endpoints().find(|known| known.no == no).map(|e| e.id);
                tracing::warn!(
                    endpoint = endpoint.map(|id| id.to_string()),
                    count,
                    "found stranded deliveries; delivering them now"
                );
                self.lanes().reload(no);
            }
        }
        self.pump();
        Ok(())
    }

    /// What the store has ready for this node and memory does not know.
    async fn untracked_in(&self, endpoints: &[EndpointNo]) -> Result<Suspects, StoreError> {
        let mut suspects = Suspects::new();
        for slice in endpoints.chunks(LOOK_AGAIN_SLICE) {
            let mut compared = self.lanes().lanes_to_compare(slice);
            while !compared.is_empty() {
                let mut numbers = 0;
                let fitting = compared.iter().take_while(|(_, wanted): &&Wanted| {
                    numbers += *wanted;
                    numbers <= NUMBERS_AT_ONCE
                });
                let rest = compared.split_off(fitting.count().max(1));
                let found = self.store.ready_numbers(std::mem::replace(&mut compared, rest)).await?;
                let lanes = self.lanes();
                for (no, seq) in found.into_iter().filter(|(no, seq)| lanes.is_untracked(*no, *seq)) {
                    suspects.entry(no).or_default().push(seq);
                }
            }
        }
        Ok(suspects)
    }
}
