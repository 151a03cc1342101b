//! The file with the key that secrets in the store are encrypted with: read, or made at the first start.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use postrider_store::seal::MasterKey;
use postrider_store::sqlite::{PathState, SqliteStore};

use crate::key_files;
use crate::store_url::StoreUrl;

/// How a key is made by hand.
pub(crate) const HOW_TO_MAKE: &str = "(umask 077; head -c 32 /dev/urandom | base64 > postrider.key)";

/// Returns the key for a store: SQLite's is created at the first start, PostgreSQL's is the one that all nodes have.
///
/// The store's path is checked first: whoever names a wrong one reads that, and no key is created for it. `is_named` tells
/// whether a setting names the key file.
pub(crate) fn of_store(key_file: &Path, is_named: bool, store: &StoreUrl) -> anyhow::Result<MasterKey> {
    match store {
        StoreUrl::Sqlite(path) => {
            let state = SqliteStore::check_path(path)?;
            let key = read_or_make(key_file, path, state)?;
            if key.is_without_its_store && !is_named {
                tracing::warn!(
                    master_key_file = %key_file.display(),
                    store = %path.display(),
                    "the master key exists but its database doesn't; creating a new database. If there was one, stop, and name \
                     it with --store or restore it from a backup"
                );
            }
            Ok(key.key)
        }
        // Made here, each node would have another.
        StoreUrl::Postgres(_) => read(key_file)?.with_context(|| {
            format!(
                "the master key file {} is missing; every node needs the same one: copy it from another node, or make it \
                 once with `{HOW_TO_MAKE}`",
                key_file.display()
            )
        }),
    }
}

/// Reads the key file, where there is one.
pub(crate) fn read(key_file: &Path) -> anyhow::Result<Option<MasterKey>> {
    let shown = key_file.display();
    match std::fs::read_to_string(key_file) {
        Ok(text) => {
            key_files::warn_if_exposed(key_file);
            let key = MasterKey::from_base64(&text);
            key.map(Some).with_context(|| format!("the master key file {shown} is wrong"))
        }
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why).with_context(|| format!("the master key file {shown} can't be read")),
    }
}

/// A SQLite store's key.
struct StoreKey {
    key: MasterKey,
    /// Whether the key was there before the database.
    is_without_its_store: bool,
}

/// Reads the key file; creates one, with mode 0600, only where the store does not exist yet either.
fn read_or_make(key_file: &Path, store: &Path, state: PathState) -> anyhow::Result<StoreKey> {
    let shown = key_file.display();
    match (read(key_file)?, state) {
        (Some(key), state) => Ok(StoreKey { key, is_without_its_store: state == PathState::New }),
        (None, PathState::Database) => bail!(
            "the master key file {shown} is missing, and without it the secrets in {} can't be read; put it back or \
             name it with --master-key-file",
            store.display()
        ),
        (None, PathState::New) => {
            let key = make(key_file).with_context(|| format!("the master key file {shown} can't be made"))?;
            Ok(StoreKey { key, is_without_its_store: false })
        }
    }
}

/// Writes a new key whole or not at all: a full disk must not leave an empty file behind, and of two starts at once
/// the second must not replace the first one's key.
fn make(key_file: &Path) -> anyhow::Result<MasterKey> {
    let key = MasterKey::generate();
    let unfinished = key_file.with_extension(format!("key.{}", std::process::id()));
    let published = write(&unfinished, &key).and_then(|()| std::fs::hard_link(&unfinished, key_file));
    drop(std::fs::remove_file(&unfinished));
    match published {
        Ok(()) => Ok(key),
        Err(why) if why.kind() == ErrorKind::AlreadyExists && key_file.exists() => {
            Ok(MasterKey::from_base64(&std::fs::read_to_string(key_file)?)?)
        }
        Err(why) => Err(why.into()),
    }
}

fn write(path: &Path, key: &MasterKey) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.to_base64().as_str())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_readable_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (key_file, store) = (folder.path().join("postrider.key"), folder.path().join("postrider.db"));
        let made = read_or_make(&key_file, &store, PathState::New).unwrap();
        assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);
        let read = read_or_make(&key_file, &store, PathState::Database).unwrap();
        assert_eq!(read.key.to_base64().as_str(), made.key.to_base64().as_str());
        assert!(!made.is_without_its_store && !read.is_without_its_store);
        assert!(read_or_make(&key_file, &store, PathState::New).unwrap().is_without_its_store);
    }

    #[test]
    fn a_key_that_another_start_has_made_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("postrider.key");
        let first = make(&key_file).unwrap();
        let second = make(&key_file).unwrap();
        assert_eq!(first.to_base64().as_str(), second.to_base64().as_str());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_store_without_its_key_is_not_opened_with_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("postrider.db");
        let refused = read_or_make(&folder.path().join("postrider.key"), &store, PathState::Database).err();
        let refused = refused.unwrap().to_string();
        assert!(refused.contains("is missing"), "{refused}");
    }

    #[test]
    fn a_damaged_key_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("postrider.key");
        std::fs::write(&key_file, "not base64\n").unwrap();
        let refused = read_or_make(&key_file, &folder.path().join("x.db"), PathState::New).err();
        let refused = refused.unwrap().to_string();
        assert!(refused.contains("is wrong"), "{refused}");
    }
}
