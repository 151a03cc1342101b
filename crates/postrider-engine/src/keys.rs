//! API keys: made from chance, shown once, kept as SHA-256, and recognised again.

use sha2::{Digest, Sha256};

use crate::Engine;
use crate::environment::Chance;
use crate::model::Principal;

/// SHA-256 of a key's text: all that is kept of it.
pub fn key_sha256(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// A new operator key: `op_` and 32 random bytes in hex.
pub fn generate_operator_key(chance: &dyn Chance) -> String {
    random_key("op_", chance)
}

/// A new key: the prefix and 32 random bytes in hex.
pub(crate) fn random_key(prefix: &str, chance: &dyn Chance) -> String {
    use std::fmt::Write as _;
    let mut bytes = [0u8; 32];
    chance.fill(&mut bytes);
    let mut key = String::with_capacity(prefix.len() + 64);
    key.push_str(prefix);
    for byte in bytes {
        write!(key, "{byte:02x}").expect("writing to a string never fails");
    }
    key
}

impl Engine {
    /// Whose key this is. Keys are compared by their SHA-256, so the time it takes tells nothing about a key.
    pub fn authenticate(&self, key: &str) -> Option<Principal> {
        let sha256 = key_sha256(key);
        if sha256 == self.0.operator_key_sha256 {
            return Some(Principal::Operator);
        }
        let snapshot = self.0.snapshot.load();
        let (key, account) = snapshot.key(&sha256)?;
        Some(Principal::Account { account_no: key.account, account, livemode: key.livemode, key: key.id })
    }
}
