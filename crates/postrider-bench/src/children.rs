//! The processes of a run: this program in its other roles, and the service. Each ends with its parent, however
//! that ends: on purpose, on an error, by a signal.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Longest wait for a child's start, or for an answer to a command.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest line that a child may answer with.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Asks the kernel to end this process when the thread that started it is gone.
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    asked.context("could not bind this process to its parent")
}

/// Becomes another program, bound to the parent in the same way; returns only if that fails.
pub(crate) fn become_bound(command: &[OsString]) -> anyhow::Error {
    if let Err(error) = end_with_parent() {
        return error;
    }
    let Some((program, arguments)) = command.split_first() else {
        return anyhow::anyhow!("no program was named");
    };
    let failed = std::process::Command::new(program).args(arguments).exec();
    anyhow::Error::new(failed).context(format!("could not run {}", Path::new(program).display()))
}

/// Under which commands of this program the roles are; set once, where they are not at the top.
static ROLES_UNDER: OnceLock<[&str; 2]> = OnceLock::new();

/// From now on roles are started below these commands.
pub(crate) fn roles_are_under(commands: [&'static str; 2]) {
    ROLES_UNDER.get_or_init(|| commands);
}

/// This program, to be started in another role.
pub(crate) fn own_role(role: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program's own file is unknown")?);
    command.args(ROLES_UNDER.get().into_iter().flatten()).arg(role).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// Runs a role that works for `seconds` and prints its result as JSON.
pub(crate) async fn result_of<T: DeserializeOwned>(mut command: Command, seconds: u64) -> anyhow::Result<T> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("could not start a child")?;
    let mut stdout = child.stdout.take().context("the child has no output")?.take(MAX_ANSWER_BYTES);
    let mut text = String::new();
    let work = async {
        stdout.read_to_string(&mut text).await.context("could not read the child's result")?;
        child.wait().await.context("could not wait for the child")
    };
    let status = timeout(Duration::from_secs(seconds) + ANSWER_WITHIN, work).await;
    let status = status.context("a child took too long")??;
    ensure!(status.success(), "a child failed ({status})");
    serde_json::from_str(&text).context("the child's result is not as expected")
}

/// The receiver in a process of its own.
pub(crate) struct Receiver {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut command = own_role("receiver")?;
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("could not start the receiver")?;
        let commands = child.stdin.take().context("the receiver has no input")?;
        let mut answers = BufReader::new(child.stdout.take().context("the receiver has no output")?).lines();
        let address = next_line(&mut answers).await?;
        let address = address.parse().context("the receiver gave no address")?;
        Ok(Self { child, commands, answers, address })
    }

    /// How many requests arrived since the last [`Receiver::take`].
    pub(crate) async fn count(&mut self) -> anyhow::Result<u64> {
        self.command("count").await
    }

    /// Has the arrivals written to a file, and forgotten.
    pub(crate) async fn take(&mut self, file: &Path) -> anyhow::Result<u64> {
        let file = file.to_str().context("the folder's path is not UTF-8")?;
        self.command(&format!("take {file}")).await
    }

    /// From now on `/down` answers 503, or 200 again.
    pub(crate) async fn be_down(&mut self, down: bool) -> anyhow::Result<()> {
        self.command(if down { "down" } else { "up" }).await.map(drop)
    }

    /// Ends it and waits for its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("could not stop the receiver")
    }

    async fn command(&mut self, line: &str) -> anyhow::Result<u64> {
        let written = self.commands.write_all(format!("{line}\n").as_bytes()).await;
        written.context("the receiver is gone")?;
        next_line(&mut self.answers).await?.parse().context("the receiver gave no number")
    }
}

async fn next_line(answers: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<String> {
    let line = timeout(ANSWER_WITHIN, answers.next_line()).await.context("the receiver does not answer")?;
    line.context("could not read from the receiver")?.context("the receiver ended")
}
