//! The command line's own client of the REST API. It talks to the operator's service and to nobody else.

mod outcome;
mod service;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::TlsConfig;

use self::outcome::advise;
pub(crate) use self::service::Service;
use crate::cli::ClientArgs;
use crate::trust;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The advice after a call without an idempotency key whose outcome is unknown.
const LOOK_FIRST: &str = "check before you repeat the command";
/// The advice after a call with a key that the caller chose.
const REPEAT_WITH_SAME_KEY: &str =
    "repeat the command with the same --idempotency-key: it is safe, it is carried out only once";

/// A client of one service.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    service: Service,
}

impl Client {
    /// A client for the service and key that the arguments name.
    pub(crate) fn new(args: &ClientArgs) -> anyhow::Result<Self> {
        let service = Service::of(args)?;
        Ok(Self::trusting(trust::of_client(args.ca_file.as_deref(), &service.base)?, service))
    }

    /// A client for this service with this key.
    pub(crate) fn with(url: &str, key: &str) -> anyhow::Result<Self> {
        Ok(Self::trusting(TlsConfig::default(), Service::new(url, key)?))
    }

    fn trusting(tls: TlsConfig, service: Service) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .tls_config(tls)
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .build()
            .new_agent();
        Self { agent, service }
    }

    /// GET, answered in JSON.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.get(self.url(path)).header("Authorization", &self.service.bearer);
        self.read(request.call(), path)
    }

    /// POST of JSON text, answered in JSON.
    ///
    /// An error says so if the call may have been carried out all the same.
    pub(crate) fn post(&self, path: &str, body: &str) -> anyhow::Result<Value> {
        let request = self
            .agent
            .post(self.url(path))
            .header("Authorization", &self.service.bearer)
            .header("Content-Type", "application/json");
        self.read(request.send(body), path).map_err(|error| advise(error, LOOK_FIRST))
    }

    /// POST of JSON text that creates something, with this idempotency key or a random one. Returns the response, and
    /// whether an earlier call with the key got it.
    ///
    /// An error names the key to repeat the call with if the call may have been carried out.
    pub(crate) fn post_once(
        &self,
        path: &str,
        body: &str,
        idempotency_key: Option<&str>,
    ) -> anyhow::Result<(Value, bool)> {
        let (key, advice) = match idempotency_key {
            Some(key) => (key.to_owned(), REPEAT_WITH_SAME_KEY.to_owned()),
            None => {
                let key = random_key()?;
                let advice = format!(
                    "repeat the command with --idempotency-key {key}; then it is carried out only once"
                );
                (key, advice)
            }
        };
        let request = self
            .agent
            .post(self.url(path))
            .header("Authorization", &self.service.bearer)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", key);
        let answer = request.send(body);
        let is_replayed =
            answer.as_ref().is_ok_and(|answer| answer.headers().contains_key("idempotency-replayed"));
        let answer = self.read(answer, path).map_err(|error| advise(error, &advice))?;
        Ok((answer, is_replayed))
    }

    /// PATCH of JSON text, answered in JSON.
    pub(crate) fn patch(&self, path: &str, body: &str) -> anyhow::Result<Value> {
        let request = self
            .agent
            .patch(self.url(path))
            .header("Authorization", &self.service.bearer)
            .header("Content-Type", "application/json");
        self.read(request.send(body), path).map_err(|error| advise(error, LOOK_FIRST))
    }

    /// GET, answered in bytes that are taken as they are.
    pub(crate) fn get_bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = self.agent.get(self.url(path)).header("Authorization", &self.service.bearer);
        self.take(request.call(), path)
    }

    /// DELETE.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<()> {
        let request = self.agent.delete(self.url(path)).header("Authorization", &self.service.bearer);
        self.read(request.call(), path).map(drop).map_err(|error| advise(error, LOOK_FIRST))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.service.base)
    }

    /// The answer's JSON, or its problem in words.
    fn read(&self, answer: Result<Response<ureq::Body>, ureq::Error>, path: &str) -> anyhow::Result<Value> {
        let bytes = self.take(answer, path)?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).with_context(|| format!("{path}: the answer is not JSON"))
    }

    /// The answer's bytes, or its problem in words.
    fn take(&self, answer: Result<Response<ureq::Body>, ureq::Error>, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut answer = answer.map_err(|error| {
            let was_sent = outcome::may_have_been_sent(&error);
            let error = self.service.no_response(&error);
            if was_sent { outcome::unknown(error) } else { error }
        })?;
        let bytes = answer.body_mut().read_to_vec();
        let bytes =
            bytes.with_context(|| format!("{path}: the answer can't be read")).map_err(outcome::unknown)?;
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            return Ok(bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut words = problem_in_words(status, &text);
        if status == 401 {
            words.push_str(&format!("\n  the service asked is {}", self.service.base));
        }
        let error = anyhow!("{words}");
        Err(if outcome::is_unknown_after(status, &text) { outcome::unknown(error) } else { error })
    }
}

