//! Standbys: a copy of a server that follows it, and may take its place.

use std::time::Instant;

use super::{Cluster, LOOK_EVERY, SERVER_WITHIN, SUPERUSER, output_of};
use crate::ClusterError;

impl Cluster {
    /// Makes a copy of this server that follows it as a standby, starts it, and waits until it has all that is here.
    ///
    /// # Errors
    /// If the copy can't be made, or does not start or follow in time.
    pub fn standby(&self) -> Result<Self, ClusterError> {
        let from = self.port.to_string();
        let standby = Self::start_with(self.settings.clone(), |standby| {
            let mut copy = standby.installation.program("pg_basebackup", &standby.folder);
            copy.args([
                "-h",
                "127.0.0.1",
                "-p",
                &from,
                "-U",
                SUPERUSER,
                "-R",
                "-c",
                "fast",
                "--no-sync",
                "-D",
            ]);
            copy.arg(standby.folder.join("data"));
            output_of(copy).map(drop)
        })?;
        self.await_standby()?;
        Ok(standby)
    }

    /// Waits until a standby has received everything that was written here so far: promoted, it lacks none of it.
    ///
    /// # Errors
    /// If the server is not running, or no standby follows it in time.
    pub fn await_standby(&self) -> Result<(), ClusterError> {
        let written = self.sql("postgres", "SELECT pg_current_wal_lsn()")?;
        let has_it =
            format!("SELECT count(*) > 0 FROM pg_stat_replication WHERE flush_lsn >= '{}'", written.trim());
        let began = Instant::now();
        while self.sql("postgres", &has_it)?.trim() != "t" {
            if began.elapsed() > SERVER_WITHIN {
                return Err(ClusterError::Wrong("has no standby that follows it"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Makes a standby the primary.
    ///
    /// # Errors
    /// If it is none.
    pub fn promote(&self) -> Result<(), ClusterError> {
        self.sql("postgres", "SELECT pg_promote()").map(drop)
    }

    /// Lets the next start follow another server, or none, as a standby would.
    ///
    /// # Errors
    /// If the folder can't be written.
    pub fn become_standby(&self) -> Result<(), ClusterError> {
        let signal = self.folder.join("data/standby.signal");
        std::fs::write(&signal, "").map_err(ClusterError::io("can't write standby.signal"))?;
        self.installation.hand_over(&signal)
    }
}
