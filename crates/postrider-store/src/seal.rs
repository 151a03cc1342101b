//! Encryption at rest: secrets and header values are sealed before they reach a row.
//!
//! A sealed value is bound to its place (table, column, row), so that a value moved to another row does not
//! open there. Nothing here reads or writes files.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// How long the master key is, in bytes.
const KEY_BYTES: usize = 32;
/// How long an XChaCha20 nonce is, in bytes: long enough to be drawn at random for each value.
const NONCE_BYTES: usize = 24;
/// What every sealed value begins with, so that another scheme can be told apart later.
const SCHEME: u8 = 1;
/// The longest key file that is looked at, in bytes: a longer one is no key and is not decoded.
const MAX_TEXT_BYTES: usize = 256;

/// The key under which everything is sealed. Wiped when dropped, never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct MasterKey([u8; KEY_BYTES]);

/// Why a text is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyRefused {
    /// More than one line, or characters outside base64.
    #[error("a master key is one line of standard base64")]
    NotBase64,
    /// Another number of bytes.
    #[error("a master key is the base64 of 32 bytes")]
    Length,
}

impl MasterKey {
    /// Reads one line of standard base64 of 32 bytes; a line break at its end is allowed.
    pub fn from_base64(text: &str) -> Result<Self, MasterKeyRefused> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.len() > MAX_TEXT_BYTES {
            return Err(MasterKeyRefused::Length);
        }
        let bytes = Zeroizing::new(STANDARD.decode(line).or(Err(MasterKeyRefused::NotBase64))?);
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).or(Err(MasterKeyRefused::Length))?;
        Ok(Self(key))
    }

    /// The key as [`Self::from_base64`] reads it, without a line break.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }

    /// A fresh key from the operating system's randomness.
    pub fn generate() -> Self {
        let mut key = [0; KEY_BYTES];
        fill_random(&mut key);
        Self(key)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// The place that a sealed value belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// What names the row for ever, such as its id.
    pub row: &'a [u8],
}

impl Place<'_> {
    /// The place as associated data; the zero bytes keep `a` + `bc` apart from `ab` + `c`.
    fn to_associated_data(self) -> Vec<u8> {
        [self.table.as_bytes(), self.column.as_bytes(), self.row].join(&0)
    }
}

/// The value was sealed under another key, for another place, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open: another master key, another row, or damage")]
pub struct DoesNotOpen;

/// Seals and opens values under one master key (XChaCha20-Poly1305).
pub struct Sealer(XChaCha20Poly1305);

impl Sealer {
    /// A sealer under `key`.
    pub fn new(key: &MasterKey) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(key.0)))
    }

    /// Seals `value` for `place`: a scheme byte, a random nonce, the ciphertext with its tag.
    pub fn seal(&self, place: Place<'_>, value: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        fill_random(&mut nonce);
        let payload = Payload { msg: value, aad: &place.to_associated_data() };
        let ciphertext = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .expect("encryption fails only for values of 256 GiB and more");
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
        sealed.push(SCHEME);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens what [`Self::seal`] gave for the same place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (&SCHEME, sealed) = sealed.split_first().ok_or(DoesNotOpen)? else {
            return Err(DoesNotOpen);
        };
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
        let payload = Payload { msg: ciphertext, aad: &place.to_associated_data() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).or(Err(DoesNotOpen))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives randomness once it has booted");
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { table: "endpoints", column: "secret", row: b"one" };

    #[test]
    fn a_key_survives_its_text() {
        let key = MasterKey::generate();
        let text = key.to_base64();
        for text in [text.to_string(), format!("{}\n", *text), format!("{}\r\n", *text)] {
            assert_eq!(MasterKey::from_base64(&text), Ok(key.clone()));
        }
        assert_ne!(MasterKey::generate(), key);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = MasterKey::generate().to_base64();
        for (text, refused) in [
            ("", MasterKeyRefused::Length),
            ("AAAA", MasterKeyRefused::Length),
            (&"A".repeat(64), MasterKeyRefused::Length),
            (&"A".repeat(100_000), MasterKeyRefused::Length),
            ("not base64 at all!", MasterKeyRefused::NotBase64),
            (&format!("{}\n{}", *key, *key), MasterKeyRefused::NotBase64),
            (&format!(" {}", *key), MasterKeyRefused::NotBase64),
        ] {
            assert_eq!(MasterKey::from_base64(text), Err(refused), "{text:.40}");
        }
    }

    #[test]
    fn debug_never_shows_a_key() {
        let key = MasterKey::generate();
        assert_eq!(format!("{key:?} {:?}", Sealer::new(&key)), "MasterKey(…) Sealer(…)");
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let sealer = Sealer::new(&MasterKey::generate());
        let sealed = sealer.seal(PLACE, b"whsec_value");
        assert_eq!(sealer.open(PLACE, &sealed).unwrap().as_slice(), b"whsec_value");
        for place in [
            Place { row: b"two", ..PLACE },
            Place { column: "headers", ..PLACE },
            Place { table: "meta", ..PLACE },
            Place { table: "endpointss", column: "ecret", ..PLACE },
        ] {
            assert_eq!(sealer.open(place, &sealed), Err(DoesNotOpen), "{place:?}");
        }
    }

    #[test]
    fn another_key_and_any_changed_byte_keep_it_shut() {
        let sealer = Sealer::new(&MasterKey::generate());
        let sealed = sealer.seal(PLACE, b"value");
        assert_eq!(Sealer::new(&MasterKey::generate()).open(PLACE, &sealed), Err(DoesNotOpen));
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(sealer.open(PLACE, &changed), Err(DoesNotOpen), "byte {index}");
            assert_eq!(sealer.open(PLACE, &sealed[..index]), Err(DoesNotOpen), "{index} bytes");
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_alike() {
        let sealer = Sealer::new(&MasterKey::generate());
        assert_ne!(sealer.seal(PLACE, b"value"), sealer.seal(PLACE, b"value"));
    }
}
