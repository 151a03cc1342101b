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
/// How many names are resolved at one time, unless the configuration says otherwise. Each tenant has a share.
pub const MAX_CONCURRENT_LOOKUPS: usize = 256;
/// How many lookups are under way at all, those included that wait for one of [`MAX_CONCURRENT_LOOKUPS`]. Each tenant has a share.
pub const MAX_LOOKUPS: usize = 8_192;
/// How long a lookup waits to begin. Then the service lacked the capacity, and the attempt is made later.
pub const LOOKUP_SLOT_PATIENCE: Duration = Duration::from_secs(3);
/// How long a lookup may take once it has begun, whatever is left of an attempt's time.
pub const LOOKUP_DEADLINE: Duration = Duration::from_secs(3);
/// Which part of an attempt's time a lookup may have waited to begin; if it was more, the attempt is made later.
pub const TOLERATED_WAIT_DIVISOR: u32 = 10;
/// How long after an attempt's deadline its resolver may still say why it has no address.
pub const RESOLVER_GRACE: Duration = Duration::from_millis(20);
/// How long the addresses of the other family are awaited when those of one are known (RFC 8305, section 3).
pub const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// How long one name server is asked alone before the next one is asked beside it.
pub const NAME_SERVER_STAGGER: Duration = Duration::from_millis(500);
/// How often a silent name server is asked the same again, since datagrams get lost.
pub const NAME_SERVER_REPEAT: Duration = Duration::from_secs(1);
/// How long a name server that was silent while another one answered is asked last.
pub const SILENCE_REMEMBERED: Duration = Duration::from_secs(30);
/// The longest reply by datagram; a name server sends at most 512 bytes to those who don't ask for more.
pub const MAX_UDP_REPLY_BYTES: usize = 4 * 1024;
/// How many aliases (CNAME) of a name are followed.
pub const MAX_ALIASES: usize = 20;
/// How many addresses a name may have. All of them are checked.
pub const MAX_ADDRESSES_OF_NAME: usize = 2_048;
/// How much of the hosts file and of `resolv.conf` is read.
pub const MAX_RESOLVER_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// How many outcomes of lookups are kept. Each tenant has a share.
pub const MAX_CACHED_LOOKUPS: usize = 10_000;
/// How many addresses a name may have whose lookup is kept.
pub const MAX_CACHED_ADDRESSES: usize = 64;
/// How long a reply about a name is believed at most, whatever its own time to live.
pub const MAX_LOOKUP_AGE: Duration = Duration::from_secs(5 * 60);
/// How long it is believed that a name does not exist, and how long one family's addresses are believed to be all.
pub const MAX_NEGATIVE_LOOKUP_AGE: Duration = Duration::from_secs(30);
/// How long a lookup that failed is not made again (RFC 9520, section 3.2).
pub const FAILED_LOOKUP_AGE: Duration = Duration::from_secs(1);
/// How long the reply to a lookup that had to wait is believed at least, so that the attempt that is made later finds it.
pub const WAITED_LOOKUP_AGE: Duration = Duration::from_secs(5);

/// How many origins with several addresses are known by where attempts failed. Each tenant has a share.
pub const MAX_ORIGINS_REMEMBERED: usize = 4_096;
/// How long it is remembered that an attempt failed at an address: longer than the longest delay of a retry schedule.
pub const FAILED_ADDRESS_AGE: Duration = Duration::from_secs(8 * 24 * 60 * 60);

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
