//! Every limit of the domain by its name. What has no limit here must not grow.

use std::time::Duration;

/// The longest body of one request to the API, in bytes.
pub const MAX_REQUEST_BODY_BYTES: usize = 1024 * 1024;
/// The longest body of a batch request, in bytes.
pub const MAX_BATCH_BODY_BYTES: usize = 8 * 1024 * 1024;
/// The longest payload of an event, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// How many events one batch may hold.
pub const MAX_BATCH_EVENTS: usize = 1_000;
/// How many deliveries one request may cause.
pub const MAX_DELIVERIES_PER_REQUEST: usize = 10_000;
/// How long the answer to a creating call with an idempotency key is kept.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long the audit log is kept.
pub const AUDIT_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
/// How long an idempotency key may be, in characters.
pub const MAX_IDEMPOTENCY_KEY_CHARS: usize = 255;
/// How many replays run at once over all accounts; each endpoint has one at most.
pub const MAX_RUNNING_REPLAYS: usize = 256;
/// How many replays of one account run at once, so that nobody takes all of them.
pub const MAX_RUNNING_REPLAYS_PER_ACCOUNT: usize = 32;
/// How deep a payload may be nested; deeper JSON is refused.
pub const MAX_PAYLOAD_DEPTH: usize = 127;
/// How many places of a bad payload one answer names.
pub const MAX_VIOLATIONS: usize = 50;

/// How many endpoints an account may have.
pub const MAX_ENDPOINTS_PER_ACCOUNT: usize = 1_000;
/// How many keys an account may have.
pub const MAX_KEYS_PER_ACCOUNT: usize = 100;
/// How long a link into the portal lasts when its maker names no time.
pub const DEFAULT_PORTAL_LINK: Duration = Duration::from_secs(3600);
/// The shortest time that a link into the portal may last.
pub const MIN_PORTAL_LINK: Duration = Duration::from_secs(60);
/// The longest time that a link into the portal may last.
pub const MAX_PORTAL_LINK: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many links into the portal an account may have at once.
pub const MAX_PORTAL_LINKS_PER_ACCOUNT: usize = 200;
/// The longest account name, in characters.
pub const MAX_NAME_CHARS: usize = 200;
/// The longest node name, in characters.
pub const MAX_NODE_NAME_CHARS: usize = 100;
/// The longest description of an endpoint or an event type, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 1_000;
/// The longest endpoint URL, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;
/// How many event type patterns an endpoint may list.
pub const MAX_EVENT_TYPE_PATTERNS: usize = 100;
/// The longest event type name, in bytes.
pub const MAX_EVENT_TYPE_BYTES: usize = 128;
/// How many event types the operator may add to the catalogue.
pub const MAX_CUSTOM_EVENT_TYPES: usize = 1_000;
/// The longest JSON Schema of an event type, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;
/// How deep a schema may be nested, in arrays and objects.
pub const MAX_SCHEMA_DEPTH: usize = 64;
/// How large a schema's regular expression may become, compiled, in bytes.
pub const MAX_SCHEMA_PATTERN_BYTES: usize = 256 * 1024;
/// How many regular expressions a schema may have.
pub const MAX_SCHEMA_PATTERNS: usize = 32;
/// How many significant digits a schema's `multipleOf` may have.
pub const MAX_DIVISOR_DIGITS: usize = 18;
/// How many subschemas may be applied one within the other while a payload is checked.
pub const MAX_VALIDATION_DEPTH: usize = 1_000;
/// How many steps any payload may take to be checked against its type's schema …
pub const MIN_VALIDATION_STEPS: usize = 100_000;
/// … and how many more for each of its bytes.
pub const VALIDATION_STEPS_PER_BYTE: usize = 16;
/// The longest payload that is checked on a thread that everyone shares, in bytes. Such work takes less than a millisecond.
pub const MAX_INLINE_BYTES: usize = 32 * 1024;
/// How many steps are taken on such a thread.
pub const MAX_INLINE_STEPS: usize = 10_000;
/// The longest JSON Pointer to a place of a payload, in bytes; a longer one ends at the last value on the way.
pub const MAX_POINTER_BYTES: usize = 1_024;
/// The longest example of an event type, in bytes.
pub const MAX_EXAMPLE_BYTES: usize = 64 * 1024;
/// How many headers of its own an endpoint may have.
pub const MAX_CUSTOM_HEADERS: usize = 20;
/// The longest name of such a header, in bytes.
pub const MAX_HEADER_NAME_BYTES: usize = 128;
/// The longest value of such a header, in bytes.
pub const MAX_HEADER_VALUE_BYTES: usize = 4_096;

/// How long a rotation's overlap lasts when it names no time.
pub const DEFAULT_SECRET_OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// The longest such overlap.
pub const MAX_SECRET_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest content filter of an endpoint, in bytes of its JSON.
pub const MAX_FILTER_BYTES: usize = 8 * 1024;
/// How many parts (conditions, and what joins them) a filter may have.
pub const MAX_FILTER_CONDITIONS: usize = 64;
/// How deep they may be nested.
pub const MAX_FILTER_DEPTH: usize = 8;
/// How many values a condition may list.
pub const MAX_FILTER_VALUES: usize = 100;
/// How many bytes the filters of one account's endpoints may have together.
pub const MAX_FILTERS_BYTES_PER_ACCOUNT: usize = 512 * 1024;
/// The longest path in a condition, in bytes.
pub const MAX_FILTER_PATH_BYTES: usize = 512;

/// An endpoint's deadline for one attempt when it names none.
pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// The shortest deadline that an endpoint may set.
pub const MIN_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest deadline that an endpoint may set.
pub const MAX_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
/// How many requests an endpoint has in flight at most when it names no number.
pub const DEFAULT_MAX_IN_FLIGHT: u32 = 10;
/// The highest such number that an endpoint may set.
pub const MAX_MAX_IN_FLIGHT: u32 = 1_000;
/// The highest rate that an endpoint may set, in requests per second.
pub const MAX_RATE_PER_SECOND: u32 = 100_000;

/// How much of a response's body is kept, in bytes.
pub const MAX_KEPT_BODY_BYTES: usize = 16 * 1024;
/// How long a response's body is read after the headers decided.
pub const MAX_BODY_READ: Duration = Duration::from_secs(2);
/// How large a response's header block may be, in bytes.
pub const MAX_RESPONSE_HEADER_BYTES: usize = 64 * 1024;
/// The furthest that `Retry-After` may move an attempt.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How many rows a page of a list has at most.
pub const MAX_PAGE_ROWS: usize = 250;
/// How many rows a page of a list has when the caller names no number.
pub const DEFAULT_PAGE_ROWS: usize = 50;
