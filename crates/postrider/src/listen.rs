//! `postrider listen`: follows the service's deliveries and posts each, as a webhook, to a port on this machine.
//!
//! A delivery is forwarded once, when its first attempt has ended. After a cut the stream goes on where it broke off.

mod stream;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hyper::Uri;
use postrider_core::event_type::Subscription;
use postrider_core::secret::Secret;
use postrider_engine::check_header_prefix;
use postrider_signature::kasko;
use serde_json::Value;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use self::stream::{Message, Parser};
use self::wire::{Answer, Wire};
use crate::cli::ListenArgs;
use crate::client::{Service, path_of, path_with, problem_in_words};
use crate::resources::printable;
use crate::terminal::{BAD, BOLD, DIM, GOOD, NAME, WAIT, paint, say};
use crate::trust;

/// How long a stream may say nothing: the service says every 15 s that it is there.
const SILENCE: Duration = Duration::from_secs(45);
/// How long to wait before a stream is opened again.
const PAUSE: Duration = Duration::from_secs(2);

/// Reads the URL to forward to.
pub(crate) fn target(text: &str) -> Result<Uri, String> {
    let wrong = "forward to an http URL, such as http://127.0.0.1:3000/webhooks";
    let uri: Uri = text.parse().map_err(|_not_a_uri| wrong.to_owned())?;
    if uri.scheme_str() == Some("http") && uri.host().is_some() { Ok(uri) } else { Err(wrong.to_owned()) }
}

/// Why a stream ended.
enum End {
    /// It broke off, or the service let go of it: it is opened again.
    Cut(String),
    /// It would end again.
    Refused(anyhow::Error),
}

/// What listening works with.
struct Listener {
    args: ListenArgs,
    wire: Wire,
    service: Service,
    types: Subscription,
    secret: String,
    /// Where the stream is to go on.
    last_id: Option<String>,
    forwarded: Arc<AtomicU64>,
}

/// Runs until Ctrl-C.
pub(crate) fn run(args: ListenArgs) -> anyhow::Result<ExitCode> {
    let mut listener = Listener::new(args)?;
    let forwarded = Arc::clone(&listener.forwarded);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (tell, told) = tokio::sync::oneshot::channel();
    // It waits where it reads; Ctrl-C does not wait for it.
    std::thread::spawn(move || drop(tell.send(listener.run())));
    runtime.context("the runtime can't start")?.block_on(async {
        tokio::select! {
            ended = told => ended.context("listening broke off")??,
            _ = tokio::signal::ctrl_c() => {}
        }
        let forwarded = forwarded.load(Ordering::Relaxed);
        say(paint(DIM, format!("\n  {forwarded} deliveries forwarded")));
        Ok(ExitCode::SUCCESS)
    })
}

