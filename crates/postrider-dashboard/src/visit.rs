//! One request to a page: who asks, for what, and with which form. A form that is not one of ours goes no further.

use std::str::FromStr;
use std::sync::Arc;

use axum::RequestPartsExt as _;
use axum::extract::{FromRequest, RawPathParams, Request};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, header};
use maud::{Markup, html};
use postrider_core::audit::Who;
use postrider_core::id::AccountId;
use postrider_core::time::Timestamp;
use postrider_engine::{Acting, Engine};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::form::Fields;
use crate::form_memory::FormShare;
use crate::refusal::Refusal;
use crate::session::SessionKey;

/// Who looks at the pages.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    /// Whose things are seen: everybody's for the operator.
    pub(crate) scope: Scope,
    /// What stands before every path: nothing for the operator, the link for a customer.
    pub(crate) base: String,
    /// The operator's session.
    pub(crate) session: Option<SessionKey>,
    /// What every form carries.
    pub(crate) form_token: String,
    /// When a customer's link ends.
    pub(crate) until: Option<Timestamp>,
    /// Whose hand it is, and from where, for the audit log.
    pub(crate) who: Who,
    /// `light` or `dark`, where the visitor has chosen.
    pub(crate) theme: Option<&'static str>,
}

/// Whose things are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everything.
    Operator,
    /// One account's, of one mode or both.
    Customer {
        /// The account.
        account: AccountId,
        /// Its only mode, where the link is for one.
        livemode: Option<bool>,
    },
}

impl Scope {
    /// Whether something of this account and mode may be seen.
    pub(crate) fn sees(self, account: AccountId, livemode: bool) -> bool {
        match self {
            Self::Operator => true,
            Self::Customer { account: own, livemode: only } => {
                own == account && only.is_none_or(|only| only == livemode)
            }
        }
    }

    pub(crate) fn is_operator(self) -> bool {
        self == Self::Operator
    }

    /// The only account there is, where the visitor is a customer.
    pub(crate) fn account(self) -> Option<AccountId> {
        match self {
            Self::Operator => None,
            Self::Customer { account, .. } => Some(account),
        }
    }

    /// The only mode there is, where the visitor may see one alone.
    pub(crate) fn livemode(self) -> Option<bool> {
        match self {
            Self::Operator => None,
            Self::Customer { livemode, .. } => livemode,
        }
    }
}

impl Viewer {
    /// A path as this visitor reaches it.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The hidden field of every form.
    pub(crate) fn token(&self) -> Markup {
        html! { input type="hidden" name="_token" value=(self.form_token); }
    }
}

/// One request to a page.
pub(crate) struct Visit {
    pub(crate) app: Arc<App>,
    pub(crate) viewer: Viewer,
    /// The query.
    pub(crate) query: Fields,
    /// The form; empty for a GET.
    pub(crate) form: Fields,
    pub(crate) headers: HeaderMap,
    id: Option<String>,
    /// What the form holds of the memory of all forms.
    _memory: FormShare,
}

impl Visit {
    pub(crate) fn engine(&self) -> &Engine {
        &self.app.engine
    }

    /// The engine in the visitor's hands, for what changes something.
    pub(crate) fn acting(&self) -> Acting {
        self.app.engine.by(self.viewer.who)
    }

    /// The id in the path.
    pub(crate) fn id<T: FromStr>(&self) -> Result<T, Refusal> {
        self.id.as_deref().and_then(|id| id.parse().ok()).ok_or(Refusal::NotFound)
    }

    /// "See there", within this visitor's pages.
    pub(crate) fn see(&self, path: &str) -> Response {
        crate::answer::see(&self.viewer.link(path))
    }

    pub(crate) fn link(&self, path: &str) -> String {
        self.viewer.link(path)
    }
}

