//! A rotation under load: the receiver moves to the new secret in the middle of the overlap, and refuses nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow, ensure};

use super::events;
use super::php::{Php, Place};
use super::process::wait_for;
use super::rest::{Accepted, Account, Endpoint, Rest};
use super::service::Service;

/// How many hand in events at once, each the next one when the last is delivered.
const LOADERS: usize = 4;
/// How long both secrets sign: longer than deploying takes on a busy machine, far longer than a request.
const OVERLAP_SECONDS: u32 = 8;
/// How many events are delivered in each part of the story, at least.
const EVENTS: usize = 25;

/// What the loaders have had delivered, in the order of its being handed in.
struct Load {
    delivered: Mutex<Vec<Accepted>>,
    is_over: AtomicBool,
}

pub(super) fn a_rotation_under_load_refuses_nothing(service: &Service) -> Result<()> {
    let account = service.rest.account("rotation")?;
    let place = Place::new()?;
    let endpoint = service.rest.endpoint(&account, &place.url(), false, &["*"], None)?;
    let php = place.start(&service.folder, "php-rotation", &endpoint.secret)?;
    let load = Load { delivered: Mutex::default(), is_over: AtomicBool::new(false) };
    let rest = &service.rest;
    std::thread::scope(|scope| -> Result<()> {
        let loaders: Vec<_> = (0..LOADERS).map(|_| scope.spawn(|| load.run(rest, &account))).collect();
        let story = rotate(service, &endpoint, &php, &load);
        load.is_over.store(true, Ordering::Relaxed);
        for loader in loaders {
            loader.join().map_err(|_panic| anyhow!("a loader broke off"))??;
        }
        story
    })?;
    let delivered = load.delivered.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(php.records.count()? == delivered.len(), "PHP took another number than {}", delivered.len());
    let first_and_last = [delivered.first(), delivered.last()].into_iter().flatten();
    for accepted in first_and_last {
        ensure!(!php.records.has_next_signature(accepted)?, "a second signature outside the overlap");
    }
    Ok(())
}

/// The story: the old secret alone, the overlap, the deployment in its middle, its end, the new secret alone.
fn rotate(service: &Service, endpoint: &Endpoint, php: &Php, load: &Load) -> Result<()> {
    load.until_more()?;
    let new = service.rest.rotate(endpoint, OVERLAP_SECONDS)?;
    load.until_more()?;
    ensure!(service.rest.overlaps(endpoint)?, "the overlap ended before the new secret was deployed");
    php.deploy(&new)?;
    load.until_more()?;
    ensure!(service.rest.overlaps(endpoint)?, "the overlap ended before it was seen with the new secret");
    wait_for("the end of the overlap", || Ok((!service.rest.overlaps(endpoint)?).then_some(())))?;
    load.until_more()
}

impl Load {
    /// Hands in one event after the other; each must be delivered at its first attempt.
    fn run(&self, rest: &Rest, account: &Account) -> Result<()> {
        let event = &events::examples()[0];
        while !self.is_over.load(Ordering::Relaxed) {
            let accepted = rest.event(account, event)?;
            rest.wait_until_delivered(&accepted)?;
            self.delivered.lock().unwrap_or_else(PoisonError::into_inner).push(accepted);
        }
        Ok(())
    }

    /// Waits until so many more are delivered.
    fn until_more(&self) -> Result<()> {
        let count = || self.delivered.lock().unwrap_or_else(PoisonError::into_inner).len();
        let enough = count() + EVENTS;
        wait_for("more events to be delivered", || Ok((count() >= enough).then_some(())))
    }
}
