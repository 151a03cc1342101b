//! The demo's receivers: they check every signature, and one of them fails now and then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use postrider_signature::kasko;

use crate::receiver::Arrived;

/// The path whose receiver fails now and then.
const FLAKY: &str = "/partner";

/// One receiver's subscription.
#[derive(Debug, Clone)]
struct Subscription {
    name: String,
    endpoint: String,
    secret: String,
}

/// All receivers of the demo.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    by_path: Mutex<HashMap<String, Subscription>>,
    flaky_requests: AtomicU64,
    verified: AtomicU64,
    refused: AtomicU64,
}

impl Receivers {
    pub(super) fn subscribe(&self, path: &str, name: &str, endpoint: &str, secret: &str) {
        let subscription =
            Subscription { name: name.to_owned(), endpoint: endpoint.to_owned(), secret: secret.to_owned() };
        self.subscriptions().insert(path.to_owned(), subscription);
    }

    /// Endpoint ids with their names.
    pub(super) fn names(&self) -> HashMap<String, String> {
        self.subscriptions().values().map(|one| (one.endpoint.clone(), one.name.clone())).collect()
    }

    /// What a webhook is answered.
    pub(super) fn answer(&self, arrived: &Arrived) -> StatusCode {
        let Some(secret) = self.subscriptions().get(&arrived.path).map(|one| one.secret.clone()) else {
            return StatusCode::NOT_FOUND;
        };
        if kasko::verify(&secret, &arrived.body, arrived.header("x-kasko-signature")).is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return StatusCode::FORBIDDEN;
        }
        self.verified.fetch_add(1, Ordering::Relaxed);
        if arrived.path != FLAKY {
            return StatusCode::OK;
        }
        match self.flaky_requests.fetch_add(1, Ordering::Relaxed) % 5 {
            1 => StatusCode::SERVICE_UNAVAILABLE,
            3 => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::NO_CONTENT,
        }
    }

    /// How many signatures were right and how many wrong.
    pub(super) fn signatures(&self) -> (u64, u64) {
        (self.verified.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    fn subscriptions(&self) -> MutexGuard<'_, HashMap<String, Subscription>> {
        self.by_path.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
