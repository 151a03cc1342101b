//! The start-up banner of `serve`: its address, where a generated operator key is, and the way to a first webhook.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use postrider_core::address::AddressGuard;

use crate::config::Config;
use crate::operator_key::GeneratedKey;
use crate::terminal::{BOLD, DIM, NAME, WAIT, paint, say};

/// Prints it.
pub(crate) fn print(address: SocketAddr, config: &Config, generated_key: Option<&GeneratedKey>) {
    for line in lines(address, config, generated_key) {
        say(line);
    }
}

fn lines(address: SocketAddr, config: &Config, generated_key: Option<&GeneratedKey>) -> Vec<String> {
    let url = format!("http://{address}");
    let mut lines = vec![
        String::new(),
        format!("  {} {}", paint(BOLD, "Postrider"), paint(DIM, env!("CARGO_PKG_VERSION"))),
        String::new(),
        format!("  listening on   {}", paint(NAME, &url)),
        format!("  dashboard      {}", paint(NAME, format!("{url}/"))),
        format!("  store          {}", config.store),
        format!("  secrets' key   {}", config.master_key_file.display()),
    ];
    if let Some(key) = generated_key {
        let (shown, hint) = match key {
            GeneratedKey::Shown(key) => {
                (paint(WAIT.bold(), key), "shown this once: keep it where you keep passwords")
            }
            GeneratedKey::InFile(path) => (
                paint(NAME, path.display()),
                "a new key, readable by its owner only: move it to where you keep passwords",
            ),
        };
        lines.push(format!("  operator key   {shown}"));
        lines.push(format!("                 {}", paint(DIM, hint)));
        lines.push(String::new());
        lines.push("  Three commands to a first webhook, each in a terminal of its own:".to_owned());
        lines.push(String::new());
        lines.extend(first_steps(&url, &config.guard, key).into_iter().enumerate().map(
            |(index, (command, why))| {
                format!("  {}  {}\n     {}", index + 1, paint(BOLD, command), paint(DIM, why))
            },
        ));
    }
    lines.push(String::new());
    lines
}

/// Three commands to paste that lead to a first delivered webhook.
fn first_steps(url: &str, guard: &AddressGuard, key: &GeneratedKey) -> [(String, &'static str); 3] {
    let program = program();
    let key = match key {
        GeneratedKey::Shown(key) => key.clone(),
        GeneratedKey::InFile(path) => format!("\"$(cat {})\"", quoted(&path.display().to_string())),
    };
    let with_url = if url.ends_with("//127.0.0.1:8040") { String::new() } else { format!(" --url {url}") };
    let with_key = format!("POSTRIDER_KEY={key} {program}");
    let receive = (
        format!("{with_key} receive{with_url}"),
        "a receiver on this machine: subscribes itself, prints what arrives",
    );
    let trigger = (
        format!("{with_key} trigger policy.created{with_url}"),
        "an event; its webhook arrives at the receiver",
    );
    if guard.check_address(IpAddr::V4(Ipv4Addr::LOCALHOST)).is_ok() {
        let look = (
            format!("curl -u {key}: '{url}/v1/deliveries?limit=1'"),
            "the same as the log has it; GET /v1/deliveries/{id} shows its attempts",
        );
        return [receive, trigger, look];
    }
    let restart = (
        format!("{program} serve --allow-nets 127.0.0.0/8{}", listen_flag(url)),
        "instead of this one (stop it with Ctrl-C): deliveries reach no private address unless you allow it",
    );
    [restart, receive, trigger]
}

fn listen_flag(url: &str) -> String {
    if url.ends_with("//127.0.0.1:8040") {
        String::new()
    } else {
        format!(" --listen {}", &url["http://".len()..])
    }
}

/// A text as one word of a shell's command.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// How this program was called, for commands to paste.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "postrider".to_owned())
}
