//! Keywords about a value as a whole: its type, what it is equal to, numbers and texts.

use super::super::node::{Divisor, Keyword, Limit, Values};
use super::{Evaluator, Fits, TooExpensive};
use crate::decimal::DecimalRef;
use crate::json_types::Types;
use crate::payload::Json;

impl<'s, 'v> Evaluator<'s, 'v> {
    pub(super) fn scalar_keyword(&mut self, keyword: &'s Keyword, value: &'v Json<'v>) -> Fits {
        match (keyword, value) {
            (Keyword::Type(types), _) => self.types(*types, value),
            (Keyword::Enum(values), _) => self.one_of_values(values, value),
            (Keyword::Limit(limit, bound), Json::Number(number)) => {
                self.take_bytes(number.len())?;
                let Some(number) = DecimalRef::parse(number) else { return Ok(true) };
                let order = number.cmp(&bound.borrowed());
                let (holds, words) = match limit {
                    Limit::AtLeast => (order.is_ge(), "at least"),
                    Limit::MoreThan => (order.is_gt(), "more than"),
                    Limit::AtMost => (order.is_le(), "at most"),
                    Limit::LessThan => (order.is_lt(), "less than"),
                };
                Ok(holds || self.fault(|| format!("must be {words} {bound}")))
            }
            (Keyword::MultipleOf(divisor), Json::Number(number)) => self.multiple_of(divisor, number),
            (Keyword::MinLength(min), Json::String(text)) => {
                let is_long = self.has_chars(text, *min)?;
                Ok(is_long || self.fault(|| format!("must have at least {min} characters")))
            }
            (Keyword::MaxLength(max), Json::String(text)) => {
                let is_short = *max == u64::MAX || !self.has_chars(text, max + 1)?;
                Ok(is_short || self.fault(|| format!("must have at most {max} characters")))
            }
            (Keyword::Pattern(pattern), Json::String(text)) => {
                self.take(pattern.steps(text))?;
                let is_match = pattern.is_match(text);
                Ok(is_match || self.fault(|| format!("must match the pattern {}", pattern.as_str())))
            }
            _ => Ok(true),
        }
    }

    fn types(&mut self, types: Types, value: &Json<'_>) -> Fits {
        let found = match value {
            Json::Null => Types::NULL,
            Json::Bool(_) => Types::BOOLEAN,
            Json::String(_) => Types::STRING,
            Json::Array(_) => Types::ARRAY,
            Json::Object(_) => Types::OBJECT,
            Json::Number(text) if types.has(Types::INTEGER) && !types.has(Types::NUMBER) => {
                self.take_bytes(text.len())?;
                let is_integer = DecimalRef::parse(text).is_some_and(|number| number.is_integer());
                if is_integer { Types::INTEGER } else { Types::NUMBER }
            }
            Json::Number(_) => Types::NUMBER,
        };
        Ok(types.has(found) || self.fault(|| format!("must be {}", wanted_types(types))))
    }

    /// By the canonical form, of which no more is made than the longest of the values has.
    fn one_of_values(&mut self, values: &'s Values, value: &Json<'_>) -> Fits {
        let mut form = std::mem::take(&mut self.form);
        form.clear();
        let fits =
            self.push_form(value, &mut form, values.longest)? && values.forms.contains(form.as_slice());
        self.form = form;
        Ok(fits
            || self.fault(|| match values.forms.len() {
                1 => format!("must be {}", values.words),
                _ => format!("must be one of {}", values.words),
            }))
    }

    /// Whether a text has so many characters. Looks at no more of it than that takes.
    fn has_chars(&mut self, text: &str, count: u64) -> Fits {
        let Ok(count) = usize::try_from(count) else { return Ok(false) };
        let bytes = text.len().min(count.saturating_mul(4));
        self.take_bytes(bytes)?;
        Ok(count == 0 || bytes >= count && text.chars().nth(count - 1).is_some())
    }

