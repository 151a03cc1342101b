//! The payload that `trigger` and `demo` hand in: a type's example or a file, with fields changed where asked.
//!
//! Untouched, the bytes stay exactly as they are.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use postrider_core::catalogue::Catalogue;
use serde_json::{Map, Value};

/// The payload text for an event of this type.
pub(crate) fn read(
    event_type: &str,
    file: Option<&Path>,
    set: &[String],
    livemode: Option<bool>,
) -> anyhow::Result<String> {
    let text = match file {
        Some(path) => read_text(path)?,
        None => example(event_type)?.to_owned(),
    };
    let changes = set.iter().map(|change| parse_change(change)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut payload: Value = serde_json::from_str(&text).context("the payload is not JSON")?;
    let mode_differs = livemode.is_some_and(|live| payload.get("livemode") != Some(&Value::Bool(live)));
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

/// The example of a built-in type.
pub(crate) fn example(event_type: &str) -> anyhow::Result<&'static str> {
    let catalogue = Catalogue::built_in();
    match catalogue.get(event_type) {
        Some(event_type) => Ok(event_type.example),
        None => {
            let known: Vec<&str> = catalogue.of_platform().map(|event_type| event_type.name).collect();
            bail!(
                "there is no example for the event type \"{event_type}\"; there is for {}",
                known.join(", ")
            )
        }
    }
}

fn read_text(path: &Path) -> anyhow::Result<String> {
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

    #[test]
    fn an_example_that_is_not_changed_keeps_its_bytes() {
        assert_eq!(read("offer.created", None, &[], Some(false)).unwrap(), example("offer.created").unwrap());
    }

    #[test]
    fn fields_can_be_set_and_the_order_of_the_others_stays() {
        let set = ["gross_premium=25", "metadata.order=A-1", "new.deep=true", "assets.0.name=Offer"]
            .map(str::to_owned);
        let text = read("offer.created", None, &set, Some(true)).unwrap();
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
            let refused = read("offer.created", None, &[change.to_owned()], None).unwrap_err().to_string();
            assert!(refused.contains(why), "{change}: {refused}");
        }
        assert!(read("no.such", None, &[], None).unwrap_err().to_string().contains("policy.created"));
    }
}
