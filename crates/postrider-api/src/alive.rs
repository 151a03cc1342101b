//! `/healthz`: the process is alive. `/readyz`: events can be accepted. Neither needs a key.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;

use crate::Api;
use crate::answer::{self, Answer};

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

pub(crate) async fn healthz() -> Answer {
    Ok(answer::json(StatusCode::OK, &Alive { status: "ok" }))
}

pub(crate) async fn readyz(State(api): State<Arc<Api>>) -> Answer {
    api.engine.check_ready().await?;
    Ok(answer::json(StatusCode::OK, &Alive { status: "ready" }))
}
