//! A secret that was pasted into the wrong place of `gateway.toml` is never repeated.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;

use crate::harness::{Certificates, Client, Gateway, Key, Message, Request, hex_digest};

/// Returns `gateway.toml.example` with everything enabled, and writes the files that it needs to
/// this folder.
fn everything(folder: &Path, certificates: &Certificates, operator: &Key) -> String {
    fs::create_dir(folder.join("tls")).expect("a folder");
    for name in ["", "admin-", "other-", "admin-other-"] {
        let (cert, key) = (format!("tls/{name}cert.pem"), format!("tls/{name}key.pem"));
        certificates.write_as(folder, &cert, &key);
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml.example");
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    let text: String = fs::read_to_string(example).expect("the example").lines().map(on).collect();
    let token = text.find("[[admin.token]]").expect("there is a token");
    let digest = text[token..].find("sha256 = \"").expect("it has a digest") + token + 10;
    let mut text = text;
    text.replace_range(digest..digest + 64, &hex_digest(&operator.text));
    let organization = text[token..].find("organization = ").expect("it is narrowed") + token;
    text.insert(organization, '#');
    text.replace("tls/upstream-ca.pem", "tls/cert.pem")
        .replace("http://127.0.0.1:3000", "https://127.0.0.1:3000")
        .replace("env:DESK_AUTH", "env:CARGO_MANIFEST_DIR")
        .replacen("role = \"read\"", "role = \"manage\"", 1)
        .replace("\nlisten = \"127.0.0.1:8080\"", "\nlisten = \"127.0.0.1:0\"")
        .replace("\nlisten = \"127.0.0.1:9090\"", "\nlisten = \"127.0.0.1:0\"")
        .replace("\nlisten = \"127.0.0.1:9190\"", "\nlisten = \"127.0.0.1:0\"")
        .replace("\nkeys = []", "\nkeys = [\"key_crm\"]")
        .replace("\norganizations = []", "\norganizations = [\"org_acme\"]")
        .replace("\nhosts = []", "\nhosts = [\"admin.example.com\"]")
}

/// Returns where a secret can be: in place of each text, and of each name of a setting or table.
fn places(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let at = |range: Range<usize>| range.start + start..range.end + start;
        if !line.starts_with('#') {
            let quotes: Vec<usize> = line.match_indices('"').map(|(at, _)| at).collect();
            places.extend(quotes.chunks_exact(2).map(|pair| at(pair[0] + 1..pair[1])));
            let names = line.match_indices(" = ").map(|(end, _)| {
                let begin = line[..end].rfind([' ', '{']).map_or(0, |before| before + 1);
                begin..end
            });
            places.extend(names.map(at));
            let header = line.trim_end().trim_start_matches('[').trim_end_matches(']');
            if line.starts_with('[') && !header.contains('"') {
                let begin = line.find(header).expect("it is there");
                places.push(at(begin..begin + header.len()));
            }
        }
        start += line.len();
    }
    places
}

#[test]
fn secret_in_any_place_of_the_file_is_shown_by_nobody() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let operator = Key::new("ops", "token_");
    let certificates = Certificates::for_names(&["localhost".to_owned()]);
    let sound = everything(folder.path(), &certificates, &operator);
    let file = folder.path().join("gateway.toml");
    fs::write(&file, &sound).expect("the file");
    let gateway = Gateway::serve_in(folder.clone());
    let ask = |method: &str, path: &str, body: Option<String>| -> Message {
        let request = Request::new(method, path).host("localhost").bearer(&operator);
        let request = match body {
            Some(body) => request.header("Content-Type", "application/json").body(body.as_bytes()),
            None => request,
        };
        Client::tls(gateway.admin_address(), &certificates, "localhost").send(&request)
    };
    let places = places(&sound);
    assert!(places.len() > 180, "{}", places.len());
    let (mut secrets, mut accepted) = (Vec::new(), 0);
    for place in places {
        let secret = Key::live("planted").text;
        let mut planted = sound.clone();
        let instead_of = planted[place.clone()].to_owned();
        planted.replace_range(place.clone(), &secret);
        let line = sound[..place.start].lines().count();
        let beside = folder.path().join("gateway.toml.new");
        fs::write(&beside, &planted).expect("a file");
        fs::rename(&beside, &file).expect("renamed");
        let check = Command::new(env!("CARGO_BIN_EXE_keygate")).arg("check").arg(&file).output();
        let check = check.expect("keygate starts");
        let reload = ask("POST", "/v1/reload", None);
        assert!(matches!(reload.status(), 200 | 422), "{reload:?} in line {line}");
        accepted += usize::from(reload.status() == 200);
        let explained = json!({"key": "key_crm", "path": "/api/v1/tickets", "config": planted});
        let seen = [
            ("check", String::from_utf8_lossy(&check.stdout).into_owned()),
            ("check", String::from_utf8_lossy(&check.stderr).into_owned()),
            ("reload", reload.text().to_owned()),
            ("/v1/config", ask("GET", "/v1/config", None).text().to_owned()),
            ("explain", ask("POST", "/v1/explain", Some(explained.to_string())).text().to_owned()),
        ];
        for (who, said) in &seen {
            assert!(
                !said.contains(&secret),
                "{who} repeats what stands in line {line} instead of `{instead_of}`: {said}"
            );
        }
        assert_eq!(check.status.success(), reload.status() == 200, "{seen:?}");
        secrets.push((secret, line));
    }
    // Accepted are the value of an upstream header, and entries of `[revoked]`.
    assert!((2..=4).contains(&accepted), "{accepted} are accepted");
    let audit = ask("GET", "/v1/audit", None).text().to_owned();
    let output = gateway.output();
    for (secret, line) in secrets {
        assert!(!output.contains(&secret), "the log repeats what stands in line {line}");
        assert!(!audit.contains(&secret), "the audit repeats what stands in line {line}");
    }
}
