use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{API, SERVER};
use crate::config::{
    Certificate, Config, Problems, Role, Severity, TlsFiles, TlsProfile, load, root_store,
};

/// Writes a certificate and its private key as `NAME.pem` and `NAME-key.pem`.
pub(super) fn write_certificate(folder: &Path, name: &str) {
    write_certificate_for(folder, name, &["localhost"]);
}

/// Writes a certificate for these DNS names, and its private key.
pub(super) fn write_certificate_for(folder: &Path, name: &str, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).expect("a written certificate");
    let key = folder.join(format!("{name}-key.pem"));
    fs::write(&key, made.signing_key.serialize_pem()).expect("a written key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("permissions");
}

fn load_in(folder: &Path, text: &str) -> Result<Config, Problems> {
    let path = folder.join("gateway.toml");
    fs::write(&path, text).expect("a written file");
    load(&path)
}

fn with_tls(cert: &str, key: &str) -> String {
    format!("{SERVER}[server.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n{API}")
}

#[test]
fn certificate_and_key_are_found_from_the_files_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path(), "a");
    let config = load_in(folder.path(), &with_tls("a.pem", "a-key.pem")).expect("a good file");
    assert_eq!(config.tls.map(|tls| tls.default.cert), Some(folder.path().join("a.pem")));
    assert!(config.warnings.is_empty());
}

#[test]
fn missing_or_mismatching_certificate_or_key_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path(), "a");
    write_certificate(folder.path(), "b");
    fs::write(folder.path().join("empty.pem"), "").expect("a written file");
    let cases = [
        (with_tls("none.pem", "a-key.pem"), 4, "none.pem: No such file"),
        (with_tls("a.pem", "none.pem"), 5, "none.pem: No such file"),
        (with_tls("empty.pem", "a-key.pem"), 4, "there is no certificate in it"),
        (with_tls("a.pem", "empty.pem"), 5, "there is no private key in it"),
        (with_tls("a.pem", "b-key.pem"), 5, "this is not the private key of"),
    ];
    for (text, line, reason) in cases {
        let problems = load_in(folder.path(), &text).map(drop).expect_err("a bad file").0;
        let problems: Vec<_> =
            problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(problems[0].message.contains(reason), "{}", problems[0]);
        assert_eq!((problems[0].line, problems.len()), (line, 1));
    }
    let problems = load_in(folder.path(), &format!("{SERVER}[server.tls]\n{API}"))
        .map(drop)
        .expect_err("a bad file");
    assert!(
        problems.to_string().contains("has no `cert`")
            && problems.to_string().contains("has no `key`"),
        "{problems}"
    );
}

#[test]
fn world_readable_key_is_a_warning() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path(), "a");
    fs::set_permissions(folder.path().join("a-key.pem"), fs::Permissions::from_mode(0o644))
        .expect("permissions");
    let warnings =
        load_in(folder.path(), &with_tls("a.pem", "a-key.pem")).expect("a good file").warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].line, warnings[0].column), (5, 7));
    assert!(warnings[0].message.contains("everybody on this machine can read"));
}

#[test]
fn broken_private_key_is_not_quoted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path(), "a");
    let key = folder.path().join("broken.pem");
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nhunter2!!\n-----END PRIVATE KEY-----\n")
        .expect("a written file");
    let bad = Certificate::read(&TlsFiles { cert: folder.path().join("a.pem"), key })
        .map(drop)
        .expect_err("a broken key");
    assert!(!bad.to_string().contains("hunter2"), "{bad}");
}

#[test]
fn authorities_come_from_a_bundle() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path(), "a");
    write_certificate(folder.path(), "b");
    let bundle = ["a.pem", "b.pem"]
        .map(|name| fs::read_to_string(folder.path().join(name)).expect("a certificate"))
        .concat();
    fs::write(folder.path().join("ca.pem"), bundle).expect("a written file");
    assert_eq!(root_store(Some(&folder.path().join("ca.pem"))).expect("a store").len(), 2);
    let text = API.replace("http://", "https://");
    let config = load_in(folder.path(), &format!("{SERVER}{text}upstream_ca = \"ca.pem\"\n"))
        .expect("a good file");
    assert_eq!(config.apis[0].upstreams[0].ca, Some(folder.path().join("ca.pem")));
    let problems = load_in(folder.path(), &format!("{SERVER}{text}upstream_ca = \"gone.pem\"\n"))
        .map(drop)
        .expect_err("a bad file")
        .0;
    assert_eq!((problems.len(), problems[0].line, problems[0].column), (1, 6, 15));
}

#[test]
fn header_value_comes_from_a_file_without_its_final_newline() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("token"), "Basic hunter2\n").expect("a written file");
    let text = |name: &str| {
        format!("{SERVER}{API}[api.upstream_headers]\nAuthorization = \"file:{name}\"\n")
    };
    let config = load_in(folder.path(), &text("token")).expect("a good file");
    assert_eq!(
        config.apis[0].definition.upstream_headers[0].1.show(),
        b"authorization: Basic hunter2\r\n"
    );
    let problems = load_in(folder.path(), &text("gone")).map(drop).expect_err("a bad file");
    assert!(problems.to_string().contains(":7:17: error: `gone` cannot be read"), "{problems}");
}

