//! The way out: which addresses deliveries may reach, whether names are found, and whether the collector is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use postrider_core::address::AddressGuard;
use postrider_sender::{
    Proxy, Resolve as _, Resolved, SystemResolver, Tenant, TrustSource, TrustStore, TrustStoreError,
};
use postrider_telemetry::{CollectorUrl, look};

use super::findings::Findings;
use crate::collector::means;

/// Where clouds tell whoever asks the machine's own credentials.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
];
/// A name that is there wherever names of the wide world are found.
const KNOWN_NAME: &str = "example.com";
/// Longest wait for a name.
const NAME_WITHIN: Duration = Duration::from_secs(5);

/// Longest wait for the collector.
const COLLECTOR_WITHIN: Duration = Duration::from_secs(5);

/// Whether the collector takes what is pushed. The service works without, so that it is never more than a warning.
pub(super) async fn collector(
    endpoint: &CollectorUrl,
    trust: TrustStore,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    match look(endpoint, means(trust)?, COLLECTOR_WITHIN).await {
        Ok(()) => findings.good("OTLP collector", format!("{endpoint} takes traces and metrics")),
        Err(why) => {
            let advice = if endpoint.has_port_of_grpc() {
                "4317 is the port of OTLP over gRPC; OTLP over HTTP, which is spoken here, has 4318"
            } else {
                "start the collector with its receiver for OTLP over HTTP, or leave --otlp-endpoint empty"
            };
            findings.warning(
                "OTLP collector",
                format!("{endpoint} does not take what is sent: {why}"),
                advice,
            );
        }
    }
    Ok(())
}

/// Which certificate authorities https receivers are checked against. The built-in ones if there is a fault, so that the
/// rest can be examined.
pub(super) fn trust(trust: Result<TrustStore, TrustStoreError>, findings: &mut Findings) -> TrustStore {
    match trust {
        Ok(trust) => {
            let remark = match trust.source() {
                TrustSource::System => "",
                TrustSource::BuiltIn => " (this machine has no store of its own)",
            };
            findings.good("TLS authorities", format!("deliveries trust {trust}{remark}"));
            trust
        }
        Err(why) => {
            findings.problem(
                "TLS authorities",
                why.to_string(),
                "correct --ca-file, SSL_CERT_FILE or SSL_CERT_DIR, or leave them unset",
            );
            TrustStore::built_in()
        }
    }
}

/// Whether what deliveries leave through is there.
pub(super) async fn proxy(proxy: &Proxy, findings: &mut Findings) {
    match proxy.takes_connections(&SystemResolver::new()).await {
        Ok(()) => {
            findings.good("proxy", format!("deliveries leave through {proxy}, which takes connections"))
        }
        Err(why) => findings.problem(
            "proxy",
            format!("deliveries leave through {proxy}, which {why}"),
            "start it, or correct --proxy; until it takes connections deliveries wait and use up no attempt",
        ),
    }
}

/// What the guard lets through.
pub(super) fn guard(guard: &AddressGuard, findings: &mut Findings) {
    let nets: Vec<String> = guard.allow_nets.iter().map(ToString::to_string).collect();
    if let Some(address) = METADATA.iter().find(|address| guard.check_address(**address).is_ok()) {
        return findings.warning(
            "address guard",
            format!(
                "deliveries may reach {address}, where clouds hand out credentials (allowed: {})",
                nets.join(", ")
            ),
            "allow smaller networks with --allow-nets",
        );
    }
    if guard.allow_nets.iter().any(|net| net.prefix_len() == 0) {
        let advice = "allow only the networks that receivers are in";
        return findings.warning("address guard", "every address is allowed, so nothing is guarded", advice);
    }
    let scheme = if guard.require_https { "https only" } else { "http and https" };
    match nets.as_slice() {
        [] => findings.good("address guard", format!("public addresses only, {scheme}")),
        _ => findings.good("address guard", format!("public addresses and {}, {scheme}", nets.join(", "))),
    }
}

/// Whether names are found, by the same resolver that deliveries use. A name that was asked for must be there; where
/// none was, one of the wide world is a hint.
pub(super) async fn names(wanted: &[String], findings: &mut Findings) {
    let resolver = SystemResolver::new();
    let known = [KNOWN_NAME.to_owned()];
    for name in if wanted.is_empty() { &known } else { wanted } {
        let deadline = tokio::time::Instant::now() + NAME_WITHIN;
        let found =
            tokio::time::timeout(NAME_WITHIN, resolver.resolve(name, Tenant::OPERATOR, deadline)).await;
        let why = match found {
            Ok(Ok(Resolved { addresses, .. })) if !addresses.is_empty() => {
                findings.good("DNS", format!("{name} is {}", addresses[0]));
                continue;
            }
            Ok(Ok(_)) => "it has no address".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_late) => format!("no answer within {} s", NAME_WITHIN.as_secs()),
        };
        let found = format!("{name} is not found: {why}");
        match wanted {
            [] => findings.warning(
                "DNS",
                found,
                "fine where all receivers are inside; else see /etc/resolv.conf",
            ),
            _ => findings.problem("DNS", found, "see the name servers in /etc/resolv.conf, and /etc/hosts"),
        }
    }
}
