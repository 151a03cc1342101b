//! Decimal numbers of any length, compared exactly: a 23-digit amount is not rounded to a float on the way.
//!
//! Nothing is computed: a number is read once, and compared by sign and magnitude before digits. An exponent of any size is
//! some bytes like any others.

use std::cmp::Ordering;
use std::fmt;

/// Exponents beyond this are kept apart: no number that somebody means has one.
const MAX_EXPONENT: i64 = 10_i64.pow(18);

/// A number as `±0.DIGITS × 10^magnitude`, with neither leading nor trailing zeros among the digits; zero has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    is_negative: bool,
    magnitude: i64,
    digits: String,
}

/// A number as [`Decimal`] has it, borrowed from its text. Making one reads the text once and copies nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecimalRef<'a> {
    is_negative: bool,
    /// At the end of the range where the exponent is extreme.
    magnitude: i64,
    /// The digits before the point and those behind it.
    digits: (&'a str, &'a str),
    /// Where the exponent is beyond 18 digits: its text, and what the point's place adds to it.
    extreme_exponent: Option<(&'a str, i64)>,
}

impl<'a> DecimalRef<'a> {
    /// Reads a JSON number's text; none where it is no such number.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
            return None;
        }
        let (mut whole, mut fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let mut leading_zeros = 0;
        if whole.is_empty() {
            let significant = fraction.trim_start_matches('0');
            leading_zeros = fraction.len() - significant.len();
            fraction = significant;
        }
        let whole_digits = whole.len();
        if fraction.is_empty() {
            whole = whole.trim_end_matches('0');
        }
        let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if exponent_digits.is_empty() || !are_digits(exponent_digits) {
            return None;
        }
        if whole.is_empty() && fraction.is_empty() {
            return Some(Self { is_negative: false, magnitude: 0, digits: ("", ""), extreme_exponent: None });
        }
        let digits = (whole, fraction);
        let shift = i64::try_from(whole_digits).ok()? - i64::try_from(leading_zeros).ok()?;
        let ordinary = |exponent: &i64| (-MAX_EXPONENT..=MAX_EXPONENT).contains(exponent);
        Some(match exponent.parse().ok().filter(ordinary) {
            Some(exponent) => {
                Self { is_negative, magnitude: shift + exponent, digits, extreme_exponent: None }
            }
            None => {
                let magnitude = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
                Self { is_negative, magnitude, digits, extreme_exponent: Some((exponent, shift)) }
            }
        })
    }

    /// Whether its exponent is beyond 18 digits, so that only its order among ordinary numbers is known.
    pub(crate) fn is_extreme(&self) -> bool {
        self.extreme_exponent.is_some()
    }

    /// How many significant digits it has.
    pub(crate) fn digit_count(&self) -> usize {
        self.digits.0.len() + self.digits.1.len()
    }

    /// Its significant digits.
    pub(crate) fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        self.digits.0.bytes().chain(self.digits.1.bytes())
    }

    /// The power of ten of its last digit; none where the exponent is extreme.
    pub(crate) fn exponent(&self) -> Option<i64> {
        match self.extreme_exponent {
            Some(_) => None,
            None => Some(self.magnitude - i64::try_from(self.digit_count()).ok()?),
        }
    }

    /// Whether it is negative; zero is not.
    pub(crate) fn is_negative(&self) -> bool {
        self.is_negative
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digit_count() == 0
    }

    /// Whether it is a whole number.
    pub(crate) fn is_integer(&self) -> bool {
        self.is_zero() || i64::try_from(self.digit_count()).is_ok_and(|count| count <= self.magnitude)
    }

    /// How it compares to another one without their signs: by magnitude, and digit by digit only where that is equal.
    fn cmp_size(&self, other: &DecimalRef<'_>) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                self.magnitude.cmp(&other.magnitude).then_with(|| self.digits().cmp(other.digits()))
            }
        }
    }

    /// How it compares to a number whose exponent is not extreme. Looks at no more digits than the shorter of both has.
    pub(crate) fn cmp(&self, other: &DecimalRef<'_>) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.cmp_size(other),
            (true, true) => other.cmp_size(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// An order in which numbers of different length are told apart without looking at their digits.
    pub(crate) fn cmp_by_length(&self, other: &DecimalRef<'_>) -> Ordering {
        let key = |number: &DecimalRef<'_>| (number.is_negative, number.magnitude, number.digit_count());
        key(self).cmp(&key(other)).then_with(|| self.digits().cmp(other.digits()))
    }

    /// Appends a form that equal numbers share and others do not, whatever their exponents.
    pub(crate) fn push_canonical(&self, form: &mut Vec<u8>) {
        form.push(if self.is_negative { b'-' } else { b'+' });
        form.extend(self.digits());
        form.push(b'e');
        match (self.extreme_exponent, self.is_zero()) {
            (_, true) => {}
            (None, false) => form.extend_from_slice(self.magnitude.to_string().as_bytes()),
            (Some((exponent, shift)), false) => push_sum(exponent, shift, form),
        }
    }
}

/// Appends the sum of an extreme exponent and a number that is small beside it.
fn push_sum(exponent: &str, addend: i64, form: &mut Vec<u8>) {
    let is_negative = exponent.starts_with('-');
    let digits = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    let mut sum: Vec<u8> = digits.bytes().map(|digit| digit - b'0').collect();
    let mut carry = if is_negative { -addend } else { addend };
    for digit in sum.iter_mut().rev() {
        let total = i64::from(*digit) + carry;
        *digit = u8::try_from(total.rem_euclid(10)).unwrap_or(0);
        carry = total.div_euclid(10);
    }
    if is_negative {
        form.push(b'-');
    }
    if carry > 0 {
        form.extend_from_slice(carry.to_string().as_bytes());
    }
    let leading_zeros = sum.iter().take_while(|digit| **digit == 0 && carry <= 0).count();
    form.extend(sum[leading_zeros..].iter().map(|digit| digit + b'0'));
}

impl Decimal {
    /// Reads a JSON number's text; none where it is no number, or its exponent is beyond 18 digits, which no comparison needs.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        DecimalRef::parse(text).filter(|number| !number.is_extreme()).map(|number| Self::of(&number))
    }

    /// Copies a number.
    pub(crate) fn of(number: &DecimalRef<'_>) -> Self {
        let DecimalRef { is_negative, magnitude, digits: (whole, fraction), .. } = *number;
        Self { is_negative, magnitude, digits: [whole, fraction].concat() }
    }

    /// The same, borrowed.
    pub(crate) fn borrowed(&self) -> DecimalRef<'_> {
        DecimalRef {
            is_negative: self.is_negative,
            magnitude: self.magnitude,
            digits: (&self.digits, ""),
            extreme_exponent: None,
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

    fn order(a: &str, b: &str) -> Ordering {
        DecimalRef::parse(a).unwrap().cmp(&read(b).borrowed())
    }

    fn canonical(text: &str) -> Vec<u8> {
        let mut form = Vec::new();
        DecimalRef::parse(text).unwrap().push_canonical(&mut form);
        form
    }

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
            assert_eq!(order(pair[0], pair[1]), Ordering::Less, "{} < {}", pair[0], pair[1]);
            assert_eq!(order(pair[1], pair[0]), Ordering::Greater, "{} > {}", pair[1], pair[0]);
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

    #[test]
    fn equal_numbers_share_a_form_and_others_do_not_whatever_their_exponents() {
        let huge = "9".repeat(30);
        for (a, b, are_equal) in [
            ("1".to_owned(), "1.000e0".to_owned(), true),
            ("0".to_owned(), "-0.0e99999999999999999999".to_owned(), true),
            ("1e-324".to_owned(), "1e-325".to_owned(), false),
            ("18446744073709551616".to_owned(), "18446744073709551617".to_owned(), false),
            (format!("1e{huge}"), format!("10e{}8", "9".repeat(29)), true),
            (format!("1e{huge}"), format!("0.1e1{}", "0".repeat(30)), true),
            (format!("1e{huge}"), format!("1e-{huge}"), false),
            (format!("100e-1{}", "0".repeat(30)), format!("1000e-1{}1", "0".repeat(29)), true),
            (format!("0.01e-{huge}"), format!("0.1e-1{}", "0".repeat(30)), true),
            ("1e1000000000000000003".to_owned(), "100000e999999999999999998".to_owned(), true),
        ] {
            assert_eq!(canonical(&a) == canonical(&b), are_equal, "{a} and {b}");
        }
        assert_eq!(order(&format!("1e{huge}"), "1e1000000"), Ordering::Greater);
        assert_eq!(order(&format!("-1e-{huge}"), "0"), Ordering::Less);
        assert_eq!(order(&format!("1e-{huge}"), "1e-1000000"), Ordering::Less);
    }

    #[test]
    fn integers_are_whole_however_they_are_written() {
        for (text, expected) in [
            ("0", true),
            ("-0.0", true),
            ("1.0", true),
            ("1E400", true),
            ("1.5e1", true),
            ("1.55e1", false),
            ("1e-400", false),
            ("0.5", false),
        ] {
            assert_eq!(DecimalRef::parse(text).unwrap().is_integer(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_whole_numbers_and_of_hundredths(a in -10_000_i64..10_000, b in -10_000_i64..10_000) {
            prop_assert_eq!(order(&a.to_string(), &b.to_string()), a.cmp(&b));
            let hundredths = |n: i64| {
                let sign = if n < 0 { "-" } else { "" };
                format!("{sign}{}.{:02}", n.abs() / 100, n.abs() % 100)
            };
            prop_assert_eq!(order(&hundredths(a), &hundredths(b)), a.cmp(&b));
            prop_assert_eq!(canonical(&hundredths(a)) == canonical(&hundredths(b)), a == b);
            prop_assert_eq!(&read(&read(&hundredths(a)).to_string()), &read(&hundredths(a)));
        }
    }
}
