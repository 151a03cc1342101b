//! Debian's `webhook` program as a receiver, with a `payload-hmac-sha1` rule as its manual shows it.
//!
//! It checks the signature itself and runs a script that writes the raw body and the headers down.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::certificates::Identity;
use super::process::{Process, free_address};
use super::records::Records;

/// The headers that are handed to the script, in its order of arguments after the folder and the body.
const HEADERS: [&str; 6] = [
    "X-KASKO-Delivery",
    "X-KASKO-Event",
    "X-KASKO-Signature",
    "Content-Type",
    "Content-Length",
    "User-Agent",
];

/// Called as `FOLDER BODY HEADERS…`.
const SCRIPT: &str = r#"#!/bin/sh
set -eu
name="$1/$3.$$"
printf 'X-KASKO-Delivery: %s\nX-KASKO-Event: %s\nX-KASKO-Signature: %s\n' "$3" "$4" "$5" > "$name.headers"
printf 'Content-Type: %s\nContent-Length: %s\nUser-Agent: %s\n' "$6" "$7" "$8" >> "$name.headers"
printf '%s' "$2" > "$name.body"
"#;

/// A running receiver.
pub(super) struct Webhook {
    /// What it accepted.
    pub(super) records: Records,
    scheme: &'static str,
    address: SocketAddr,
    _process: Process,
}

impl Webhook {
    /// Starts it with one hook that takes what is signed with `secret` and refuses the rest by a 500.
    pub(super) fn start(folder: &Path, name: &str, secret: &str) -> Result<Self> {
        Self::start_with(folder, name, secret, None)
    }

    /// The same behind TLS.
    pub(super) fn start_secure(folder: &Path, name: &str, secret: &str, identity: &Identity) -> Result<Self> {
        Self::start_with(folder, name, secret, Some(identity))
    }

    fn start_with(folder: &Path, name: &str, secret: &str, identity: Option<&Identity>) -> Result<Self> {
        let records = Records::new(folder, name)?;
        let script = folder.join(format!("{name}.sh"));
        std::fs::write(&script, SCRIPT)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let hooks = folder.join(format!("{name}.json"));
        std::fs::write(&hooks, hook(&script, records.folder(), secret))?;
        let address = free_address()?;
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let arguments = ["-hooks", &hooks.display().to_string(), "-ip", &ip, "-port", &port, "-verbose"];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        if let Some(Identity { certificate, key }) = identity {
            let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
            arguments.extend(["-secure".to_owned(), "-cert".to_owned(), certificate, "-key".to_owned(), key]);
        }
        let mut process = Process::start(name, folder, Path::new("webhook"), &arguments)?;
        process.wait_until_listening(address)?;
        let scheme = if identity.is_some() { "https" } else { "http" };
        Ok(Self { records, scheme, address, _process: process })
    }

    pub(super) fn url(&self) -> String {
        format!("{}://{}/hooks/kasko", self.scheme, self.address)
    }
}

/// The hooks file. The command's output is part of the answer so that the answer waits for the record.
fn hook(script: &Path, records: &Path, secret: &str) -> String {
    let mut arguments = vec![
        json!({ "source": "string", "name": records.display().to_string() }),
        json!({ "source": "raw-request-body" }),
    ];
    arguments.extend(HEADERS.map(|name| json!({ "source": "header", "name": name })));
    let signature = json!({ "source": "header", "name": "X-KASKO-Signature" });
    let rule = json!({ "match": { "type": "payload-hmac-sha1", "secret": secret, "parameter": signature } });
    json!([{
        "id": "kasko",
        "execute-command": script.display().to_string(),
        "http-methods": ["POST"],
        "include-command-output-in-response": true,
        "pass-arguments-to-command": arguments,
        "trigger-rule": rule,
    }])
    .to_string()
}
