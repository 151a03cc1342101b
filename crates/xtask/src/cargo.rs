//! Calls of `cargo` on this workspace: where it lies, what it consists of, how a child of it is started.
//!
//! Decides nothing about what passes; that is `suite` and `tidy`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// What `cargo run` sets for the program it runs. Handed on to another `cargo`, these make build scripts that
/// watch them (ring's, for one) run again each time, so they are taken away.
const SET_BY_CARGO_RUN: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// The root of the workspace: the one that `cargo run` was called in, wherever this program was built.
pub(crate) fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&own).ancestors().nth(2).expect("this crate lies two folders below the root").to_owned()
}

/// A `cargo` to be run in the workspace's root, without input.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let known = name.to_str().is_some_and(|n| SET_BY_CARGO_RUN.iter().any(|set| n.starts_with(set)));
        if known {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end, its output shown; a failure names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("can't start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a command to its end and gives what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("can't start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote something that isn't UTF-8"))
}

/// A command the way one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Where this workspace builds to.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let text = output(&mut cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("cargo metadata isn't JSON")?;
    let directory = metadata["target_directory"].as_str().context("cargo metadata names no target")?;
    Ok(PathBuf::from(directory))
}

/// The `postrider` binary as `cargo test --workspace` built it, so that nothing is compiled twice.
pub(crate) fn binary_of_the_tests() -> Result<PathBuf> {
    let build = ["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"];
    binary_in(&output(&mut cargo(build))?).map_or_else(binary, Ok)
}

/// The `postrider` binary, built by itself.
pub(crate) fn binary() -> Result<PathBuf> {
    let build = ["build", "--package", "postrider", "--message-format=json-render-diagnostics"];
    binary_in(&output(&mut cargo(build))?).context("the build names no `postrider` binary")
}

/// The ordinary (not the test) executable of the `postrider` binary in cargo's messages.
fn binary_in(messages: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).find_map(
        |message| {
            let is_binary = message["target"]["name"] == "postrider"
                && message["target"]["kind"][0] == "bin"
                && message["profile"]["test"] == false;
            is_binary.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordinary_binary_is_found_among_the_messages() {
        let messages = r#"
{"target":{"name":"postrider","kind":["bin"]},"profile":{"test":true},"executable":"/t/deps/postrider-1"}
{"target":{"name":"postrider_core","kind":["lib"]},"profile":{"test":false},"executable":null}
{"target":{"name":"postrider","kind":["bin"]},"profile":{"test":false},"executable":"/t/postrider"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(binary_in(messages), Some(PathBuf::from("/t/postrider")));
        assert_eq!(binary_in("not JSON"), None);
    }

    #[test]
    fn a_failed_command_is_named() {
        let error = run(Command::new("/bin/false").arg("here")).unwrap_err();
        assert!(error.to_string().starts_with("`false here` failed"), "{error}");
    }
}
