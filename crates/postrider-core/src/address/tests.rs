//! Tables for the address guard: addresses, spellings of them, and URLs.

use super::*;

fn guard() -> AddressGuard {
    AddressGuard::default()
}

#[test]
fn addresses_inside_are_forbidden_and_public_ones_are_not() {
    for forbidden in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:8.8.8.8",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "2a00::5efe:10.0.0.1",
        "2a00::5efe:8.8.8.8",
        "2a00:1:2:3:200:5efe:808:808",
        "2a00:1:2:3:300:5efe:808:808",
    ] {
        assert!(guard().check_address(forbidden.parse().unwrap()).is_err(), "{forbidden}");
    }
    for public in [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.167.1.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.254",
        "2606:4700::1111",
        "2001:4860::8888",
        "2a00:1450::1",
        "2a00:1450::400:5efe:808:808",
        "2a00:5efe::1",
    ] {
        assert_eq!(guard().check_address(public.parse().unwrap()), Ok(()), "{public}");
    }
}

#[test]
fn the_operator_can_allow_a_net_and_nothing_beside_it() {
    let guard = AddressGuard { allow_nets: vec!["127.0.0.0/8".parse().unwrap()], ..guard() };
    assert_eq!(guard.check_address("127.0.0.1".parse().unwrap()), Ok(()));
    assert!(guard.check_address("10.0.0.1".parse().unwrap()).is_err());
    assert!(guard.check_address("::1".parse().unwrap()).is_err());
    assert!(guard.check_address("::ffff:127.0.0.1".parse().unwrap()).is_err(), "a mapped one is not it");
}

#[test]
fn a_denied_net_wins_over_an_allowed_one_in_every_spelling() {
    let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect();
    let guard = AddressGuard {
        allow_nets: nets(&["0.0.0.0/0", "::/0"]),
        deny_nets: nets(&["10.0.0.0/8", "8.8.8.0/24", "2a00:1::/32"]),
        ..guard()
    };
    for denied in [
        "10.1.2.3",
        "8.8.8.8",
        "2a00:1::7",
        "::ffff:10.1.2.3",
        "::10.1.2.3",
        "::ffff:0:10.1.2.3",
        "64:ff9b::10.1.2.3",
        "64:ff9b:1::10.1.2.3",
        "2002:0a01:0203::1",
        "2001:0:1:2:3:4:f5fe:fdfc",
        "2a00::5efe:10.1.2.3",
    ] {
        let blocked = guard.check_address(denied.parse().unwrap()).expect_err(denied);
        assert_eq!(blocked.kind, "an address that this installation denies");
    }
    for allowed in ["127.0.0.1", "8.8.9.8", "2a00:2::7", "::ffff:11.1.2.3"] {
        assert_eq!(guard.check_address(allowed.parse().unwrap()), Ok(()), "{allowed}");
    }
    let mapped = AddressGuard { deny_nets: nets(&["::ffff:1.1.1.0/120"]), ..AddressGuard::default() };
    assert!(mapped.check_address("1.1.1.1".parse().unwrap()).is_err(), "denied by its mapped form");
    assert!(mapped.check_url("https://1.1.1.1/").is_err());
    assert!(AddressGuard::default().check_address("1.1.1.1".parse().unwrap()).is_ok());
}

#[test]
fn every_spelling_of_a_forbidden_literal_is_caught() {
    for spelling in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://127.0.0.1./",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://①②⑦.0.0.1/",
        "https://[::ffff:7f00:1]:8443/hook",
        "http://127。0。0。1/",
        "http://0/",
        "http://%31%32%37.0.0.1/",
    ] {
        let refused = guard().check_url(spelling).expect_err(spelling);
        assert!(matches!(refused, UrlRefused::Blocked(_)), "{spelling}: {refused}");
    }
}

