//! Encryption at rest: secrets and header values are sealed before they reach a row.
//!
//! A sealed value is bound to its place (table, column, row), so that a value moved to another row does not
//! open there; one of [`Scheme::Bound`] also to a context that stands beside it in plain text, such as an endpoint's URL.
//! Nothing here reads or writes files.

pub(crate) mod meta_values;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// How long the master key is, in bytes.
const KEY_BYTES: usize = 32;
/// How long an XChaCha20 nonce is, in bytes: long enough to be drawn at random for each value.
const NONCE_BYTES: usize = 24;
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

    /// The place and a context as associated data. The lengths before them keep them apart, and apart from every place
    /// without a context, whose data begins with a letter.
    fn with_context(self, context: &str) -> Vec<u8> {
        let mut data = vec![Scheme::Bound as u8];
        for part in [self.table.as_bytes(), self.column.as_bytes(), self.row, context.as_bytes()] {
            data.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

/// What a sealed value is bound to. Its number is the first byte of every sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// To its place.
    Unbound = 1,
    /// To its place and a context.
    Bound = 2,
}

impl Scheme {
    /// The scheme of a sealed value; none where it begins with another byte, or is empty.
    pub fn of(sealed: &[u8]) -> Option<Self> {
        let number = *sealed.first()?;
        [Self::Unbound, Self::Bound].into_iter().find(|scheme| *scheme as u8 == number)
    }
}

/// The value was sealed under another key, for another place, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open: another master key, another row, another context, or damage")]
pub struct DoesNotOpen;

/// Seals and opens values under one master key (XChaCha20-Poly1305).
pub struct Sealer {
    cipher: XChaCha20Poly1305,
    /// Set for good once every value with a context is of [`Scheme::Bound`].
    refuses_unbound: AtomicBool,
}

impl Sealer {
    /// A sealer under `key`. It opens values of either scheme until [`Self::refuse_unbound`].
    pub fn new(key: &MasterKey) -> Self {
        let cipher = XChaCha20Poly1305::new(&Key::from(key.0));
        Self { cipher, refuses_unbound: AtomicBool::new(false) }
    }

    /// The same sealer as it is now: what is refused later is not refused by it. For a read of many rows, which are as old as
    /// its beginning.
    pub(crate) fn as_of_now(&self) -> Self {
        Self { cipher: self.cipher.clone(), refuses_unbound: AtomicBool::new(self.refuses_unbound()) }
    }

    /// From here on [`Self::open_bound`] refuses values of [`Scheme::Unbound`]. Nothing takes that back, so that whoever can
    /// write the database can't make a running service accept them again.
    pub fn refuse_unbound(&self) {
        self.refuses_unbound.store(true, Ordering::Release);
    }

    /// Whether values of [`Scheme::Unbound`] are refused where there is a context.
    pub fn refuses_unbound(&self) -> bool {
        self.refuses_unbound.load(Ordering::Acquire)
    }

    /// Seals `value` for `place`: the scheme's byte, a random nonce, the ciphertext with its tag.
    pub fn seal(&self, place: Place<'_>, value: &[u8]) -> Vec<u8> {
        self.seal_under(Scheme::Unbound, &place.to_associated_data(), value)
    }

    /// The same for `place` and `context`.
    pub fn seal_bound(&self, place: Place<'_>, context: &str, value: &[u8]) -> Vec<u8> {
        self.seal_under(Scheme::Bound, &place.with_context(context), value)
    }

    /// Opens what [`Self::seal`] gave for the same place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        match Scheme::of(sealed) {
            Some(Scheme::Unbound) => self.open_under(&place.to_associated_data(), sealed),
            Some(Scheme::Bound) | None => Err(DoesNotOpen),
        }
    }

    /// Opens what [`Self::seal_bound`] gave for the same place and context; until [`Self::refuse_unbound`] also what
    /// [`Self::seal`] gave for the place.
    pub fn open_bound(
        &self,
        place: Place<'_>,
        context: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        match Scheme::of(sealed) {
            Some(Scheme::Bound) => self.open_under(&place.with_context(context), sealed),
            Some(Scheme::Unbound) if !self.refuses_unbound() => self.open(place, sealed),
            Some(Scheme::Unbound) | None => Err(DoesNotOpen),
        }
    }

    fn seal_under(&self, scheme: Scheme, associated_data: &[u8], value: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        fill_random(&mut nonce);
        let payload = Payload { msg: value, aad: associated_data };
        let ciphertext = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("encryption fails only for values of 256 GiB and more");
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + ciphertext.len());
        sealed.push(scheme as u8);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    fn open_under(&self, associated_data: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (_scheme, sealed) = sealed.split_first().ok_or(DoesNotOpen)?;
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(DoesNotOpen)?;
        let payload = Payload { msg: ciphertext, aad: associated_data };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).or(Err(DoesNotOpen))
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
    fn what_is_bound_opens_beside_its_context_only() {
        let sealer = Sealer::new(&MasterKey::generate());
        let sealed = sealer.seal_bound(PLACE, "https://a.example/", b"whsec_value");
        assert_eq!(Scheme::of(&sealed), Some(Scheme::Bound));
        assert_eq!(
            sealer.open_bound(PLACE, "https://a.example/", &sealed).unwrap().as_slice(),
            b"whsec_value"
        );
        for context in ["", "https://a.example", "https://a.example/b", "https://evil.example/"] {
            assert_eq!(sealer.open_bound(PLACE, context, &sealed), Err(DoesNotOpen), "{context}");
        }
        let elsewhere = Place { row: b"two", ..PLACE };
        assert_eq!(sealer.open_bound(elsewhere, "https://a.example/", &sealed), Err(DoesNotOpen));
        assert_eq!(sealer.open(PLACE, &sealed), Err(DoesNotOpen), "as if it had no context");
        let shifted = Place { row: b"onehttps://a.example/", ..PLACE };
        assert_eq!(sealer.open_bound(shifted, "", &sealed), Err(DoesNotOpen));
    }

    #[test]
    fn a_value_without_a_context_opens_beside_any_until_that_is_refused() {
        let sealer = Sealer::new(&MasterKey::generate());
        let sealed = sealer.seal(PLACE, b"value");
        assert_eq!(Scheme::of(&sealed), Some(Scheme::Unbound));
        assert!(sealer.open_bound(PLACE, "https://a.example/", &sealed).is_ok());
        sealer.refuse_unbound();
        assert_eq!(sealer.open_bound(PLACE, "https://a.example/", &sealed), Err(DoesNotOpen));
        assert!(sealer.open(PLACE, &sealed).is_ok(), "where there is no context nothing changes");
    }

    #[test]
    fn another_key_and_any_changed_byte_keep_it_shut() {
        let sealer = Sealer::new(&MasterKey::generate());
        let other = Sealer::new(&MasterKey::generate());
        let context = "https://a.example/";
        let open = |sealer: &Sealer, sealed: &[u8]| {
            [sealer.open(PLACE, sealed), sealer.open_bound(PLACE, context, sealed)]
        };
        for sealed in [sealer.seal(PLACE, b"value"), sealer.seal_bound(PLACE, context, b"value")] {
            assert_eq!(open(&other, &sealed), [Err(DoesNotOpen), Err(DoesNotOpen)]);
            for index in 0..sealed.len() {
                for bits in [1, 2, 3, 0x80] {
                    let mut changed = sealed.clone();
                    changed[index] ^= bits;
                    assert_eq!(open(&sealer, &changed), [Err(DoesNotOpen), Err(DoesNotOpen)], "byte {index}");
                }
                assert_eq!(open(&sealer, &sealed[..index]), [Err(DoesNotOpen), Err(DoesNotOpen)]);
            }
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_alike() {
        let sealer = Sealer::new(&MasterKey::generate());
        assert_ne!(sealer.seal(PLACE, b"value"), sealer.seal(PLACE, b"value"));
    }
}
