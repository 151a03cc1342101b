//! The way out: which addresses deliveries may reach, whether names are found, and whether the collector is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use postrider_core::address::AddressGuard;
use postrider_sender::{
    Proxy, Resolve as _, Resolved, SystemResolver, Tenant, TrustSource, TrustStore, TrustStoreError,
};
use postrider_telemetry::{CollectorUrl, look};
use tokio::time::Instant;

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
            findings.good("TLS trust", format!("deliveries trust {trust}{remark}"));
            trust
        }
        Err(why) => {
            findings.problem(
                "TLS trust",
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
    let nets = |nets: &[IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (allowed, denied) = (nets(&guard.allow_nets), nets(&guard.deny_nets));
    if let Some(address) = METADATA.iter().find(|address| guard.check_address(**address).is_ok()) {
        return findings.warning(
            "address guard",
            format!("deliveries may reach {address}, where clouds hand out credentials (allowed: {allowed})"),
            "allow smaller networks with --allow-nets, or deny it with --deny-nets",
        );
    }
    let scheme = if guard.require_https { "https only" } else { "http and https" };
    let denied = if denied.is_empty() { String::new() } else { format!(", except {denied}") };
    if guard.allow_nets.iter().any(|net| net.prefix_len() == 0) {
        let advice = "allow only the networks that receivers are in";
        let found = match denied.as_str() {
            "" => "every address is allowed, so nothing is guarded".to_owned(),
            _ => format!("every address is allowed{denied}"),
        };
        return findings.warning("address guard", found, advice);
    }
    match allowed.as_str() {
        "" => findings.good("address guard", format!("public addresses only{denied}, {scheme}")),
        _ => findings.good("address guard", format!("public addresses and {allowed}{denied}, {scheme}")),
    }
}

/// Whether names are found, by the same resolver that deliveries use. A name that was asked for must be there; where
/// none was, one of the wide world is a hint.
pub(super) async fn names(resolver: &SystemResolver, wanted: &[String], findings: &mut Findings) {
    if wanted.is_empty() && matches!(resolver.name_servers().await.as_deref(), Ok([])) {
        return findings.warning(
            "DNS",
            "no name server is configured in /etc/resolv.conf, so only localhost and the names in /etc/hosts are found",
            "add a nameserver line; until then deliveries to other names wait and use up no attempt",
        );
    }
    let known = [KNOWN_NAME.to_owned()];
    for name in if wanted.is_empty() { &known } else { wanted } {
        let why = match resolver.resolve(name, Tenant::OPERATOR, Instant::now() + NAME_WITHIN).await {
            Ok(Resolved { addresses, .. }) if !addresses.is_empty() => {
                findings.good("DNS", format!("{name} is {}", addresses[0]));
                continue;
            }
            Ok(_) => "it has no address".to_owned(),
            Err(error) => error.to_string(),
        };
        let found = format!("{name} is not found: {why}");
        match wanted {
            [] => findings.warning(
                "DNS",
                found,
                "deliveries to public names fail or wait; see the name servers in /etc/resolv.conf",
            ),
            _ => findings.problem("DNS", found, "see the name servers in /etc/resolv.conf, and /etc/hosts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use postrider_sender::ResolverFiles;
    use postrider_sender::limits::MAX_CONCURRENT_LOOKUPS;

    use super::*;

    fn resolver(folder: &Path) -> SystemResolver {
        let files = ResolverFiles {
            resolv_conf: folder.join("resolv.conf"),
            hosts: folder.join("hosts"),
            ..ResolverFiles::default()
        };
        SystemResolver::with(files, MAX_CONCURRENT_LOOKUPS)
    }

    #[tokio::test]
    async fn a_machine_without_a_name_server_is_told_so_and_its_own_names_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hosts"), "127.0.0.1 receiver.internal\n").unwrap();
        for empty_file in [false, true] {
            if empty_file {
                std::fs::write(folder.path().join("resolv.conf"), "search corp.test\n").unwrap();
            }
            let resolver = resolver(folder.path());
            let mut found = Findings::default();
            names(&resolver, &[], &mut found).await;
            assert!(!found.has_problems());
            let told = found.to_json().to_string();
            assert!(told.contains("\"warning\"") && told.contains("no name server is configured"), "{told}");
            assert!(!told.contains("fine where"), "{told}");

            let mut found = Findings::default();
            names(&resolver, &["receiver.internal".to_owned(), "localhost".to_owned()], &mut found).await;
            assert!(!found.has_problems(), "{}", found.to_json());
            names(&resolver, &["example.com".to_owned()], &mut found).await;
            assert!(found.has_problems());
        }
    }

    #[test]
    fn denied_networks_are_shown_beside_allowed_ones() {
        let nets = |text: &str| vec![text.parse().unwrap()];
        let told = |guarded: &AddressGuard| {
            let mut found = Findings::default();
            guard(guarded, &mut found);
            found.to_json()["checks"][0].clone()
        };
        let strict = AddressGuard { deny_nets: nets("8.8.8.0/24"), ..AddressGuard::default() };
        assert_eq!(told(&strict)["found"], "public addresses only, except 8.8.8.0/24, http and https");
        let open = AddressGuard { allow_nets: nets("169.254.0.0/16"), ..AddressGuard::default() };
        assert_eq!(told(&open)["status"], "warning");
        let closed = AddressGuard { deny_nets: nets("169.254.169.254/32"), ..open };
        assert_eq!(told(&closed)["status"], "good");
    }
}
