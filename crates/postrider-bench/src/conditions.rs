//! The machine a run was taken on, as far as it explains the figures.

use std::path::Path;

use serde::Serialize;

/// Cores, kernel, file system, processor and store.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Conditions {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    pub(crate) store: String,
}

impl Conditions {
    /// Reads them; what the kernel does not tell is "unknown".
    pub(crate) fn read(folder: &Path, store: String) -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor(&text("/proc/cpuinfo")).unwrap_or_else(unknown),
            kernel: Some(text("/proc/sys/kernel/osrelease").trim().to_owned())
                .filter(|release| !release.is_empty())
                .unwrap_or_else(unknown),
            store,
            file_system: file_system(&text("/proc/mounts"), &folder).unwrap_or_else(unknown),
        }
    }

    /// All of it in one line.
    pub(crate) fn line(&self) -> String {
        format!("{}; medians of all rounds", self.machine())
    }

    /// The machine in one line.
    pub(crate) fn machine(&self) -> String {
        let Self { cores, processor, kernel, file_system, store } = self;
        format!("{cores} cores ({processor}), Linux {kernel}, {store} on {file_system}")
    }
}

fn processor(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The type of the deepest mount that holds the folder; of mounts over one another, the last.
fn file_system(mounts: &str, folder: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((Path::new(fields.nth(1)?), fields.next()?))
    });
    let holding = mounts.filter(|(at, _)| folder.starts_with(at));
    holding.max_by_key(|(at, _)| at.components().count()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_that_of_the_deepest_mount() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/bench xfs rw 0 0\n";
        for (folder, kind) in
            [("/home", "ext4"), ("/tmp/x", "tmpfs"), ("/tmp/bench/1", "xfs"), ("/tmp/benchmark", "tmpfs")]
        {
            assert_eq!(file_system(mounts, Path::new(folder)).as_deref(), Some(kind), "{folder}");
        }
    }
}
