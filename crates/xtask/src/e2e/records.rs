//! What the receivers wrote down: a folder with, for each request they accepted, the raw body in `GUID.N.body`
//! and lines of `Name: value` in `GUID.N.headers`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::events::Event;
use super::rest::Accepted;

/// The records of one receiver.
pub(super) struct Records {
    folder: PathBuf,
}

/// One request as it arrived.
struct Record {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Records {
    /// A new, empty folder `NAME.records`.
    pub(super) fn new(folder: &Path, name: &str) -> Result<Self> {
        let folder = folder.join(format!("{name}.records"));
        std::fs::create_dir(&folder)?;
        Ok(Self { folder })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many requests were written down.
    pub(super) fn count(&self) -> Result<usize> {
        Ok(self.bodies("")?.len())
    }

    /// Proves that an event arrived exactly once, byte for byte and under the headers of the contract.
    pub(super) fn prove(&self, event: &Event, accepted: &Accepted) -> Result<()> {
        let bodies = self.bodies(&accepted.guid)?;
        let [body] = bodies.as_slice() else {
            bail!("{} was written down {} times, not once", event.kind, bodies.len());
        };
        let record = Record::read(body)?;
        if record.body != event.payload.as_bytes() {
            let got = String::from_utf8_lossy(&record.body);
            bail!("{} arrived with other bytes.\nsent: {}\ngot:  {got}", event.kind, event.payload);
        }
        record.prove_headers(event, &accepted.guid).with_context(|| format!("of {}", event.kind))
    }

    /// Whether an event's request carried a second signature.
    pub(super) fn has_next_signature(&self, accepted: &Accepted) -> Result<bool> {
        let bodies = self.bodies(&accepted.guid)?;
        let body = bodies.first().context("it was not written down")?;
        Ok(Record::read(body)?.header("x-kasko-signature-next").is_some())
    }

    fn bodies(&self, guid: &str) -> Result<Vec<PathBuf>> {
        let mut bodies = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(guid) && name.ends_with(".body") {
                bodies.push(path);
            }
        }
        Ok(bodies)
    }
}

impl Record {
    fn read(body: &Path) -> Result<Self> {
        let lines = std::fs::read_to_string(body.with_extension("headers"))?;
        let pairs = lines.lines().filter_map(|line| line.split_once(": "));
        let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Ok(Self { headers, body: std::fs::read(body)? })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The signature's value is not computed again here: the receiver did that before it wrote anything down.
    fn prove_headers(&self, event: &Event, guid: &str) -> Result<()> {
        if !is_hex(guid, 32) {
            bail!("the guid `{guid}` isn't 32 lower-case hex digits");
        }
        let length = event.payload.len().to_string();
        for (name, expected) in [
            ("x-kasko-event", event.kind),
            ("x-kasko-delivery", guid),
            ("content-type", "application/json"),
            ("content-length", &length),
        ] {
            if self.header(name) != Some(expected) {
                bail!("the header {name} is {:?}, not `{expected}`", self.header(name));
            }
        }
        let signature = self.header("x-kasko-signature").and_then(|value| value.strip_prefix("sha1="));
        if !signature.is_some_and(|digits| is_hex(digits, 40)) {
            bail!("the signature is {signature:?}");
        }
        if !self.header("user-agent").is_some_and(|agent| agent.starts_with("Postrider/")) {
            bail!("the user agent is {:?}", self.header("user-agent"));
        }
        match ["transfer-encoding", "accept-encoding"].iter().find(|name| self.header(name).is_some()) {
            Some(name) => bail!("there is a header {name}"),
            None => Ok(()),
        }
    }
}

/// Whether a text is so many lower-case hex digits.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
