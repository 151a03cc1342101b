//! A child process that never outlives the run: killed when dropped, and by the kernel should this program be
//! killed itself.
//!
//! Its output goes to a log file, which is shown when something fails.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long anything may take to come about.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// How much of a log is shown, in bytes.
const SHOWN_LOG_BYTES: usize = 8 * 1024;

/// A running child.
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command in `folder`, with its output in `NAME.log` there.
    pub(super) fn start(name: &str, folder: &Path, program: &Path, arguments: &[String]) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let child = mortal(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("can't start {name} ({})", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until something listens at the address; a child that ends before is an error with its log.
    pub(super) fn wait_until_listening(&mut self, address: SocketAddr) -> Result<()> {
        wait_for(&format!("{} to listen at {address}", self.name), || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before it listened:\n{}", self.name, end_of_log(&self.log));
            }
            Ok(TcpStream::connect(address).is_ok().then_some(()))
        })
    }

    /// Asks the child to end (SIGTERM) and waits for it.
    pub(super) fn terminate(&mut self) -> Result<ExitStatus> {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        if !asked.success() {
            bail!("{} could not be asked to end", self.name);
        }
        wait_for(&format!("{} to end", self.name), || Ok(self.child.try_wait()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            println!("{} could not be killed: {error}", self.name);
        }
    }
}

/// A command that the kernel kills when this program dies, where `setpriv` (util-linux) is at hand.
fn mortal(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A loopback address at which nothing listens at the moment.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Looks again and again until there is something, at most for [`PATIENCE`].
pub(super) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

/// The last part of a log.
pub(super) fn end_of_log(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(SHOWN_LOG_BYTES)..]).into_owned()
}
