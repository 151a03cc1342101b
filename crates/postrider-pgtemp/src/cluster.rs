//! A cluster: its folder, its server, its databases.

mod standby;

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::installation::Installation;
use crate::janitor::Janitor;
use crate::{ClusterError, port, processes};

/// Longest wait for the server's start or end, on a machine that is busy with other things too.
const SERVER_WITHIN: Duration = Duration::from_secs(60);
/// How often is looked whether it is there.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How many ports are tried, since another process may take one between the search and the start.
const MAX_PORTS: u32 = 10;
/// How much of the log's end an error shows.
const MAX_SAID_BYTES: usize = 2_000;
/// The owner of the databases: nobody special, as a managed database would have it.
const OWNER: &str = "postrider";
/// Who may do all, without a password.
const SUPERUSER: &str = "postgres";

/// How the server is set up.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether commits reach the disk (`fsync`, `full_page_writes`). Tests seldom need it, measurements do; a server
    /// that is stopped or killed keeps its commits either way, as long as the machine stays up.
    pub is_durable: bool,
    /// The folder that the cluster's own folder is made in; without it, the one for temporary files.
    pub parent: Option<PathBuf>,
    /// Other settings of `postgresql.conf`, which win over the above.
    pub others: Vec<(String, String)>,
}

/// A server of its own in a temporary folder. It ends, and its folder goes, when this is dropped or the process ends.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    folder: PathBuf,
    port: u16,
    settings: Settings,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    janitor: Mutex<Janitor>,
}

impl Cluster {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// If none is installed, or it can't be started; the message says what is missing.
    pub fn start(settings: Settings) -> Result<Self, ClusterError> {
        let cluster = Self::start_with(settings, Self::make_data_folder)?;
        cluster.sql("postgres", &format!("CREATE ROLE {OWNER} LOGIN"))?;
        Ok(cluster)
    }

    fn start_with(
        settings: Settings,
        make_data_folder: impl FnOnce(&Self) -> Result<(), ClusterError>,
    ) -> Result<Self, ClusterError> {
        let installation = Installation::find()?;
        let parent = settings.parent.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("postrider-pg-").tempdir_in(&parent);
        let folder =
            folder.map_err(ClusterError::io(format!("no folder can be made in {}", parent.display())))?;
        let folder = folder.keep();
        installation.hand_over(&folder)?;
        let janitor = Mutex::new(Janitor::hire(&installation, &folder)?);
        let (server, databases) = (Mutex::new(None), AtomicU32::new(0));
        let mut cluster = Self { installation, folder, port: 0, settings, server, databases, janitor };
        make_data_folder(&cluster)?;
        let mut tries = 0;
        loop {
            tries += 1;
            cluster.port = port::free().map_err(ClusterError::io("no port is free"))?;
            match cluster.start_again() {
                Err(ClusterError::NotStarted { said }) if tries < MAX_PORTS && said.contains("in use") => {}
                started => break started?,
            }
        }
        Ok(cluster)
    }

