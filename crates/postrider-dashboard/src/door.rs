//! The way in: who comes through which door, and what every answer carries out.
//!
//! The operator comes with a session's cookie, a customer with a link. Each has a router of their own, so that a page that
//! is not a customer's is not there for one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use postrider_core::audit::{Actor, Who};
use postrider_core::client_address::forwarded_address;
use postrider_core::portal::PortalLink;
use postrider_engine::{EngineError, KeyUse, key_sha256};
use tower_service::Service as _;

use crate::app::App;
use crate::refusal::{Carried, Refusal};
use crate::session::Use;
use crate::visit::{Scope, Viewer};
use crate::{answer, assets, layout, pages};

/// The cookie that holds the operator's session …
pub(crate) const SESSION: &str = "postrider_session";
/// … and the one that holds the chosen theme.
pub(crate) const THEME: &str = "postrider_theme";
/// The header by which our script tells what a page asks for without anybody's doing.
const BY_ITSELF: &str = "postrider-by-itself";
/// What every path of the portal begins with; the link's token follows.
pub(crate) const PORTAL: &str = "/portal/";

/// Everything that is served.
pub(crate) fn router(app: Arc<App>) -> Router {
    let operator = pages::of_operator().with_state(app.clone());
    let customer = pages::of_customer().with_state(app.clone());
    Router::new()
        .route("/assets/{file}", get(assets::serve))
        .route("/login", get(pages::login::show).post(pages::login::submit))
        .fallback(move |State(app): State<Arc<App>>, request: Request| {
            enter(app, operator, customer, request)
        })
        .layer(middleware::from_fn(guarded))
        .with_state(app)
}

/// The headers of every answer that has none of its own.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if !response.headers().contains_key(header::CONTENT_SECURITY_POLICY) {
        answer::guard(response.headers_mut(), "'none'");
    }
    response
}

/// Lets in a customer who has a link, or an operator who has a session; sends others to the login.
async fn enter(app: Arc<App>, operator: Router, customer: Router, request: Request) -> Response {
    match request.uri().path().strip_prefix(PORTAL) {
        Some(_) => enter_portal(&app, customer, request).await,
        None => enter_dashboard(&app, operator, request).await,
    }
}

async fn enter_dashboard(app: &App, pages: Router, request: Request) -> Response {
    let token = cookie(request.headers(), SESSION);
    let how = if is_by_itself(&request) { Use::ByItself } else { Use::ByHand };
    let session = token.and_then(|token| app.sessions().find(token, how, app.engine.now()));
    let Some((session, form_token)) = session else { return to_login(&request) };
    let theme = theme(request.headers());
    let who = who(app, Actor::Dashboard, &request);
    let viewer = Viewer {
        scope: Scope::Operator,
        base: String::new(),
        session: Some(session),
        form_token,
        until: None,
        who,
        theme,
    };
    show(app, pages, viewer, request).await
}

/// The link stands in the path, and no cookie is needed: a page that frames the portal may be of another site, where browsers
/// give none.
async fn enter_portal(app: &App, pages: Router, mut request: Request) -> Response {
    let path = request.uri().path().strip_prefix(PORTAL).unwrap_or_default().to_owned();
    let (token, rest) = path.split_once('/').unwrap_or((&path, ""));
    let from = client_address(&request, app.options.behind_proxy);
    let link = match open_link(app, token, from).await {
        Ok(link) => link,
        Err(refusal) => return framed(app, refused(app, None, &refusal)),
    };
    let inner = match request.uri().query() {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    };
    let Ok(uri) = inner.parse::<Uri>() else { return framed(app, refused(app, None, &Refusal::NotFound)) };
    *request.uri_mut() = uri;
    let viewer = Viewer {
        scope: Scope::Customer { account: link.account, livemode: link.livemode },
        base: format!("{PORTAL}{token}"),
        session: None,
        // Whoever knows the link may send its forms, and nobody else knows it.
        form_token: key_sha256(&format!("form {token}")).iter().map(|byte| format!("{byte:02x}")).collect(),
        until: Some(link.expires_at),
        who: who(app, Actor::Portal(link.id), &request),
        theme: theme(request.headers()),
    };
    let response = show(app, pages, viewer, request).await;
    framed(app, response)
}

