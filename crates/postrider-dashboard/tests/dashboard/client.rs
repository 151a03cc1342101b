//! A browser without a screen: cookies, forms, and nothing hidden about what goes over the wire.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::form_urlencoded::Serializer;

use crate::harness::{OPERATOR_KEY, PATIENCE, Service};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &str) -> String {
        let (_, rest) =
            self.body.split_once(&format!("name=\"{name}\" value=\"")).expect("the page has the field");
        rest.split('"').next().unwrap().to_owned()
    }
}

/// Somebody at a browser.
pub(crate) struct Visitor {
    address: SocketAddr,
    pub(crate) cookie: String,
    /// What every form carries.
    pub(crate) token: String,
    /// Further headers of every request.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Visitor {
    /// Somebody who is not logged in.
    pub(crate) fn stranger(service: &Service) -> Self {
        Self { address: service.address, cookie: String::new(), token: String::new(), headers: Vec::new() }
    }

    /// The operator, logged in.
    pub(crate) async fn operator(service: &Service) -> Self {
        let mut visitor = Self::stranger(service);
        let answer = visitor.log_in(OPERATOR_KEY).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/"));
        visitor.token = visitor.get("/").await.field("_token");
        visitor
    }

    pub(crate) async fn log_in(&mut self, key: &str) -> Answer {
        let answer = self.post_raw("/login", &[("key", key)]).await;
        if let Some(cookie) = answer.all("set-cookie").find(|cookie| cookie.starts_with("postrider_session="))
        {
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// Opens a live feed: its status, and the connection, on which it goes on.
    pub(crate) async fn watch(&self, path: &str) -> (u16, TcpStream) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {}\r\n\r\n",
            self.address, self.cookie
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), stream)
    }

    /// A form with the token of its page.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("_token", self.token.as_str())];
        all.extend(fields);
        self.post_raw(path, &all).await
    }

    /// A form with these fields alone.
    pub(crate) async fn post_raw(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask("POST", path, &body).await
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        tokio::time::timeout(PATIENCE, self.exchange(method, path, body)).await.expect("an answer in time")
    }

    async fn exchange(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if method == "POST" {
            let length = body.len();
            write!(
                request,
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
            )
            .unwrap();
        }
        if !self.cookie.is_empty() {
            write!(request, "Cookie: {}\r\n", self.cookie).unwrap();
        }
        for (name, value) in &self.headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        write!(request, "\r\n{body}").unwrap();
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers =
            lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned()));
        Answer { status, headers: headers.collect(), body: body.to_owned() }
    }
}
