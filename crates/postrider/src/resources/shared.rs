//! What the commands share: how a service is reached, how lists are narrowed and read page by page, and which texts are
//! wrong use before anything is asked.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use postrider_core::text::{self, TextRule};
use postrider_core::time::Timestamp;
use serde_json::{Value, json};

use super::show;
use super::table::Column;
use crate::cli::ClientArgs;
use crate::client::{Client, path_with};
use crate::terminal::say;

/// The most rows that the service gives in one page.
const MAX_PAGE: usize = 250;
/// The most rows that one command lists.
const MAX_LISTED: i64 = 10_000;
/// The longest text that is taken for an id or a name in a path.
const MAX_ID_BYTES: usize = 200;

/// Where to ask, and how to show the answer.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print the service's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Which part of a list is wanted.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// How many rows at most, the newest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=MAX_LISTED))]
    limit: u32,
    /// Go on where a list ended: the cursor that it gave
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// What makes a call that creates something safe to repeat.
#[derive(Debug, Args)]
pub(crate) struct OnceArgs {
    /// Carry it out only once, however often the command is repeated with this key within 24 hours (such as a UUID).
    /// Default: a random key, which an error names if the outcome is unknown
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    pub(crate) idempotency_key: Option<String>,
}

/// One mode, or both.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ModeArgs {
    /// Live mode
    #[arg(long, conflicts_with = "test")]
    live: bool,
    /// Test mode
    #[arg(long)]
    test: bool,
}

impl ModeArgs {
    /// The mode that is asked for.
    pub(crate) fn livemode(self) -> Option<bool> {
        if self.live || self.test { Some(self.live) } else { None }
    }

    /// The same as a parameter.
    pub(crate) fn parameter(self) -> Option<String> {
        self.livemode().map(|livemode| livemode.to_string())
    }
}

/// The time between two points.
#[derive(Debug, Args)]
pub(crate) struct TimeArgs {
    /// At or after this time: RFC 3339, or how long ago (90s, 15m, 2h, 7d)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since: Option<String>,
    /// Before this time: RFC 3339, or how long ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) until: Option<String>,
}

/// Reads an id or a name that becomes a part of a path.
pub(crate) fn id(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_ID_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("an id or a name is 1 to 200 visible ASCII characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Checks an account's name.
pub(crate) fn account_name(text: &str) -> Result<String, String> {
    checked(text::ACCOUNT_NAME, text)
}

/// Checks a description.
pub(crate) fn description(text: &str) -> Result<String, String> {
    checked(text::DESCRIPTION, text)
}

fn checked(rule: TextRule, text: &str) -> Result<String, String> {
    rule.check(text).map(|()| text.to_owned()).map_err(|why| why.to_string())
}

fn idempotency_key(text: &str) -> Result<String, String> {
    if !text::is_idempotency_key(text.as_bytes()) {
        return Err("an idempotency key is 1 to 255 visible ASCII characters, such as a UUID".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a point in time, given as itself or as how long ago it was.
fn time(text: &str) -> Result<String, String> {
    if let Some(ago) = duration(text) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_ms(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        return Ok(now.minus(ago).to_string());
    }
    let time = text.parse::<Timestamp>();
    time.map(|time| time.to_string()).map_err(|_not_a_time| {
        "a time is RFC 3339, such as 2026-01-31T08:00:00Z, or how long ago it was, such as 15m, 2h or 7d"
            .into()
    })
}

/// A number and its unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    // A thousand years are long enough ago.
    number.checked_mul(seconds).filter(|seconds| *seconds <= 365_000 * 86_400).map(Duration::from_secs)
}

impl Common {
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.client)
    }

    /// Asks for a list, page by page, and shows it.
    pub(crate) fn list(
        &self,
        path: &str,
        filters: &[(&str, Option<String>)],
        list: &ListArgs,
        columns: &[Column],
    ) -> anyhow::Result<ExitCode> {
        let client = self.client()?;
        let wanted = usize::try_from(list.limit).unwrap_or(usize::MAX);
        let mut cursor = list.cursor.clone();
        let mut rows: Vec<Value> = Vec::new();
        loop {
            let limit = (wanted - rows.len()).min(MAX_PAGE).to_string();
            let mut parameters = filters.to_vec();
            parameters.push(("limit", Some(limit)));
            parameters.push(("cursor", cursor.take()));
            let mut page = client.get(&path_with(path, &parameters))?;
            if let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) {
                rows.extend(data);
            }
            cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() || rows.len() >= wanted {
                break;
            }
        }
        if self.json {
            return show::json(&json!({ "data": rows, "next_cursor": cursor }));
        }
        show::table(&rows, columns);
        if let Some(cursor) = cursor {
            show::hint(&format!("there is more: --cursor {cursor}"));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Asks for one thing and shows it.
    pub(crate) fn show(&self, path: &str) -> anyhow::Result<ExitCode> {
        self.answer(&self.client()?.get(path)?)
    }

    /// Makes or does something and shows the answer.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<ExitCode> {
        self.answer(&self.client()?.post(path, &body.to_string())?)
    }

    /// Makes something, once for each idempotency key, and shows the answer.
    pub(crate) fn create(&self, path: &str, body: &str, once: &OnceArgs) -> anyhow::Result<ExitCode> {
        self.answer(&self.made(path, body, once)?)
    }

    /// Makes something, once for each idempotency key.
    pub(crate) fn made(&self, path: &str, body: &str, once: &OnceArgs) -> anyhow::Result<Value> {
        let (answer, is_replayed) = self.client()?.post_once(path, body, once.idempotency_key.as_deref())?;
        if is_replayed {
            show::hint("this was made before, by a call with the same key; nothing new was made");
        }
        Ok(answer)
    }

    /// Changes something and shows what it is now.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<ExitCode> {
        self.answer(&self.client()?.patch(path, &body.to_string())?)
    }

    /// Deletes something.
    pub(crate) fn delete(&self, path: &str, what: &str) -> anyhow::Result<ExitCode> {
        self.client()?.delete(path)?;
        if !self.json {
            say(format!("{what} is deleted"));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows one thing.
    pub(crate) fn answer(&self, answer: &Value) -> anyhow::Result<ExitCode> {
        if self.json {
            return show::json(answer);
        }
        show::one(answer);
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_itself_or_how_long_ago() {
        assert_eq!(time("2026-01-31T08:00:00Z").unwrap(), "2026-01-31T08:00:00.000Z");
        let ago: Timestamp = time("2h").unwrap().parse().unwrap();
        let later: Timestamp = time("0s").unwrap().parse().unwrap();
        let between = later.since(ago).as_secs();
        assert!((7_200..7_300).contains(&between), "{between}");
        for wrong in
            ["", "h", "2", "2w", "-2h", "+2h", "yesterday", "2ü", "99999999999999999999d", "999999999d"]
        {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_id_is_refused_before_anything_is_asked() {
        assert!(id("ep_01").is_ok());
        for wrong in ["", "two words", "ü", "a\nb", &"a".repeat(201)] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
        assert!(idempotency_key(&"k".repeat(255)).is_ok());
        for wrong in ["", "two words", "ü", &"k".repeat(256)] {
            assert!(idempotency_key(wrong).is_err(), "{wrong}");
        }
    }
}
