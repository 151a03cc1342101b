//! The operator key: which keys are accepted, where the one in force comes from, and the one that a first start
//! generates.
//!
//! A generated key is shown on a terminal. Where standard output is none, it goes to a journal or a container's log for
//! good, so the key is written to a file that only its owner can read.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use postrider_engine::environment::Chance;
use postrider_engine::{generate_operator_key, key_sha256};
use postrider_store::{Store, StoreError};

use crate::key_files;

/// The least length of an operator key.
const MIN_CHARS: usize = 32;
/// The greatest length of an operator key, far below what a header may hold.
const MAX_CHARS: usize = 512;
/// The largest operator key file, the white space around the key included.
const MAX_FILE_BYTES: u64 = 4_096;
/// How a key is made by hand.
const HOW_TO_MAKE: &str = "head -c 32 /dev/urandom | base64";
/// What the keys of accounts begin with.
const ACCOUNT_KEY_PREFIX: &str = "sk_";
/// The name of the file for a generated key.
const FILE_NAME: &str = "postrider.operator-key";

/// An operator key that fits the rules. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OperatorKey(String);

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey(…)")
    }
}

/// Why a text is no operator key. No variant shows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// It can be guessed.
    #[error(
        "has {chars} characters; an operator key has at least {MIN_CHARS}: make a new one with `{HOW_TO_MAKE}`"
    )]
    TooShort {
        /// How many it has.
        chars: usize,
    },
    /// No header could hold it.
    #[error(
        "has more than {MAX_CHARS} characters; an operator key has {MIN_CHARS} to {MAX_CHARS}: make a new one with \
         `{HOW_TO_MAKE}`"
    )]
    TooLong,
    /// A customer has it.
    #[error(
        "is the key of an account (sk_…); the operator needs a key of its own: make one with `{HOW_TO_MAKE}`"
    )]
    OfAccount,
    /// No request could present it.
    #[error(
        "contains white space or a character beyond ASCII, which no request header can carry: make a new one with \
         `{HOW_TO_MAKE}`"
    )]
    Unpresentable,
}

impl OperatorKey {
    /// Reads a key, without the white space around it.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        let key = text.trim();
        let chars = key.chars().count();
        if key.starts_with(ACCOUNT_KEY_PREFIX) {
            Err(KeyError::OfAccount)
        } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            Err(KeyError::Unpresentable)
        } else if chars < MIN_CHARS {
            Err(KeyError::TooShort { chars })
        } else if chars > MAX_CHARS {
            Err(KeyError::TooLong)
        } else {
            Ok(Self(key.to_owned()))
        }
    }

    /// Reads the key in a file.
    ///
    /// # Errors
    /// If there is no such file, or what it holds is no operator key; the message names the file.
    pub(crate) fn read_file(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let read = || format!("the operator key file {shown} can't be read");
        let size = std::fs::metadata(path).with_context(read)?.len();
        if size > MAX_FILE_BYTES {
            return Err(anyhow!(
                "the operator key file {shown} has {size} bytes; it holds the key and nothing else"
            ));
        }
        let text = std::fs::read_to_string(path).with_context(read)?;
        Self::parse(&text).map_err(|error| anyhow!("the operator key in {shown} {error}"))
    }

    fn sha256(&self) -> [u8; 32] {
        key_sha256(&self.0)
    }
}

/// A key from the settings.
#[derive(Debug, Clone)]
pub(crate) struct ConfiguredKey {
    pub(crate) key: OperatorKey,
    /// Which setting gave it, in words for the log.
    pub(crate) source: String,
    /// The file that holds it, if one does.
    pub(crate) file: Option<PathBuf>,
}

/// Where a generated key goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The caller shows it at once.
    Caller,
    /// A file that does not exist yet.
    File(PathBuf),
}

/// A key that this start generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GeneratedKey {
    /// The key itself, to be shown once.
    Shown(String),
    /// The file that holds it.
    InFile(PathBuf),
}

