//! Reads single settings from their texts, and says which one is wrong and what would be right.

use std::fmt::Display;
use std::time::Duration;

use anyhow::anyhow;
use postrider_core::schedule::parse_duration;

use super::layers::{Layered, Layers};
use crate::store_url;

/// Reads one setting; `right` says what would be right.
pub(super) fn read<T: std::str::FromStr>(name: &str, layers: &Layers, right: &str) -> anyhow::Result<T> {
    let layered = layers.get(name);
    layered.text.trim().parse().ok().ok_or_else(|| wrong(name, layered, right))
}

/// Reads a whole number between two bounds.
pub(super) fn within<T>(name: &str, layers: &Layers, least: T, most: T) -> anyhow::Result<T>
where
    T: std::str::FromStr + PartialOrd + Display + Copy,
{
    let right = format!("a whole number from {least} to {most}");
    let number: T = read(name, layers, &right)?;
    if number < least || number > most {
        return Err(wrong(name, layers.get(name), &right));
    }
    Ok(number)
}

/// Reads a comma-separated list; empty is none.
pub(super) fn list<T: std::str::FromStr>(name: &str, layers: &Layers, right: &str) -> anyhow::Result<Vec<T>> {
    let layered = layers.get(name);
    let items = layered.text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.parse().ok().ok_or_else(|| wrong(name, layered, right))).collect()
}

/// A setting that may be empty.
pub(super) fn where_set<T: std::str::FromStr>(
    name: &str,
    layers: &Layers,
    right: &str,
) -> anyhow::Result<Option<T>> {
    if layers.get(name).text.is_empty() { Ok(None) } else { read(name, layers, right).map(Some) }
}

/// How long a client's connection may be idle.
pub(super) fn keep_alive(layers: &Layers) -> anyhow::Result<Duration> {
    let layered = layers.get("keep_alive");
    let within = Duration::from_secs(1)..=Duration::from_secs(3_600);
    let given = parse_duration(layered.text.trim()).ok().filter(|given| within.contains(given));
    given.ok_or_else(|| wrong("keep_alive", layered, "a time from 1s to 1h such as 75s"))
}

pub(super) fn wrong(name: &str, layered: &Layered, right: &str) -> anyhow::Error {
    let place = layered.name_of(name);
    anyhow!("{place} is {:?}; it must be {right}", store_url::masked(&layered.text))
}