impl FromRequest<Arc<App>> for Visit {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let viewer = parts.extensions.get::<Viewer>().cloned().ok_or(Refusal::NotFound)?;
        let params = parts.extract::<RawPathParams>().await;
        let id = params.ok().and_then(|params| params.iter().next().map(|(_, value)| value.to_owned()));
        let query = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let mut memory = app.form_memory.share(viewer.scope.account());
        let form = if parts.method == Method::POST {
            check_origin(&parts.headers, app.options.behind_proxy)?;
            refuse_loop(app, &parts, &viewer).await?;
            let form = Fields::read(body, &mut memory).await?;
            check_form(&parts.headers, &form, &viewer.form_token, app.options.behind_proxy)?;
            form
        } else {
            Fields::default()
        };
        Ok(Self { app: app.clone(), viewer, query, form, headers: parts.headers, id, _memory: memory })
    }
}

/// Refuses a delivery of this service that comes back as a form: an endpoint's URL leads to a page of its own portal.
async fn refuse_loop(app: &App, parts: &Parts, viewer: &Viewer) -> Result<(), Refusal> {
    let sees = |account, livemode| viewer.scope.sees(account, livemode);
    match app.engine.detect_loop(&parts.headers, &viewer.link(parts.uri.path()), sees).await? {
        Some(source) => Err(Refusal::Loop(Box::new(source))),
        None => Ok(()),
    }
}

/// Refuses a form that another site sent, or one that is not from this session.
pub(crate) fn check_form(
    headers: &HeaderMap,
    form: &Fields,
    token: &str,
    behind_proxy: bool,
) -> Result<(), Refusal> {
    check_origin(headers, behind_proxy)?;
    let same = form.get("_token").as_bytes().ct_eq(token.as_bytes());
    if bool::from(same) { Ok(()) } else { Err(Refusal::ForeignForm) }
}

/// Refuses what another site sent, as far as the browser tells.
pub(crate) fn check_origin(headers: &HeaderMap, behind_proxy: bool) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Refusal::ForeignForm);
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = text("x-forwarded-host").filter(|_| behind_proxy).or_else(|| text("host"));
    let from = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, from)| from);
    match (from, host) {
        (Some(from), Some(host)) if from.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Refusal::ForeignForm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_form_of_another_site_or_session_is_refused() {
        let ours = [
            ("host", "hooks.example"),
            ("origin", "https://hooks.example"),
            ("sec-fetch-site", "same-origin"),
        ];
        let form = |token: &str| Fields::parse(format!("_token={token}").as_bytes());
        assert!(check_form(&headers(&ours), &form("t0ken"), "t0ken", false).is_ok());
        assert!(check_form(&headers(&ours[..1]), &form("t0ken"), "t0ken", false).is_ok(), "an old browser");
        assert!(check_form(&headers(&ours), &form("other"), "t0ken", false).is_err());
        assert!(check_form(&headers(&ours), &Fields::default(), "t0ken", false).is_err());
        for foreign in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "https://hooks.example.evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let headers = headers(&[ours[0], foreign]);
            assert!(check_form(&headers, &form("t0ken"), "t0ken", false).is_err(), "{foreign:?}");
        }
    }

    #[test]
    fn the_host_that_a_proxy_names_counts_only_behind_one() {
        let seen = headers(&[
            ("host", "10.0.0.5:8040"),
            ("x-forwarded-host", "hooks.example"),
            ("origin", "https://hooks.example"),
        ]);
        assert!(check_origin(&seen, true).is_ok());
        assert!(check_origin(&seen, false).is_err());
    }

    #[test]
    fn a_customer_sees_one_account_and_the_modes_of_the_link() {
        let (own, other) = (AccountId::from_bytes([1; 16]), AccountId::from_bytes([2; 16]));
        let both = Scope::Customer { account: own, livemode: None };
        let test_only = Scope::Customer { account: own, livemode: Some(false) };
        assert!(both.sees(own, true) && both.sees(own, false) && !both.sees(other, false));
        assert!(test_only.sees(own, false) && !test_only.sees(own, true) && !test_only.sees(other, false));
        assert!(Scope::Operator.sees(other, true));
    }
}
