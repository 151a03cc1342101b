//! Starts a driver and a browser of its own for one test, and ends both with it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

use crate::harness::{OPERATOR_KEY, PATIENCE, Service};

/// How a browser starts: without a screen, without the world, without a trace.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,900",
];

/// A browser.
pub(crate) struct Browser {
    pub(crate) client: Client,
    base: String,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) async fn start(service: &Service) -> Self {
        Self::start_with(service, json!({})).await
    }

    /// One that runs no script.
    pub(crate) async fn without_javascript(service: &Service) -> Self {
        Self::start_with(service, json!({ "profile.managed_default_content_settings.javascript": 2 })).await
    }

    async fn start_with(service: &Service, preferences: Value) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let (driver, port) = start_driver();
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({ "args": flags, "prefs": preferences });
        let wanted = json!({ "goog:chromeOptions": options });
        let Value::Object(wanted) = wanted else { unreachable!("it is an object") };
        let connect = async {
            let url = format!("http://127.0.0.1:{port}");
            loop {
                // Until the driver listens.
                if let Ok(client) =
                    ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
                        .capabilities(wanted.clone())
                        .connect(&url)
                        .await
                {
                    return client;
                }
                tokio::task::yield_now().await;
            }
        };
        let client = tokio::time::timeout(PATIENCE, connect).await.expect("the browser starts in time");
        Self { client, base: service.url(""), driver, _profile: profile }
    }

    pub(crate) async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.base)).await.unwrap();
    }

    pub(crate) async fn log_in(&self) {
        self.go("/login").await;
        self.fill("#key", OPERATOR_KEY).await;
        self.press("Log in").await;
        self.until("h1", "Home").await;
    }

    /// The first element that a selector finds, waited for.
    pub(crate) async fn find(&self, selector: &str) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|why| panic!("{selector}: {why}"))
    }

    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let field = self.find(selector).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.unwrap();
    }

    /// Presses the button with this text.
    pub(crate) async fn press(&self, text: &str) {
        let path = format!("//button[contains(normalize-space(.), '{text}')]");
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
        found.unwrap_or_else(|why| panic!("{text}: {why}")).click().await.unwrap();
    }

    /// Follows the link with this text.
    pub(crate) async fn follow(&self, text: &str) {
        let path = format!("//a[contains(normalize-space(.), '{text}')]");
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
        found.unwrap_or_else(|why| panic!("{text}: {why}")).click().await.unwrap();
    }

    /// Waits until the elements that a selector finds have this text among them. The page may change meanwhile.
    pub(crate) async fn until(&self, selector: &str, text: &str) {
        let shown = async {
            loop {
                let mut texts = String::new();
                for element in self.client.find_all(Locator::Css(selector)).await.unwrap_or_default() {
                    // It may be gone by now.
                    texts.push_str(&element.text().await.unwrap_or_default());
                }
                if texts.contains(text) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, shown).await.is_err() {
            let page = self.text("body").await;
            panic!(
                "{text:?} does not come up at {selector} of {}:\n{page}",
                self.client.current_url().await.unwrap()
            );
        }
    }

    pub(crate) async fn text(&self, selector: &str) -> String {
        self.find(selector).await.text().await.unwrap()
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    pub(crate) async fn close(self) {
        drop(self.client.clone().close().await);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes its browser with it when it is told to end.
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

fn start_driver() -> (Child, u16) {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let started = Command::new("chromedriver")
        .arg(format!("--port={port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let driver = started
        .expect("chromedriver is there: apt-get install chromium chromium-driver, or cargo xtask test");
    (driver, port)
}
