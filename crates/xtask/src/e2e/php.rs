//! PHP's built-in server running the contract document's own sample.
//!
//! `sample.php` is the document's text. Only what it leaves to the reader is filled in: the secret, and its two
//! comments, which become "refuse" and "write it down". The lines that verify stay as they are.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::process::{Process, free_address};
use super::records::Records;

/// The document's sample, word for word.
const SAMPLE: &str = include_str!("sample.php");

const SECRET: &str = "whsec_...";
const DROPPED: &str = "// Then the request did not came from KASKO and should be dropped.";
const TAKEN: &str = "// Do something with $event";

const DROP: &str = "http_response_code(403); exit;";
/// The headers are written first: a body that is there has its headers beside it.
const WRITE_DOWN: &str = r#"$name = $_SERVER["HTTP_X_KASKO_DELIVERY"] . "." . bin2hex(random_bytes(4));
$lines = "";
foreach (getallheaders() as $header => $value) { $lines .= "$header: $value\n"; }
file_put_contents("RECORDS/$name.headers", $lines);
file_put_contents("RECORDS/$name.body", $payload);"#;

/// The sample's line that takes the signature …
const HEADER_LINE: &str = r#"$sig_header = $_SERVER["HTTP_X_KASKO_SIGNATURE"];"#;
/// … and the one that takes its place together with a new secret.
const ROTATING_LINE: &str =
    "$sig_header = $_SERVER['HTTP_X_KASKO_SIGNATURE_NEXT'] ?? $_SERVER['HTTP_X_KASKO_SIGNATURE'];";

/// A running PHP receiver.
pub(super) struct Php {
    /// What it accepted.
    pub(super) records: Records,
    script: PathBuf,
    _process: Process,
}

impl Php {
    /// Deploys another secret while requests come in, with the line that is right during an overlap and after it.
    pub(super) fn deploy(&self, secret: &str) -> Result<()> {
        let script = filled_in(secret, &self.records.folder().display().to_string())?;
        ensure!(script.matches(HEADER_LINE).count() == 1, "the sample has not one `{HEADER_LINE}`");
        // At once, as a deployment is: PHP reads the script for every request.
        let fresh = self.script.with_extension("fresh");
        std::fs::write(&fresh, script.replace(HEADER_LINE, ROTATING_LINE))?;
        Ok(std::fs::rename(fresh, &self.script)?)
    }
}

/// A place at which a receiver will be; its endpoint is made before it, for the secret comes from there.
pub(super) struct Place {
    address: SocketAddr,
}

impl Place {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { address: free_address()? })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/webhook.php?from=kasko", self.address)
    }

    /// Starts the receiver here.
    pub(super) fn start(&self, folder: &Path, name: &str, secret: &str) -> Result<Php> {
        let records = Records::new(folder, name)?;
        let script = folder.join(format!("{name}.php"));
        std::fs::write(&script, filled_in(secret, &records.folder().display().to_string())?)?;
        let arguments = ["-S", &self.address.to_string(), &script.display().to_string()].map(str::to_owned);
        let mut process = Process::start(name, folder, Path::new("php"), &arguments)?;
        process.wait_until_listening(self.address)?;
        Ok(Php { records, script, _process: process })
    }
}

/// The sample with its three gaps filled.
fn filled_in(secret: &str, records: &str) -> Result<String> {
    let mut script = SAMPLE.to_owned();
    let write_down = WRITE_DOWN.replace("RECORDS", records);
    for (gap, filling) in [(SECRET, secret), (DROPPED, DROP), (TAKEN, &write_down)] {
        ensure!(script.matches(gap).count() == 1, "the sample has not one `{gap}`");
        script = script.replace(gap, filling);
    }
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifying_lines_stay_the_documents_own() {
        let script = filled_in("whsec_secret", "/records").unwrap();
        for line in [
            "$endpoint_secret = \"whsec_secret\";",
            "$payload = @file_get_contents(\"php://input\");",
            "$sig_header = $_SERVER[\"HTTP_X_KASKO_SIGNATURE\"];",
            "$hash = 'sha1=' . hash_hmac('sha1', $payload, $endpoint_secret);",
            "if ($hash !== $sig_header) {",
            "    http_response_code(403); exit;",
            "http_response_code(200); // PHP 5.4 or greater",
        ] {
            assert!(script.lines().any(|own| own == line), "{line}");
        }
    }
}
