//! What holds for every request and every answer: a fresh request id, problems as problem+json, a refused body
//! drained, a panic caught, one line in the log. And the answers where there is no route.

use std::hash::{BuildHasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Method, header};

use crate::drain;
use crate::problem::{Carried, Code, Problem};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) async fn no_such_path() -> Problem {
    Problem::new(Code::NotFound, "there is no such path; the API's begin with /v1/")
}

pub(crate) async fn wrong_method(method: Method) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{method} is not among this path's methods; see Allow"))
}

/// Wraps every route.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request_id = fresh_id();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = AssertUnwindSafe(next.run(drain::watch(request))).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_panic| {
        Problem::new(Code::Internal, "something went wrong here that should not; the log has it")
            .into_response()
    });
    if let Some(Carried(problem)) = response.extensions_mut().remove() {
        response = problem.render(&request_id, response);
        log_problem(&problem, &request_id, &method, &path);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
    // Answers hold keys, secrets and personal data: no cache may keep them.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (status, took_us) = (response.status().as_u16(), began.elapsed().as_micros());
    tracing::debug!(%request_id, %method, path, status, took_us, "answered");
    response
}

/// Faults of ours are written down where an operator looks; a caller's are told to the caller alone.
fn log_problem(problem: &Problem, request_id: &str, method: &Method, path: &str) {
    let code = problem.code();
    match problem.source() {
        Some(error) => {
            tracing::error!(request_id, %method, path, code, error, "a request failed");
        }
        None if code == "internal" => tracing::error!(request_id, %method, path, code, "a request failed"),
        None => {}
    }
}

/// A name for one request: unique within a process by a count, between processes by chance.
fn fresh_id() -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one("request ids"));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("req_{:016x}{:08x}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed))
}
