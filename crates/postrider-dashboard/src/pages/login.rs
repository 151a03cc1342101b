//! The operator's way in and out, and the theme.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{Markup, html};
use postrider_engine::model::Principal;
use postrider_engine::{EngineError, KeyUse, key_sha256};

use crate::answer::{self, Answer};
use crate::app::App;
use crate::door::{self, SESSION, THEME};
use crate::form::Fields;
use crate::layout;
use crate::refusal::Refusal;
use crate::session::ABSOLUTE;
use crate::visit::{Visit, check_origin};
use crate::{assets, door::place_here};

/// How long a chosen theme is remembered.
const THEME_SECONDS: u32 = 365 * 24 * 3600;

/// The form for the key.
pub(crate) async fn show(request: Request) -> Response {
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let note = match (query.is_ticked("over"), query.is_ticked("out")) {
        (true, _) => Some("Your session is over. What you sent was not done; log in and repeat it."),
        (_, true) => Some("You are logged out."),
        _ => None,
    };
    let theme = door::theme(request.headers());
    answer::html(StatusCode::OK, form(theme, place_here(query.get("to")), note, None))
}

/// Judges the key.
pub(crate) async fn submit(State(app): State<Arc<App>>, request: Request) -> Response {
    match judge(&app, request).await {
        Ok(response) => response,
        Err(refusal) => door::refused(&app, None, &refusal),
    }
}

async fn judge(app: &Arc<App>, request: Request) -> Answer {
    let behind_proxy = app.options.behind_proxy;
    // There is no session yet that a token could belong to: the browser's word about the form's origin must do.
    check_origin(request.headers(), behind_proxy)?;
    let (from, now) = (door::client_address(&request, behind_proxy), app.engine.now());
    if let Some(from) = from {
        let failed = app.failed_logins();
        if let Some(wait) = failed.must_wait(from, now).filter(|_| !failed.has_accepted(from, now)) {
            app.engine.count_unjudged_key(KeyUse::Login);
            return Err(Refusal::TooManyTries(wait));
        }
    }
    let slot = app.form_memory.login(from).ok_or(Refusal::Unavailable(EngineError::Overloaded))?;
    let (parts, body) = request.into_parts();
    let fields = Fields::read_login(body).await?;
    drop(slot);
    let (to, key) = (place_here(fields.get("to")), fields.get("key").trim());
    let sha256 = key_sha256(key);
    // Others of this address may have tried in the meantime.
    if let Some(from) = from {
        let failed = app.failed_logins();
        if let Some(wait) = failed.must_wait(from, now).filter(|_| !failed.was_accepted(from, sha256, now)) {
            app.engine.count_unjudged_key(KeyUse::Login);
            return Err(Refusal::TooManyTries(wait));
        }
    }
    let shown_from = from.map(tracing::field::display);
    if app.engine.authenticate(key) != Some(Principal::Operator) {
        app.engine.count_failed_key(KeyUse::Login);
        // A crowd that guesses is turned away; whoever has the key is not.
        if let Some(wait) = app.failed_logins().crowd_waits(now) {
            return Err(Refusal::TooManyTries(wait));
        }
        app.failed_logins().failed(from, now);
        tracing::warn!(from = shown_from, "wrong key at the dashboard's login");
        if from.is_none() {
            app.delay().await?;
        }
        let fault = "This is not the operator key. An account’s key opens no dashboard.";
        let page = form(door::theme(&parts.headers), to, None, Some(fault));
        return Ok(answer::html(StatusCode::UNAUTHORIZED, page));
    }
    if let Some(from) = from {
        let mut failed = app.failed_logins();
        failed.forgive(from);
        failed.accepted(from, sha256, now);
    }
    if let Some(old) = door::cookie(&parts.headers, SESSION) {
        app.sessions().end(old);
    }
    let token = app.sessions().begin(now);
    tracing::info!(from = shown_from, "the operator logged in to the dashboard");
    let mut response = answer::see(to);
    set_session(&mut response, &parts.headers, behind_proxy, &token, ABSOLUTE.as_secs());
    Ok(response)
}

/// Ends this session.
pub(crate) async fn logout(visit: Visit) -> Answer {
    if let Some(token) = door::cookie(&visit.headers, SESSION) {
        visit.app.sessions().end(token);
    }
    Ok(logged_out(&visit))
}

/// Ends every session.
pub(crate) async fn logout_everywhere(visit: Visit) -> Answer {
    let ended = visit.app.sessions().end_all();
    tracing::info!(ended, "the operator ended every session of the dashboard");
    Ok(logged_out(&visit))
}

fn logged_out(visit: &Visit) -> Response {
    let mut response = answer::see("/login?out=1");
    set_session(&mut response, &visit.headers, visit.app.options.behind_proxy, "", 0);
    response
}

/// Remembers the chosen theme and goes back to where the visitor was.
pub(crate) async fn theme(visit: Visit) -> Answer {
    let referer = visit.headers.get(header::REFERER).and_then(|value| value.to_str().ok());
    let path = referer.and_then(|referer| referer.parse::<http::Uri>().ok());
    let path = path.as_ref().and_then(|uri| uri.path_and_query()).map_or("/", |path| path.as_str());
    let back =
        if path.starts_with(&visit.viewer.base) { place_here(path).to_owned() } else { visit.link("/") };
    let (theme, seconds) = match visit.form.get("theme") {
        "dark" => ("dark", THEME_SECONDS),
        "light" => ("light", THEME_SECONDS),
        _ => ("", 0),
    };
    let mut response = answer::see(&back);
    let cookie = format!("{THEME}={theme}; Path=/; Max-Age={seconds}; SameSite=Lax; HttpOnly");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn set_session(response: &mut Response, headers: &HeaderMap, behind_proxy: bool, token: &str, seconds: u64) {
    let secure = if door::is_over_tls(headers, behind_proxy) { "; Secure" } else { "" };
    let cookie = format!("{SESSION}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Err(_) => *response = StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn form(theme: Option<&str>, to: &str, note: Option<&str>, fault: Option<&str>) -> Markup {
    let content = html! {
        main.alone #main {
            div.card {
                h1.brand { img src=(assets::icon()) alt="" width="22" height="22"; "Postrider" }
                @if let Some(note) = note { p.note role="status" { (note) } }
                form.form method="post" action="/login" {
                    input type="hidden" name="to" value=(to);
                    div.field {
                        label for="key" { "Operator key" }
                        input #key name="key" type="password" required autofocus autocomplete="current-password"
                            aria-describedby="key-hint key-fault" aria-invalid=[fault.map(|_| "true")];
                        p.hint #key-hint { "It was shown once at the first start, or is set as operator_key." }
                        p.fault #key-fault role="alert" { @if let Some(fault) = fault { (fault) } }
                    }
                    div { button.primary type="submit" { "Log in" } }
                }
            }
        }
    };
    layout::bare(theme, "Log in", false, content)
}
