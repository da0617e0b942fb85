//! A reload by request: who may request it, and what the response says.

use serde_json::Value;

use super::{Desk, REVOKED, TOKEN};
use crate::harness::{Client, Gateway, Request, Upstream};

#[test]
fn reload_by_request_tells_what_changed() {
    let desk = Desk::open();
    assert_eq!(desk.reload().1["changes"], Value::Array(Vec::new()));
    desk.gateway.edit(|toml| toml.push_str(REVOKED));
    let (status, _) = desk.reload();
    assert_eq!(status, 200);
    assert_eq!(desk.status(&desk.leaked), 401, "it is in force when the answer is there");
}

#[test]
fn reload_by_request_of_a_bad_file_tells_every_mistake() {
    let desk = Desk::open();
    desk.gateway.edit(|toml| toml.push_str("\n[revoked]\nkyes = []\n\n[lgo]\n"));
    let (status, report) = desk.reload();
    assert_eq!(status, 422);
    let errors = report["errors"].to_string();
    assert!(errors.contains("kyes") && errors.contains("lgo"), "{errors}");
}

#[test]
fn reload_by_request_needs_a_token_and_no_foreign_web_page() {
    let desk = Desk::open();
    let call = || Request::new("POST", "/v1/reload");
    let bearer = format!("Bearer {TOKEN}");
    let code = |request: &Request| {
        let (status, body) = desk.admin(request);
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(&call()), (401, "missing_token".into()));
    assert_eq!(
        code(&call().header("Authorization", "Bearer wrong")),
        (401, "unknown_token".into())
    );
    let foreign = call().header("Authorization", &bearer).header("Origin", "http://evil.example");
    assert_eq!(code(&foreign), (403, "origin_not_allowed".into()));
    let rebound = Client::plain(desk.gateway.admin_address())
        .send(&call().host("evil.example").header("Authorization", &bearer));
    assert_eq!(
        (rebound.status(), rebound.json()["code"].as_str()),
        (403, Some("host_not_allowed"))
    );
    let wrong_method = Client::plain(desk.gateway.admin_address())
        .send(&Request::get("/v1/reload").host("127.0.0.1"));
    assert_eq!((wrong_method.status(), wrong_method.header("allow")), (405, Some("POST")));
}

#[test]
fn without_an_admin_token_there_is_no_reload_by_request() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).start();
    let answer = Client::plain(gateway.admin_address())
        .send(&Request::new("POST", "/v1/reload").host("127.0.0.1"));
    assert_eq!(answer.status(), 404);
    assert!(answer.text().contains("[[admin.token]]"));
}
