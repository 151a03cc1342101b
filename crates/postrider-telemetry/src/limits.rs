//! Every limit of exporting by its name. The queue before it has its own, in the engine.

use std::time::Duration;

/// How many steps of events go into one request at most; each makes one or two spans.
pub const MAX_STEPS_PER_EXPORT: usize = 512;
/// How long the first step waits for others to share its request.
pub const GATHER: Duration = Duration::from_secs(1);
/// How often metrics are pushed.
pub const METRICS_EVERY: Duration = Duration::from_secs(15);
/// How long one request to the collector may take.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often spans are offered to the collector before they are given up.
pub const MAX_TRIES: u32 = 5;
/// How long to wait after the first try that failed; twice as long after each further one …
pub const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// … but no longer than this, whatever the collector asks for.
pub const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long the last spans and metrics may take when the service stops.
pub const LAST_FLUSH: Duration = Duration::from_secs(3);
/// How often the log speaks of exports that fail.
pub const SAY_FAILURE_EVERY: Duration = Duration::from_secs(300);
/// How much of a text that is not ours is repeated in a span or in the log, in characters.
pub const MAX_REPEATED_CHARS: usize = 300;
