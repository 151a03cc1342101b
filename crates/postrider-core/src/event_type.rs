//! Event type names and the patterns by which an endpoint subscribes to them. Pure matching.

use std::fmt;

use crate::limits::{MAX_EVENT_TYPE_BYTES, MAX_EVENT_TYPE_PATTERNS};

/// One entry of an endpoint's `event_types`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `*`: every type.
    Any,
    /// `policy.*`: every type below `policy.`, at any depth.
    Below(String),
    /// `policy.created`: this type.
    Exact(String),
}

/// Why a text is neither an event type's name nor a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternRefused {
    /// It does not read as one.
    #[error("\"{0}\" is not an event type such as policy.created, a group such as policy.*, or *")]
    Malformed(String),
    /// No entry, or too many.
    #[error("an endpoint has 1 to {MAX_EVENT_TYPE_PATTERNS} event types, this has {0}")]
    Count(usize),
}

/// Whether `text` reads as an event type's name: parts of `a-z`, `0-9`, `_` and `-`, joined by dots.
pub fn is_event_type_name(text: &str) -> bool {
    let part_is_good = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-'))
    };
    text.len() <= MAX_EVENT_TYPE_BYTES && text.split('.').all(part_is_good)
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternRefused> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let refused = || PatternRefused::Malformed(text.chars().take(80).collect());
        match text.strip_suffix(".*") {
            Some(group) if is_event_type_name(group) => Ok(Self::Below(group.to_owned())),
            None if is_event_type_name(text) => Ok(Self::Exact(text.to_owned())),
            _ => Err(refused()),
        }
    }

    /// Whether an event of the type `name` is wanted.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(group) => {
                name.strip_prefix(group.as_str()).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'))
            }
            Self::Exact(wanted) => wanted == name,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(group) => write!(f, "{group}.*"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// The event types that an endpoint subscribed: an event goes there when any pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription(Vec<Pattern>);

impl Subscription {
    /// Reads the patterns; the error comes with the index of the entry at fault, where there is one.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, (Option<usize>, PatternRefused)> {
        if texts.is_empty() || texts.len() > MAX_EVENT_TYPE_PATTERNS {
            return Err((None, PatternRefused::Count(texts.len())));
        }
        let parse =
            |(index, text): (usize, &T)| Pattern::parse(text.as_ref()).map_err(|why| (Some(index), why));
        texts.iter().enumerate().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an event of the type `name` is wanted.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }

    /// The patterns in the order they were given.
    pub fn patterns(&self) -> &[Pattern] {
        &self.0
    }

    /// The patterns as texts.
    pub fn to_texts(&self) -> Vec<String> {
        self.0.iter().map(Pattern::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, name, expected) in [
            ("*", "policy.created", true),
            ("policy.*", "policy.created", true),
            ("policy.*", "policy.created.late", true),
            ("policy.*", "policy", false),
            ("policy.*", "policyholder.created", false),
            ("policy.created", "policy.created", true),
            ("policy.created", "policy.createdx", false),
            ("policy.created", "offer.created", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in
            ["", ".", "policy.", ".created", "pol icy", "policy.*.x", "*.created", "**", "policy*", "ä.b"]
        {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Subscription::parse::<&str>(&[]), Err((None, PatternRefused::Count(0))));
        assert!(matches!(Subscription::parse(&["*", "a b"]), Err((Some(1), PatternRefused::Malformed(_)))));
    }

    proptest! {
        #[test]
        fn a_pattern_survives_its_text(text in "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}(\\.\\*)?") {
            prop_assert_eq!(Pattern::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn no_text_panics(pattern: String, name: String) {
            let _unused = Pattern::parse(&pattern).map(|p| p.matches(&name));
        }
    }
}
