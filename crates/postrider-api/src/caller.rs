//! Who is calling: the key in the request, and what its holder may see.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use postrider_core::audit::Actor;
use postrider_core::id::{AccountId, KeyId};
use postrider_engine::model::Principal;
use postrider_engine::{Engine, Requester};

use crate::problem::{Code, Problem};

/// The holder of the request's key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(Principal);

impl Caller {
    /// Reads and judges the request's key: `Bearer KEY`, or HTTP Basic with the key as the user name. One that was made at
    /// another node a moment ago is known as well.
    pub(crate) async fn of(headers: &HeaderMap, engine: &Engine) -> Result<Self, Problem> {
        let key = key_of(headers)?;
        match engine.authenticate_anywhere(&key).await {
            Some(principal) => Ok(Self(principal)),
            None => Err(refused("the key is not known here; it may have been revoked or mistyped")),
        }
    }

    /// The same without asking anybody else; none for a key that this node does not know.
    pub(crate) fn known(headers: &HeaderMap, engine: &Engine) -> Option<Self> {
        engine.authenticate(&key_of(headers).ok()?).map(Self)
    }

    /// The account key's name; none for the operator.
    pub(crate) fn key(self) -> Option<KeyId> {
        match self.0 {
            Principal::Operator => None,
            Principal::Account { key, .. } => Some(key),
        }
    }

    /// Whether it is the operator, who reads what customers don't: internal addresses.
    pub(crate) fn is_operator(self) -> bool {
        matches!(self.0, Principal::Operator)
    }

    /// Whose hand it is, for the audit log.
    pub(crate) fn actor(self) -> Actor {
        self.key().map_or(Actor::Operator, Actor::Key)
    }

    /// The account and the mode that an account key is bound to; none for the operator.
    pub(crate) fn bounds(self) -> Option<(AccountId, bool)> {
        match self.0 {
            Principal::Operator => None,
            Principal::Account { account, livemode, .. } => Some((account, livemode)),
        }
    }

    /// Whose share of the service's work the caller's requests take.
    pub(crate) fn requester(self) -> Requester {
        self.bounds().map_or(Requester::Operator, |(account, _)| Requester::Account(account))
    }

    /// Whether what belongs to this account and mode is there for the caller.
    pub(crate) fn sees(self, account: AccountId, livemode: bool) -> bool {
        self.bounds().is_none_or(|bounds| bounds == (account, livemode))
    }

    /// Refuses anyone but the operator.
    pub(crate) fn must_be_operator(self) -> Result<(), Problem> {
        match self.0 {
            Principal::Operator => Ok(()),
            Principal::Account { .. } => Err(Problem::forbidden("only the operator's key may do this")),
        }
    }
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
}

/// The key that a request comes with.
fn key_of(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(refused("no key; send Authorization: Bearer KEY, or the key as HTTP Basic's user name"));
    };
    if values.next().is_some() {
        return Err(refused("more than one Authorization header"));
    }
    let key = value.to_str().ok().and_then(key_in);
    key.ok_or_else(|| refused("the Authorization header is neither Bearer KEY nor HTTP Basic"))
}

/// The key within an `Authorization` header.
fn key_in(value: &str) -> Option<String> {
    let (scheme, rest) = value.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    Some(decoded.split_once(':').map_or(decoded.as_str(), |(user, _password)| user).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_both_schemes_and_nowhere_else() {
        for (value, key) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic YWJjOg==", Some("abc")),
            ("BASIC YWJjOnNlY3JldA==", Some("abc")),
            ("Basic YWJj", Some("abc")),
            ("Basic !", None),
            ("Digest abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(key_in(value).as_deref(), key, "{value}");
        }
    }
}
