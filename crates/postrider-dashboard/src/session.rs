//! The operator's sessions: in memory, bounded, ended by idleness, by age, or by hand. A restart ends them all.
//!
//! What the browser holds is never kept here, only its SHA-256.

use std::collections::HashMap;
use std::time::Duration;

use postrider_core::time::Timestamp;
use postrider_engine::key_sha256;

use crate::app::random_token;

/// A session ends when nothing was asked for so long.
pub(crate) const IDLE: Duration = Duration::from_secs(2 * 3600);
/// A session ends after so long in any case.
pub(crate) const ABSOLUTE: Duration = Duration::from_secs(12 * 3600);
/// How many sessions there are at once; the one longest unused gives way.
const MAX_SESSIONS: usize = 256;

/// What a session is known by: SHA-256 of what the browser holds.
pub(crate) type SessionKey = [u8; 32];

/// Why a session is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Somebody does something; the session is used from now on.
    ByHand,
    /// A page asks by itself. An open page that nobody looks at keeps no session alive.
    ByItself,
}

/// A session.
#[derive(Debug, Clone)]
struct Session {
    /// What every form of this session carries.
    form_token: String,
    began_at: Timestamp,
    used_at: Timestamp,
}

/// Every session.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<SessionKey, Session>);

impl Sessions {
    /// Begins a session and gives what the browser keeps.
    pub(crate) fn begin(&mut self, now: Timestamp) -> String {
        self.0.retain(|_, session| session.lives(now));
        if self.0.len() >= MAX_SESSIONS
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, session)| session.used_at).map(|(key, _)| *key)
        {
            self.0.remove(&oldest);
        }
        let token = random_token();
        let session = Session { form_token: random_token(), began_at: now, used_at: now };
        self.0.insert(key_sha256(&token), session);
        token
    }

    /// The session that a browser's cookie names, where it lives, and its form token.
    pub(crate) fn find(&mut self, token: &str, how: Use, now: Timestamp) -> Option<(SessionKey, String)> {
        let key = key_sha256(token);
        let session = self.0.get_mut(&key)?;
        if !session.lives(now) {
            self.0.remove(&key);
            return None;
        }
        if how == Use::ByHand {
            session.used_at = session.used_at.max(now);
        }
        Some((key, session.form_token.clone()))
    }

    /// Whether a session lives.
    pub(crate) fn is_alive(&self, key: &SessionKey, now: Timestamp) -> bool {
        self.0.get(key).is_some_and(|session| session.lives(now))
    }

    /// Ends one session.
    pub(crate) fn end(&mut self, token: &str) {
        self.0.remove(&key_sha256(token));
    }

    /// Ends them all and says how many there were.
    pub(crate) fn end_all(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }
}

impl Session {
    fn lives(&self, now: Timestamp) -> bool {
        now.since(self.used_at) < IDLE && now.since(self.began_at) < ABSOLUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: i64) -> Timestamp {
        Timestamp::from_ms(minutes * 60_000)
    }

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_hand() {
        let mut sessions = Sessions::default();
        let token = sessions.begin(minutes(0));
        assert!(sessions.find(&token, Use::ByHand, minutes(119)).is_some());
        assert!(sessions.find(&token, Use::ByHand, minutes(119 + 120)).is_none(), "idle for two hours");
        let token = sessions.begin(minutes(0));
        for hour in 0..12 {
            assert!(sessions.find(&token, Use::ByHand, minutes(hour * 60)).is_some(), "{hour}");
        }
        assert!(sessions.find(&token, Use::ByHand, minutes(720)).is_none(), "twelve hours old");
        let (one, other) = (sessions.begin(minutes(0)), sessions.begin(minutes(0)));
        sessions.end(&one);
        assert!(
            sessions.find(&one, Use::ByHand, minutes(1)).is_none()
                && sessions.find(&other, Use::ByHand, minutes(1)).is_some()
        );
        assert_eq!(sessions.end_all(), 1);
        assert!(sessions.find(&other, Use::ByHand, minutes(1)).is_none());
        assert!(sessions.find("guessed", Use::ByHand, minutes(1)).is_none());
    }

    #[test]
    fn what_a_page_asks_by_itself_keeps_no_session_alive() {
        let mut sessions = Sessions::default();
        let token = sessions.begin(minutes(0));
        let (key, _) = sessions.find(&token, Use::ByItself, minutes(100)).unwrap();
        assert!(sessions.is_alive(&key, minutes(119)));
        assert!(!sessions.is_alive(&key, minutes(120)));
        assert!(sessions.find(&token, Use::ByItself, minutes(120)).is_none());
        let token = sessions.begin(minutes(0));
        assert!(sessions.find(&token, Use::ByHand, minutes(100)).is_some());
        assert!(sessions.find(&token, Use::ByItself, minutes(120)).is_some());
    }

    #[test]
    fn sessions_are_bounded_and_the_longest_unused_gives_way() {
        let mut sessions = Sessions::default();
        let first = sessions.begin(minutes(0));
        let second = sessions.begin(minutes(1));
        assert!(sessions.find(&first, Use::ByHand, minutes(2)).is_some());
        for _ in 2..MAX_SESSIONS {
            sessions.begin(minutes(3));
        }
        sessions.begin(minutes(4));
        assert_eq!(sessions.0.len(), MAX_SESSIONS);
        assert!(
            sessions.find(&second, Use::ByHand, minutes(4)).is_none()
                && sessions.find(&first, Use::ByHand, minutes(4)).is_some()
        );
    }
}
