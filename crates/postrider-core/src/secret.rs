//! An endpoint's signing secret: typed, wiped when dropped, never shown by `Debug`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

mod rotation;

pub use rotation::{NextSecret, RotationRefused, Secrets};

/// What a generated secret begins with; the prefix is part of the key under the contract's signature.
const PREFIX: &str = "whsec_";
/// How long a secret may be, in characters.
const CHARS: std::ops::RangeInclusive<usize> = 24..=256;
/// How long a Standard Webhooks key may be, in bytes.
const STANDARD_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secret with which requests to an endpoint are signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why a text can't be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefused {
    /// Too short or too long.
    #[error("a secret has 24 to 256 characters")]
    Length,
    /// Characters outside ASCII 0x21–0x7E.
    #[error("a secret has only visible ASCII characters and no spaces")]
    Characters,
    /// Not usable for Standard Webhooks.
    #[error("standard_webhooks needs a secret that is \"whsec_\" and the standard base64 of 24 to 64 bytes")]
    NotStandardWebhooks,
}

impl Secret {
    /// A secret from the operator's text.
    pub fn parse(text: &str) -> Result<Self, SecretRefused> {
        if !text.bytes().all(|b| matches!(b, 0x21..=0x7e)) {
            return Err(SecretRefused::Characters);
        }
        if !CHARS.contains(&text.len()) {
            return Err(SecretRefused::Length);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// What stands for a secret that does not open: no text that [`Self::parse`] would take.
    pub(crate) fn unreadable() -> Self {
        Self(Zeroizing::default())
    }

    /// A generated secret: `whsec_` and the standard base64 of 32 random bytes, so that it is valid under the
    /// contract's signature and under Standard Webhooks alike.
    pub fn generate(random: &[u8; 32]) -> Self {
        let mut text = Zeroizing::new(PREFIX.to_owned());
        STANDARD.encode_string(random, &mut text);
        Self(text)
    }

    /// The whole secret; its UTF-8 is the key of the contract's signature.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The key under Standard Webhooks: the bytes behind `whsec_`.
    pub fn standard_webhooks_key(&self) -> Result<Zeroizing<Vec<u8>>, SecretRefused> {
        let encoded = self.0.strip_prefix(PREFIX).ok_or(SecretRefused::NotStandardWebhooks)?;
        let key = STANDARD.decode(encoded).or(Err(SecretRefused::NotStandardWebhooks))?;
        if !STANDARD_KEY_BYTES.contains(&key.len()) {
            return Err(SecretRefused::NotStandardWebhooks);
        }
        Ok(Zeroizing::new(key))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_is_valid_under_both_readings() {
        let secret = Secret::generate(&[7; 32]);
        assert_eq!(Secret::parse(secret.expose()), Ok(secret.clone()));
        assert_eq!(*secret.standard_webhooks_key().unwrap(), vec![7; 32]);
    }

    #[test]
    fn a_secret_outside_the_limits_is_refused() {
        for (text, refused) in [
            ("short", SecretRefused::Length),
            (&"x".repeat(257), SecretRefused::Length),
            ("with a space in it, 24 long", SecretRefused::Characters),
            ("umlaut_ä_and_more_than_24_", SecretRefused::Characters),
        ] {
            assert_eq!(Secret::parse(text), Err(refused), "{text}");
        }
        assert!(Secret::parse(&"x".repeat(24)).is_ok() && Secret::parse(&"x".repeat(256)).is_ok());
    }

    #[test]
    fn standard_webhooks_needs_base64_of_24_to_64_bytes() {
        for text in ["no_prefix_but_long_enough", "whsec_not*base64*at*all*", "whsec_dG9vIHNob3J0IGtleQ=="] {
            let secret = Secret::parse(text).unwrap();
            assert_eq!(secret.standard_webhooks_key(), Err(SecretRefused::NotStandardWebhooks), "{text}");
        }
    }

    #[test]
    fn debug_never_shows_a_secret() {
        let secret = Secret::generate(&[9; 32]);
        assert!(!format!("{secret:?}").contains(&secret.expose()[6..]));
    }
}
