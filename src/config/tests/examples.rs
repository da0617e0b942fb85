use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::files::{write_certificate, write_certificate_for};
use crate::config::kinds::KINDS;
use crate::config::{Config, Entry, load, locate, parse};
use crate::policy::{Digest, KeyApiStyle};

fn in_project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn example() -> String {
    std::fs::read_to_string(in_project("gateway.toml.example")).expect("the example")
}

/// Returns the example with every setting enabled. A disabled setting starts with `#` and no space.
fn switched_on() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    example().lines().map(on).collect()
}

fn load_five() -> Config {
    load(&in_project("examples/five-apis/gateway.toml"))
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn example_loads_without_warnings() {
    let config =
        load(&in_project("gateway.toml.example")).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn example_loads_with_everything_switched_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("tls")).expect("a folder");
    write_certificate(folder.path(), "tls/cert");
    write_certificate(folder.path(), "tls/admin-cert");
    write_certificate_for(folder.path(), "tls/other-cert", &["other.example"]);
    write_certificate_for(folder.path(), "tls/admin-other-cert", &["other.example"]);
    // Cargo sets `CARGO_MANIFEST_DIR`.
    let text = switched_on()
        .replace("tls/key.pem", "tls/cert-key.pem")
        .replace("tls/admin-key.pem", "tls/admin-cert-key.pem")
        .replace("tls/other-key.pem", "tls/other-cert-key.pem")
        .replace("tls/admin-other-key.pem", "tls/admin-other-cert-key.pem")
        .replace("tls/upstream-ca.pem", "tls/cert.pem")
        .replace("http://127.0.0.1:3000", "https://127.0.0.1:3000")
        .replace("DESK_AUTH", "CARGO_MANIFEST_DIR");
    let config = parse(&text, &folder.path().join("gateway.toml"))
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.store.map(|store| store.path), Some(folder.path().join("keygate.db")));
    assert!(!folder.path().join("keygate.db").exists(), "checking a file opens no store");
    assert_eq!(config.keys[0].digests, [Digest::of(b"example key")]);
    assert_eq!(
        config.admin.map(|admin| admin.tokens[0].digest),
        Some(Digest::of(b"example admin token"))
    );
}

#[test]
fn example_has_every_setting() {
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    let mut label = "gateway.toml".to_owned();
    let text = switched_on();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            let (parent, name) = name
                .rsplit_once('.')
                .map_or(("gateway.toml".to_owned(), name), |(parent, name)| {
                    (format!("[{parent}]"), name)
                });
            label = line.to_owned();
            seen.insert((parent, name.to_owned()));
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let table = name.split(".\"").next().unwrap_or_default();
            let (parent, name) = match table.split_once('.') {
                Some(("api", name)) => ("[[api]]".to_owned(), name),
                Some((parent, name)) => (format!("[{parent}]"), name),
                None => ("gateway.toml".to_owned(), table),
            };
            label = format!("[{table}]");
            seen.insert((parent, name.to_owned()));
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            seen.insert((label.clone(), name.to_owned()));
        }
    }
    for kind in KINDS {
        for setting in kind.settings {
            assert!(
                seen.contains(&(kind.label.to_owned(), (*setting).to_owned())),
                "{} has no `{setting}` in the example",
                kind.label
            );
        }
    }
}

#[test]
fn five_apis_load_and_are_told_apart_by_host() {
    let config = load_five();
    let hosts: Vec<(&str, &str)> =
        config.apis.iter().map(|api| (&*api.definition.name, &*api.definition.hosts[0])).collect();
    let expected = [
        ("relay-help-desk", "your-domain.com"),
        ("support-station", "api.supportstation.io"),
        ("generic", "api.example.com"),
        ("relay-ai", "api.relayai.dev"),
        ("approvals", "your-api-domain.com"),
    ];
    assert_eq!(hosts, expected);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.routes().apis().len(), 5);
}

#[test]
fn five_apis_have_the_scopes_and_limits_that_their_documents_promise() {
    let config = load_five();
    let scopes = |index: usize| {
        config.apis[index].definition.scopes.iter().map(|scope| &*scope.name).collect::<Vec<_>>()
    };
    assert_eq!(
        scopes(0),
        [
            "tickets:read",
            "tickets:write",
            "customers:read",
            "customers:write",
            "conversations:read",
            "conversations:write"
        ]
    );
    assert_eq!(scopes(1), ["tickets:read", "tickets:write", "customers:read", "customers:write"]);
    assert!(scopes(2).is_empty() && scopes(3).is_empty());
    assert_eq!(scopes(4), ["read", "write"]);
    let limits: Vec<String> = config
        .apis
        .iter()
        .map(|api| {
            api.definition.rate_limit.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        })
        .collect();
    assert_eq!(limits, ["100/min", "100/min", "", "", ""]);
    let key_api = |index: usize| {
        config.apis[index].definition.key_api.as_ref().map(|it| (&*it.path, it.style, it.create))
    };
    assert_eq!(key_api(2), Some(("/v1/api-keys", KeyApiStyle::Envelope, false)));
    assert_eq!(key_api(3), Some(("/api/v1/auth/api-keys", KeyApiStyle::Bare, true)));
    assert_eq!(
        (config.apis[2].upstreams.len(), config.apis[2].upstream_by_environment.as_slice()),
        (2, &[0, 1][..])
    );
}

proptest! {
    /// Files are often incomplete while an editor saves them.
    #[test]
    fn no_edit_makes_the_reader_panic(
        cut in 0..20_000_usize,
        from in 0..20_000_usize,
        length in 0..60_usize,
        put in "\\PC{0,12}",
    ) {
        let text: Vec<char> = switched_on().chars().collect();
        let from = from % text.len();
        let edited: String = text[..from]
            .iter()
            .copied()
            .chain(put.chars())
            .chain(text[(from + length).min(text.len())..].iter().copied())
            .collect();
        let path = Path::new("/nonexistent/gateway.toml");
        let shown = parse(&edited, path).map_or_else(
            |problems| problems.to_string(),
            |config| format!("{:?}", config.warnings),
        );
        prop_assert!(!shown.is_empty());
        let truncated: String = text[..cut % text.len()].iter().collect();
        let _ = parse(&truncated, path);
        let key = Entry::Key { id: "key_crm", setting: None };
        let line = locate(&truncated, &key);
        prop_assert!(line.is_none_or(|line| line <= truncated.lines().count()));
    }
}