/// An idempotency key that no other call has.
fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// `/v1/KIND/ID`, whatever stands in the id.
pub(crate) fn path_of(kind: &str, id: &str) -> String {
    format!("/v1/{kind}/{}", encoded(id))
}

/// A path with those parameters that have a value.
pub(crate) fn path_with(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let mut whole = path.to_owned();
    for (index, (name, value)) in given.enumerate() {
        let before = if index == 0 { '?' } else { '&' };
        whole.push_str(&format!("{before}{name}={}", encoded(value)));
    }
    whole
}

/// A text as a part of a path or a query: all but RFC 3986's unreserved characters are encoded.
pub(crate) fn encoded(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => whole.push(char::from(byte)),
            // A lone dot would be a step within the path.
            b'.' if text.bytes().any(|byte| byte != b'.') => whole.push('.'),
            other => whole.push_str(&format!("%{other:02X}")),
        }
    }
    whole
}

/// A problem document as a person reads it.
pub(crate) fn problem_in_words(status: u16, text: &str) -> String {
    let Ok(problem) = serde_json::from_str::<Value>(text) else {
        return format!("the service answered {status}");
    };
    let word = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut words = match (word("title"), word("detail")) {
        (title, detail) if detail.is_empty() => format!("{title} ({status})"),
        (_, detail) => format!("{detail} ({status})"),
    };
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        words.push_str(&format!("\n  {} {}", part("pointer"), part("detail")));
    }
    words
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::sync::Arc;

    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;

    /// A service behind TLS that answers one request, and the certificate that it shows.
    fn behind_tls() -> (String, String) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("it is made");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("they are known")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("they belong together");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("one comes");
            let mut connection = rustls::ServerConnection::new(Arc::new(config)).expect("it is valid");
            let mut stream = rustls::Stream::new(&mut connection, &mut socket);
            // Whoever does not trust it goes away.
            if stream.read(&mut [0; 4096]).is_ok() {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"data\": []}";
                stream.write_all(answer.as_bytes()).expect("it is read");
                connection.send_close_notify();
                drop(connection.write_tls(&mut socket));
            }
        });
        (format!("https://localhost:{port}"), cert.pem())
    }

    fn client_of(url: String, ca_file: Option<PathBuf>) -> Client {
        Client::new(&ClientArgs { url, key: Some("a-key".to_owned()), ca_file }).expect("it is made")
    }

    #[test]
    fn a_service_behind_tls_is_talked_to_where_its_certificate_is_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let (url, pem) = behind_tls();
        std::fs::write(&file, pem).unwrap();
        assert_eq!(client_of(url, Some(file)).get("/v1/accounts").unwrap()["data"], serde_json::json!([]));

        let (url, _pem) = behind_tls();
        let refused = client_of(url, None).get("/v1/accounts").unwrap_err();
        assert!(format!("{refused:#}").contains("certificate"), "{refused:#}");
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let refused = |file: &std::path::Path| format!("{:#}", trust::of_client(Some(file), "").unwrap_err());
        assert!(refused(&file).contains("No such file"), "{}", refused(&file));
        std::fs::write(&file, "not PEM").unwrap();
        assert!(refused(&file).contains("holds no certificate in PEM"), "{}", refused(&file));
    }

    #[test]
    fn no_text_leaves_its_place_in_a_path_or_a_query() {
        assert_eq!(path_of("event-types", "policy.created"), "/v1/event-types/policy.created");
        assert_eq!(path_of("accounts", "../x?y#z"), "/v1/accounts/..%2Fx%3Fy%23z");
        assert_eq!(path_of("accounts", ".."), "/v1/accounts/%2E%2E");
        let parameters = [("a", None), ("b", Some("1&c=2 ü".to_owned())), ("d", Some(String::new()))];
        assert_eq!(path_with("/v1/x", &parameters), "/v1/x?b=1%26c%3D2%20%C3%BC&d=");
        assert_eq!(path_with("/v1/x", &[("a", None)]), "/v1/x");
    }
}
