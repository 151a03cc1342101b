//! An endpoint's secrets over time: one, or during a rotation the old one and the new one.
//!
//! The contract's header holds one signature, so that the old secret signs until the overlap ends, and the new one beside
//! it. Which secret signs is told by the time of the attempt alone: nothing has to happen at the end of the overlap.

use std::time::Duration;

use super::{Secret, SecretRefused};
use crate::limits::MAX_SECRET_OVERLAP;
use crate::time::Timestamp;

/// A secret that takes over at a time. Until then it signs beside the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextSecret {
    /// The new secret.
    pub secret: Secret,
    /// When it takes over.
    pub takes_over_at: Timestamp,
}

/// The secrets of an endpoint, as they are kept. What holds at a moment is told by [`Self::signing`] and [`Self::next`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The secret, or during an overlap the old one.
    pub current: Secret,
    /// The new one of the last rotation; it may have taken over already.
    pub next: Option<NextSecret>,
}

/// Why a secret can't be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefused {
    /// An earlier rotation is not over.
    #[error("an overlap of two secrets runs; end it first, or wait for its end")]
    OverlapRuns,
    /// The new secret is the old one.
    #[error("is the secret that is in use already; give another, or leave it out")]
    SameSecret,
    /// The overlap is too long.
    #[error("must be at most {} seconds", MAX_SECRET_OVERLAP.as_secs())]
    OverlapTooLong,
}

impl Secrets {
    /// One secret, without a rotation.
    pub const fn only(secret: Secret) -> Self {
        Self { current: secret, next: None }
    }

    /// What stands for secrets that do not open. It is no valid secret, and must never sign anything.
    pub fn unreadable() -> Self {
        Self::only(Secret::unreadable())
    }

    /// The secret of the contract's signature at `now`.
    pub fn signing(&self, now: Timestamp) -> &Secret {
        match &self.next {
            Some(next) if next.takes_over_at <= now => &next.secret,
            _ => &self.current,
        }
    }

    /// The secret that signs beside it, while an overlap runs.
    pub fn next(&self, now: Timestamp) -> Option<&NextSecret> {
        self.next.as_ref().filter(|next| next.takes_over_at > now)
    }

    /// The same after the end of an overlap, without the secret that is not used any more; none where there is nothing
    /// to be let go.
    pub fn settled(&self, now: Timestamp) -> Option<Self> {
        let next = self.next.as_ref().filter(|next| next.takes_over_at <= now)?;
        Some(Self::only(next.secret.clone()))
    }

    /// A rotation to `new`, which takes over after `overlap`: at once where that is zero.
    pub fn rotated(&self, new: Secret, overlap: Duration, now: Timestamp) -> Result<Self, RotationRefused> {
        if self.next(now).is_some() {
            return Err(RotationRefused::OverlapRuns);
        }
        if overlap > MAX_SECRET_OVERLAP {
            return Err(RotationRefused::OverlapTooLong);
        }
        let old = self.signing(now);
        if *old == new {
            return Err(RotationRefused::SameSecret);
        }
        if overlap.is_zero() {
            return Ok(Self::only(new));
        }
        let next = NextSecret { secret: new, takes_over_at: now.plus(overlap) };
        Ok(Self { current: old.clone(), next: Some(next) })
    }

    /// The end of a running overlap: the new secret takes over. None where none runs.
    pub fn ended(&self, now: Timestamp) -> Option<Self> {
        self.next(now).map(|next| Self::only(next.secret.clone()))
    }

    /// Whether every secret that signs, at `now` or later, holds a key of Standard Webhooks.
    pub fn check_standard_webhooks(&self, now: Timestamp) -> Result<(), SecretRefused> {
        self.signing(now).standard_webhooks_key()?;
        if let Some(next) = self.next(now) {
            next.secret.standard_webhooks_key()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_500_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn secret(byte: u8) -> Secret {
        Secret::generate(&[byte; 32])
    }

    #[test]
    fn during_an_overlap_the_old_secret_signs_and_the_new_one_beside_it() {
        let secrets = Secrets::only(secret(1)).rotated(secret(2), DAY, NOW).unwrap();
        let end = NOW.plus(DAY);
        let just_before = end.minus(Duration::from_millis(1));
        for (now, signing, next) in [
            (NOW, secret(1), Some(secret(2))),
            (just_before, secret(1), Some(secret(2))),
            (end, secret(2), None),
            (end.plus(DAY), secret(2), None),
        ] {
            assert_eq!(secrets.signing(now), &signing, "{now}");
            assert_eq!(secrets.next(now).map(|next| next.secret.clone()), next, "{now}");
        }
        assert_eq!(secrets.settled(just_before), None);
        assert_eq!(secrets.settled(end), Some(Secrets::only(secret(2))));
        assert_eq!(Secrets::only(secret(2)).settled(end), None);
    }

    #[test]
    fn a_rotation_without_an_overlap_switches_now() {
        let secrets = Secrets::only(secret(1)).rotated(secret(2), Duration::ZERO, NOW).unwrap();
        assert_eq!(secrets, Secrets::only(secret(2)));
    }

    #[test]
    fn a_second_rotation_waits_for_the_end_of_the_first_or_for_it_to_be_ended() {
        let first = Secrets::only(secret(1)).rotated(secret(2), DAY, NOW).unwrap();
        assert_eq!(first.rotated(secret(3), DAY, NOW), Err(RotationRefused::OverlapRuns));
        let end = NOW.plus(DAY);
        let second = first.rotated(secret(3), DAY, end).unwrap();
        assert_eq!((second.signing(end), second.next(end).is_some()), (&secret(2), true));
        assert_eq!(first.ended(NOW), Some(Secrets::only(secret(2))));
        assert_eq!(first.ended(end), None);
        assert_eq!(Secrets::only(secret(1)).ended(NOW), None);
    }

    #[test]
    fn what_is_no_rotation_is_refused() {
        let secrets = Secrets::only(secret(1));
        assert_eq!(secrets.rotated(secret(1), DAY, NOW), Err(RotationRefused::SameSecret));
        let too_long = MAX_SECRET_OVERLAP + Duration::from_secs(1);
        assert_eq!(secrets.rotated(secret(2), too_long, NOW), Err(RotationRefused::OverlapTooLong));
        assert!(secrets.rotated(secret(2), MAX_SECRET_OVERLAP, NOW).is_ok());
        let first = secrets.rotated(secret(2), DAY, NOW).unwrap();
        assert_eq!(first.rotated(secret(2), DAY, NOW.plus(DAY)), Err(RotationRefused::SameSecret));
    }

    #[test]
    fn both_secrets_must_hold_a_key_for_standard_webhooks() {
        let plain = Secret::parse("a-secret-without-the-prefix").unwrap();
        assert!(Secrets::only(secret(1)).check_standard_webhooks(NOW).is_ok());
        assert!(Secrets::only(plain.clone()).check_standard_webhooks(NOW).is_err());
        for (old, new) in [(secret(1), plain.clone()), (plain, secret(1))] {
            let fits_later = new.standard_webhooks_key().is_ok();
            let secrets = Secrets::only(old).rotated(new, DAY, NOW).unwrap();
            assert!(secrets.check_standard_webhooks(NOW).is_err());
            assert_eq!(secrets.check_standard_webhooks(NOW.plus(DAY)).is_ok(), fits_later);
        }
    }

    #[test]
    fn debug_never_shows_a_secret() {
        let secrets = Secrets::only(secret(1)).rotated(secret(2), DAY, NOW).unwrap();
        assert!(!format!("{secrets:?}").contains("whsec_"));
    }
}
