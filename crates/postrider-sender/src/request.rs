//! The request as it goes on the wire, and the same as the log keeps it. The body is passed through untouched.

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use postrider_core::attempt::HeaderLog;
use url::Position;

use crate::AttemptRequest;
use crate::failure::Failure;
use crate::response::LOG_BYTES;
use crate::target::Target;

/// What stands in the log for a value that must not be read there.
const MASKED: &str = "•••";

/// Headers that the sender sets itself, or that would change how the message is framed, answered or kept alive.
const OWNED: [HeaderName; 12] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::USER_AGENT,
    header::ACCEPT_ENCODING,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::EXPECT,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

/// The contract's POST.
pub(crate) fn build(
    attempt: &AttemptRequest,
    target: &Target<'_>,
    user_agent: &HeaderValue,
) -> Result<Request<Full<Bytes>>, Failure> {
    let path = &attempt.url[Position::BeforePath..Position::AfterQuery];
    let path = PathAndQuery::try_from(path)
        .map_err(|error| Failure::unsendable(format!("the URL's path can't be sent: {error}")))?;
    let host = HeaderValue::from_str(target.authority)
        .map_err(|error| Failure::unsendable(format!("the URL's host can't be sent: {error}")))?;

    let mut headers = HeaderMap::with_capacity(attempt.headers.len() + 4);
    headers.insert(header::HOST, host);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(attempt.body.len()));
    headers.insert(header::USER_AGENT, user_agent.clone());
    for (name, value) in attempt.headers.iter().filter(|(name, _)| !OWNED.contains(name)) {
        headers
            .try_append(name, value.clone())
            .map_err(|error| Failure::unsendable(format!("the headers can't be sent: {error}")))?;
    }

    let mut request = Request::new(Full::new(attempt.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = headers;
    Ok(request)
}

/// The headers as the log keeps them: the names as they stand on the wire, sensitive values masked.
pub(crate) fn header_log(headers: &HeaderMap) -> HeaderLog {
    let mut log = HeaderLog::with_capacity(LOG_BYTES);
    for (name, value) in headers {
        let name = title_case(name.as_str());
        if value.is_sensitive() {
            log.push_masked(name, MASKED);
        } else {
            log.push(name, value.as_bytes());
        }
    }
    log
}

/// A header's name as the connection writes it: `x-kasko-event` becomes `X-Kasko-Event`.
fn title_case(name: &str) -> impl Iterator<Item = char> {
    let mut begins_word = true;
    name.chars().map(move |letter| {
        let shown = if begins_word { letter.to_ascii_uppercase() } else { letter };
        begins_word = letter == '-';
        shown
    })
}
