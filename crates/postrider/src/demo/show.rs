//! What the demo shows: a head, one line per attempt, and a summary.

use std::collections::HashMap;
use std::sync::Arc;

use postrider_core::attempt::Outcome;
use postrider_engine::{AttemptSeen, FollowingStep};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::receivers::Receivers;
use crate::terminal::{BAD, BOLD, DIM, GOOD, NAME, WAIT, paint, say};

/// The demo's view.
#[derive(Debug, Default)]
pub(super) struct Show {
    names: HashMap<String, String>,
    attempts: u64,
    delivered: u64,
    retried: u64,
}

impl Show {
    /// Prints the head.
    pub(super) fn new(service_url: &str, receiver_url: &str, key: &str) -> Self {
        say("");
        say(format!(
            "  {}  {}",
            paint(BOLD, "Postrider demo"),
            paint(DIM, "temporary, and on this machine only; Ctrl-C ends it")
        ));
        say("");
        say(format!("  service    {}", paint(NAME, service_url)));
        say(format!("  dashboard  {}", paint(NAME, format!("{service_url}/"))));
        say(format!("             {}", paint(DIM, format!("log in with {key}"))));
        say(format!(
            "  receivers  {}  {}",
            paint(NAME, receiver_url),
            paint(DIM, "check each X-KASKO-Signature; one fails now and then")
        ));
        say(format!(
            "  try        {}",
            paint(DIM, format!("curl -u {key}: '{service_url}/v1/deliveries?limit=3'"))
        ));
        say("");
        say(paint(
            DIM,
            format!(
                "  {:<12}   {:<16} {:<15} {:<24} what follows",
                "time", "event type", "endpoint", "answer"
            ),
        ));
        Self::default()
    }

    pub(super) fn name_endpoints(&mut self, names: HashMap<String, String>) {
        self.names = names;
    }

    /// A line per attempt, for as long as there are any.
    pub(super) async fn run(&mut self, mut attempts: Receiver<Arc<AttemptSeen>>) {
        loop {
            match attempts.recv().await {
                Ok(seen) => say(self.line(&seen)),
                Err(RecvError::Lagged(missed)) => say(paint(DIM, format!("  … {missed} attempts not shown"))),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn line(&mut self, seen: &AttemptSeen) -> String {
        self.attempts += 1;
        let time = seen.started_at.to_string();
        let endpoint = seen.endpoint.to_string();
        let name = self.names.get(&endpoint).map_or(endpoint.as_str(), String::as_str);
        let took = seen.took.as_secs_f64() * 1000.0;
        let answer = match &seen.outcome {
            Outcome::Answered { status, .. } => format!("{status} in {took:.1} ms"),
            Outcome::Failed { code, .. } => format!("{code} after {took:.1} ms"),
        };
        let (sign, style, follows) = match seen.next {
            FollowingStep::Delivered => {
                self.delivered += 1;
                let how = if seen.number > 1 {
                    format!("delivered by attempt {}", seen.number)
                } else {
                    "delivered".to_owned()
                };
                ("✓", GOOD, how)
            }
            FollowingStep::RetryAt(at) => {
                self.retried += 1;
                let wait = at.since(seen.started_at).as_secs_f64();
                ("↻", WAIT, format!("attempt {} in {wait:.1} s", seen.number + 1))
            }
            FollowingStep::Waits => ("…", WAIT, "waits: the endpoint is failing".to_owned()),
            FollowingStep::Exhausted => ("✗", BAD, "exhausted".to_owned()),
        };
        // Pad before painting: colour codes have no width on the screen.
        format!(
            "  {}   {} {:<15} {} {}",
            paint(DIM, time.get(11..23).unwrap_or(&time)),
            paint(BOLD, format!("{:<16}", &*seen.event_type)),
            name,
            paint(style, format!("{sign} {answer:<22}")),
            paint(style, follows)
        )
    }

    /// What it came to.
    pub(super) fn summary(&self, receivers: &Receivers) {
        let (verified, refused) = receivers.signatures();
        say("");
        say(format!(
            "  {} attempts, {} delivered, {} to be tried again; {verified} signatures right, {refused} wrong",
            self.attempts,
            paint(GOOD, self.delivered),
            paint(WAIT, self.retried)
        ));
        say(paint(DIM, "  for real: postrider serve\n"));
    }
}