    /// `digits × 10^exponent` of the number divided by that of the divisor: both have no trailing zeros.
    fn multiple_of(&mut self, divisor: &'s Divisor, number: &str) -> Fits {
        self.take(number.len())?;
        let Divisor::Small { digits, exponent, words } = divisor else { return Err(TooExpensive) };
        let Some(number) = DecimalRef::parse(number) else { return Ok(true) };
        if number.is_zero() || *digits == 0 {
            return Ok(true);
        }
        // With an extreme exponent, the power of ten is either far below the divisor's or has its factors 2 and 5.
        let shift = match number.exponent() {
            Some(of_number) => of_number.saturating_sub(*exponent),
            None if number.is_integer() => i64::MAX,
            None => -1,
        };
        let fits = u64::try_from(shift).is_ok_and(|shift| {
            let rest = number.digits().fold(0, |rest, digit| (rest * 10 + u64::from(digit - b'0')) % digits);
            (u128::from(rest) * power_of_ten(shift, *digits)).is_multiple_of(u128::from(*digits))
        });
        Ok(fits || self.fault(|| format!("must be a multiple of {words}")))
    }

    /// Appends a form that equal values share and others do not. False where it would be longer than `limit`.
    pub(super) fn push_form(
        &mut self,
        value: &Json<'_>,
        form: &mut Vec<u8>,
        limit: usize,
    ) -> Result<bool, TooExpensive> {
        self.take(1)?;
        match value {
            Json::Null => form.push(b'n'),
            Json::Bool(true) => form.push(b't'),
            Json::Bool(false) => form.push(b'f'),
            Json::Number(text) => {
                self.take_bytes(text.len())?;
                push_number(text, form);
            }
            Json::String(text) => return self.push_text(text, form, limit),
            Json::Array(items) => {
                form.push(b'[');
                for item in items {
                    if !self.push_form(item, form, limit)? {
                        return Ok(false);
                    }
                }
                form.push(b']');
            }
            Json::Object(members) => {
                form.push(b'{');
                for (key, value) in members.iter() {
                    if !self.push_text(key, form, limit)? || !self.push_form(value, form, limit)? {
                        return Ok(false);
                    }
                }
                form.push(b'}');
            }
        }
        Ok(form.len() <= limit)
    }

    fn push_text(&mut self, text: &str, form: &mut Vec<u8>, limit: usize) -> Result<bool, TooExpensive> {
        if form.len().saturating_add(text.len()) > limit {
            return Ok(false);
        }
        self.take_bytes(text.len())?;
        push_text(text, form);
        Ok(form.len() <= limit)
    }
}

fn push_number(text: &str, form: &mut Vec<u8>) {
    if let Some(number) = DecimalRef::parse(text) {
        number.push_canonical(form);
    }
    form.push(b',');
}

fn push_text(text: &str, form: &mut Vec<u8>) {
    form.extend_from_slice(format!("\"{}:", text.len()).as_bytes());
    form.extend_from_slice(text.as_bytes());
}

/// The canonical form of a value of a schema.
pub(in crate::validator) fn canonical_form(value: &Json<'_>) -> Box<[u8]> {
    fn push(value: &Json<'_>, form: &mut Vec<u8>) {
        match value {
            Json::Null => form.push(b'n'),
            Json::Bool(true) => form.push(b't'),
            Json::Bool(false) => form.push(b'f'),
            Json::Number(text) => push_number(text, form),
            Json::String(text) => push_text(text, form),
            Json::Array(items) => {
                form.push(b'[');
                items.iter().for_each(|item| push(item, form));
                form.push(b']');
            }
            Json::Object(members) => {
                form.push(b'{');
                for (key, value) in members.iter() {
                    push_text(key, form);
                    push(value, form);
                }
                form.push(b'}');
            }
        }
    }
    let mut form = Vec::new();
    push(value, &mut form);
    form.into()
}

/// `10^exponent` by a modulus.
fn power_of_ten(exponent: u64, modulus: u64) -> u128 {
    let modulus = u128::from(modulus);
    let (mut power, mut square, mut left) = (1 % modulus, 10 % modulus, exponent);
    while left > 0 {
        if left & 1 == 1 {
            power = power * square % modulus;
        }
        square = square * square % modulus;
        left >>= 1;
    }
    power
}

fn wanted_types(types: Types) -> String {
    let wanted = |(bit, name): (usize, &&'static str)| {
        types.has(Types(1 << bit)).then(|| match *name {
            "null" => "null".to_owned(),
            "array" | "integer" | "object" => format!("an {name}"),
            other => format!("a {other}"),
        })
    };
    Types::NAMES.iter().enumerate().filter_map(wanted).collect::<Vec<_>>().join(" or ")
}