#[test]
fn customers_read_that_an_address_is_forbidden_and_not_why() {
    let guard = AddressGuard { deny_nets: vec!["1.1.1.0/24".parse().unwrap()], ..guard() };
    for text in ["http://10.0.0.1/", "http://1.1.1.1/", "http://[::1]/"] {
        let refused = guard.check_url(text).expect_err(text);
        assert_eq!(refused.for_customers(), "leads to a forbidden address; use a public one");
        assert!(refused.to_string().contains("which deliveries may not reach"));
    }
    let other = guard.check_url("ftp://example.com").unwrap_err();
    assert_eq!(other.for_customers(), other.to_string());
}

const LONG_LABEL: &str = "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test/";

#[test]
fn a_url_that_can_not_be_an_endpoint_is_refused_with_its_reason() {
    use UrlRefused as R;
    type IsExpected = fn(&UrlRefused) -> bool;
    let table: &[(&str, IsExpected)] = &[
        ("", |r| matches!(r, R::Malformed(_))),
        ("example.com/hook", |r| matches!(r, R::Malformed(_))),
        ("https://", |r| matches!(r, R::Malformed(_))),
        ("ftp://example.com/", |r| matches!(r, R::Scheme(_))),
        ("file:///etc/passwd", |r| matches!(r, R::Scheme(_))),
        ("javascript:alert(1)", |r| matches!(r, R::Scheme(_))),
        ("https://user@example.com/", |r| matches!(r, R::UserInfo)),
        ("https://:secret@example.com/", |r| matches!(r, R::UserInfo)),
        ("https://example.com/#part", |r| matches!(r, R::Fragment)),
        ("https://example.com:0/", |r| matches!(r, R::Port(0))),
        ("https://a..b.test/", |r| matches!(r, R::HostName(HostNameFault::EmptyLabel))),
        ("http://./", |r| matches!(r, R::HostName(HostNameFault::EmptyLabel))),
        (LONG_LABEL, |r| matches!(r, R::HostName(HostNameFault::LongLabel(64)))),
        ("https://example.com/a\0b", |r| matches!(r, R::Control('\0'))),
        ("https://exam\nple.com/", |r| matches!(r, R::Control('\n'))),
        ("https://example.com/\u{1}", |r| matches!(r, R::Control('\u{1}'))),
        ("https://example.com/?q=\u{85}", |r| matches!(r, R::Control('\u{85}'))),
    ];
    for (text, expected) in table {
        let refused = guard().check_url(text).expect_err(text);
        assert!(expected(&refused), "{text}: {refused:?}");
    }
    assert!(guard().check_url(" https://example.com/hook\r\n").is_ok(), "pasted with its line end");
    for odd in
        ["http://my_host.test/", "http://-lead.test/", "http://trail-.test./", "http://b\u{fc}cher.test/"]
    {
        assert!(guard().check_url(odd).is_ok(), "{odd}");
    }
    let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
    assert_eq!(guard().check_url(&long), Err(R::TooLong));
}

#[test]
fn user_info_is_refused_even_where_nothing_stands_before_the_at_sign() {
    for text in [
        "http://@example.com/",
        "http://:@example.com/",
        "https://@example.com",
        "https://user:@example.com/",
        "https://a@b@example.com/",
        "https:@example.com/",
        "https:////@example.com/",
        r"https:\\@example.com\hook",
        r"https:/\@example.com/",
        " \u{1}https://@example.com/ ",
        "ht\ntps:/\t/\r@example.com/",
        "HTTPS://@example.com?a",
    ] {
        assert_eq!(guard().check_url(text), Err(UrlRefused::UserInfo), "{text:?}");
    }
    for text in [
        "https://example.com/@hook",
        "https://example.com?to=a@b",
        r"https://example.com\@hook",
        "https://example.com/https://@a",
        "https:example.com/@",
    ] {
        let url = guard().check_url(text).expect(text);
        assert_eq!(url.host_str(), Some("example.com"), "{text:?}");
    }
}

#[test]
fn ports_and_https_can_be_narrowed() {
    let guard = AddressGuard { allow_ports: vec![443], require_https: true, ..guard() };
    assert!(guard.check_url("https://example.com/hook").is_ok());
    assert_eq!(guard.check_url("https://example.com:8443/"), Err(UrlRefused::Port(8443)));
    assert_eq!(guard.check_url("http://example.com/"), Err(UrlRefused::HttpsRequired));
}