/// The key in force.
#[derive(Debug)]
pub(crate) struct KeyInForce {
    pub(crate) sha256: [u8; 32],
    /// Where it comes from, in words for the log.
    pub(crate) source: String,
    /// The key, if this start generated it.
    pub(crate) generated: Option<GeneratedKey>,
}

/// Returns the file for a generated key beside this one.
pub(crate) fn file_beside(path: &Path) -> PathBuf {
    path.with_file_name(FILE_NAME)
}

/// Decides which key is in force: a configured one, else the stored one, else one that this start generates or finds in
/// the file of an earlier start that was interrupted.
///
/// # Errors
/// If the store can't be read or written, or the file can't; no key is stored then that nobody has.
pub(crate) async fn establish(
    store: &dyn Store,
    chance: &dyn Chance,
    configured: Option<&ConfiguredKey>,
    destination: &Destination,
) -> anyhow::Result<KeyInForce> {
    if let Some(ConfiguredKey { key, source, file }) = configured {
        file.as_deref().inspect(|file| key_files::warn_if_exposed(file));
        return Ok(KeyInForce { sha256: key.sha256(), source: source.clone(), generated: None });
    }
    if let Some(sha256) = store.operator_key().await? {
        return Ok(stored(sha256));
    }
    generate(chance, destination, async |sha256| store.init_operator_key(sha256).await).await
}

/// Generates a key, or finds the one of a start that was interrupted. `init` stores a hash unless one is stored, and returns
/// the one that is stored afterwards.
async fn generate(
    chance: &dyn Chance,
    destination: &Destination,
    init: impl AsyncFnOnce([u8; 32]) -> Result<[u8; 32], StoreError>,
) -> anyhow::Result<KeyInForce> {
    let (key, is_written, generated) = match destination {
        Destination::Caller => {
            let key = generate_operator_key(chance);
            (OperatorKey(key.clone()), false, GeneratedKey::Shown(key))
        }
        Destination::File(path) => {
            let (key, is_written) = read_or_write(path, chance)?;
            (key, is_written, GeneratedKey::InFile(path.clone()))
        }
    };
    let sha256 = init(key.sha256()).await?;
    if sha256 == key.sha256() {
        return Ok(KeyInForce {
            sha256,
            source: "generated at this start".to_owned(),
            generated: Some(generated),
        });
    }
    // Another node was first. Its key is in force, and nobody must take this one for it.
    if let (Destination::File(path), true) = (destination, is_written) {
        std::fs::remove_file(path).with_context(|| format!("{} can't be removed", path.display()))?;
    }
    Ok(stored(sha256))
}

fn stored(sha256: [u8; 32]) -> KeyInForce {
    KeyInForce { sha256, source: "the store, where the first start put it".to_owned(), generated: None }
}

/// Returns the key in the file, and whether this call has written it. An earlier start may have been interrupted between
/// file and store, and another node may start beside this one.
fn read_or_write(path: &Path, chance: &dyn Chance) -> anyhow::Result<(OperatorKey, bool)> {
    if path.exists() {
        return Ok((OperatorKey::read_file(path)?, false));
    }
    let key = OperatorKey(generate_operator_key(chance));
    match write(path, &key) {
        Ok(()) => Ok((key, true)),
        Err(why) if why.kind() == ErrorKind::AlreadyExists => Ok((OperatorKey::read_file(path)?, false)),
        Err(why) => Err(why).with_context(|| {
            format!(
                "the generated operator key can't be written to {}; make its folder writable, or make a key with \
                 `{HOW_TO_MAKE}` and name its file with --operator-key-file",
                path.display()
            )
        }),
    }
}

