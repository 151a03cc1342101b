//! Use cases about endpoints' secrets: read, rotated with an overlap, and the overlap ended.
//!
//! Which secret signs is told by the time of each attempt (`core::secret`); what is done here at the end of an overlap is
//! only to let go of the old one.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::audit::{Action, Who};
use postrider_core::endpoint::{Endpoint, UnreadableValues};
use postrider_core::id::EndpointId;
use postrider_core::secret::{RotationRefused, Secret, Secrets};
use postrider_store::StoreError;
use postrider_store::model::SecretsChange;
use tokio::sync::MutexGuard;

use crate::config::SETTLE_SECRETS_EVERY;
use crate::going_on::finish_what_began;
use crate::model::{EndpointView, RevealedSecrets};
use crate::{Acting, EngineError, Inner};

impl Acting {
    /// An endpoint's secret; both, while an overlap runs. It is written down before that somebody has seen them.
    pub async fn secrets(&self, id: EndpointId) -> Result<RevealedSecrets, EngineError> {
        let endpoint = self.0.find_endpoint(id)?;
        if endpoint.unreadable.secret {
            return Err(EngineError::Conflict(UNREADABLE));
        }
        self.note(Action::SecretRevealed, endpoint.account, id).await?;
        let now = self.0.now();
        let secret = endpoint.secrets.signing(now).clone();
        Ok(RevealedSecrets { secret, next: endpoint.secrets.next(now).cloned() })
    }

    /// Gives an endpoint another secret (one is generated where none is given), which takes over after `overlap`; until
    /// then requests are signed with both. Gives the endpoint and the new secret.
    ///
    /// A secret that does not open is replaced at once. `Conflict` while an earlier overlap runs, `Refused` where the secret can't be one of this endpoint.
    pub async fn rotate_secret(
        &self,
        id: EndpointId,
        secret: Option<Secret>,
        overlap: Duration,
    ) -> Result<(EndpointView, Secret), EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move {
            let new = secret.unwrap_or_else(|| inner.generate_secret());
            let changing = inner.changes.lock().await;
            let endpoint = inner.find_endpoint(id)?;
            let rotated = match endpoint.unreadable.secret {
                // There is no old one that could go on signing.
                true => Secrets::only(new.clone()),
                false => endpoint.secrets.rotated(new.clone(), overlap, inner.now()).map_err(refused)?,
            };
            if endpoint.settings.standard_webhooks
                && let Err(why) = new.standard_webhooks_key()
            {
                return Err(EngineError::Refused { field: "secret", detail: why.to_string() });
            }
            Ok((
                inner.commit_secrets(&endpoint, rotated, (who, Action::SecretRotated), &changing).await?,
                new,
            ))
        })
        .await
    }

    /// Ends a running overlap: the new secret alone signs from now on. `Conflict` where none runs.
    pub async fn end_secret_overlap(&self, id: EndpointId) -> Result<EndpointView, EngineError> {
        let (inner, who) = (self.0.clone(), self.who);
        finish_what_began(async move {
            let changing = inner.changes.lock().await;
            let endpoint = inner.find_endpoint(id)?;
            let ended = endpoint.secrets.ended(inner.now());
            let ended = ended.ok_or(EngineError::Conflict("no overlap of two secrets runs"))?;
            inner.commit_secrets(&endpoint, ended, (who, Action::SecretOverlapEnded), &changing).await
        })
        .await
    }
}

impl Inner {
    pub(crate) fn generate_secret(&self) -> Secret {
        let mut random = zeroize::Zeroizing::new([0; 32]);
        self.chance.fill(&mut *random);
        Secret::generate(&random)
    }

    /// Commits secrets, and lets the lane sign with them.
    async fn commit_secrets(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        secrets: Secrets,
        (who, action): (Who, Action),
        changing: &MutexGuard<'_, ()>,
    ) -> Result<EndpointView, EngineError> {
        let at = self.now();
        let change = SecretsChange {
            endpoint_no: endpoint.no,
            endpoint: endpoint.id,
            account_no: endpoint.account_no,
            before: endpoint.secrets.clone(),
            after: secrets.clone(),
            at,
            deed: who.did(action, endpoint.account, endpoint.id, at),
        };
        let version = match self.store.set_secrets(change).await {
            // The next try begins with what the other one made.
            Err(StoreError::Conflict(why)) => {
                self.read_changed(changing, endpoint.account_no).await?;
                return Err(EngineError::Conflict(why));
            }
            changed => changed?,
        };
        let unreadable = UnreadableValues { secret: false, ..endpoint.unreadable };
        let changed = Arc::new(Endpoint { secrets, unreadable, updated_at: at, ..endpoint.clone() });
        self.change_snapshot(|snapshot| snapshot.put_endpoint(changed.clone(), version));
        self.lanes().configure(changed.clone(), at);
        if !endpoint.is_readable() {
            // Its lane may send again.
            self.pump();
        }
        Ok(self.view(&changed))
    }

    /// Lets go of the old secrets whose overlap has ended.
    async fn settle_secrets(self: &Arc<Self>) {
        let ended: Vec<EndpointId> = {
            let (snapshot, now) = (self.snapshot.load(), self.time_for_ages());
            let ended = snapshot.all_endpoints().filter(|known| known.secrets.settled(now).is_some());
            ended.map(|endpoint| endpoint.id).collect()
        };
        for id in ended {
            let changing = self.changes.lock().await;
            let Ok(endpoint) = self.find_endpoint(id) else { continue };
            let ended = (Who::SERVICE, Action::SecretOverlapEnded);
            let Some(settled) = endpoint.secrets.settled(self.time_for_ages()) else { continue };
            if let Err(error) = self.commit_secrets(&endpoint, settled, ended, &changing).await {
                // The new one signs all the same; this is tried again with the next round.
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, endpoint = %id, "an old secret could not be let go");
            }
        }
    }
}

/// Keeps no secret longer than it is used, and tells of those that can't be read.
pub(crate) async fn settle(inner: Arc<Inner>) {
    loop {
        inner.settle_secrets().await;
        inner.log_unreadable();
        tokio::time::sleep(SETTLE_SECRETS_EVERY).await;
    }
}

/// Why a secret is not shown.
const UNREADABLE: &str = "the secret can't be read: it, or the endpoint's URL, was changed in the database; check the URL, then give the endpoint a new secret";

fn refused(why: RotationRefused) -> EngineError {
    match why {
        RotationRefused::OverlapRuns => {
            EngineError::Conflict("an overlap of two secrets runs; end it first, or wait for its end")
        }
        RotationRefused::SameSecret => EngineError::Refused { field: "secret", detail: why.to_string() },
        RotationRefused::OverlapTooLong => {
            EngineError::Refused { field: "overlap_seconds", detail: why.to_string() }
        }
    }
}
