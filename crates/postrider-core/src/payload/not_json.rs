//! The ways in which text is not JSON, or deeper than is read. No words here repeat the text: it is personal data.

use crate::limits::MAX_PAYLOAD_DEPTH;

/// Why text can't be read. A place is counted in bytes from the text's start, which is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotJson {
    #[error("it ends too early")]
    End,
    #[error("no value begins at byte {0}")]
    Value(usize),
    #[error("the number at byte {0} is not written as JSON writes numbers")]
    Number(usize),
    #[error("a control character in a string at byte {0}; it must be escaped")]
    Control(usize),
    #[error("an unknown escape in a string at byte {0}")]
    Escape(usize),
    #[error("a key in quotes must stand at byte {0}")]
    Key(usize),
    #[error("a colon must stand at byte {0}")]
    Colon(usize),
    #[error("a comma or the end of the array or object must stand at byte {0}")]
    Comma(usize),
    #[error("something stands behind the value, at byte {0}")]
    Trailing(usize),
    #[error("it is nested deeper than {MAX_PAYLOAD_DEPTH} levels")]
    TooDeep,
}