impl Listener {
    fn new(args: ListenArgs) -> anyhow::Result<Self> {
        let service = Service::of(&args.client)?;
        check_header_prefix(&args.header_prefix)?;
        let types = Subscription::parse(&args.types).map_err(|(_, why)| why).context("--types")?;
        let secret = match &args.secret {
            Some(secret) => {
                Secret::parse(secret).context("--secret")?;
                secret.clone()
            }
            None => made_secret()?,
        };
        // Wrong from the beginning is better said at the beginning; that nobody listens there yet is no fault.
        wire::addresses(&args.forward_to, args.allow_remote)?;
        Ok(Self {
            wire: Wire::new(&trust::of_client(args.client.ca_file.as_deref(), &service.base)?),
            service,
            types,
            secret,
            last_id: None,
            forwarded: Arc::default(),
            args,
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let mut was_open = false;
        loop {
            match self.follow(&mut was_open) {
                End::Refused(why) => return Err(why),
                End::Cut(why) if !was_open => bail!("{why}"),
                End::Cut(why) => {
                    say(paint(WAIT, format!("  {}; coming back", printable(&why))));
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Opens the stream and forwards until it ends.
    fn follow(&mut self, was_open: &mut bool) -> End {
        let filters = [
            ("account", self.args.account.clone()),
            ("endpoint", self.args.endpoint.clone()),
            ("livemode", self.args.mode.parameter()),
        ];
        let url = format!("{}{}", self.service.base, path_with("/v1/deliveries/stream", &filters));
        let last_id = self.last_id.as_deref().unwrap_or_default();
        let pieces = match self.wire.stream(&url, &self.service.bearer, last_id) {
            Ok(Ok(pieces)) => pieces,
            Ok(Err(answer)) => return refused(&answer),
            Err(why) => return End::Cut(format!("{:#}", self.service.no_response(&why))),
        };
        if !std::mem::replace(was_open, true) {
            self.greet();
        }
        let mut parser = Parser::default();
        loop {
            let piece = match pieces.recv_timeout(SILENCE) {
                Ok(Ok(piece)) => piece,
                Ok(Err(why)) => return End::Cut(format!("the stream broke off: {why}")),
                Err(RecvTimeoutError::Disconnected) => return End::Cut("the stream ended".to_owned()),
                Err(RecvTimeoutError::Timeout) => return End::Cut("the stream fell silent".to_owned()),
            };
            let messages = match parser.feed(&piece) {
                Ok(messages) => messages,
                Err(why) => return End::Refused(why.into()),
            };
            for message in messages {
                if let Err(end) = self.take(message) {
                    return end;
                }
            }
        }
    }

    fn greet(&self) {
        say(format!("  {} {}", paint(BOLD, "forwarding to"), self.args.forward_to));
        say(format!("  {}         {}", paint(DIM, "types"), self.args.types.join(", ")));
        say(format!("  {}   {}", paint(DIM, "signed with"), self.secret));
        say(paint(DIM, "  waiting for deliveries; Ctrl-C ends this\n"));
    }

    /// Takes one message of the stream.
    fn take(&mut self, message: Message) -> Result<(), End> {
        let line: Value = serde_json::from_str(&message.data).unwrap_or_default();
        match message.event.as_str() {
            "attempt" => {
                // Only behind it: what could not be forwarded because of a cut is forwarded after it.
                self.forward(&line)?;
                self.last_id = message.id.or(self.last_id.take());
                Ok(())
            }
            "end" => {
                let detail = text(&line, "detail").to_owned();
                let is_final = text(&line, "reason") == "unauthorized";
                Err(if is_final { End::Refused(anyhow::anyhow!(detail)) } else { End::Cut(detail) })
            }
            _ => Ok(()),
        }
    }

    /// Forwards a delivery whose first attempt this is, and says what came back.
    fn forward(&self, line: &Value) -> Result<(), End> {
        let (event, event_type) = (text(line, "event"), text(line, "type"));
        let is_first = line.pointer("/attempt/number").and_then(Value::as_u64) == Some(1);
        if !is_first || !self.types.matches(event_type) {
            return Ok(());
        }
        let guid = paint(DIM, printable(event));
        let Some(payload) = self.payload(event)? else {
            say(format!("  {} {guid}  its payload is not in the log any more", paint(WAIT, "…")));
            return Ok(());
        };
        let began = Instant::now();
        let answer = self.post(event, event_type, &payload);
        let took = began.elapsed().as_millis();
        self.forwarded.fetch_add(1, Ordering::Relaxed);
        let (sign, words) = match answer {
            Ok(status) if (200..300).contains(&status) => {
                (paint(GOOD, "✓"), format!("answered {status} in {took} ms"))
            }
            Ok(status) => (paint(BAD, "✗"), format!("answered {status} in {took} ms")),
            Err(why) => (paint(BAD, "✗"), printable(&format!("{why:#}"))),
        };
        say(format!("  {sign} {}  {words}  {guid}", paint(NAME, printable(event_type))));
        Ok(())
    }

    /// The event's exact bytes; none where they are gone.
    fn payload(&self, event: &str) -> Result<Option<Vec<u8>>, End> {
        let url = format!("{}{}/payload", self.service.base, path_of("events", event));
        let answer = self.wire.get(&url, &self.service.bearer);
        let answer = answer.map_err(|why| End::Cut(format!("a payload could not be read: {why:#}")))?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => Err(refused(&answer)),
        }
    }

    /// Posts it as the service would have, and gives the answer's status.
    fn post(&self, event: &str, event_type: &str, payload: &[u8]) -> anyhow::Result<u16> {
        let prefix = &self.args.header_prefix;
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("Content-Type".to_owned(), "application/json"),
            ("User-Agent".to_owned(), concat!("Postrider/", env!("CARGO_PKG_VERSION"))),
            (format!("{prefix}Event"), event_type),
            (format!("{prefix}Delivery"), event),
            (format!("{prefix}Signature"), &kasko::sign(&self.secret, payload)),
        ] {
            headers.insert(HeaderName::try_from(name)?, HeaderValue::from_str(value)?);
        }
        Ok(self.wire.post(&self.args.forward_to, self.args.allow_remote, &headers, payload)?.status)
    }
}

/// What an answer that is a problem ends: what is wrong with the request stays so.
fn refused(answer: &Answer) -> End {
    let words = problem_in_words(answer.status, &String::from_utf8_lossy(&answer.body));
    if answer.status >= 500 || answer.status == 429 {
        End::Cut(words)
    } else {
        End::Refused(anyhow::anyhow!(words))
    }
}

fn text<'v>(line: &'v Value, name: &str) -> &'v str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A secret for this run.
fn made_secret() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the operating system gives no randomness")?;
    Ok(Secret::generate(&bytes).expose().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_http_url_is_a_target() {
        assert!(target("http://localhost:3000/x?y=z").is_ok() && target("http://[::1]:3000").is_ok());
        for wrong in ["", "3000", "localhost:3000", "https://localhost", "ftp://localhost/", "http://", "/x"]
        {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
