//! Where the server's programs are, and which user may run them.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::ClusterError;

/// The oldest version that the store works with.
const OLDEST_VERSION: u32 = 14;
/// Where Debian keeps one folder for each version.
const DEBIAN_FOLDER: &str = "/usr/lib/postgresql";
/// Who runs the server when root asks for one, by preference.
const SERVER_USERS: [&str; 2] = ["postgres", "nobody"];

/// The programs of one installed version, and as whom they run.
#[derive(Debug)]
pub(crate) struct Installation {
    programs: PathBuf,
    /// User and group; `None` where they are those of this process.
    user: Option<(u32, u32)>,
}

impl Installation {
    /// Finds the newest version that is installed.
    pub(crate) fn find() -> Result<Self, ClusterError> {
        let programs = newest_of_debian(Path::new(DEBIAN_FOLDER)).or_else(of_path);
        let programs = programs.ok_or(ClusterError::NotInstalled { oldest: OLDEST_VERSION })?;
        let user = match rustix::process::geteuid().is_root() {
            true => Some(server_user().ok_or(ClusterError::NoUser)?),
            false => None,
        };
        Ok(Self { programs, user })
    }

    /// One of PostgreSQL's programs, to be run in `folder` by the server's user, with an environment of its own.
    pub(crate) fn program(&self, name: &str, folder: &Path) -> Command {
        self.run_as_user(Command::new(self.programs.join(name)), folder)
    }

    /// Any program in the same way.
    pub(crate) fn run_as_user(&self, mut command: Command, folder: &Path) -> Command {
        // `PGHOST` and its relatives would lead elsewhere.
        command.env_clear().env("LC_ALL", "C").env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// The path of a program.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Gives a file or folder to the server's user.
    pub(crate) fn hand_over(&self, path: &Path) -> Result<(), ClusterError> {
        let Some((user, group)) = self.user else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .map_err(ClusterError::io(format!("can't give {} to the server's user", path.display())))
    }
}

/// `/usr/lib/postgresql/17/bin`: the highest number that has a server in it.
fn newest_of_debian(folder: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let numbered =
        versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let found = numbered.map(|(version, path): (u32, PathBuf)| (version, path.join("bin")));
    let usable = found.filter(|(version, path)| *version >= OLDEST_VERSION && has_server(path));
    usable.max_by_key(|(version, _)| *version).map(|(_, path)| path)
}

fn of_path() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let folder = std::env::split_paths(&paths).find(|folder| has_server(folder))?;
    let said = Command::new(folder.join("postgres")).arg("--version").output().ok()?.stdout;
    let version = version_of(&String::from_utf8_lossy(&said))?;
    (version >= OLDEST_VERSION).then_some(folder)
}

fn has_server(folder: &Path) -> bool {
    ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
}

/// `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)` is 15.
fn version_of(said: &str) -> Option<u32> {
    let number = said.split_once("(PostgreSQL)")?.1.trim_start();
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn server_user() -> Option<(u32, u32)> {
    let number_of = |flag: &str, user: &str| {
        let found = Command::new("id").args([OsStr::new(flag), OsStr::new(user)]).output().ok()?;
        String::from_utf8(found.stdout).ok()?.trim().parse().ok()
    };
    SERVER_USERS.iter().find_map(|user| Some((number_of("-u", user)?, number_of("-g", user)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_server_says() {
        assert_eq!(version_of("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(version_of("postgres (PostgreSQL) 19devel\n"), Some(19));
        assert_eq!(version_of("something else"), None);
    }

    #[test]
    fn the_newest_complete_version_is_taken_and_old_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest_of_debian(folder.path()), None);
        for (version, programs) in
            [("9", "all"), ("13", "all"), ("15", "all"), ("16", "all"), ("17", "few"), ("x", "")]
        {
            let bin = folder.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            for program in ["initdb", "postgres", "psql"].iter().take(if programs == "all" { 3 } else { 1 }) {
                std::fs::write(bin.join(program), "").unwrap();
            }
        }
        assert_eq!(newest_of_debian(folder.path()), Some(folder.path().join("16/bin")));
    }
}
