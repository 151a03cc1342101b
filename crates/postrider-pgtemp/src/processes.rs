//! The server's processes as the kernel shows them: the postmaster, and its children.

use std::time::Duration;

/// The kernel's unit of the times in `/proc/PID/stat`; fixed towards user space.
const TICKS_PER_SECOND: u64 = 100;

/// The children of a process that are alive.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| Stat::read(*id).is_some_and(|stat| stat.parent == parent && stat.is_alive)).collect()
}

/// Whether a process exists and is more than a name that nobody has waited for.
pub(crate) fn is_alive(id: u32) -> bool {
    Stat::read(id).is_some_and(|stat| stat.is_alive)
}

/// Processor time of the server: of the postmaster, of the children that have ended, and of those alive.
pub(crate) fn cpu_time(postmaster: u32) -> Duration {
    let own = Stat::read(postmaster).map_or(0, |stat| stat.own_ticks + stat.ended_childrens_ticks);
    let of = |child| Stat::read(child).map_or(0, |stat| stat.own_ticks + stat.ended_childrens_ticks);
    let ticks = own + children_of(postmaster).into_iter().map(of).sum::<u64>();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
}

/// Running time of the postmaster and of the children alive, in the kernel's own nanoseconds.
pub(crate) fn running_time(postmaster: u32) -> Duration {
    let of = |id: u32| {
        let line = std::fs::read_to_string(format!("/proc/{id}/schedstat")).unwrap_or_default();
        line.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(children_of(postmaster).into_iter().map(of).sum::<u64>() + of(postmaster))
}

/// What `/proc/PID/stat` says, as far as it matters here.
struct Stat {
    is_alive: bool,
    parent: u32,
    own_ticks: u64,
    ended_childrens_ticks: u64,
}

impl Stat {
    fn read(id: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// The command's name, which stands before the state, may hold spaces and brackets of its own.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            is_alive: !matches!(*fields.first()?, "Z" | "X"),
            parent: fields.get(1)?.parse().ok()?,
            own_ticks: ticks(11)? + ticks(12)?,
            ended_childrens_ticks: ticks(13)? + ticks(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_any_command_name() {
        let line = "42 (odd) name) S 7 42 42 0 -1 4194304 100 0 0 0 150 50 30 20 20 0 8 0 100 0 0";
        let stat = Stat::parse(line).unwrap();
        assert!(stat.is_alive);
        assert_eq!((stat.parent, stat.own_ticks, stat.ended_childrens_ticks), (7, 200, 50));
        assert!(!Stat::parse(&line.replace(") S", ") Z")).unwrap().is_alive);
        assert!(Stat::parse("42 (cut").is_none());
    }
}
