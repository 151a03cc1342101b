//! Query parameters: each known, given once, and readable; otherwise 400 with every fault named. And the cursor by
//! which a list is walked.

use std::fmt::Display;
use std::str::FromStr;

use postrider_core::id::AccountId;
use postrider_core::limits::{DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS};
use postrider_core::time::{NotATime, Timestamp};
use postrider_engine::PageRequest;
use url::form_urlencoded;

use crate::caller::Caller;
use crate::fields::shown;
use crate::problem::{Code, Problem};

/// The lists that have cursors, so that one list's cursor is not taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walked {
    Accounts,
    Keys,
    Endpoints,
    EventTypes,
    Events,
    Deliveries,
    Replays,
    Audit,
}

impl Walked {
    fn letter(self) -> char {
        match self {
            Self::Accounts => 'a',
            Self::Keys => 'k',
            Self::Endpoints => 'p',
            Self::EventTypes => 't',
            Self::Events => 'e',
            Self::Deliveries => 'd',
            Self::Replays => 'r',
            Self::Audit => 'u',
        }
    }

    /// The cursor of the page that begins at `position`.
    pub(crate) fn cursor(self, position: i64) -> String {
        format!("{}{position:016x}", self.letter())
    }

    fn position(self, cursor: &str) -> Option<i64> {
        let digits = cursor.strip_prefix(self.letter())?;
        let is_ours = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let position = u64::from_str_radix(digits, 16).ok().filter(|_| is_ours)?;
        i64::try_from(position).ok()
    }
}

/// The parameters of one query.
pub(crate) struct Query {
    values: Vec<(&'static str, String)>,
    faults: Vec<String>,
}

/// How many faults one answer names.
const MAX_FAULTS: usize = 10;

impl Query {
    /// Reads a query whose parameters must be among `known`.
    pub(crate) fn parse(query: &str, known: &'static [&'static str]) -> Result<Self, Problem> {
        let mut parsed = Self { values: Vec::new(), faults: Vec::new() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if parsed.faults.len() == MAX_FAULTS {
                break;
            }
            match known.iter().find(|known| **known == name) {
                None => parsed.faults.push(unknown(&name, known)),
                Some(known) if parsed.value(known).is_some() => {
                    parsed.faults.push(format!("{known} is there twice"));
                }
                Some(known) => parsed.values.push((known, value.into_owned())),
            }
        }
        match parsed.faults.is_empty() {
            true => Ok(parsed),
            false => Err(parsed.into_problem()),
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    fn into_problem(mut self) -> Problem {
        self.faults.truncate(MAX_FAULTS);
        Problem::new(Code::BadParameter, self.faults.join("; "))
    }

    /// A parameter read by `read`; `wanted` says what it should be.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        wanted: impl Display,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(name)?;
        let result = read(value);
        if result.is_none() {
            let fault = format!("{name}=\"{}\": must be {wanted}", shown(value));
            self.faults.push(fault);
        }
        result
    }

    /// A parameter that is an id.
    pub(crate) fn id<T: FromStr>(&mut self, name: &str, wanted: &str) -> Option<T> {
        self.read(name, wanted, |text| text.parse().ok())
    }

    /// A parameter that is a point in time.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let wanted =
            format!("{} (a + in a URL is written %2B)", NotATime.to_string().replacen("not ", "", 1));
        self.read(name, wanted, |text| text.parse().ok())
    }

    /// The `account` and `livemode` that the list is narrowed to: an account key's own, or what is asked for.
    pub(crate) fn bounds(&mut self, caller: Caller) -> Result<(Option<AccountId>, Option<bool>), Problem> {
        let account = self.id("account", "an account's id, acc_…");
        let livemode = self.read("livemode", "true or false", |text| text.parse().ok());
        let Some((own_account, own_livemode)) = caller.bounds() else { return Ok((account, livemode)) };
        if account.is_some_and(|account| account != own_account) {
            return Err(Problem::forbidden("the key sees its own account alone; leave \"account\" out"));
        }
        if livemode.is_some_and(|livemode| livemode != own_livemode) {
            return Err(Problem::forbidden("the key sees its own mode alone; leave \"livemode\" out"));
        }
        Ok((Some(own_account), Some(own_livemode)))
    }

    /// The page that is asked for, and the end of judging: 400 where anything was at fault.
    pub(crate) fn page(mut self, walked: Walked) -> Result<PageRequest, Problem> {
        let limit = self.read("limit", format!("a whole number from 1 to {MAX_PAGE_ROWS}"), |text| {
            text.parse().ok().filter(|limit| (1..=MAX_PAGE_ROWS).contains(limit))
        });
        let wanted = "a \"next_cursor\" of this list, as it was given";
        let before = self.read("cursor", wanted, |text| walked.position(text));
        self.finish()?;
        Ok(PageRequest { limit: limit.unwrap_or(DEFAULT_PAGE_ROWS), before })
    }

    /// The end of judging: 400 where anything was at fault.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.into_problem()) }
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    match known {
        [] => format!("unknown parameter \"{}\"; there are none here", shown(name)),
        known => format!("unknown parameter \"{}\"; known here: {}", shown(name), known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_belongs_to_one_list() {
        for position in [0, 1, 77, i64::MAX] {
            let cursor = Walked::Events.cursor(position);
            assert_eq!(Walked::Events.position(&cursor), Some(position));
            assert_eq!(Walked::Deliveries.position(&cursor), None);
        }
        for wrong in [
            "",
            "e",
            "e1",
            "e+000000000000001",
            "effffffffffffffff",
            "e00000000000000000",
            "e000000000000000G",
        ] {
            assert_eq!(Walked::Events.position(wrong), None, "{wrong}");
        }
    }
}
