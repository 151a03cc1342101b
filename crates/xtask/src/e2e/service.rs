//! The service under test: `postrider serve` on a free port, with a store of its own in the run's folder.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::certificates;
use super::process::{Process, free_address};
use super::rest::Rest;

/// Any text of at least 32 characters.
pub(super) const OPERATOR_KEY: &str = "the_operator_key_of_the_end_to_end_run";

/// The running service.
pub(super) struct Service {
    /// Its REST surface, as the operator.
    pub(super) rest: Rest,
    /// Where the run keeps its files.
    pub(super) folder: PathBuf,
    process: RefCell<Process>,
}

impl Service {
    /// Starts it and waits until it can accept events.
    pub(super) fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let address = free_address()?;
        let store = format!("sqlite:{}", folder.join("postrider.db").display());
        certificates::make(folder)?;
        let authority = certificates::authority_file(folder);
        let arguments = [
            "serve",
            "--listen",
            &address.to_string(),
            "--store",
            &store,
            "--operator-key",
            OPERATOR_KEY,
            "--allow-nets",
            "127.0.0.0/8",
            "--ca-file",
            &authority.display().to_string(),
        ];
        let mut process = Process::start("postrider", folder, binary, &arguments.map(str::to_owned))?;
        process.wait_until_listening(address)?;
        let rest = Rest::new(address, OPERATOR_KEY);
        rest.get("/readyz")?;
        Ok(Self { rest, folder: folder.to_owned(), process: RefCell::new(process) })
    }

    /// Asks it to end; it must do so by itself and call that a success.
    pub(super) fn leave(&self) -> Result<()> {
        let status = self.process.borrow_mut().terminate()?;
        if !status.success() {
            bail!("after SIGTERM the service ended with {status}");
        }
        Ok(())
    }
}
