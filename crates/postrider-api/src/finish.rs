//! What holds for every request and every answer: a fresh request id, problems as problem+json, a refused body
//! drained, a panic caught, one line in the log. And the answers where there is no route.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Method, header};
use tower_service::Service as _;

use crate::problem::{Carried, Code, Problem};
use crate::seldom::Seldom;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is under no route of the API: whatever stands beside it answers, or nobody.
pub(crate) async fn elsewhere(request: Request, beside: Option<Router>) -> Response {
    match beside {
        Some(mut beside) if !is_below_v1(request.uri().path()) => {
            let Ok(response) = beside.call(request).await;
            response
        }
        _ => Problem::new(Code::NotFound, "there is no such path; the API's begin with /v1/").into_response(),
    }
}

fn is_below_v1(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

pub(crate) async fn wrong_method(method: Method) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{method} is not among this path's methods; see Allow"))
}

/// Where customers' links begin.
const PORTAL: &str = "/portal/";

/// Wraps every route: `answer` is what gives the answer.
pub(crate) async fn finish<F>(request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let began = Instant::now();
    let request_id = fresh_id();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let answered = AssertUnwindSafe(answer(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_panic| {
        Problem::new(Code::Internal, "something went wrong here that should not; the log has it")
            .into_response()
    });
    if let Some(Carried(problem)) = response.extensions_mut().remove() {
        response = problem.render(&request_id, &method, response);
        log_problem(&problem, &request_id, &method, &loggable(uri.path()));
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(X_REQUEST_ID, value);
    }
    // Answers hold keys, secrets and personal data: no cache may keep them, but where an answer says otherwise itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let (status, took_us) = (response.status().as_u16(), began.elapsed().as_micros());
    tracing::debug!(%request_id, %method, path = &*loggable(uri.path()), status, took_us, "answered");
    response
}

/// A path without what opens the portal: the log is read by more people than the link was given to.
fn loggable(path: &str) -> Cow<'_, str> {
    match path.strip_prefix(PORTAL) {
        Some(link) => {
            let behind = link.find('/').map_or("", |end| &link[end..]);
            Cow::Owned(format!("{PORTAL}•••{behind}"))
        }
        None => Cow::Borrowed(path),
    }
}

/// Faults of ours are written down where an operator looks; a caller's are told to the caller alone. What an outage
/// refuses is said now and then.
fn log_problem(problem: &Problem, request_id: &str, method: &Method, path: &str) {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    static UNAVAILABLE: Seldom = Seldom::new();
    let code = problem.code();
    match problem.source() {
        Some(error) if code == "unavailable" => {
            if let Some(unsaid) = UNAVAILABLE.turn(START.elapsed()) {
                tracing::error!(request_id, %method, path, code, error, unsaid, "requests are refused");
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_the_portal_is_not_written_into_the_log() {
        assert_eq!(loggable("/portal/pl_0123/deliveries/dlv_1"), "/portal/•••/deliveries/dlv_1");
        assert_eq!(loggable("/portal/pl_0123"), "/portal/•••");
        assert_eq!(loggable("/v1/events"), "/v1/events");
    }

    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use postrider_engine::EngineError;

    /// The answer where the handler gives what `result` gives.
    async fn answer(result: fn() -> Result<(), Problem>) -> (u16, http::HeaderMap, serde_json::Value) {
        let answered =
            finish(Request::new(Body::empty()), async |_| result().map(|()| "done").into_response()).await;
        let (parts, body) = answered.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_panic_becomes_a_problem_that_tells_nothing_of_it() {
        let (status, headers, problem) = answer(|| panic!("the secret is hunter2")).await;
        assert_eq!((status, &problem["code"]), (500, &serde_json::json!("internal")));
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(problem["request_id"].as_str(), headers["x-request-id"].to_str().ok());
        assert!(!problem.to_string().contains("hunter2"));
    }

    #[tokio::test]
    async fn what_may_work_later_says_when() {
        for (result, code) in [
            ((|| Err(EngineError::Overloaded.into())) as fn() -> Result<(), Problem>, "overloaded"),
            (|| Err(EngineError::ShuttingDown.into()), "shutting_down"),
            (|| Err(EngineError::Unavailable("disk I/O error on /some/path".into()).into()), "unavailable"),
        ] {
            let (status, headers, problem) = answer(result).await;
            assert_eq!((status, problem["code"].as_str()), (503, Some(code)));
            assert!(headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
            assert!(!problem.to_string().contains("/some/path"), "what went wrong inside stays in the log");
        }
    }

    #[tokio::test]
    async fn a_503_says_whether_anything_may_have_been_stored() {
        let detail = async |method: Method, error: fn() -> EngineError| {
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method;
            let answered = finish(request, async |_| Problem::from(error()).into_response()).await;
            let body = answered.into_body().collect().await.unwrap().to_bytes();
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            problem["detail"].as_str().unwrap().to_owned()
        };
        let unavailable = || EngineError::Unavailable("no confirmation".into());
        for method in [Method::POST, Method::PATCH, Method::DELETE] {
            let said = detail(method, unavailable).await;
            assert!(said.contains("may have been carried out") && said.contains("Idempotency-Key"), "{said}");
        }
        let read = detail(Method::GET, unavailable).await;
        assert!(!read.contains("carried out"), "{read}");
        for error in [(|| EngineError::Overloaded) as fn() -> EngineError, || EngineError::ShuttingDown] {
            let said = detail(Method::POST, error).await;
            assert!(said.contains("nothing was stored") && !said.contains("carried out"), "{said}");
        }
    }

    #[tokio::test]
    async fn a_value_that_the_store_refuses_is_a_bug_and_not_an_outage() {
        let refused = || Err(EngineError::StoreRefused("invalid byte sequence: 0x00".into()).into());
        let (status, headers, problem) = answer(refused).await;
        assert_eq!((status, problem["code"].as_str()), (500, Some("internal")));
        assert!(!headers.contains_key("retry-after"), "the same call would be refused again");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("this is a bug"), "{problem}");
        assert!(detail.to_lowercase().contains("nothing was stored"), "the client looks for it: {problem}");
        assert!(!problem.to_string().contains("0x00"), "the cause is for the log");
    }

    #[tokio::test]
    async fn what_the_engine_refuses_has_its_place_and_its_reason() {
        for (result, status, code) in [
            ((|| Err(EngineError::NotFound.into())) as fn() -> Result<(), Problem>, 404, "not_found"),
            (|| Err(EngineError::Conflict("twice").into()), 409, "conflict"),
            (|| Err(EngineError::TooManyDeliveries { limit: 1 }.into()), 422, "too_many_deliveries"),
            (|| Err(EngineError::Refused { field: "url", detail: "bad".into() }.into()), 422, "invalid"),
        ] {
            let (found, _, problem) = answer(result).await;
            assert_eq!((found, problem["code"].as_str()), (status, Some(code)));
            if code == "invalid" {
                assert_eq!(problem["errors"], serde_json::json!([{ "pointer": "/url", "detail": "bad" }]));
            }
        }
    }
}
