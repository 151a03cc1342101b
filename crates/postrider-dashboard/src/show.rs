//! How single things are shown: text from strangers, times, JSON, pictures, words.

pub(crate) mod advice;
pub(crate) mod badge;
pub(crate) mod chart;
pub(crate) mod curl;
pub(crate) mod health;
pub(crate) mod json;
pub(crate) mod phases;
pub(crate) mod snippets;
pub(crate) mod text;
pub(crate) mod time;
