//! A throwaway cluster on the command line, to try a service on: prints the URL of an empty database, and lives until
//! its input ends or Ctrl-C is pressed.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks on its terminal")]

use std::process::ExitCode;

use postrider_pgtemp::{Cluster, ClusterError, Settings};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), ClusterError> {
    let cluster = Cluster::start(Settings { is_durable: true, ..Settings::default() })?;
    println!("{}", cluster.database()?);
    println!("{}", cluster.folder().display());
    let waited = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    waited.map(drop).map_err(|source| ClusterError::Io { what: "the input can't be read".to_owned(), source })
}
