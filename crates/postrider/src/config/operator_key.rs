//! The settings of the operator key: the key itself, or the file that holds it.

use std::path::Path;

use anyhow::{anyhow, bail};

use super::layers::Layers;
use crate::operator_key::{ConfiguredKey, OperatorKey};

/// The operator key that a setting gives: the key itself, or the file that holds it. A key that is refused is not shown.
pub(super) fn operator_key(layers: &Layers) -> anyhow::Result<Option<ConfiguredKey>> {
    let (key, file) = (layers.get("operator_key"), layers.get("operator_key_file"));
    match (key.text.trim(), file.text.trim()) {
        ("", "") => Ok(None),
        ("", path) => {
            let key = OperatorKey::read_file(Path::new(path))?;
            let source = format!("{} ({path})", file.name_of("operator_key_file"));
            Ok(Some(ConfiguredKey { key, source, file: Some(path.into()) }))
        }
        (text, "") => {
            let source = key.name_of("operator_key");
            let key =
                OperatorKey::parse(text).map_err(|error| anyhow!("the operator key of {source} {error}"))?;
            Ok(Some(ConfiguredKey { key, source, file: None }))
        }
        (_, _) => bail!(
            "{} and {} are both set; set only one of them",
            key.name_of("operator_key"),
            file.name_of("operator_key_file")
        ),
    }
}