/// What a link's token opens. Tokens that open nothing are counted for the address they come from; once it has used up its
/// failures, only those that were accepted from it within the last hour are looked at.
async fn open_link(app: &App, token: &str, from: Option<IpAddr>) -> Result<PortalLink, Refusal> {
    let (now, sha256) = (app.engine.now(), key_sha256(token));
    if let Some(from) = from
        && let failed = app.failed_links()
        && let Some(wait) = failed.must_wait(from, now)
        && !failed.was_accepted(from, sha256, now)
    {
        app.engine.count_unjudged_key(KeyUse::Portal);
        return Err(Refusal::TooManyTries(wait));
    }
    match app.engine.portal_link(token).await {
        Ok(link) => {
            if let Some(from) = from {
                app.failed_links().accepted(from, sha256, now);
            }
            Ok(link)
        }
        Err(EngineError::NotFound) => {
            app.engine.count_failed_key(KeyUse::Portal);
            app.failed_links().failed(from, now);
            Err(Refusal::LinkOver)
        }
        Err(other) => Err(other.into()),
    }
}

/// Whether a page asks and nobody: our script says so of what it loads again, and a live feed is opened by it alone.
fn is_by_itself(request: &Request) -> bool {
    request.headers().contains_key(BY_ITSELF) || request.uri().path() == "/live"
}

fn who(app: &App, actor: Actor, request: &Request) -> Who {
    let address = client_address(request, app.options.behind_proxy).or_else(|| peer(request));
    Who { actor, address }
}

/// Gives the page to the visitor.
async fn show(app: &App, mut pages: Router, viewer: Viewer, mut request: Request) -> Response {
    request.extensions_mut().insert(viewer.clone());
    let Ok(response) = pages.call(request).await;
    finish(app, &viewer, response)
}

/// A page of the portal may stand in the frames that the operator has named.
fn framed(app: &App, mut response: Response) -> Response {
    if !response.headers().contains_key(header::CONTENT_SECURITY_POLICY) {
        let origins = app.options.portal_frame_origins.join(" ");
        answer::guard(response.headers_mut(), if origins.is_empty() { "'none'" } else { &origins });
    }
    response
}

/// A refusal becomes a page that looks like the visitor's others.
pub(crate) fn finish(app: &App, viewer: &Viewer, mut response: Response) -> Response {
    let Some(Carried(refusal)) = response.extensions_mut().remove() else { return response };
    refused(app, Some(viewer), &refusal)
}

/// The page of a refusal.
pub(crate) fn refused(app: &App, viewer: Option<&Viewer>, refusal: &Refusal) -> Response {
    let mut response = answer::html(refusal.status(), layout::refused(app, viewer, refusal));
    if let Some(seconds) = refusal.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn to_login(request: &Request) -> Response {
    if request.method() != Method::GET {
        return answer::see("/login?over=1");
    }
    // A part of a page that a script asked for is not where somebody wants to be after the login.
    if request.headers().get("sec-fetch-mode").is_some_and(|mode| mode != "navigate") {
        return http::StatusCode::UNAUTHORIZED.into_response();
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut to = url::form_urlencoded::Serializer::new(String::new());
    answer::see(&match path {
        "/" => "/login".to_owned(),
        path => format!("/login?{}", to.append_pair("to", path).finish()),
    })
}

/// A place within these pages that a visitor may be sent to; the home page for anything else.
pub(crate) fn place_here(text: &str) -> &str {
    let is_here = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.len() <= 2_000
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.parse::<Uri>().is_ok();
    if is_here { text } else { "/" }
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(';')).find_map(|pair| {
        let (known, value) = pair.trim().split_once('=')?;
        (known == name).then_some(value)
    })
}

/// The theme that the visitor has chosen.
pub(crate) fn theme(headers: &HeaderMap) -> Option<&'static str> {
    ["light", "dark"].into_iter().find(|theme| cookie(headers, THEME) == Some(theme))
}

/// Whether the visitor came over TLS, as a trusted proxy tells.
pub(crate) fn is_over_tls(headers: &HeaderMap, behind_proxy: bool) -> bool {
    let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    behind_proxy && scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// The visitor's address: the other side of the connection, or whom a trusted proxy names. `None` if the proxy names nobody.
pub(crate) fn client_address(request: &Request, behind_proxy: bool) -> Option<IpAddr> {
    if !behind_proxy {
        return peer(request);
    }
    let values = |name: &str| {
        let all = request.headers().get_all(name).into_iter();
        all.map(|value| value.to_str().unwrap_or_default())
    };
    forwarded_address(values("x-forwarded-for"), values("forwarded"))
}

/// The other side of the connection.
fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_the_login() {
        assert_eq!(place_here("/deliveries?status=exhausted"), "/deliveries?status=exhausted");
        for elsewhere in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "javascript:1", "/ä"]
        {
            assert_eq!(place_here(elsewhere), "/", "{elsewhere:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=1; postrider_theme=dark;b=2"));
        assert_eq!((cookie(&headers, "b"), cookie(&headers, "c")), (Some("2"), None));
        assert_eq!(theme(&headers), Some("dark"));
    }
}
