//! Decimal numbers of any length, compared exactly: a 23-digit amount is not rounded to a float on the way.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Number;

/// A number as `±0.DIGITS × 10^magnitude`, with neither leading nor trailing zeros among the digits; zero has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    magnitude: i64,
    digits: String,
}

impl Decimal {
    /// The number; none where its exponent is beyond 18 digits, which no comparison needs.
    pub(super) fn of(number: &Number) -> Option<Self> {
        Self::parse(&number.to_string())
    }

    /// Reads a JSON number's text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        const MAX_EXPONENT: i64 = 10_i64.pow(18);
        let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let exponent: i64 = exponent.parse().ok().filter(|e: &i64| e.abs() <= MAX_EXPONENT)?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: String = [whole, fraction].concat();
        if whole.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = all.trim_start_matches('0');
        let leading = i64::try_from(all.len() - significant.len()).ok()?;
        let digits = significant.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { is_negative: false, magnitude: 0, digits });
        }
        let magnitude = i64::try_from(whole.len()).ok()? - leading + exponent;
        Some(Self { is_negative, magnitude, digits })
    }

    /// How it compares to another one without their signs.
    fn cmp_size(&self, other: &Self) -> Ordering {
        let by_size = self.magnitude.cmp(&other.magnitude).then_with(|| self.digits.cmp(&other.digits));
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => by_size,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.cmp_size(other),
            (true, true) => other.cmp_size(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST_SHOWN: i64 = 40;
        let sign = if self.is_negative { "-" } else { "" };
        let Ok(length) = i64::try_from(self.digits.len()) else { return f.write_str("a very long number") };
        match self.magnitude {
            _ if self.digits.is_empty() => f.write_str("0"),
            point if point > 0 && point < length => {
                let (whole, fraction) = self.digits.split_at(usize::try_from(point).unwrap_or(0));
                write!(f, "{sign}{whole}.{fraction}")
            }
            point if point >= length && point <= MOST_SHOWN => {
                write!(f, "{sign}{}{}", self.digits, "0".repeat(usize::try_from(point - length).unwrap_or(0)))
            }
            point if point <= 0 && point > -MOST_SHOWN => {
                write!(f, "{sign}0.{}{}", "0".repeat(usize::try_from(-point).unwrap_or(0)), self.digits)
            }
            point => write!(f, "{sign}0.{}e{point}", self.digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    #[test]
    fn numbers_are_ordered_by_their_values_and_not_by_how_they_are_written() {
        let rising = [
            "-1e300",
            "-12345678901234567890124",
            "-12345678901234567890123",
            "-2",
            "-1.5",
            "-0.001",
            "0",
            "1e-400",
            "0.001",
            "0.0011",
            "0.1",
            "1",
            "1.10",
            "1.2",
            "9",
            "10",
            "12345678901234567890123",
            "12345678901234567890124",
            "1e400",
        ];
        for pair in rising.windows(2) {
            assert!(read(pair[0]) < read(pair[1]), "{} < {}", pair[0], pair[1]);
        }
        for same in [["1", "1.0"], ["100", "1E+2"], ["0.5", "5e-1"], ["-0", "0.000"], ["1.10", "1.1"]] {
            assert_eq!(read(same[0]), read(same[1]), "{same:?}");
        }
        for wrong in ["", "-", "x", ".5", "1e", "1e9999999999999999999"] {
            assert_eq!(Decimal::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_number_is_shown_as_people_write_it() {
        for (text, shown) in [
            ("1.10", "1.1"),
            ("-0.050", "-0.05"),
            ("1e3", "1000"),
            ("0", "0"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("1e100", "0.1e101"),
        ] {
            assert_eq!(read(text).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_whole_numbers_and_of_hundredths(a in -10_000_i64..10_000, b in -10_000_i64..10_000) {
            prop_assert_eq!(read(&a.to_string()).cmp(&read(&b.to_string())), a.cmp(&b));
            let hundredths = |n: i64| {
                let sign = if n < 0 { "-" } else { "" };
                read(&format!("{sign}{}.{:02}", n.abs() / 100, n.abs() % 100))
            };
            prop_assert_eq!(hundredths(a).cmp(&hundredths(b)), a.cmp(&b));
            prop_assert_eq!(&read(&hundredths(a).to_string()), &hundredths(a));
        }
    }
}
