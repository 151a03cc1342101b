//! Settings of how deliveries are sent: how many at once, and when an endpoint is disabled for failing.

use std::time::Duration;

use postrider_core::schedule::parse_duration;

use super::layers::Layers;
use super::{within, wrong};

/// A duration between a second and a year, or none for `off`.
pub(super) fn disable_after(layers: &Layers) -> anyhow::Result<Option<Duration>> {
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
    let layered = layers.get("disable_after");
    if layered.text == "off" {
        return Ok(None);
    }
    let duration = parse_duration(&layered.text).ok();
    let within = duration.filter(|duration| (Duration::from_secs(1)..=LONGEST).contains(duration));
    match within {
        Some(duration) => Ok(Some(duration)),
        None => Err(wrong("disable_after", layered, "a duration from 1s to 365d, such as 5d or 12h, or off")),
    }
}

/// Half of the files that may be open, and 4,096 at most, where nothing is set.
pub(super) fn max_in_flight(layers: &Layers, files: usize) -> anyhow::Result<usize> {
    if layers.get("max_in_flight").text.is_empty() {
        return Ok((files / 2).clamp(16, 4_096));
    }
    // Each request is an open file, and half of those that may be open are for others.
    within("max_in_flight", layers, 1, (files / 2).max(16))
}

#[cfg(test)]
mod tests {
    use super::super::flags::ServeFlags;
    use super::*;

    #[test]
    fn it_is_a_duration_or_off_and_five_days_by_default() {
        let read = |text: Option<&str>| {
            let flags = ServeFlags { disable_after: text.map(str::to_owned), ..ServeFlags::default() };
            disable_after(&Layers::read(&flags, &Default::default()).unwrap())
        };
        let days = |days: u64| Some(Duration::from_secs(days * 24 * 3600));
        assert_eq!(read(None).unwrap(), days(5));
        assert_eq!(read(Some("off")).unwrap(), None);
        assert_eq!(read(Some("12h")).unwrap(), Some(Duration::from_secs(12 * 3600)));
        assert_eq!(read(Some("365d")).unwrap(), days(365));
        for refused in ["", "0s", "999ms", "366d", "5", "never", "-1d"] {
            let error = read(Some(refused)).unwrap_err().to_string();
            assert!(error.contains("--disable-after") && error.contains("or off"), "{refused}: {error}");
        }
    }
}
