//! The limits that DNS sets to a host name (RFC 1035, section 2.3.4). Which characters a label has is not judged here: the
//! URL parser accepted them, and resolvers look up what they are given (RFC 2181, section 11).

/// The longest label of a name, in bytes.
pub const MAX_LABEL_BYTES: usize = 63;
/// The longest name without its final dot, in bytes; on the wire it takes two more.
pub const MAX_NAME_BYTES: usize = 253;

/// Why a host name can never be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostNameFault {
    /// Nothing stands between two dots, or before the first one.
    #[error("the host name has an empty label (two dots in a row, or a dot at its start)")]
    EmptyLabel,
    /// A label is longer than [`MAX_LABEL_BYTES`].
    #[error("a label of the host name is {0} bytes long; DNS allows {MAX_LABEL_BYTES}")]
    LongLabel(usize),
    /// The name is longer than [`MAX_NAME_BYTES`].
    #[error("the host name is {0} bytes long; DNS allows {MAX_NAME_BYTES}")]
    LongName(usize),
}

/// Returns the labels of a host name as a URL has it, which is an absolute name with or without its final dot.
///
/// # Errors
/// If DNS has no place for such a name.
pub fn labels(host: &str) -> Result<impl Iterator<Item = &str>, HostNameFault> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > MAX_NAME_BYTES {
        return Err(HostNameFault::LongName(name.len()));
    }
    for label in name.split('.') {
        match label.len() {
            0 => return Err(HostNameFault::EmptyLabel),
            1..=MAX_LABEL_BYTES => {}
            longer => return Err(HostNameFault::LongLabel(longer)),
        }
    }
    Ok(name.split('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_dns_has_no_place_for_is_told_apart() {
        let labels_of = |host: &str| labels(host).map(|labels| labels.map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(labels_of("my_host.-lead.test.").unwrap(), ["my_host", "-lead", "test"]);
        assert_eq!(labels_of("localhost").unwrap(), ["localhost"]);
        for empty in ["a..b.test", ".test", "test..", ".", ""] {
            assert_eq!(labels_of(empty), Err(HostNameFault::EmptyLabel), "{empty:?}");
        }
        let label = "a".repeat(64);
        assert_eq!(labels_of(&format!("{label}.test")), Err(HostNameFault::LongLabel(64)));
        assert!(labels_of(&format!("{}.test", &label[1..])).is_ok());
        let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        assert_eq!(longest.len(), MAX_NAME_BYTES);
        assert!(labels_of(&longest).is_ok() && labels_of(&format!("{longest}.")).is_ok());
        assert_eq!(labels_of(&format!("{longest}d")), Err(HostNameFault::LongName(254)));
    }
}
