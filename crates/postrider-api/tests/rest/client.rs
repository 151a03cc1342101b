//! A tiny HTTP/1.1 client: one connection, requests written as they are told, answers read by their
//! `Content-Length`. Every answer is judged by what holds for all of them.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::described;

/// An open connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Bytes that came behind the last answer.
    rest: Vec<u8>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), rest: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a request with these headers and this body, and reads the answer.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: api\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.send(&[head.as_bytes(), body].concat()).await;
        let answer = self.answer().await;
        described::judge(method, path, &answer);
        answer
    }

    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("the connection was closed before the answer was whole")
    }

    /// Reads one answer, or none where the connection is closed before a whole one.
    pub(crate) async fn try_answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.read_more().await?;
        };
        let head = String::from_utf8(self.rest.drain(..head_end).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
        while self.rest.len() < length {
            self.read_more().await?;
        }
        let body = self.rest.drain(..length).collect();
        let answer = Answer { status, headers, body };
        if status != 100 {
            answer.judge();
        }
        Some(answer)
    }

    async fn read_more(&mut self) -> Option<()> {
        let mut buffer = vec![0; 16 * 1024];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.rest.extend_from_slice(&buffer[..count]);
                Some(())
            }
        }
    }

    /// Whether the server has closed the connection, without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.rest.is_empty() && self.read_more().await.is_none()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The pointers of a 422's faults, in their order.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let problem = self.json();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }

    /// The problem's word for programs.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap().to_owned()
    }

    /// What holds for every answer: a request id, no caching; and for each that tells of an error, problem+json.
    fn judge(&self) {
        let request_id = self.header("x-request-id").expect("every answer has a request id");
        assert!(request_id.starts_with("req_") && request_id.len() >= 28, "{request_id}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        if self.status < 400 {
            return;
        }
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.status);
        if self.body.is_empty() {
            return; // an answer to HEAD
        }
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["request_id"], request_id, "{problem}");
        for field in ["type", "title", "detail", "code"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {problem}");
        }
        for error in problem["errors"].as_array().into_iter().flatten() {
            let pointer = error["pointer"].as_str().unwrap();
            assert!(pointer.is_empty() || pointer.starts_with('/'), "{problem}");
            assert!(!error["detail"].as_str().unwrap().is_empty(), "{problem}");
        }
        let retry_after = self.header("retry-after");
        assert_eq!(
            matches!(self.status, 429 | 503),
            retry_after.is_some_and(|s| s.parse::<u32>().is_ok()),
            "{problem}"
        );
        assert_eq!(self.status == 401, self.header("www-authenticate").is_some(), "{problem}");
    }
}
