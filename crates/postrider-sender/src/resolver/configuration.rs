//! `/etc/resolv.conf` and `/etc/hosts`, read again whenever they have changed.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hosts::Hosts;
use super::name_servers::NameServers;
use super::resolv_conf::ResolvConf;
use crate::limits::MAX_RESOLVER_FILE_BYTES;

/// Where the configuration is.
#[derive(Debug, Clone)]
pub struct ResolverFiles {
    /// The name servers.
    pub resolv_conf: PathBuf,
    /// Names that this machine knows without asking.
    pub hosts: PathBuf,
    /// The port of the name servers.
    pub port: u16,
}

impl Default for ResolverFiles {
    /// The system's files, and DNS's port.
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), port: 53 }
    }
}

/// What the files said when they were read.
pub(super) struct Configuration {
    pub(super) hosts: Hosts,
    pub(super) name_servers: NameServers,
    pub(super) no_aaaa: bool,
    pub(super) read: ResolvConf,
    versions: [Option<FileVersion>; 2],
}

/// What tells two versions of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileVersion {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileVersion {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl ResolverFiles {
    /// Whether `configuration` is what the files say now. Costs two `stat` calls.
    pub(super) fn are_as_read(&self, configuration: &Configuration) -> bool {
        let version = |path: &Path| std::fs::metadata(path).ok().map(|metadata| FileVersion::of(&metadata));
        configuration.versions == [version(&self.resolv_conf), version(&self.hosts)]
    }

    /// Reads both files. One that is not there, or may not be read, says nothing.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    pub(super) fn read(&self) -> io::Result<Arc<Configuration>> {
        let (resolv_conf, resolv_conf_version) = read(&self.resolv_conf)?;
        let (hosts, hosts_version) = read(&self.hosts)?;
        let read = ResolvConf::parse(&resolv_conf, self.port);
        Ok(Arc::new(Configuration {
            hosts: Hosts::parse(&hosts),
            name_servers: NameServers::new(&read),
            no_aaaa: read.no_aaaa,
            read,
            versions: [resolv_conf_version, hosts_version],
        }))
    }
}

/// A file's text and its version from before it was read, so that a change meanwhile is seen the next time.
fn read(path: &Path) -> io::Result<(String, Option<FileVersion>)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if crate::failure::is_shortage(&error) => return Err(error),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "failed to read resolver configuration");
            }
            let version = std::fs::metadata(path).ok().map(|metadata| FileVersion::of(&metadata));
            return Ok((String::new(), version));
        }
    };
    let version = file.metadata().ok().map(|metadata| FileVersion::of(&metadata));
    let mut bytes = Vec::new();
    if let Err(error) = file.take(MAX_RESOLVER_FILE_BYTES).read_to_end(&mut bytes) {
        tracing::warn!(path = %path.display(), %error, "failed to read resolver configuration");
    }
    if u64::try_from(bytes.len()) == Ok(MAX_RESOLVER_FILE_BYTES) {
        tracing::warn!(path = %path.display(), limit = MAX_RESOLVER_FILE_BYTES, "resolver configuration truncated");
        // Half a line could name something else.
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0));
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), version))
}
