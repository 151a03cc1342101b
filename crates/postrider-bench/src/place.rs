//! Where a service works: a fresh folder, and for a PostgreSQL store a server of its own, whose data lies on the same
//! disk. Both go with the value.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use postrider_pgtemp::{Cluster, Settings};
use tempfile::TempDir;

/// What the measured server is set to beside its defaults: what anybody would give it on a machine of its own. Commits
/// reach the disk.
const SERVER_SETTINGS: [(&str, &str); 2] = [("shared_buffers", "256MB"), ("max_wal_size", "4GB")];
/// One line, the standard base64 of 32 bytes; it guards a throwaway store.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
/// Where it is, in the folder.
const MASTER_KEY_FILE: &str = "postrider.key";

/// Which store is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum StoreKind {
    /// The file inside the service
    #[default]
    Sqlite,
    /// A PostgreSQL server of this run's own; its processor time counts too
    Postgres,
}

/// A fresh folder with a store in it.
pub(crate) struct Place {
    folder: TempDir,
    server: Option<Server>,
}

/// A server and the URL of its one database.
#[derive(Clone)]
struct Server {
    cluster: Arc<Cluster>,
    url: String,
}

impl Place {
    /// Makes it inside `parent`; a server is started, the store is the service's to make.
    pub(crate) fn new(kind: StoreKind, parent: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("postrider-bench-").tempdir_in(parent);
        let folder = folder.with_context(|| format!("could not make a folder in {}", parent.display()))?;
        let server = match kind {
            StoreKind::Sqlite => None,
            StoreKind::Postgres => {
                std::fs::write(folder.path().join(MASTER_KEY_FILE), MASTER_KEY)
                    .context("could not write the master key")?;
                Some(Server::start(parent)?)
            }
        };
        Ok(Self { folder, server })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The flags by which the service finds its store.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        match &self.server {
            None => {
                let mut store = OsString::from("sqlite:");
                store.push(self.path().join("bench.db"));
                vec!["--store".into(), store]
            }
            Some(server) => {
                let key = self.path().join(MASTER_KEY_FILE);
                vec!["--store".into(), (&server.url).into(), "--master-key-file".into(), key.into()]
            }
        }
    }

    /// The server, where there is one.
    pub(crate) fn cluster(&self) -> Option<Arc<Cluster>> {
        self.server.as_ref().map(|server| server.cluster.clone())
    }

    /// The store in a few words.
    pub(crate) fn store(&self) -> anyhow::Result<String> {
        let Some(server) = &self.server else { return Ok("SQLite".to_owned()) };
        let settings: Vec<String> =
            SERVER_SETTINGS.iter().map(|(name, value)| format!("{name} {value}")).collect();
        Ok(format!("PostgreSQL {}, fsync on, {}", server.cluster.version()?, settings.join(", ")))
    }
}

impl Server {
    fn start(parent: &Path) -> anyhow::Result<Self> {
        let others = SERVER_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = Settings { is_durable: true, parent: Some(parent.to_owned()), others };
        let cluster = Cluster::start(settings)?;
        let url = cluster.database()?;
        Ok(Self { cluster: Arc::new(cluster), url })
    }
}
