//! `postrider event-types …`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::shared::{Common, ListArgs, OnceArgs, description, id};
use super::table::Column;
use crate::client::path_of;
use crate::payload_file::read_text;

const COLUMNS: [Column; 5] = [
    Column::of("name", "EVENT TYPE"),
    Column::of("description", "DESCRIPTION"),
    Column::of("custom", "CUSTOM"),
    Column::of("validation", "VALIDATION"),
    Column::of("archived", "ARCHIVED"),
];

/// What can be done with the catalogue. Adding and changing is the operator's alone.
#[derive(Debug, Subcommand)]
pub(crate) enum EventTypesCommand {
    /// List the event types that the service knows
    List {
        #[command(flatten)]
        list: ListArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Show an event type with its schema and example
    Show {
        #[arg(value_name = "TYPE", value_parser = id)]
        event_type: String,
        #[command(flatten)]
        common: Common,
    },
    /// Add an event type
    Create {
        /// Its name, such as claim.opened
        name: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        once: OnceArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Change an event type; what is not named stays
    Update {
        #[arg(value_name = "TYPE", value_parser = id)]
        event_type: String,
        #[command(flatten)]
        settings: Settings,
        /// Put it out of use, or back
        #[arg(long, value_name = "yes|no", value_parser = ["yes", "no"], num_args = 0..=1, default_missing_value = "yes")]
        archived: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

/// Settings of new and of changed event types.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// When it is triggered
    #[arg(long, value_name = "TEXT", value_parser = description)]
    description: Option<String>,
    /// The file of its JSON Schema (2020-12); - for standard input, none for what comes with the service, or nothing
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// The file of an example payload, kept byte for byte; - for standard input, none as above
    #[arg(long, value_name = "FILE")]
    example: Option<PathBuf>,
    /// Judge payloads by the schema, or take any JSON object
    #[arg(long, value_name = "on|off", value_parser = ["on", "off"])]
    validation: Option<String>,
}

/// A field of a body with its JSON.
type Field = (&'static str, Box<RawValue>);

impl Settings {
    /// The fields of a body that are given here.
    fn fields(&self) -> anyhow::Result<Vec<Field>> {
        let mut fields = Vec::new();
        if let Some(description) = &self.description {
            fields.push(("description", json_of(&Value::from(description.as_str()))?));
        }
        for (name, file) in [("schema", &self.schema), ("example", &self.example)] {
            if let Some(file) = file {
                fields.push((name, json_in(file)?));
            }
        }
        if let Some(validation) = &self.validation {
            fields.push(("validation", json_of(&Value::from(validation.as_str()))?));
        }
        Ok(fields)
    }
}

fn json_of(value: &Value) -> anyhow::Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value).context("the request can't be written")
}

/// A file's JSON as it is.
fn json_in(file: &Path) -> anyhow::Result<Box<RawValue>> {
    if file == Path::new("none") {
        return json_of(&Value::Null);
    }
    let text = read_text(file)?;
    RawValue::from_string(text.trim().to_owned()).with_context(|| format!("{} is not JSON", file.display()))
}

/// The body with these fields, each exactly as it is.
fn body(fields: &[Field]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, json)| format!("{}:{json}", json!(name))).collect();
    format!("{{{}}}", fields.join(","))
}

impl EventTypesCommand {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { list, common } => common.list("/v1/event-types", &[], &list, &COLUMNS),
            Self::Show { event_type, common } => common.show(&path_of("event-types", &event_type)),
            Self::Create { name, settings, once, common } => {
                let mut fields = vec![("name", json_of(&Value::from(name))?)];
                fields.extend(settings.fields()?);
                common.create("/v1/event-types", &body(&fields), &once)
            }
            Self::Update { event_type, settings, archived, common } => {
                let mut fields = settings.fields()?;
                if let Some(archived) = archived {
                    fields.push(("archived", json_of(&Value::from(archived == "yes"))?));
                }
                if fields.is_empty() {
                    anyhow::bail!("nothing to change: name a setting, such as --description or --archived");
                }
                let answer = common.client()?.patch(&path_of("event-types", &event_type), &body(&fields))?;
                common.answer(&answer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_files_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("example.json");
        std::fs::write(&file, "\n{ \"n\" : 1.10 }\n").unwrap();
        let settings = Settings {
            description: Some("A \"claim\"".to_owned()),
            schema: Some("none".into()),
            example: Some(file.clone()),
            validation: Some("off".to_owned()),
        };
        assert_eq!(
            body(&settings.fields().unwrap()),
            r#"{"description":"A \"claim\"","schema":null,"example":{ "n" : 1.10 },"validation":"off"}"#
        );
        std::fs::write(&file, "{ not json").unwrap();
        assert!(settings.fields().unwrap_err().to_string().contains("is not JSON"));
    }
}
