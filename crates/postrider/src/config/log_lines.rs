//! The settings of the log: which lines are written, by their target.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::layers::Layers;
use super::wrong;

/// Which log lines are written: a level, or levels for targets.
pub(super) fn log_filter(layers: &Layers) -> anyhow::Result<Targets> {
    let layered = layers.get("log_level");
    let right = "error, warn, info, debug, trace or off, followed by levels of single targets where needed, such as \
                 info,postrider_store=debug,postrider::attempt=off";
    let refused = || wrong("log_level", layered, right);
    let is_level =
        |text: &str| text.parse::<LevelFilter>().is_ok() && !text.bytes().all(|b| b.is_ascii_digit());
    for part in layered.text.split(',').map(str::trim) {
        let is_right = match part.split_once('=') {
            Some((target, level)) => !target.trim().is_empty() && is_level(level.trim()),
            None => is_level(part),
        };
        if !is_right {
            return Err(refused());
        }
    }
    let text: String = layered.text.chars().filter(|c| !c.is_whitespace()).collect();
    text.parse().map_err(|_shows_less| refused())
}
