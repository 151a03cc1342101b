//! What load and receiver remember of each event, and the file in which they hand it over: 24 bytes a record.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// An event's guid and a moment on the machine's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) guid: u128,
    pub(crate) at_ns: u64,
}

const RECORD_BYTES: usize = 24;

/// Most records that one process keeps; about 100 MB. Past it nothing is noted, and the row fails.
pub(crate) const MAX_RECORDS: usize = 4_000_000;

/// Writes the records, replacing the file.
pub(crate) fn write(path: &Path, records: &[Record]) -> anyhow::Result<()> {
    let mut bytes = Vec::with_capacity(records.len() * RECORD_BYTES);
    for record in records {
        bytes.extend_from_slice(&record.guid.to_le_bytes());
        bytes.extend_from_slice(&record.at_ns.to_le_bytes());
    }
    std::fs::write(path, bytes).with_context(|| format!("could not write {}", path.display()))
}

/// Reads what [`write()`] wrote.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let bytes = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    let (whole, rest) = bytes.as_chunks::<RECORD_BYTES>();
    ensure!(rest.is_empty(), "{} ends within a record", path.display());
    Ok(whole.iter().map(from_bytes).collect())
}

/// The earliest moment of each guid.
pub(crate) fn earliest(records: &[Record], into: &mut HashMap<u128, u64>) {
    for record in records {
        let at = into.entry(record.guid).or_insert(record.at_ns);
        *at = (*at).min(record.at_ns);
    }
}

/// A guid from its 32 hex digits.
pub(crate) fn guid(hex: &[u8]) -> Option<u128> {
    if hex.len() != 32 || !hex.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Record {
    let (guid, at) = bytes.split_at(16);
    Record {
        guid: u128::from_le_bytes(guid.try_into().expect("the first 16 bytes")),
        at_ns: u64::from_le_bytes(at.try_into().expect("the last 8 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_from_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let records = [Record { guid: 1, at_ns: u64::MAX }, Record { guid: u128::MAX - 1, at_ns: 0 }];
        write(&path, &records).unwrap();
        assert_eq!(read(&path).unwrap(), records);
    }

    #[test]
    fn a_file_that_was_cut_off_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        std::fs::write(&path, [0; 25]).unwrap();
        assert!(read(&path).is_err());
    }

    #[test]
    fn of_several_arrivals_the_earliest_counts() {
        let mut into = HashMap::new();
        earliest(&[Record { guid: 7, at_ns: 20 }, Record { guid: 8, at_ns: 1 }], &mut into);
        earliest(&[Record { guid: 7, at_ns: 10 }, Record { guid: 8, at_ns: 2 }], &mut into);
        assert_eq!(into, HashMap::from([(7, 10), (8, 1)]));
    }

    #[test]
    fn a_guid_is_32_hex_digits_and_nothing_else() {
        assert_eq!(guid(b"000000000000000000000000000000ff"), Some(255));
        for wrong in ["", "ff", "+00000000000000000000000000000ff", "0000000000000000000000000000000ff"] {
            assert_eq!(guid(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
