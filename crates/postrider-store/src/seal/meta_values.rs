//! Sealed rows of the table `meta`: the master key's check value, and the seal of the operator key's hash.
//!
//! The scheme of the check value is the scheme of the whole store: once it is [`Scheme::Bound`], so is every sealed value
//! of an endpoint, and others are refused. It can't be turned back without the master key, short of putting an earlier
//! copy of the row in its place.

use crate::error::StoreError;
use crate::seal::{Place, Scheme, Sealer};

/// What the check value holds.
const KEY_CHECK: &[u8] = b"postrider";
const KEY_CHECK_PLACE: Place<'static> = Place { table: "meta", column: "value", row: b"key_check" };
const OPERATOR_KEY_PLACE: Place<'static> =
    Place { table: "meta", column: "value", row: b"operator_key_seal" };
/// The context of values that have none beside them.
const NO_CONTEXT: &str = "";

/// Why the operator key of the store is not used.
const FOREIGN_OPERATOR_KEY: &str = "the operator key in the database was not written by postrider: somebody changed it there. Start with \
--operator-key-file FILE, or delete the rows operator_key_sha256 and operator_key_seal from the table meta to get a new key";

/// The check value of a store whose values are of `scheme`.
pub(crate) fn key_check(sealer: &Sealer, scheme: Scheme) -> Vec<u8> {
    match scheme {
        Scheme::Unbound => sealer.seal(KEY_CHECK_PLACE, KEY_CHECK),
        Scheme::Bound => sealer.seal_bound(KEY_CHECK_PLACE, NO_CONTEXT, KEY_CHECK),
    }
}

/// The scheme of a store with this check value; none where the sealer's key is not the one that it was made with.
pub(crate) fn scheme_of_store(sealer: &Sealer, key_check: &[u8]) -> Option<Scheme> {
    let scheme = Scheme::of(key_check)?;
    let opened = match scheme {
        Scheme::Unbound => sealer.open(KEY_CHECK_PLACE, key_check),
        Scheme::Bound => sealer.open_bound(KEY_CHECK_PLACE, NO_CONTEXT, key_check),
    };
    opened.is_ok_and(|opened| opened.as_slice() == KEY_CHECK).then_some(scheme)
}

/// The operator key's hash as a store has it, and its seal where there is one.
pub(crate) type StoredOperatorKey = ([u8; 32], Option<Vec<u8>>);

/// What stands beside the operator key's hash, to show that this service wrote it.
pub(crate) fn seal_operator_key(sealer: &Sealer, sha256: &[u8; 32]) -> Vec<u8> {
    sealer.seal_bound(OPERATOR_KEY_PLACE, NO_CONTEXT, sha256)
}

/// The operator key's hash, if this service wrote it. Without a seal it counts as such as long as the store may hold what
/// the previous release wrote.
pub(crate) fn check_operator_key(
    sealer: &Sealer,
    sha256: [u8; 32],
    seal: Option<&[u8]>,
) -> Result<[u8; 32], StoreError> {
    let is_ours = match seal {
        Some(seal) => sealer
            .open_bound(OPERATOR_KEY_PLACE, NO_CONTEXT, seal)
            .is_ok_and(|opened| opened.as_slice() == sha256),
        None => !sealer.refuses_unbound(),
    };
    if is_ours { Ok(sha256) } else { Err(StoreError::Conflict(FOREIGN_OPERATOR_KEY)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MasterKey;

    #[test]
    fn the_check_value_tells_the_scheme_to_whoever_has_its_key() {
        let (sealer, other) = (Sealer::new(&MasterKey::generate()), Sealer::new(&MasterKey::generate()));
        for scheme in [Scheme::Unbound, Scheme::Bound] {
            let value = key_check(&sealer, scheme);
            assert_eq!(scheme_of_store(&sealer, &value), Some(scheme));
            assert_eq!(scheme_of_store(&other, &value), None);
            let relabelled = [&[value[0] ^ 3], &value[1..]].concat();
            assert_eq!(scheme_of_store(&sealer, &relabelled), None);
        }
        assert_eq!(scheme_of_store(&sealer, &[]), None);
    }

    #[test]
    fn an_operator_key_counts_with_its_own_seal_or_in_a_store_of_the_previous_release() {
        let sealer = Sealer::new(&MasterKey::generate());
        let seal = seal_operator_key(&sealer, &[7; 32]);
        for refuses_unbound in [false, true] {
            assert_eq!(check_operator_key(&sealer, [7; 32], Some(&seal)).unwrap(), [7; 32]);
            assert!(check_operator_key(&sealer, [8; 32], Some(&seal)).is_err());
            assert!(check_operator_key(&sealer, [7; 32], Some(b"")).is_err());
            assert_eq!(check_operator_key(&sealer, [8; 32], None).is_ok(), !refuses_unbound);
            sealer.refuse_unbound();
        }
    }
}
