//! Regular expressions whose cost for each byte of text is known before they run.
//!
//! Most patterns become a deterministic automaton, which looks at each byte once. One that would become too large for that is run
//! as it is written, and each byte costs as many steps as the pattern has states.

use std::sync::Mutex;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, pikevm};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};

use crate::limits::MAX_SCHEMA_PATTERN_BYTES;

/// A compiled pattern.
pub(super) struct Pattern {
    text: Box<str>,
    engine: Engine,
}

enum Engine {
    /// One step for [`BYTES_PER_STEP`] bytes.
    Dfa(Box<dense::DFA<Vec<u32>>>),
    /// One step for some states of each byte. The cache is made anew where another thread has it.
    Nfa(Box<Nfa>),
}

struct Nfa {
    vm: pikevm::PikeVM,
    cache: Mutex<Option<pikevm::Cache>>,
    states: usize,
}

/// How many bytes an automaton looks at in the time of a step.
const BYTES_PER_STEP: usize = 8;
/// How many states of a pattern are followed in the time of a step.
const STATES_PER_STEP: usize = 4;

impl Pattern {
    /// Compiles a pattern of ECMA-262, as far as it needs neither look-around nor back-references.
    pub(super) fn compile(pattern: &str) -> Option<Self> {
        let rust = jsonschema_regex::to_rust_regex(pattern).ok()?;
        let engine = match dfa(&rust) {
            Some(dfa) => Engine::Dfa(Box::new(dfa)),
            None => {
                let vm = pikevm::Builder::new().thompson(thompson_config()).build(&rust).ok()?;
                let states = vm.get_nfa().states().len();
                Engine::Nfa(Box::new(Nfa { vm, cache: Mutex::new(None), states }))
            }
        };
        Some(Self { text: pattern.into(), engine })
    }

    /// The pattern as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// How many steps a text costs.
    pub(super) fn steps(&self, text: &str) -> usize {
        match &self.engine {
            Engine::Dfa(_) => 1 + text.len() / BYTES_PER_STEP,
            Engine::Nfa(nfa) => (1 + text.len()).saturating_mul(1 + nfa.states / STATES_PER_STEP),
        }
    }

    /// Whether the pattern is found anywhere in the text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        match &self.engine {
            // It has been built without bytes at which it gives up.
            Engine::Dfa(dfa) => {
                dfa.try_search_fwd(&Input::new(text).earliest(true)).is_ok_and(|found| found.is_some())
            }
            Engine::Nfa(nfa) => {
                let Nfa { vm, cache, .. } = nfa.as_ref();
                let kept = cache.lock().ok().and_then(|mut kept| kept.take());
                let mut own = kept.unwrap_or_else(|| vm.create_cache());
                let found = vm.is_match(&mut own, text);
                if let Ok(mut kept) = cache.lock() {
                    *kept = Some(own);
                }
                found
            }
        }
    }
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The pattern as a deterministic automaton; none where it would be too large, or needs to know what a word is.
fn dfa(pattern: &str) -> Option<dense::DFA<Vec<u32>>> {
    let config = dense::Config::new()
        .dfa_size_limit(Some(MAX_SCHEMA_PATTERN_BYTES))
        .determinize_size_limit(Some(MAX_SCHEMA_PATTERN_BYTES))
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Unanchored);
    dense::Builder::new()
        .configure(config)
        .thompson(thompson_config())
        .syntax(syntax::Config::new())
        .build(pattern)
        .ok()
}

fn thompson_config() -> thompson::Config {
    // More than the library takes that a schema is checked with, so that what passed there compiles here.
    thompson::Config::new()
        .nfa_size_limit(Some(4 * MAX_SCHEMA_PATTERN_BYTES))
        .which_captures(thompson::WhichCaptures::None)
}
