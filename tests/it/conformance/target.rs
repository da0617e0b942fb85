//! Targets and authorities (RFC 9112 §3.2): what was authorised is what is forwarded, byte for
//! byte.

use super::{Case, Stand, declined, forwarded, refused};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
// Longer than 60 lines: one table of cases.
fn paths_that_two_servers_could_read_differently_are_declined() {
    let mut cases: Vec<Case> = Vec::new();
    for (section, path) in [
        ("3986 §5.2.4", "/."),
        ("3986 §5.2.4", "/.."),
        ("3986 §5.2.4", "/a/./b"),
        ("3986 §5.2.4", "/a/../b"),
        ("3986 §5.2.4", "/a/.."),
        ("3986 §5.2.4", "/../../etc/passwd"),
        ("3986 §5.2.4", "/..;/b"),
        ("3986 §3.3", "/a/..;x=y/b"),
        ("3986 §3.3", "/a/.;/b"),
        ("3986 §3.3", "/a/;x/b"),
        ("3986 §3.3", "/;/b"),
        ("3986 §3.3", "/a/..%3b/b"),
        ("3986 §6.2.2.2", "/%2e%2e/b"),
        ("3986 §6.2.2.2", "/%2E%2E/b"),
        ("3986 §6.2.2.2", "/.%2e/b"),
        ("3986 §6.2.2.2", "/a%2eb"),
        ("3986 §6.2.2.2", "/%61dmin"),
        ("3986 §6.2.2.2", "/%41"),
        ("3986 §6.2.2.2", "/%30"),
        ("3986 §6.2.2.2", "/a%2db"),
        ("3986 §6.2.2.2", "/a%5fb"),
        ("3986 §2.4", "/%252e%252e/b"),
        ("3986 §2.4", "/a%252fb"),
        ("3986 §2.4", "/%25%32%65"),
        ("3986 §2.2", "/a%2fb"),
        ("3986 §2.2", "/a%2Fb"),
        ("3986 §2.2", "/a%5cb"),
        ("3986 §2.2", "/..%5c..%5cb"),
        ("3986 §2.1", "/%"),
        ("3986 §2.1", "/%2"),
        ("3986 §2.1", "/%zz"),
        ("3986 §2.1", "/%u002e"),
        ("3986 §7.3", "/%00"),
        ("3986 §7.3", "/a%00.json"),
        ("3986 §7.3", "/a%0d%0aX:%20y"),
        ("3986 §7.3", "/a%0a"),
        ("3986 §7.3", "/a%7f"),
        ("3629 §3", "/%c0%ae%c0%ae/b"),
        ("3629 §3", "/a%c0%afb"),
        ("3629 §3", "/%e0%80%ae/b"),
        ("3986 §3.3", "//"),
        ("3986 §3.3", "//b"),
        ("3986 §3.3", "/a//b"),
        ("3986 §3.3", "/a//"),
        ("3986 §3.3", "///"),
        ("3986 §2", "/a\\b"),
        ("3986 §2", "/..\\b"),
        ("3986 §2", "\\"),
        ("3986 §2", "/\\b"),
        ("3986 §2", "/a|b"),
        ("3986 §2", "/a^b"),
        ("3986 §2", "/a`b"),
        ("3986 §2", "/a{b}"),
        ("3986 §2", "/a[b]"),
        ("3986 §2", "/\"b\""),
        ("9112 §3.2.1", "b"),
        ("9112 §3.2.1", "./b"),
        ("9112 §3.2.1", "?b"),
        ("9112 §3.2.1", "a:80"),
        ("9112 §3.2.3", "a.example:443"),
        ("9112 §3.2.4", "*"),
        ("9112 §3.2.4", "*?x"),
        ("9112 §3.2.4", "/*/../b"),
        ("9112 §3.2.2", "ftp://a/b"),
        ("9112 §3.2.2", "http:/a/b"),
        ("9112 §3.2.2", "http:b"),
        ("9112 §3.2.2", "file:///b"),
        ("9112 §3.2.2", "http://a/../b"),
        ("9112 §3.2.2", "http://a//b"),
        ("9112 §3.2.2", "http://a/%2e"),
        ("9112 §3.2.2", "http://a\\b/"),
    ] {
        cases.push(declined(400, section, get(path)));
    }
    cases.push(declined(400, "9112 §3.2.4", get("*").replace("GET", "OPTIONS")));
    for (section, bytes) in [
        ("9112 §3.2", "/b#c"),
        ("9112 §3.2", "/#"),
        ("9112 §3.2", "http://a/#"),
        ("3986 §2", "/\u{e4}"),
        ("3986 §2", "/\0"),
        ("3986 §2", "/a\u{1}"),
    ] {
        cases.push(refused(400, section, get(bytes)));
    }
    Stand::start().check(&cases);
}

