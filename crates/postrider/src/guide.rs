//! What `serve` says when it is up: its address, the operator key once, and the way to a first webhook.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use postrider_core::address::AddressGuard;

use crate::config::Config;
use crate::terminal::{BOLD, DIM, NAME, WAIT, paint, say};

/// Says it.
pub(crate) fn print(address: SocketAddr, config: &Config, new_operator_key: Option<&str>) {
    for line in lines(address, config, new_operator_key) {
        say(line);
    }
}

fn lines(address: SocketAddr, config: &Config, new_operator_key: Option<&str>) -> Vec<String> {
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
    if let Some(key) = new_operator_key {
        lines.push(format!("  operator key   {}", paint(WAIT.bold(), key)));
        lines.push(format!(
            "                 {}",
            paint(DIM, "shown this once: keep it where you keep passwords")
        ));
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
fn first_steps(url: &str, guard: &AddressGuard, key: &str) -> [(String, &'static str); 3] {
    let program = program();
    let with_url = if url.ends_with("//127.0.0.1:8040") { String::new() } else { format!(" --url {url}") };
    let with_key = format!("POSTRIDER_OPERATOR_KEY={key} {program}");
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

/// How this program was called, for commands to paste.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "postrider".to_owned())
}
