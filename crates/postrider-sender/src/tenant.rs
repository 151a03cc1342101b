//! The account that an attempt is made for, as the sender knows it: a key for fair shares, and nothing else.

/// The owner of an attempt. Bounds that all attempts share (lookup slots, idle connections, caches) give each tenant a
/// share, and keep some capacity for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(pub u64);

impl Tenant {
    /// The operator's own account. No customer's account has this value.
    pub const OPERATOR: Self = Self(u64::MAX);
}
