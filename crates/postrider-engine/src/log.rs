//! Use cases that read the log, and resending from it.

use postrider_core::attempt::Attempt;
use postrider_core::audit::Action;
use postrider_core::delivery::{Delivery, Status};
use postrider_core::endpoint::State;
use postrider_core::event::Event;
use postrider_core::id::{DeliveryId, EventId};
use postrider_store::model::{DeliveryFilter, EventFilter, NewResend, Page, PageRequest};

use crate::going_on::finish_what_began;
use crate::once::{self, Once};
use crate::{Acting, Engine, EngineError};

impl Engine {
    /// Events, newest first.
    pub async fn events(&self, filter: EventFilter, page: PageRequest) -> Result<Page<Event>, EngineError> {
        Ok(self.0.store.events(filter, page).await?)
    }

    /// An event with its payload.
    pub async fn event(&self, id: EventId) -> Result<Event, EngineError> {
        Ok(self.0.store.event(id).await?)
    }

    /// Deliveries, newest first.
    pub async fn deliveries(
        &self,
        filter: DeliveryFilter,
        page: PageRequest,
    ) -> Result<Page<Delivery>, EngineError> {
        Ok(self.0.store.deliveries(filter, page).await?)
    }

    /// A delivery.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Delivery, EngineError> {
        Ok(self.0.store.delivery(id).await?)
    }

    /// The attempts that a delivery tells of, oldest first: not those that have ended since it was read.
    pub async fn attempts(&self, delivery: &Delivery) -> Result<Vec<Attempt>, EngineError> {
        let mut attempts = self.0.store.attempts(delivery.seq).await?;
        attempts.retain(|attempt| attempt.number <= last_told_of(delivery));
        Ok(attempts)
    }

    /// The last `limit` of a delivery's attempts whose numbers are below `before` (of all where that is none), oldest first.
    pub async fn last_attempts(
        &self,
        delivery: &Delivery,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Attempt>, EngineError> {
        let behind = last_told_of(delivery).saturating_add(1);
        let before = Some(before.map_or(behind, |before| before.min(behind)));
        Ok(self.0.store.last_attempts(delivery.seq, before, limit).await?)
    }
}

impl Acting {
    /// Sends a finished delivery again, as a new delivery with the same guid and a full schedule.
    ///
    /// `Conflict` where it is still pending or its endpoint is disabled, `NotFound` where its endpoint is gone,
    /// `AnsweredBefore` where an earlier call with the same idempotency key was answered.
    pub async fn resend(
        &self,
        id: DeliveryId,
        once: Option<Once<Delivery>>,
    ) -> Result<Delivery, EngineError> {
        let old = self.0.store.delivery(id).await?;
        if old.status == Status::Pending {
            return Err(EngineError::Conflict("the delivery is still pending; it will be tried by itself"));
        }
        let endpoint = self
            .endpoint(old.endpoint)
            .or(Err(EngineError::Conflict("the delivery's endpoint was deleted")))?;
        if matches!(endpoint.state, State::Disabled(_)) {
            return Err(EngineError::Conflict("the endpoint is disabled; enable it first"));
        }
        let (inner, who) = (self.0.clone(), self.who);
        let new_id = finish_what_began(async move {
            let now = inner.now();
            let new_id = DeliveryId::new(now, inner.chance.bits());
            let keep = once::keep(once.as_ref(), inner.time_for_ages(), || Delivery {
                id: new_id,
                status: Status::Pending,
                cancel_reason: None,
                attempt_count: 0,
                created_at: now,
                next_attempt_at: None,
                finished_at: None,
                resend_of: Some(id),
                ..old
            });
            let deed = who.did(Action::DeliveryResent, old.account, new_id, now);
            let term = inner.lanes().term();
            let row =
                inner.store.resend(NewResend { id: new_id, of: id, created_at: now, deed, keep }).await?;
            let (no, item) = inner.item_of(row);
            inner.pump_after(now, |lanes| lanes.push_resend(no, item, term, now));
            Ok(new_id)
        })
        .await?;
        self.delivery(new_id).await
    }

    /// Cancels a pending delivery: it is not tried again. A request that is in flight ends by itself, and its attempt is
    /// logged.
    ///
    /// `Conflict` where it has come to its end.
    pub async fn cancel_delivery(&self, id: DeliveryId) -> Result<Delivery, EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        let account = self.delivery(id).await?.account;
        finish_what_began(async move {
            let now = inner.now();
            let deed = who.did(Action::DeliveryCancelled, account, id, now);
            let (no, seq) = inner.store.cancel_delivery(id, deed).await?;
            inner.pump_after(now, |lanes| match inner.store.is_shared() {
                // The store tells the owner, which may be this node: heard a second time it changes nothing.
                true => lanes.cancelled_elsewhere(no, seq, now),
                false => lanes.cancelled(no, seq, now),
            });
            Ok(())
        })
        .await?;
        self.delivery(id).await
    }
}

/// The number of the last attempt that a delivery tells of. After its end it has all that are logged: the request of one
/// that was cancelled may have ended later.
fn last_told_of(delivery: &Delivery) -> u32 {
    if delivery.status == Status::Pending { delivery.attempt_count } else { u32::MAX }
}
