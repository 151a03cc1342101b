//! The disk's own limit: how long it takes to write one page over and to have it synced, which is what one
//! commit in a reused log costs at least. Back to back it is faster than now and then, since a processor that
//! slept wakes up slowly; a latency at a fixed rate is therefore compared with syncs at the same rate.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

const PAGE_BYTES: usize = 4_096;
const FILE_PAGES: u64 = 1_024;

/// Writes and syncs pages for a while, with a pause before each, and gives each one's time in milliseconds.
pub(crate) fn sync_times_ms(folder: &Path, lasting: Duration, pause: Duration) -> anyhow::Result<Vec<f64>> {
    let path = folder.join("sync-probe");
    let file = File::create(&path).with_context(|| format!("could not create {}", path.display()))?;
    let page = [0x5a; PAGE_BYTES];
    // Written once beforehand, so that the syncs which count do not also grow the file.
    for index in 0..FILE_PAGES {
        file.write_all_at(&page, index * PAGE_BYTES as u64).context("could not write the probe")?;
    }
    file.sync_all().context("could not sync the probe")?;
    let (began, mut times) = (Instant::now(), Vec::new());
    for index in (0..FILE_PAGES).cycle() {
        if began.elapsed() >= lasting {
            break;
        }
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        let one = Instant::now();
        file.write_all_at(&page, index * PAGE_BYTES as u64).context("could not write the probe")?;
        file.sync_data().context("could not sync the probe")?;
        times.push(one.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(&path).context("could not remove the probe")?;
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        for pause in [Duration::ZERO, Duration::from_millis(1)] {
            assert!(!sync_times_ms(folder.path(), Duration::from_millis(20), pause).unwrap().is_empty());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
