//! Certificates that are renewed while the gateway runs.

use std::fs;
use std::path::Path;

use super::REVOKED;
use crate::harness::{Certificates, Client, Gateway, Key, Request, Upstream, wait_for};

#[test]
fn renewed_certificate_is_served_without_dropping_a_connection() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream)
        .api("public = [\"GET /status\"]")
        .tls(&["desk.example"])
        .start();
    let folder = gateway.file().parent().unwrap().to_owned();
    let mut open = gateway.client();
    let request = Request::get("/status");
    assert_eq!(open.send(&request).status(), 200);
    let renewed = Certificates::for_names(&["desk.example".to_owned()]);
    let staged = tempfile::tempdir().unwrap();
    renewed.write(staged.path());
    let place =
        |file: &str, folder: &Path| fs::copy(staged.path().join(file), folder.join(file)).unwrap();
    // With only one of the two files replaced, the old pair stays in use.
    place("cert.pem", &folder);
    wait_for("the complaint", || {
        (!gateway.events("changed certificate cannot be used; the one before goes on").is_empty())
            .then_some(())
    });
    assert_eq!(gateway.send(&request).status(), 200);
    place("key.pem", &folder);
    wait_for("the new certificate", || {
        (!gateway.events("certificate reloaded").is_empty()).then_some(())
    });
    assert_eq!(
        Client::tls(gateway.address(), &renewed, "desk.example").send(&request).status(),
        200
    );
    assert_eq!(open.send(&request).status(), 200, "the connection from before is still there");
}

#[test]
fn certificate_is_renewed_while_gateway_toml_has_a_mistake() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream)
        .api("public = [\"GET /status\"]")
        .tls(&["desk.example"])
        .start();
    gateway.edit(|toml| toml.push_str("\n[lgo]\n"));
    wait_for("the refusal", || {
        (!gateway.events("the file is refused; what ran before goes on").is_empty()).then_some(())
    });
    let renewed = Certificates::for_names(&["desk.example".to_owned()]);
    renewed.write(gateway.file().parent().unwrap());
    wait_for("the new certificate", || {
        (!gateway.events("certificate reloaded").is_empty()).then_some(())
    });
    assert_eq!(
        Client::tls(gateway.address(), &renewed, "desk.example")
            .send(&Request::get("/status"))
            .status(),
        200
    );
}

#[test]
fn revocation_does_not_wait_for_a_half_done_certificate_renewal() {
    let upstream = Upstream::start();
    let key = Key::live("key_leaked").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream)
        .scope("all", &["GET /**"])
        .key(&key)
        .tls(&["localhost"])
        .start();
    let request = Request::get("/").bearer(&key);
    assert_eq!(gateway.send(&request).status(), 200);
    // The new certificate is in place, but its key is not.
    let renewed = tempfile::tempdir().unwrap();
    Certificates::for_names(&["localhost".to_owned()]).write(renewed.path());
    fs::copy(renewed.path().join("cert.pem"), gateway.file().with_file_name("cert.pem")).unwrap();
    gateway.edit(|toml| toml.push_str(REVOKED));
    wait_for("the revocation", || (gateway.send(&request).status() == 401).then_some(()));
}
