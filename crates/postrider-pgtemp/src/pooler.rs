//! PgBouncer before a server, for tests of what a pooler does to sessions.

use std::io::Read as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Cluster, ClusterError, port};

/// Where Debian puts the program.
const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// Longest wait for it to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

/// How long a client keeps a server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// As long as it is connected.
    Session,
    /// Until its transaction ends.
    Transaction,
    /// Until its statement ends.
    Statement,
}

/// A running PgBouncer. It ends, and its folder goes, when this is dropped.
#[derive(Debug)]
pub struct Pooler {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// Starts one before `cluster`, with up to `connections` to each of its databases. `others` are lines of its
    /// configuration's section `pgbouncer`.
    ///
    /// # Errors
    /// If it is not installed, or does not listen in time.
    pub fn start(
        cluster: &Cluster,
        mode: PoolMode,
        connections: usize,
        others: &str,
    ) -> Result<Self, ClusterError> {
        let folder = tempfile::tempdir().map_err(ClusterError::io("can't make a folder"))?;
        let installation = cluster.installation();
        let file = folder.path().join("pgbouncer.ini");
        let port = port::free().map_err(ClusterError::io("no port is free"))?;
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        };
        let lines = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = trust\nauth_file = users.txt\nunix_socket_dir =\npool_mode = {mode}\ndefault_pool_size = {connections}\n\
             max_client_conn = 200\nquery_wait_timeout = 10\n{others}\n",
            cluster.port()
        );
        let users = "\"postgres\" \"\"\n\"postrider\" \"\"\n";
        for (name, text) in [("pgbouncer.ini", lines.as_str()), ("users.txt", users)] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).map_err(ClusterError::io(format!("can't write {name}")))?;
            installation.hand_over(&path)?;
        }
        installation.hand_over(folder.path())?;
        let mut command = Command::new(PROGRAM);
        command.arg(&file);
        let mut command = installation.run_as_user(command, folder.path());
        let process = command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ClusterError::io("can't start pgbouncer (`apt-get install pgbouncer`)"))?;
        let mut pooler = Self { process, port, _folder: folder };
        pooler.wait_until_it_listens()?;
        Ok(pooler)
    }

    /// The URL of a database of the server, led through the pooler.
    pub fn url(&self, database_url: &str) -> String {
        let (before, after) = database_url.rsplit_once(':').unwrap_or((database_url, ""));
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{before}:{}{rest}", self.port)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of the program.
    pub fn program() -> PathBuf {
        PROGRAM.into()
    }

    fn wait_until_it_listens(&mut self) -> Result<(), ClusterError> {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let has_ended = !matches!(self.process.try_wait(), Ok(None));
            if has_ended || began.elapsed() > LISTENS_WITHIN {
                drop(self.process.kill());
                let mut said = String::new();
                if let Some(stderr) = &mut self.process.stderr {
                    drop(stderr.read_to_string(&mut said));
                }
                return Err(ClusterError::Program { program: PROGRAM.into(), said });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It has ended already, or it does now.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