#[test]
fn what_has_one_reading_is_forwarded_byte_for_byte() {
    let mut cases: Vec<Case> = Vec::new();
    for target in [
        "/",
        "/b",
        "/b/",
        "/...",
        "/a..b/.c/d.",
        "/~b/!$&'()*+,;=:@",
        "/a;x=y/b",
        "/caf%C3%A9",
        "/caf%c3%a9",
        "/a%20b",
        "/100%25",
        "/B/b",
        "/?",
        "/b?",
        "/b?c=d&e",
        "/b?c=../..//%2e%00%zz",
        "/b?c=http://x/?y",
        "/b?a[b]={c}|^`\\\"",
        "/b??c",
    ] {
        cases.push(forwarded("9112 §3.2.1", get(target), &[&format!("GET {target}")]));
    }
    for (target, path) in [
        ("http://a/b?c", "/b?c"),
        ("HTTP://A/b", "/b"),
        ("http://a", "/"),
        ("https://a/b", "/b"),
        ("http://a?c", "/?c"),
    ] {
        cases.push(forwarded("9112 §3.2.2", get(target), &[&format!("GET {path}")]));
    }
    Stand::start().check(&cases);
}

#[test]
// Longer than 60 lines: one table of cases.
fn request_names_one_host() {
    let with = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n{lines}\r\n");
    let mut cases: Vec<Case> = Vec::new();
    for (section, lines) in [
        ("9112 §3.2", ""),
        ("9112 §3.2", "Host: a\r\nHost: a\r\n"),
        ("9112 §3.2", "Host: a\r\nHost: b\r\n"),
        ("9112 §3.2", "Host: a\r\nhost:\r\n"),
        ("9110 §7.2", "Host:\r\n"),
        ("9110 §7.2", "Host: \t\r\n"),
        ("9110 §7.2", "Host: a,b\r\n"),
        ("9110 §7.2", "Host: a, a\r\n"),
        ("9110 §7.2", "Host: a b\r\n"),
        ("9110 §7.2", "Host: a;b\r\n"),
        ("9110 §4.2.4", "Host: user@a\r\n"),
        ("9110 §4.2.4", "Host: user:pw@a\r\n"),
        ("9110 §4.2.4", "Host: a:80@b\r\n"),
        ("9110 §4.2.4", "Host: @a\r\n"),
        ("3986 §3.2.3", "Host: a:\r\n"),
        ("3986 §3.2.3", "Host: a:b\r\n"),
        ("3986 §3.2.3", "Host: a:-1\r\n"),
        ("3986 §3.2.3", "Host: a:+80\r\n"),
        ("3986 §3.2.3", "Host: a:65536\r\n"),
        ("3986 §3.2.3", "Host: a:000080\r\n"),
        ("3986 §3.2.3", "Host: a:80:80\r\n"),
        ("3986 §3.2.3", "Host: :80\r\n"),
        ("3986 §3.2.2", "Host: [::1\r\n"),
        ("3986 §3.2.2", "Host: ::1\r\n"),
        ("3986 §3.2.2", "Host: [x]\r\n"),
        ("3986 §3.2.2", "Host: [::1]x\r\n"),
        ("3986 §3.2.2", "Host: [::1]:x\r\n"),
        ("3986 §3.2.2", "Host: [127.0.0.1]\r\n"),
        ("6874 §2", "Host: [fe80::1%25eth0]\r\n"),
        ("3986 §3.2.2", "Host: [v1.x]\r\n"),
        ("3986 §3.2.2", "Host: a%2eb\r\n"),
        ("3986 §3.2.2", "Host: %61\r\n"),
        ("3986 §3.2.2", "Host: caf\u{e9}\r\n"),
        ("3986 §3.2.2", "Host: a/b\r\n"),
        ("3986 §3.2.2", "Host: a/../b\r\n"),
        ("3986 §3.2.2", "Host: a?b\r\n"),
        ("3986 §3.2.2", "Host: a#b\r\n"),
        ("3986 §3.2.2", "Host: a\\b\r\n"),
        ("3986 §3.2.2", "Host: http://a\r\n"),
        ("3986 §3.2.2", "Host: a*\r\n"),
        ("3986 §3.2.2", "Host: \"a\"\r\n"),
        ("3986 §3.2.2", "Host: '\r\n"),
        ("1034 §3.1", "Host: .\r\n"),
        ("1034 §3.1", "Host: .a\r\n"),
        ("1034 §3.1", "Host: a..b\r\n"),
        ("1034 §3.1", "Host: a.\r\n"),
        ("1034 §3.1", "Host: a.:80\r\n"),
        ("9112 §3.2", "X-Forwarded-Host: a\r\n"),
        ("9112 §3.2", "Host_: a\r\n"),
    ] {
        cases.push(declined(400, section, with("/x", lines)));
    }
    for (section, target, lines) in [
        ("9112 §3.2.2", "http://a/x", "Host: b\r\n"),
        ("9112 §3.2.2", "http://a:80/x", "Host: a\r\n"),
        ("9112 §3.2.2", "http://a/x", "Host: a:80\r\n"),
        ("9112 §3.2.2", "http://a/x", "Host: a\r\nHost: a\r\n"),
        ("9112 §3.2.2", "http://a/x", "Host:\r\n"),
        ("9112 §3.2.2", "http://a/x", ""),
        ("9112 §3.2.2", "http:///x", "Host: a\r\n"),
        ("9112 §3.2.2", "http:///x", "Host:\r\n"),
        ("9110 §4.2.4", "http://user@a/x", "Host: a\r\n"),
        ("9110 §4.2.4", "http://user@a/x", "Host: user@a\r\n"),
        ("9112 §3.2.2", "http://a,b/x", "Host: a,b\r\n"),
        ("9112 §3.2.2", "http://a%00/x", "Host: a%00\r\n"),
    ] {
        cases.push(declined(400, section, with(target, lines)));
    }
    for host in [
        "a",
        "A.Example",
        "a:80",
        "a:0",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]",
        "[2001:DB8::1]:443",
        "a_b.example",
        "xn--caf-dma",
        "-a",
    ] {
        cases.push(forwarded("9110 §7.2", with("/x", &format!("Host: {host}\r\n")), &["GET /x"]));
    }
    cases.push(forwarded(
        "9112 §3.2.2",
        with("http://A.Example:80/x", "Host: a.example:80\r\n"),
        &["GET /x"],
    ));
    Stand::start().check(&cases);
}

#[test]
fn http10_names_a_host_too() {
    let old = |target: &str, lines: &str| {
        format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n{lines}\r\n")
    };
    Stand::start().check(&[
        declined(400, "9112 §3.2", old("/x", "")),
        forwarded("9112 §3.2", old("/x", "Host: a\r\n"), &["GET /x"]),
        // Only in HTTP/1.0 is a request without `Host` valid, provided that the target contains the
        // host.
        forwarded("9112 §3.2.2", old("http://a/x", ""), &["GET /x"]),
    ]);
}
