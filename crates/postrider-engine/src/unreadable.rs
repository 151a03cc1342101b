//! Endpoints whose sealed values do not open: nothing is sent to them, and the operator is told. The values, or the URL that
//! they are bound to, were changed in the database, so that a secret or a header could go where it does not belong.

use std::sync::PoisonError;
use std::time::Duration;

use postrider_core::time::Timestamp;

use crate::Inner;

/// How often the log repeats that there are such endpoints.
const REPEAT: Duration = Duration::from_secs(600);

/// What the log last said of them.
#[derive(Debug, Default)]
pub(crate) struct UnreadableLog {
    said: Option<(usize, Timestamp)>,
}

/// What the log says now.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Unreadable,
    ReadableAgain,
}

impl UnreadableLog {
    /// What to say of so many: at once where there are more than before, otherwise now and then, and once where there are
    /// none any more.
    fn next(&mut self, count: usize, now: Timestamp) -> Option<Line> {
        let is_new = self.said.is_none_or(|(before, at)| count > before || now.since(at) >= REPEAT);
        match (count, self.said) {
            (0, None) => None,
            (0, Some(_)) => {
                self.said = None;
                Some(Line::ReadableAgain)
            }
            (_, said) => {
                let at = if is_new { now } else { said.map_or(now, |(_, at)| at) };
                self.said = Some((count, at));
                is_new.then_some(Line::Unreadable)
            }
        }
    }
}

impl Inner {
    /// Logs which endpoints have sealed values that do not open, now and then.
    pub(crate) fn log_unreadable(&self) {
        let snapshot = self.snapshot.load();
        let mut unreadable = snapshot.all_endpoints().filter(|endpoint| !endpoint.is_readable());
        let first = unreadable.next();
        let count = usize::from(first.is_some()) + unreadable.count();
        let line = {
            let mut log = self.unreadable_log.lock().unwrap_or_else(PoisonError::into_inner);
            log.next(count, self.now())
        };
        match (line, first) {
            (Some(Line::Unreadable), Some(first)) => tracing::error!(
                endpoints = count,
                endpoint = %first.id,
                account = %first.account,
                secret = first.unreadable.secret,
                headers = first.unreadable.headers,
                "sealed values do not open; nothing is sent to these endpoints until their secrets and headers are set again"
            ),
            (Some(Line::ReadableAgain), _) => tracing::info!("every endpoint's sealed values open again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_speaks_of_more_at_once_of_the_same_now_and_then_and_of_the_end_once() {
        let begin = Timestamp::from_ms(1_500_381_476_000);
        let mut log = UnreadableLog::default();
        for (after_s, count, line) in [
            (0, 0, None),
            (1, 1, Some(Line::Unreadable)),
            (60, 1, None),
            (120, 3, Some(Line::Unreadable)),
            (180, 2, None),
            (719, 2, None),
            (720, 2, Some(Line::Unreadable)),
            (780, 0, Some(Line::ReadableAgain)),
            (840, 0, None),
        ] {
            assert_eq!(log.next(count, begin.plus(Duration::from_secs(after_s))), line, "{after_s} s");
        }
    }
}
