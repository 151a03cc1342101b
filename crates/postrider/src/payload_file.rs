//! The payload that `trigger` and `demo` hand in: a type's example or a file, with fields changed where asked.
//!
//! Untouched, the bytes stay exactly as they are.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::client::{Client, path_of};
use crate::resources::printable;

/// The payload of an event: this text with the fields changed, and in this mode where it names one.
pub(crate) fn changed(text: String, set: &[String], livemode: Option<bool>) -> anyhow::Result<String> {
    let changes = set.iter().map(|change| parse_change(change)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut payload: Value = serde_json::from_str(&text).context("the payload is not JSON")?;
    let mode_differs = livemode.zip(payload.get("livemode")).is_some_and(|(live, found)| *found != live);
    if changes.is_empty() && !mode_differs {
        return Ok(text);
    }
    if let Some(livemode) = livemode.filter(|_| mode_differs) {
        put(&mut payload, &["livemode"], Value::Bool(livemode))?;
    }
    for (path, value) in changes {
        put(&mut payload, &path, value)?;
    }
    serde_json::to_string_pretty(&payload).context("the payload can't be written")
}

/// The example of an event type as the service has it.
pub(crate) fn example(client: &Client, event_type: &str) -> anyhow::Result<String> {
    let found = match client.get_bytes(&path_of("event-types", event_type)) {
        Ok(found) => found,
        Err(why) => return Err(names(client).map_or(why, |known| unknown(event_type, &known))),
    };
    let found: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(&found).context("what the service says of the event type can't be read")?;
    match found.get("example").map(|example| example.get()) {
        Some(example) if example != "null" => Ok(example.to_owned()),
        _ => bail!("the event type \"{event_type}\" has no example; give a payload with --file"),
    }
}

fn unknown(event_type: &str, known: &[String]) -> anyhow::Error {
    anyhow!("there is no event type \"{event_type}\"; there is {}", known.join(", "))
}

/// The event types that the service has in use, as many as a page shows.
fn names(client: &Client) -> Option<Vec<String>> {
    let page = client.get("/v1/event-types?limit=50").ok()?;
    let in_use = page.get("data")?.as_array()?.iter().filter(|known| known["archived"] != true);
    Some(in_use.filter_map(|known| known["name"].as_str().map(printable)).collect())
}

/// The text of a file, or of standard input.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .take(16 * 1024 * 1024)
            .read_to_string(&mut text)
            .context("standard input can't be read")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))
}

/// Reads `a.b=c`; the value is JSON where it reads as JSON, and text otherwise.
fn parse_change(text: &str) -> anyhow::Result<(Vec<&str>, Value)> {
    let Some((path, value)) = text.split_once('=') else {
        bail!("--set {text}: write it as field=value, such as metadata.order=A-1");
    };
    let path: Vec<&str> = path.split('.').collect();
    if path.iter().any(|part| part.is_empty()) {
        bail!("--set {text}: the field's name is empty somewhere");
    }
    Ok((path, serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))))
}

/// Puts a value in, making objects on the way; a number names a place in an array.
fn put(target: &mut Value, path: &[&str], value: Value) -> anyhow::Result<()> {
    let Some((first, rest)) = path.split_first() else {
        *target = value;
        return Ok(());
    };
    if let Value::Array(items) = target {
        let item = first.parse::<usize>().ok().and_then(|index| items.get_mut(index));
        return put(item.with_context(|| format!("the array has no place \"{first}\""))?, rest, value);
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { bail!("\"{first}\" has no place to stand") };
    put(fields.entry(*first).or_insert(Value::Null), rest, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's example.
    fn offer() -> String {
        let catalogue = postrider_core::catalogue::Catalogue::built_in();
        catalogue.get("offer.created").and_then(|known| known.example().map(str::to_owned)).unwrap()
    }

    #[test]
    fn a_text_that_is_not_changed_keeps_its_bytes() {
        assert_eq!(changed(offer(), &[], Some(false)).unwrap(), offer());
        let without_mode = "{ \"n\" : 1.10 }".to_owned();
        assert_eq!(changed(without_mode.clone(), &[], Some(true)).unwrap(), without_mode);
    }

    #[test]
    fn fields_can_be_set_and_the_order_of_the_others_stays() {
        let set = ["gross_premium=25", "metadata.order=A-1", "new.deep=true", "assets.0.name=Offer"]
            .map(str::to_owned);
        let text = changed(offer(), &set, Some(true)).unwrap();
        let payload: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(payload["gross_premium"], 25);
        assert_eq!(payload["metadata"]["order"], "A-1");
        assert_eq!(payload["new"]["deep"], true);
        assert_eq!(payload["assets"][0]["name"], "Offer");
        assert_eq!(payload["livemode"], true);
        assert!(
            text.find("\"id\"") < text.find("\"livemode\"")
                && text.find("\"email\"") < text.find("\"assets\"")
        );
    }

    #[test]
    fn what_can_not_be_set_says_why() {
        for (change, why) in
            [("x", "field=value"), ("a..b=1", "empty"), ("assets.7.name=x", "no place \"7\"")]
        {
            let refused = changed(offer(), &[change.to_owned()], None).unwrap_err().to_string();
            assert!(refused.contains(why), "{change}: {refused}");
        }
        assert!(changed("{".to_owned(), &[], None).unwrap_err().to_string().contains("not JSON"));
    }
}
