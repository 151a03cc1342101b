//! Entries of the audit log, as both databases hold them.

use std::net::IpAddr;

use postrider_core::audit::{Actor, Deed, Entry, Who};
use postrider_core::id::AccountId;
use postrider_core::time::Timestamp;

use crate::columns::Unreadable;

/// How many entries a page of the list reads at most.
pub(crate) const MAX_LOOKED_AT: i64 = 10_000;

/// A row, but for its number.
pub(crate) struct Row {
    pub(crate) at: i64,
    pub(crate) actor: String,
    pub(crate) actor_id: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) action: String,
    pub(crate) account: [u8; 16],
    pub(crate) target: String,
    pub(crate) fields: Option<String>,
}

impl Row {
    pub(crate) fn of(deed: &Deed) -> Self {
        let Deed { who, action, account, target, fields, at } = deed;
        Self {
            at: at.as_ms(),
            actor: who.actor.kind().to_owned(),
            actor_id: who.actor.id(),
            address: who.address.map(|address| address.to_string()),
            action: action.as_str().to_owned(),
            account: account.to_bytes(),
            target: target.clone(),
            fields: (!fields.is_empty()).then(|| fields.join(",")),
        }
    }

    pub(crate) fn entry(self, no: i64) -> Result<Entry, Unreadable> {
        let actor = Actor::from_texts(&self.actor, self.actor_id.as_deref());
        let address = self.address.map(|text| text.parse::<IpAddr>().or(Err(Unreadable("audit.address"))));
        Ok(Entry {
            no,
            who: Who { actor: actor.ok_or(Unreadable("audit.actor"))?, address: address.transpose()? },
            action: self.action,
            account: AccountId::from_bytes(self.account),
            target: self.target,
            fields: self
                .fields
                .map_or_else(Vec::new, |fields| fields.split(',').map(str::to_owned).collect()),
            at: Timestamp::from_ms(self.at),
        })
    }
}
