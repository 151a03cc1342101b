//! Every limit of the sender by its name, beside those of [`postrider_core::limits`].

use std::time::Duration;

/// How long the `User-Agent` may be, in bytes.
pub const MAX_USER_AGENT_BYTES: usize = 256;
/// How much of one response header's value the log keeps, in bytes.
pub const MAX_KEPT_HEADER_VALUE_BYTES: usize = 4 * 1024;
/// How much of all response headers together the log keeps, names and values, in bytes.
pub const MAX_KEPT_HEADER_BYTES: usize = 16 * 1024;

/// How many bytes a read asks for at the least when its buffer grows.
pub const READ_BYTES: usize = 4 * 1024;
/// How large the read buffer of an unused connection may be, in bytes; a larger one is given up.
pub const MAX_IDLE_BUFFER_BYTES: usize = 8 * 1024;
/// How many bytes of a chunked body may be other than content: sizes, extensions, line ends and trailers.
pub const MAX_CHUNK_OVERHEAD_BYTES: usize = 128 * 1024;

/// How many addresses of a host are dialled in one attempt. All of them are checked.
pub const MAX_ADDRESSES_DIALLED: usize = 8;
/// How long a dialled address may stay silent before the next one is tried beside it (RFC 8305, section 5).
pub const DIAL_STAGGER: Duration = Duration::from_millis(250);
/// How long the operator's proxy may take to accept a connection, within an attempt's deadline.
pub const PROXY_PATIENCE: Duration = Duration::from_secs(5);
/// How long it must have been waited for at the least before it counts as unusable: where less was left of the attempt's
/// time, what took it was the receiver's name.
pub const PROXY_FAIR_TRIAL: Duration = Duration::from_millis(500);
/// How long its answer to a request for a tunnel may be.
pub const MAX_PROXY_ANSWER_BYTES: usize = 8 * 1024;
/// How many names are resolved at one time.
pub const MAX_CONCURRENT_LOOKUPS: usize = 256;
/// How many answers the resolver's cache holds.
pub const MAX_CACHED_LOOKUPS: u64 = 10_000;
/// How long an answer about a name is believed at most, whatever its own time to live.
pub const MAX_LOOKUP_AGE: Duration = Duration::from_secs(5 * 60);
/// How long it is believed that a name does not exist.
pub const MAX_NEGATIVE_LOOKUP_AGE: Duration = Duration::from_secs(30);

/// How old a connection may be when a request is sent on it: its address was checked when it was dialled.
pub const MAX_CONNECTION_AGE: Duration = Duration::from_secs(5 * 60);
/// How long a connection may wait unused for the next request.
pub const MAX_CONNECTION_IDLE: Duration = Duration::from_secs(60);
/// How long connections to a receiver are not kept after it reset, closed or misused one that was used again.
pub const REUSE_SUSPENSION: Duration = Duration::from_secs(5 * 60);
/// How many unused connections are kept for one origin (scheme, host and port).
pub const MAX_IDLE_PER_ORIGIN: usize = 256;
/// How many unused connections are kept in all, unless the configuration says otherwise.
pub const DEFAULT_MAX_IDLE: usize = 1_024;
/// How many origins the pool remembers between two sweeps.
pub const MAX_POOLED_ORIGINS: usize = 4_096;
/// How often connections that have waited too long are looked for.
pub const POOL_SWEEP_EVERY: Duration = Duration::from_secs(10);