#[test]
fn admin_beyond_loopback_is_accepted_with_tls_and_a_token() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path(), "a");
    let token = format!(
        "[[admin.token]]\nname = \"ops\"\nsha256 = \"{}\"\nrole = \"manage\"\n",
        super::digest("t")
    );
    let text = format!(
        "{SERVER}[admin]\nlisten = \"0.0.0.0:0\"\n[admin.tls]\ncert = \"a.pem\"\n\
            key = \"a-key.pem\"\n{token}{API}"
    );
    let admin =
        load_in(folder.path(), &text).expect("a good file").admin.expect("an admin address");
    assert!(admin.tls.is_some() && admin.tokens[0].role == Role::Manage);
}

#[test]
fn profile_is_one_of_two() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path(), "a");
    let text = with_tls("a.pem", "a-key.pem");
    let profile =
        |text: &str| load_in(folder.path(), text).map(|config| config.tls.map(|tls| tls.profile));
    assert_eq!(profile(&text).expect("a good file"), Some(TlsProfile::Intermediate));
    let with = |name: &str| text.replace(API, &format!("profile = \"{name}\"\n{API}"));
    assert_eq!(profile(&with("modern")).expect("a good file"), Some(TlsProfile::Modern));
    let problems = profile(&with("old")).expect_err("a bad file");
    assert!(
        problems
            .to_string()
            .contains(":6:11: error: `profile` must be `\"intermediate\"` or `\"modern\"`"),
        "{problems}"
    );
}

#[test]
fn further_certificates_are_for_names_of_their_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write_certificate(folder.path(), "a");
    write_certificate_for(folder.path(), "b", &["b.example", "localhost"]);
    write_certificate_for(folder.path(), "c", &["c.example"]);
    write_certificate_for(folder.path(), "nameless", &["192.0.2.1"]);
    let text = |further: &[&str]| {
        let tables = further.iter().map(|name| {
            format!("[[server.tls.certificate]]\ncert = \"{name}.pem\"\nkey = \"{name}-key.pem\"\n")
        });
        with_tls("a.pem", "a-key.pem").replace(API, &(tables.collect::<String>() + API))
    };
    let config = load_in(folder.path(), &text(&["b", "c"])).expect("a good file");
    let tls = config.tls.expect("TLS");
    let files: Vec<_> = tls.certificates().map(|files| files.cert.clone()).collect();
    assert_eq!(files, ["a", "b", "c"].map(|name| folder.path().join(format!("{name}.pem"))));
    assert!(config.warnings.is_empty());
    let config = load_in(folder.path(), &text(&["b", "a"])).expect("a good file");
    assert_eq!((config.warnings.len(), config.warnings[0].line), (1, 10));
    assert!(config.warnings[0].message.contains("never chosen"), "{}", config.warnings[0]);
    for (name, line, why) in [("nameless", 7, "for no DNS name"), ("gone", 7, "No such file")] {
        let problems = load_in(folder.path(), &text(&[name])).map(drop).expect_err("a bad file").0;
        assert!(
            problems.len() == 1 && problems[0].line == line && problems[0].message.contains(why),
            "{problems:?}"
        );
    }
}

#[test]
fn only_regular_files_of_a_sane_size_are_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name);
    write_certificate(folder.path(), "a");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(place("pipe"))
            .status()
            .expect("mkfifo runs")
            .success()
    );
    fs::create_dir(place("folder")).expect("a folder");
    std::os::unix::fs::symlink("/dev/zero", place("device")).expect("a link");
    std::os::unix::fs::symlink("nowhere", place("dangling")).expect("a link");
    fs::File::create(place("huge"))
        .and_then(|file| file.set_len(1 << 40))
        .expect("a file with a hole");
    let reasons = ["pipe", "folder", "device", "dangling", "huge"].map(|name| {
        (
            name,
            match name {
                "dangling" => "No such file",
                "huge" => "is larger than",
                _ => "not a regular file",
            },
        )
    });
    for (name, reason) in reasons {
        let ca =
            format!("{SERVER}{}upstream_ca = \"{name}\"\n", API.replace("http://", "https://"));
        let secret =
            format!("{SERVER}{API}[api.upstream_headers]\nAuthorization = \"file:{name}\"\n");
        for text in [with_tls(name, "a-key.pem"), with_tls("a.pem", name), ca, secret] {
            let problems = load_in(folder.path(), &text).map(drop).expect_err("a bad file");
            let errors: Vec<_> =
                problems.0.iter().filter(|problem| problem.severity == Severity::Error).collect();
            assert!(errors.len() == 1 && errors[0].message.contains(reason), "{name}: {problems}");
        }
    }
}
