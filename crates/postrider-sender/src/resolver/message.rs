//! Questions and answers as DNS messages (RFC 1035). The wire format itself is `hickory-proto`'s.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use postrider_core::host_name::{self, HostNameFault};

use crate::limits::{MAX_ALIASES, MAX_LOOKUP_AGE, MAX_NEGATIVE_LOOKUP_AGE};

/// One of the two kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// What is asked of a name server.
#[derive(Debug, Clone)]
pub(super) struct Question {
    name: Name,
    family: Family,
}

/// What a name server knows of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) addresses: Vec<IpAddr>,
    /// How long this may be believed.
    pub(super) age: Duration,
    /// Whether the name does not exist at all, with any kind of record.
    pub(super) name_is_missing: bool,
    /// Whether the message did not have room for everything.
    pub(super) is_truncated: bool,
    /// The name that the last alias led to, if the message says nothing more about it.
    pub(super) alias: Option<Name>,
}

/// Why a message is no reply to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoReply {
    /// It belongs to another question, or is none of a name server's.
    Unrelated,
    /// The name server refuses or fails.
    Refused(ResponseCode),
    /// It can't be read.
    Malformed,
}

impl Question {
    /// Asks for a host's addresses of one family. The name is absolute.
    pub(super) fn about(host: &str, family: Family) -> Result<Self, HostNameFault> {
        let labels = host_name::labels(host)?;
        // It is within the limits, so that the library has none to object to.
        let name = Name::from_labels(labels.map(str::as_bytes))
            .map_err(|_long| HostNameFault::LongName(host.len()))?;
        Ok(Self { name, family })
    }

    /// The same about the name that an alias led to.
    pub(super) fn about_alias(&self, name: Name) -> Self {
        Self { name, family: self.family }
    }

    /// The message that asks, or `None` if the name can't be written, which its limits rule out.
    pub(super) fn to_bytes(&self, id: u16) -> Option<Vec<u8>> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(self.name.clone(), self.record_type()));
        message.to_vec().ok()
    }

    /// Reads a message that may answer.
    pub(super) fn reply(&self, id: u16, bytes: &[u8]) -> Result<Reply, NoReply> {
        if bytes.get(..2) != Some(id.to_be_bytes().as_slice()) {
            return Err(NoReply::Unrelated);
        }
        let message = Message::from_vec(bytes).map_err(|_broken| NoReply::Malformed)?;
        let code = message.metadata.response_code;
        let asks_the_same = message
            .queries
            .first()
            .is_some_and(|query| query.query_type == self.record_type() && query.name == self.name);
        // Those who could not read the question may leave it out.
        let leaves_it_out = message.queries.is_empty() && code != ResponseCode::NoError;
        if message.metadata.message_type != MessageType::Response || !(asks_the_same || leaves_it_out) {
            return Err(NoReply::Unrelated);
        }
        match code {
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(self.read(&message)),
            other => Err(NoReply::Refused(other)),
        }
    }

    fn read(&self, message: &Message) -> Reply {
        let mut name = &self.name;
        let mut ttl = u32::MAX;
        let mut is_alias = false;
        let mut addresses = Vec::new();
        for _ in 0..=MAX_ALIASES {
            let of_name = || {
                message
                    .answers
                    .iter()
                    .filter(|record| record.dns_class == DNSClass::IN && record.name == *name)
            };
            for record in of_name() {
                if let Some(address) = self.address_in(record) {
                    ttl = ttl.min(record.ttl);
                    addresses.push(address);
                }
            }
            if !addresses.is_empty() {
                break;
            }
            let alias = of_name().find_map(|record| match &record.data {
                RData::CNAME(alias) => Some((&alias.0, record.ttl)),
                _ => None,
            });
            let Some((alias, alias_ttl)) = alias else { break };
            (name, ttl, is_alias) = (alias, ttl.min(alias_ttl), true);
        }
        let name_is_missing =
            message.metadata.response_code == ResponseCode::NXDomain && addresses.is_empty();
        let negative_age = negative_ttl(message);
        // A name server that follows aliases says of the last one that it has no such address, with the zone's SOA.
        let says_no_more = is_alias && addresses.is_empty() && !name_is_missing && negative_age.is_none();
        let age = match addresses.is_empty() {
            true => {
                Duration::from_secs(negative_age.unwrap_or(0).min(ttl).into()).min(MAX_NEGATIVE_LOOKUP_AGE)
            }
            false => Duration::from_secs(ttl.into()).min(MAX_LOOKUP_AGE),
        };
        Reply {
            addresses,
            age,
            name_is_missing,
            is_truncated: message.metadata.truncation,
            alias: says_no_more.then(|| name.clone()),
        }
    }

    fn address_in(&self, record: &Record) -> Option<IpAddr> {
        match (&record.data, self.family) {
            (RData::A(address), Family::V4) => Some(address.0.into()),
            (RData::AAAA(address), Family::V6) => Some(address.0.into()),
            _ => None,
        }
    }

    fn record_type(&self) -> RecordType {
        match self.family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        }
    }
}

/// How long an absence may be believed (RFC 2308, section 5), if the zone says so.
fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    })
}
