//! Where everything is kept, as `--store` says it: a SQLite file, or a PostgreSQL database.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What a right value looks like.
pub(crate) const RIGHT: &str =
    "sqlite:PATH or postgres://USER@HOST:PORT/DATABASE, such as sqlite:postrider.db";
/// What stands for a password.
const MASK: &str = "•••";

/// A store's place. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A database, by its connection string.
    Postgres(String),
}

/// The text is neither.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoStore;

impl FromStr for StoreUrl {
    type Err = NoStore;

    fn from_str(text: &str) -> Result<Self, NoStore> {
        let path = match text.split_once(':') {
            Some(("sqlite", path)) => path,
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                return Ok(Self::Postgres(text.to_owned()));
            }
            // One letter may be a drive, or the beginning of a name with a colon in it.
            Some((scheme, _)) if scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                return Err(NoStore);
            }
            _ => text,
        };
        if path.is_empty() { Err(NoStore) } else { Ok(Self::Sqlite(path.into())) }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(url) => f.write_str(&masked(url)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A store's text without its password, whether it is a right one or not. Rather too much is hidden than too little.
pub(crate) fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // The last `@` ends the password, also one that has an `@`, a `/` or a `?` of its own, although it must not.
    let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
    let (hosts, query) = place.split_once('?').map_or((place, None), |(hosts, query)| (hosts, Some(query)));
    let mut shown = format!("{scheme}://");
    if let Some(user) = user {
        let (name, password) = user.split_once(':').map_or((user, None), |(name, after)| (name, Some(after)));
        // A name like that is none: the `@` stands somewhere in the query.
        shown.push_str(if name.contains(['/', '?']) { MASK } else { name });
        shown.push_str(&password.map(|_| format!(":{MASK}")).unwrap_or_default());
        shown.push('@');
    }
    shown.push_str(hosts);
    if let Some(query) = query {
        let hide = |pair: &str| match pair.split_once('=') {
            Some((name, _)) if name.contains("password") => format!("{name}={MASK}"),
            _ => pair.to_owned(),
        };
        shown.push('?');
        shown.push_str(&query.split('&').map(hide).collect::<Vec<_>>().join("&"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_a_file_and_a_database_are_told_apart() {
        for (text, expected) in [
            ("sqlite:a/b.db", Ok(StoreUrl::Sqlite("a/b.db".into()))),
            ("b.db", Ok(StoreUrl::Sqlite("b.db".into()))),
            ("c:b.db", Ok(StoreUrl::Sqlite("c:b.db".into()))),
            ("postgres://u@h/d", Ok(StoreUrl::Postgres("postgres://u@h/d".to_owned()))),
            ("postgresql://u@h/d", Ok(StoreUrl::Postgres("postgresql://u@h/d".to_owned()))),
            (
                "postgres:///d?host=/run/postgresql",
                Ok(StoreUrl::Postgres("postgres:///d?host=/run/postgresql".to_owned())),
            ),
            ("postgres:d", Err(NoStore)),
            ("mysql://u@h/d", Err(NoStore)),
            ("sqlite:", Err(NoStore)),
            ("", Err(NoStore)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (text, shown) in [
            ("postgres://u:secret@h:5432/d", "postgres://u:•••@h:5432/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://h/d", "postgres://h/d"),
            (
                "postgres://u:secret@one:5432,two:5433/d?sslmode=require",
                "postgres://u:•••@one:5432,two:5433/d?sslmode=require",
            ),
            (
                "postgres://u@h/d?password=secret&sslmode=require",
                "postgres://u@h/d?password=•••&sslmode=require",
            ),
            // Written wrong: the password's own signs are not encoded.
            ("postgres://u:sec@ret@h/d", "postgres://u:•••@h/d"),
            ("postgres://u:sec/ret@h/d", "postgres://u:•••@h/d"),
            ("postgres://u:sec?ret@h/d", "postgres://u:•••@h/d"),
            ("postgres://h:1/d?password=sec@ret", "postgres://h:•••@ret"),
            ("postgres://h/d?password=secret&application_name=a@b", "postgres://•••@b"),
            ("mysql://u:secret@h/d", "mysql://u:•••@h/d"),
            // Through a Unix socket.
            ("postgres:///d?host=/run/postgresql", "postgres:///d?host=/run/postgresql"),
            ("postgres://u:secret@%2Frun%2Fpostgresql:5432/d", "postgres://u:•••@%2Frun%2Fpostgresql:5432/d"),
            (
                "postgres:///d?host=/run/postgresql&user=u&password=secret",
                "postgres:///d?host=/run/postgresql&user=u&password=•••",
            ),
            ("sqlite:postrider.db", "sqlite:postrider.db"),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
        assert_eq!(
            format!("{:?}", StoreUrl::Postgres("postgres://u:secret@h/d".to_owned())),
            "postgres://u:•••@h/d"
        );
    }
}