    /// Its programs, and as whom they run.
    pub(crate) fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The cluster that all tests of this process share: quick settings, for tests that need a database and leave the
    /// server alone.
    ///
    /// # Panics
    /// If it can't be started, with one line that says why.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Settings::default()).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Makes an empty database and gives its URL, as a user who owns it and has no other rights.
    ///
    /// # Errors
    /// If the server is not running.
    pub fn database(&self) -> Result<String, ClusterError> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {OWNER}"))?;
        Ok(format!("postgres://{OWNER}@127.0.0.1:{}/{name}", self.port))
    }

    /// Runs statements in a database as the superuser, and gives what they select: a line for each row, the columns
    /// split by `|`.
    ///
    /// # Errors
    /// If one fails, with what the server said.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, ClusterError> {
        let mut psql = self.installation.program("psql", Path::new("/"));
        psql.args(["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]);
        psql.args(["-p", &self.port.to_string(), "-U", SUPERUSER, "-d", database, "-c", statements]);
        output_of(psql)
    }

    /// The server's port on 127.0.0.1; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with everything in it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The process of the postmaster, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server().as_ref().map(Child::id)
    }

    /// Processor time that the running server has used since its start, by all of its processes.
    pub fn cpu_time(&self) -> Duration {
        self.pid().map_or(Duration::ZERO, processes::cpu_time)
    }

    /// The running time of the server's living processes, much finer than [`Cluster::cpu_time`]: for a server at rest.
    pub fn running_time(&self) -> Duration {
        self.pid().map_or(Duration::ZERO, processes::running_time)
    }

    /// The server's version, such as `15.13`.
    ///
    /// # Errors
    /// If the server is not running.
    pub fn version(&self) -> Result<String, ClusterError> {
        let said = self.sql("postgres", "SHOW server_version")?;
        Ok(said.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Starts the server after [`Cluster::stop`] or [`Cluster::kill`], on the same port, and waits until it answers.
    ///
    /// # Errors
    /// If it is running, or does not start.
    pub fn start_again(&self) -> Result<(), ClusterError> {
        let mut server = self.server();
        if server.is_some() {
            return Err(ClusterError::Wrong("is running already"));
        }
        let mut child = self.spawn()?;
        let waited = self.wait_until_ready(&mut child);
        if waited.is_err() {
            // Gone already, or about to be; the error that counts is the first.
            drop(child.kill());
            drop(child.wait());
        } else {
            *server = Some(child);
        }
        waited
    }

    /// Stops the server as an administrator would: sessions are ended, what is committed is kept.
    ///
    /// # Errors
    /// If it is not running, or does not end in time.
    pub fn stop(&self) -> Result<(), ClusterError> {
        self.end(|postmaster| signal(postmaster, Signal::INT))
    }

    /// `kill -9` for all of its processes at once; the next start recovers from the write-ahead log.
    ///
    /// # Errors
    /// If it is not running, or does not end in time.
    pub fn kill(&self) -> Result<(), ClusterError> {
        self.end(|postmaster| {
            // First the parent: it would take a child's death as a crash, and start over.
            signal(postmaster, Signal::KILL);
            processes::children_of(postmaster).into_iter().for_each(|child| signal(child, Signal::KILL));
        })
    }

    /// Stops all of its processes where they are, as a machine that hangs would; connections stay.
    ///
    /// # Errors
    /// If the server is not running.
    pub fn freeze(&self) -> Result<(), ClusterError> {
        self.signal_all(Signal::STOP)
    }

    /// Ends [`Cluster::freeze`].
    ///
    /// # Errors
    /// If the server is not running.
    pub fn thaw(&self) -> Result<(), ClusterError> {
        self.signal_all(Signal::CONT)
    }

    fn signal_all(&self, which: Signal) -> Result<(), ClusterError> {
        let postmaster = self.pid().ok_or(ClusterError::Wrong("is not running"))?;
        signal(postmaster, which);
        processes::children_of(postmaster).into_iter().for_each(|child| signal(child, which));
        Ok(())
    }

    fn end(&self, how: impl FnOnce(u32)) -> Result<(), ClusterError> {
        let mut server = self.server();
        let Some(mut child) = server.take() else { return Err(ClusterError::Wrong("is not running")) };
        let children = processes::children_of(child.id());
        how(child.id());
        let began = Instant::now();
        loop {
            let ended = child.try_wait().map_err(ClusterError::io("can't wait for the server"))?.is_some();
            if ended && !children.iter().any(|child| processes::is_alive(*child)) {
                return Ok(());
            }
            if began.elapsed() > SERVER_WITHIN {
                return Err(ClusterError::Wrong("does not end"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn make_data_folder(&self) -> Result<(), ClusterError> {
        let mut initdb = self.installation.program("initdb", &self.folder);
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]);
        initdb.args(["--username", SUPERUSER, "-D"]).arg(self.folder.join("data"));
        output_of(initdb).map(drop)
    }

    fn spawn(&self) -> Result<Child, ClusterError> {
        let path = self.log();
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.map_err(ClusterError::io("the server's log can't be opened"))?;
        let mut postgres = self.installation.program("postgres", &self.folder);
        postgres.arg("-D").arg(self.folder.join("data"));
        for (name, value) in self.configuration() {
            postgres.arg("-c").arg(format!("{name}={value}"));
        }
        // A Ctrl-C is for the tests; the server ends with them.
        let spawned = postgres.stderr(Stdio::from(log)).process_group(0).spawn();
        spawned.map_err(ClusterError::io("can't start the server"))
    }

    fn configuration(&self) -> Vec<(String, String)> {
        let port = self.port.to_string();
        let durable = if self.settings.is_durable { "on" } else { "off" };
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", ""),
            // In the data folder, so that a killed server leaves nothing elsewhere.
            ("dynamic_shared_memory_type", "mmap"),
            ("fsync", durable),
            ("full_page_writes", durable),
            // Many tests at a time, each with a pool or two.
            ("max_connections", "300"),
            ("timezone", "UTC"),
        ];
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        own.chain(self.settings.others.iter().cloned()).collect()
    }

    /// The server writes into its pid file how far it has come; `pg_ctl` waits for the same line.
    fn wait_until_ready(&self, child: &mut Child) -> Result<(), ClusterError> {
        let began = Instant::now();
        loop {
            if child.try_wait().map_err(ClusterError::io("can't wait for the server"))?.is_some() {
                return Err(ClusterError::NotStarted { said: self.end_of_log() });
            }
            let said = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
            let lines: Vec<&str> = said.lines().map(str::trim).collect();
            if lines.first() == Some(&child.id().to_string().as_str()) && lines.get(7) == Some(&"ready") {
                return Ok(());
            }
            if began.elapsed() > SERVER_WITHIN {
                return Err(ClusterError::NotStarted { said: self.end_of_log() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(MAX_SAID_BYTES)..]).trim().to_owned()
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        // A test that panicked while it held the lock has failed already; the others may go on.
        self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.janitor.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).clean_up();
        if let Some(mut server) = self.server().take() {
            drop(server.wait());
        }
        // The janitor may lack the right to take the last entry out of the temporary folder.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Runs one of PostgreSQL's programs and gives what it printed.
fn output_of(mut command: Command) -> Result<String, ClusterError> {
    let program = PathBuf::from(command.get_program());
    let done = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let done = done.map_err(ClusterError::io(format!("can't run {}", program.display())))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned());
    }
    Err(ClusterError::Program { program, said: String::from_utf8_lossy(&done.stderr).trim().to_owned() })
}

/// Whether the process got the signal does not matter: one that is gone already is as good, and the wait that follows
/// notices one that stays.
fn signal(id: u32, signal: Signal) {
    let process = i32::try_from(id).ok().and_then(Pid::from_raw);
    let _sent = process.map(|process| kill_process(process, signal));
}
