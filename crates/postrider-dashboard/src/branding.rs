//! How the portal looks like its operator's: a logo and an accent colour, judged when the service starts.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

/// The largest logo, in bytes.
const MAX_LOGO_BYTES: usize = 64 * 1024;
/// The contrast that text needs to be read (WCAG 2.2, 1.4.3 AA).
pub(crate) const READABLE: f64 = 4.5;
/// What links stand on at worst, in each theme: a row under the pointer (`--hover` in the style sheet).
const LIGHT_GROUND: [u8; 3] = [0xf3, 0xf3, 0xf6];
const DARK_GROUND: [u8; 3] = [0x1c, 0x20, 0x28];

/// A picture.
#[derive(Clone)]
pub struct Logo {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: &'static str,
}

/// Why something can't be the logo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogoRefused {
    /// It is no picture of a known kind.
    #[error("the logo must be an SVG, PNG, JPEG or WebP picture")]
    Kind,
    /// It is too large.
    #[error("the logo is larger than 64 KiB")]
    Size,
}

impl Logo {
    /// Judges a file's content.
    pub fn new(bytes: Vec<u8>) -> Result<Self, LogoRefused> {
        if bytes.len() > MAX_LOGO_BYTES {
            return Err(LogoRefused::Size);
        }
        let text_begins = bytes.trim_ascii_start();
        let content_type = match bytes.as_slice() {
            [0x89, b'P', b'N', b'G', ..] => "image/png",
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
            _ if text_begins.starts_with(b"<svg") || text_begins.starts_with(b"<?xml") => "image/svg+xml",
            _ => return Err(LogoRefused::Kind),
        };
        Ok(Self { bytes: bytes.into(), content_type })
    }
}

impl fmt::Debug for Logo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logo({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

/// A colour, such as `#0a7d5a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent([u8; 3]);

/// The text is not a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a colour is # and six hex digits, such as #0a7d5a")]
pub struct AccentRefused;

impl FromStr for Accent {
    type Err = AccentRefused;

    fn from_str(text: &str) -> Result<Self, AccentRefused> {
        let digits = text
            .strip_prefix('#')
            .filter(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(AccentRefused)?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl Accent {
    /// A style sheet that sets the accent for both themes, moved toward dark or light as far as reading it needs.
    pub(crate) fn style_sheet(self) -> String {
        let (light, dark) = (self.readable_on(LIGHT_GROUND), self.readable_on(DARK_GROUND));
        let set = |accent: Self| format!("--accent:{};--on-accent:{}", accent.hex(), accent.text_on().hex());
        format!(
            ":root{{{}}}\n@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{}}}}}\n:root[data-theme=dark]{{{}}}\n",
            set(light),
            set(dark),
            set(dark)
        )
    }

    fn hex(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// This colour, or the nearest on its way to black or white that can be read on `ground`.
    fn readable_on(self, ground: [u8; 3]) -> Self {
        let toward = if luminance(ground) > 0.5 { 0.0 } else { 255.0 };
        let mixed = |share: u32| {
            let share = f64::from(share) / 20.0;
            // Between two bytes, so it is one.
            Self(self.0.map(|part| (f64::from(part) * (1.0 - share) + toward * share).round() as u8))
        };
        (0..=20).map(mixed).find(|colour| contrast(colour.0, ground) >= READABLE).unwrap_or(self)
    }

    fn text_on(self) -> Self {
        let (white, black) = ([255, 255, 255], [0, 0, 0]);
        Self(if contrast(self.0, white) >= READABLE { white } else { black })
    }
}

/// Relative luminance as WCAG defines it.
fn luminance(colour: [u8; 3]) -> f64 {
    let linear = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

/// The contrast ratio of two colours as WCAG defines it.
pub(crate) fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accent_can_be_read_in_both_themes() {
        for text in ["#ffff00", "#000000", "#ffffff", "#0a7d5a", "#5b5bd6", "#ff0000", "#777777"] {
            let accent: Accent = text.parse().unwrap();
            for ground in [LIGHT_GROUND, DARK_GROUND] {
                let shown = accent.readable_on(ground);
                assert!(contrast(shown.0, ground) >= READABLE, "{text} on {ground:?}");
                assert!(contrast(shown.0, shown.text_on().0) >= READABLE, "text on {text}");
            }
            assert!(accent.style_sheet().is_ascii());
        }
        assert_eq!("#0a7d5a".parse::<Accent>().unwrap().readable_on(LIGHT_GROUND).hex(), "#0a7d5a");
    }

    #[test]
    fn what_is_no_colour_and_no_picture_is_refused() {
        for text in ["", "red", "#12345", "#12345g", "#1234567", "#+12345", "#ääää"] {
            assert_eq!(text.parse::<Accent>(), Err(AccentRefused), "{text}");
        }
        assert_eq!(Logo::new(b"<html><script>".to_vec()).unwrap_err(), LogoRefused::Kind);
        assert_eq!(Logo::new(vec![0; MAX_LOGO_BYTES + 1]).unwrap_err(), LogoRefused::Size);
        assert_eq!(Logo::new(b" <svg/>".to_vec()).unwrap().content_type, "image/svg+xml");
    }
}
