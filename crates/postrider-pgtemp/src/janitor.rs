//! Stops the server and deletes its folder when the process that started it is gone, however that ended.
//!
//! A shell waits for the end of its input, which is a pipe that this process holds. A panic, an exit, a `kill -9`: each
//! closes the pipe. So a cluster in a `static`, which is never dropped, leaves nothing behind either.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::ClusterError;
use crate::installation::Installation;

/// What the shell does: `$0` is the folder, the rest is the command that stops the server. A server that was killed
/// leaves a segment of shared memory behind, which its file names in line 7.
const SCRIPT: &str = r#"read -r _
"$@"
if [ -f "$0/data/postmaster.pid" ]; then
  ipcrm -m "$(sed -n 7p "$0/data/postmaster.pid" | tr -s ' ' | cut -d ' ' -f 3)"
fi
rm -rf "$0""#;

/// The waiting shell.
#[derive(Debug)]
pub(crate) struct Janitor {
    shell: Child,
}

impl Janitor {
    /// Begins to wait.
    pub(crate) fn hire(installation: &Installation, folder: &Path) -> Result<Self, ClusterError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).arg(folder).arg(installation.path_of("pg_ctl"));
        command.args(["stop", "-w", "-m", "immediate", "-D"]).arg(folder.join("data"));
        let mut command = installation.run_as_user(command, Path::new("/"));
        // A Ctrl-C, or the kill of the tests' whole group, must not reach it.
        let spawned = command.stdin(Stdio::piped()).process_group(0).spawn();
        Ok(Self { shell: spawned.map_err(ClusterError::io("can't start a shell"))? })
    }

    /// Has it done now, and waits for it.
    pub(crate) fn clean_up(&mut self) {
        drop(self.shell.stdin.take());
        // It fails only if somebody else has waited for it.
        drop(self.shell.wait());
    }
}
