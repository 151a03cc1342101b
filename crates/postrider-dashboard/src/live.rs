//! The live feed: tells a browser that something happened within its view, so that it asks for the page again. It carries
//! no data of its own, so it can't tell more than the page does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::IntoResponse as _;
use axum::response::sse::{Event, Sse};
use futures_util::stream;
use postrider_engine::{AttemptSeen, DeliveryFilter};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::app::App;
use crate::door::PORTAL;
use crate::live_limits::{Holder, LiveSlot};
use crate::query::Filters;
use crate::refusal::Refusal;
use crate::session::SessionKey;
use crate::visit::{Scope, Visit};

/// A browser is told at most this often.
const AT_MOST_EVERY: Duration = Duration::from_millis(500);
/// How often a feed looks whether the service stops, or the session has ended.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// How many such looks pass until it looks whether a link has ended, and a silent feed says that it is alive.
const LOOKS_PER_SIGN: u32 = 15;

/// How long after a look at its link a feed takes to look again, if the configuration keeps changing.
const LINK_CHECKS_APART: Duration = Duration::from_millis(100);

/// What a feed goes by.
struct Feed {
    app: Arc<App>,
    attempts: Receiver<Arc<AttemptSeen>>,
    scope: Scope,
    filter: DeliveryFilter,
    looks: u32,
    looked_at: Instant,
    began: bool,
    /// The token of a customer's link, to look whether it still holds.
    link: Option<String>,
    /// The operator's session, to look whether it still lives.
    session: Option<SessionKey>,
    /// Changes when links are revoked.
    configuration: watch::Receiver<u64>,
    _slot: LiveSlot,
}

/// `GET /live`, with the filters of the page that watches.
pub(crate) async fn stream(visit: Visit) -> Answer {
    let (scope, session) = (visit.viewer.scope, visit.viewer.session);
    let holder = match (scope, session) {
        (Scope::Customer { account, .. }, _) => Holder::Account(account),
        (Scope::Operator, Some(session)) => Holder::Session(session),
        (Scope::Operator, None) => return Err(Refusal::NotFound),
    };
    let slot = visit.app.live_limits.take(holder).ok_or(Refusal::TooManyWatch)?;
    let link = visit.viewer.base.strip_prefix(PORTAL).map(str::to_owned);
    let filter = Filters::read(&visit.query).deliveries(scope);
    let attempts = visit.engine().watch_attempts();
    let configuration = visit.engine().configuration_changes();
    let (looks, looked_at, began) = (0, Instant::now(), false);
    let feed = Feed {
        app: visit.app,
        attempts,
        scope,
        filter,
        looks,
        looked_at,
        began,
        link,
        session,
        configuration,
        _slot: slot,
    };
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    Ok(Sse::new(events).into_response())
}

impl Feed {
    /// The next thing to say; none when the service stops.
    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.began, true) {
            return Some(Event::default().comment("watching"));
        }
        loop {
            let seen = tokio::select! {
                seen = tokio::time::timeout(ALIVE_EVERY, self.attempts.recv()) => seen,
                _ = self.configuration.changed(), if self.link.is_some() => {
                    if self.is_over().await {
                        return None;
                    }
                    // However often the configuration changes, the store is asked so often.
                    tokio::time::sleep(LINK_CHECKS_APART).await;
                    continue;
                }
            };
            // Looked at however much happens: what flows must not keep a feed open that is over.
            if self.looked_at.elapsed() >= ALIVE_EVERY {
                self.looked_at = Instant::now();
                self.looks += 1;
                let is_due = self.looks.is_multiple_of(LOOKS_PER_SIGN);
                if self.app.engine.is_stopping() || self.is_logged_out() || (is_due && self.is_over().await) {
                    return None;
                }
                let is_told = matches!(&seen, Ok(Ok(seen)) if self.is_seen(seen));
                if is_due && !is_told && !matches!(&seen, Ok(Err(_))) {
                    return Some(Event::default().comment("alive"));
                }
            }
            match seen {
                Ok(Ok(seen)) if !self.is_seen(&seen) => {}
                // Who fell behind has missed something.
                Ok(Ok(_) | Err(RecvError::Lagged(_))) => {
                    self.let_a_moment_pass().await;
                    return Some(Event::default().event("attempt").data("ended"));
                }
                Ok(Err(RecvError::Closed)) => return None,
                Err(_silence) => {}
            }
        }
    }

    /// Whether the operator's session has ended meanwhile.
    fn is_logged_out(&self) -> bool {
        let Some(session) = &self.session else { return false };
        let now = self.app.engine.now();
        !self.app.sessions().is_alive(session, now)
    }

    /// Whether a customer's link has ended meanwhile. What its feed may still say until then is that something happened.
    async fn is_over(&self) -> bool {
        match &self.link {
            Some(token) => self.app.engine.portal_link(token).await.is_err(),
            None => false,
        }
    }

    /// Many attempts at once are one thing to say.
    async fn let_a_moment_pass(&mut self) {
        tokio::time::sleep(AT_MOST_EVERY).await;
        loop {
            match self.attempts.try_recv() {
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Whether an attempt lies within the visitor's view. Its status may have changed, so that this is not asked.
    fn is_seen(&self, seen: &AttemptSeen) -> bool {
        let filter = &self.filter;
        self.scope.sees(seen.account, seen.livemode)
            && filter.account.is_none_or(|wanted| wanted == seen.account)
            && filter.endpoint.is_none_or(|wanted| wanted == seen.endpoint)
            && filter.event.is_none_or(|wanted| wanted == seen.event)
            && filter.livemode.is_none_or(|wanted| wanted == seen.livemode)
            && filter.event_type.as_deref().is_none_or(|wanted| wanted == &*seen.event_type)
    }
}
