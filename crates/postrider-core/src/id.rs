//! Names of things: sortable by time, made from a time and chance that the caller passes in.
//!
//! Each is a UUIDv7 (RFC 9562) underneath, written as 32 lower-case hex digits: bare for an event (it is the
//! guid on the wire), behind a prefix for everything else.

use std::fmt;
use std::str::FromStr;

use crate::time::Timestamp;

/// The text is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct NotAnId;

/// The 128 bits of a UUIDv7 for the time `at` with the chance `random` (74 bits of it are used).
fn uuid_v7(at: Timestamp, random: u128) -> u128 {
    const TIME_BITS: u128 = (1 << 48) - 1;
    const VERSION_7: u128 = 0x7 << 76;
    const VARIANT: u128 = 0b10 << 62;
    let time = u128::try_from(at.as_ms().max(0)).unwrap_or(0) & TIME_BITS;
    let rand_a = (random >> 64) & 0xfff;
    let rand_b = random & ((1 << 62) - 1);
    (time << 80) | VERSION_7 | (rand_a << 64) | VARIANT | rand_b
}

/// Reads exactly 32 lower-case hex digits.
fn read_hex(text: &str) -> Result<u128, NotAnId> {
    if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(NotAnId);
    }
    u128::from_str_radix(text, 16).or(Err(NotAnId))
}

macro_rules! reserved {
    () => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal $(, reserved $reserved:literal)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The text of the one id that is no UUID, where there is one: its bits are all zero.
            const RESERVED: Option<&'static str> = reserved!($($reserved)?);

            /// A new id for the time `at`; `random` must be fresh chance from the caller.
            pub fn new(at: Timestamp, random: u128) -> Self {
                Self(uuid_v7(at, random))
            }

            /// The time that it was made for, to the millisecond.
            pub fn time(self) -> Timestamp {
                Timestamp::from_ms(i64::try_from(self.0 >> 80).unwrap_or(i64::MAX))
            }

            /// The id as a store keeps it.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            /// The id from what [`Self::to_bytes`] gave.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if let Some(reserved) = Self::RESERVED.filter(|_| self.0 == 0) {
                    return f.write_str(reserved);
                }
                write!(f, concat!($prefix, "{:032x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                if Self::RESERVED.is_some_and(|reserved| reserved == text) {
                    return Ok(Self(0));
                }
                read_hex(text.strip_prefix($prefix).ok_or(NotAnId)?).map(Self)
            }
        }
    };
}

id!(/// A customer of the platform: `acc_…`.
    AccountId, "acc_", reserved "acc_operator");
impl AccountId {
    /// The reserved account of the operator, `acc_operator`: its endpoints get the operational events.
    pub const OPERATOR: Self = Self(0);
}

id!(/// A URL that an account subscribed: `ep_…`.
    EndpointId, "ep_");
id!(/// One event bound for one endpoint: `dlv_…`.
    DeliveryId, "dlv_");
id!(/// A replay of a range of deliveries: `rpl_…`.
    ReplayId, "rpl_");
id!(/// An API key's name (not the key itself): `key_…`.
    KeyId, "key_");
id!(/// A link into the portal: `lnk_…`.
    LinkId, "lnk_");
id!(/// An event's guid, the value of `X-KASKO-Delivery`: 32 hex digits without a prefix.
    EventId, "");

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: u128 = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;

    #[test]
    fn an_event_id_is_a_uuid_v7_in_32_lower_case_hex_digits() {
        let text = EventId::new(Timestamp::from_ms(0x0193_5b2c_8a01), RANDOM).to_string();
        assert_eq!(text.len(), 32);
        assert!(text.starts_with("01935b2c8a017"), "time, then version 7: {text}");
        assert!(matches!(text.as_bytes()[16], b'8'..=b'b'), "the variant of RFC 9562: {text}");
    }

    #[test]
    fn ids_survive_text_and_bytes_and_sort_by_time() {
        let early = DeliveryId::new(Timestamp::from_ms(1_000), u128::MAX);
        let late = DeliveryId::new(Timestamp::from_ms(1_001), 0);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.to_string().parse(), Ok(late));
        assert_eq!(DeliveryId::from_bytes(late.to_bytes()), late);
        assert_eq!((early.time().as_ms(), late.time().as_ms()), (1_000, 1_001));
    }

    #[test]
    fn the_operator_s_account_has_a_name_instead_of_a_number() {
        assert_eq!(AccountId::OPERATOR.to_string(), "acc_operator");
        assert_eq!("acc_operator".parse(), Ok(AccountId::OPERATOR));
        assert_eq!(AccountId::from_bytes(AccountId::OPERATOR.to_bytes()), AccountId::OPERATOR);
        assert!("ep_operator".parse::<EndpointId>().is_err());
        assert_eq!(EndpointId::from_bytes([0; 16]).to_string(), format!("ep_{}", "0".repeat(32)));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        let good = EndpointId::new(Timestamp::from_ms(5), RANDOM).to_string();
        for wrong in
            ["", "ep_", "ep_zz", &good.to_uppercase(), &good.replace("ep_", "acc_"), &format!("{good}0")]
        {
            assert_eq!(wrong.parse::<EndpointId>(), Err(NotAnId), "{wrong}");
        }
    }
}
