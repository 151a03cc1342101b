//! The settings of the dashboard and the portal.

use anyhow::Context as _;
use postrider_dashboard::{Accent, DashboardOptions, Logo, Setting};

use super::layers::{Layered, Layers};
use super::{list, read as read_one, shown, wrong};

/// Reads them; the logo's file is read here, once.
pub(super) fn read(layers: &Layers) -> anyhow::Result<DashboardOptions> {
    let accent = layers.get("portal_accent");
    let origins: Vec<String> = list("portal_frame_origins", layers, ORIGINS)?;
    if !origins.iter().all(|origin| is_origin(origin)) {
        return Err(wrong("portal_frame_origins", layers.get("portal_frame_origins"), ORIGINS));
    }
    Ok(DashboardOptions {
        portal_title: layers.get("portal_title").text.trim().to_owned(),
        portal_logo: logo(layers.get("portal_logo"))?,
        portal_accent: match accent.text.as_str() {
            "" => None,
            text => Some(text.parse::<Accent>().ok().ok_or_else(|| wrong("portal_accent", accent, COLOUR))?),
        },
        portal_frame_origins: origins,
        behind_proxy: read_one("behind_proxy", layers, "true or false")?,
        settings: Vec::new(),
    })
}

const ORIGINS: &str = "origins such as https://app.example.com,https://example.org:8443";
const COLOUR: &str = "a colour of # and six hex digits, such as #0a7d5a";

/// Every setting as the dashboard shows it.
pub(crate) fn settings(layers: &Layers) -> Vec<Setting> {
    let setting = |(name, Layered { text, source }): (&'static str, &Layered)| Setting {
        name: name.to_owned(),
        value: shown(name, text),
        source: source.to_string(),
    };
    layers.iter().map(setting).collect()
}

fn logo(layered: &Layered) -> anyhow::Result<Option<Logo>> {
    if layered.text.is_empty() {
        return Ok(None);
    }
    let right = "the path of an SVG, PNG, JPEG or WebP picture of 64 KiB at most";
    let bytes = std::fs::read(&layered.text).with_context(|| wrong("portal_logo", layered, right))?;
    Logo::new(bytes).map(Some).with_context(|| wrong("portal_logo", layered, right))
}

/// Whether a text is a scheme, a host and perhaps a port, and nothing that could end a header or a directive.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port_and_nothing_else() {
        for good in ["https://app.example.com", "http://127.0.0.1:3000", "https://[::1]:8443"] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "https://",
            "https://a.example/",
            "https://*.example",
            "https://a; script-src *",
            "javascript:x",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
