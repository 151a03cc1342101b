//! What pages are made with besides HTML: one style sheet, one script, two pictures. In the binary, each under a name with
//! a piece of its hash, so that browsers may keep it for ever.

use std::sync::{Arc, LazyLock};

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use postrider_engine::key_sha256;

use crate::answer;
use crate::app::App;

/// A file with its name and type.
struct Asset {
    name: String,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, text: &'static str) -> Self {
        Self { name: format!("{stem}-{}.{extension}", piece_of_hash(text)), content_type, text }
    }
}

#[cfg(test)]
mod contrast;

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("postrider", "css", "text/css; charset=utf-8", include_str!("../assets/postrider.css"))
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("postrider", "js", "text/javascript; charset=utf-8", include_str!("../assets/postrider.js"))
});
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg")));

/// The name of the logo's path; it is the operator's and changes with a restart.
const LOGO: &str = "logo";
/// The name of the style sheet with the portal's accent.
const ACCENT: &str = "accent.css";

pub(crate) fn style() -> String {
    format!("/assets/{}", STYLE.name)
}

pub(crate) fn script() -> String {
    format!("/assets/{}", SCRIPT.name)
}

pub(crate) fn icon() -> String {
    format!("/assets/{}", ICON.name)
}

pub(crate) fn logo() -> String {
    format!("/assets/{LOGO}")
}

pub(crate) fn accent() -> String {
    format!("/assets/{ACCENT}")
}

/// Serves one of them.
pub(crate) async fn serve(State(app): State<Arc<App>>, Path(file): Path<String>) -> Response {
    const FOR_EVER: &str = "public, max-age=31536000, immutable";
    const A_WHILE: &str = "public, max-age=300";
    for asset in [&*STYLE, &*SCRIPT, &*ICON] {
        if asset.name == file {
            return cached(asset.content_type, FOR_EVER, asset.text);
        }
    }
    let options = &app.options;
    match (file.as_str(), &options.portal_logo, options.portal_accent) {
        (LOGO, Some(logo), _) => cached(logo.content_type, A_WHILE, logo.bytes.clone()),
        (ACCENT, _, Some(accent)) => cached("text/css; charset=utf-8", A_WHILE, accent.style_sheet()),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn cached(content_type: &'static str, how_long: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = answer::typed(StatusCode::OK, content_type, body.into());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(how_long));
    response
}

fn piece_of_hash(text: &str) -> String {
    key_sha256(text).iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}