/// Writes the key whole or not at all, and never over another one. It is on the disk when this returns.
fn write(path: &Path, key: &OperatorKey) -> std::io::Result<()> {
    let unfinished = path.with_extension(format!("operator-key.{}", std::process::id()));
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        writeln!(file, "{}", key.0)?;
        file.sync_all()?;
        std::fs::hard_link(&unfinished, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()
    })();
    drop(std::fs::remove_file(&unfinished));
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use postrider_engine::environment::SystemChance;
    use postrider_store::seal::MasterKey;
    use postrider_store::sqlite::{SqliteOptions, SqliteStore};

    use super::*;

    fn store(folder: &Path) -> Arc<dyn Store> {
        let path = folder.join("postrider.db");
        Arc::new(SqliteStore::open(&path, MasterKey::generate(), SqliteOptions::default()).unwrap())
    }

    async fn start(store: &Arc<dyn Store>, destination: &Destination) -> anyhow::Result<KeyInForce> {
        establish(&**store, &SystemChance, None, destination).await
    }

    #[test]
    fn only_a_key_that_can_be_presented_and_not_guessed_is_an_operator_key() {
        let good = "0123456789abcdef0123456789ABC+/=";
        for text in [good.to_owned(), format!("{good}\n"), format!("\t {good}\r\n")] {
            assert_eq!(OperatorKey::parse(&text), Ok(OperatorKey(good.to_owned())), "{text:?}");
        }
        for (text, why) in [
            ("", KeyError::TooShort { chars: 0 }),
            ("x", KeyError::TooShort { chars: 1 }),
            (&good[1..], KeyError::TooShort { chars: 31 }),
            (&"x".repeat(MAX_CHARS + 1), KeyError::TooLong),
            ("sk_live_0123456789abcdef0123456789abcdef", KeyError::OfAccount),
            ("sk_", KeyError::OfAccount),
            ("0123456789abcdef 0123456789abcdef", KeyError::Unpresentable),
            ("0123456789abcdef\u{0}0123456789abcdef", KeyError::Unpresentable),
            ("ünter-0123456789abcdef0123456789abcdef", KeyError::Unpresentable),
        ] {
            assert_eq!(OperatorKey::parse(text), Err(why), "{text:?}");
        }
        let shown = format!("{:?} {}", OperatorKey::parse(good).unwrap(), KeyError::TooShort { chars: 3 });
        assert!(!shown.contains(good) && shown.contains(HOW_TO_MAKE), "{shown}");
    }

    #[tokio::test]
    async fn a_generated_key_is_written_for_its_owner_only_and_found_by_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_beside(&folder.path().join("postrider.db"));
        let store = store(folder.path());
        let first = start(&store, &Destination::File(path.clone())).await.unwrap();
        assert_eq!(first.generated, Some(GeneratedKey::InFile(path.clone())));
        assert_eq!(OperatorKey::read_file(&path).unwrap().sha256(), first.sha256);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let names = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().contains("operator-key.")));
        let second = start(&store, &Destination::Caller).await.unwrap();
        assert_eq!((second.sha256, second.generated), (first.sha256, None));
    }

    #[tokio::test]
    async fn a_start_that_was_interrupted_before_the_store_had_the_hash_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let key = OperatorKey(generate_operator_key(&SystemChance));
        write(&path, &key).unwrap();
        let store = store(folder.path());
        let started = start(&store, &Destination::File(path)).await.unwrap();
        assert_eq!(started.sha256, key.sha256());
        assert_eq!(store.operator_key().await.unwrap(), Some(key.sha256()));
    }

    #[tokio::test]
    async fn the_node_that_is_second_leaves_no_file_and_shows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for destination in [Destination::File(folder.path().join(FILE_NAME)), Destination::Caller] {
            let second = generate(&SystemChance, &destination, async |_| Ok([9; 32])).await.unwrap();
            assert_eq!((second.sha256, second.generated), ([9; 32], None));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // The file of somebody else stays.
        let path = folder.path().join(FILE_NAME);
        write(&path, &OperatorKey(generate_operator_key(&SystemChance))).unwrap();
        generate(&SystemChance, &Destination::File(path.clone()), async |_| Ok([9; 32])).await.unwrap();
        assert!(path.exists());
    }

    #[tokio::test]
    async fn where_the_file_can_not_be_written_no_key_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let destination = Destination::File(folder.path().join("missing").join(FILE_NAME));
        let refused = format!("{:#}", start(&store, &destination).await.unwrap_err());
        assert!(refused.contains("--operator-key-file") && refused.contains("missing"), "{refused}");
        assert_eq!(store.operator_key().await.unwrap(), None);
    }
}
