//! Sealed values that do not open because somebody changed the database.

use super::findings::Findings;

/// Reports endpoints to which nothing is sent because of such values.
pub(super) fn unreadable_endpoints(count: u64, findings: &mut Findings) {
    if count > 0 {
        findings.problem(
            "secrets",
            format!("encrypted secrets or headers of {count} endpoints do not open; nothing is sent to these endpoints"),
            "they, or the URLs, were changed in the database: `unreadable` in GET /v1/endpoints tells which; check the URL, rotate the secret, set the headers again",
        );
    }
}
