mod rights;
mod sight;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::*;

const HAND: &str = "rl_live_by-hand";

/// Returns a key of the file for each API, without an organisation.
fn file_keys() -> String {
    let key = |id: &str, api: &str, text: &str, more: &str| {
        format!(
            "[[key]]\nid = \"{id}\"\nname = \"By hand\"\napis = [\"{api}\"]\nsha256 = \"{}\"\n\
                {more}",
            Digest::of(text.as_bytes())
        )
    };
    key("key_relay", "relay", HAND, "")
        + &key("key_desk", "desk", "kl_by-hand", "scopes = [\"keys:manage\", \"tickets:read\"]\n")
}

fn call(
    api: &str,
    key: &str,
    environment: &str,
    method: Method,
    path: &str,
    body: &str,
) -> KeyCall {
    KeyCall {
        api: api.into(),
        key: key.into(),
        environment: Some(environment.into()),
        method,
        path: path.into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        request_id: "req_1".into(),
    }
}

struct Door<'b> {
    fixture: &'b Fixture,
    api: &'static str,
    key: String,
    environment: &'static str,
}

impl<'b> Door<'b> {
    fn relay(fixture: &'b Fixture, key: &str) -> Self {
        Self { fixture, api: "relay", key: key.into(), environment: "live" }
    }

    fn desk(fixture: &'b Fixture, key: &str, environment: &'static str) -> Self {
        Self { fixture, api: "desk", key: key.into(), environment }
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> KeyAnswer {
        self.fixture
            .service
            .answer(call(self.api, &self.key, self.environment, method, path, body))
            .await
    }

    async fn list(&self) -> String {
        let answer = self.send(Method::GET, "", "").await;
        assert_eq!(
            (answer.status, answer.content_type.as_deref()),
            (StatusCode::OK, Some("application/json"))
        );
        text(&answer)
    }

    async fn ids(&self) -> Vec<String> {
        let body: serde_json::Value = serde_json::from_str(&self.list().await).expect("JSON");
        let keys = body.get("data").unwrap_or(&body).as_array().expect("a list");
        keys.iter().map(|key| key["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// Creates a key. Returns its id and its text.
    async fn make(&self, body: &str) -> (String, String) {
        let answer = self.send(Method::POST, "", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", text(&answer));
        let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let key = body.get("data").unwrap_or(&body);
        (
            key["id"].as_str().expect("an id").to_owned(),
            key["key"].as_str().expect("a key").to_owned(),
        )
    }

    async fn refused(&self, body: &str) -> String {
        let answer = self.send(Method::POST, "", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", text(&answer));
        text(&answer)
    }
}

fn text(answer: &KeyAnswer) -> String {
    String::from_utf8(answer.body.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn bare_bodies_have_the_documented_members_in_their_order() {
    let fixture = Fixture::with(&file_keys());
    let door = Door::relay(&fixture, "key_relay");
    let answer = door
        .send(
            Method::POST,
            "",
            r#"{"name": "Production Server", "expires_at": "2026-12-31T23:59:59Z"}"#,
        )
        .await;
    assert_eq!(
        (answer.status, answer.content_type.as_deref(), answer.allow.as_deref()),
        (StatusCode::CREATED, Some("application/json"), None)
    );
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let (id, key) = (body["id"].as_str().expect("an id"), body["key"].as_str().expect("a key"));
    assert!(uuid::Uuid::parse_str(id).is_ok());
    let rest = concat!(
        r#""scopes":[],"created_at":"2026-11-22T00:00:00Z","#,
        r#""expires_at":"2026-12-31T23:59:59Z","last_used_at":null}"#
    );
    let head = format!(r#"{{"id":"{id}","name":"Production Server","key_prefix":"rl_live_","#);
    assert_eq!(text(&answer), format!(r#"{head}"key":"{key}",{rest}"#));
    assert_eq!(fixture.refusal(key, "relay"), None);
    let by_hand = concat!(
        r#"{"id":"key_relay","name":"By hand","key_prefix":"rl_live_","scopes":[],"#,
        r#""created_at":null,"expires_at":null,"last_used_at":null}"#
    );
    assert_eq!(door.list().await, format!("[{by_hand},{head}{rest}]"));
    assert_eq!(
        door.send(Method::DELETE, &format!("/{id}"), "").await,
        crate::control::keys::key_endpoints::empty(StatusCode::NO_CONTENT)
    );
    assert_eq!(fixture.refusal(key, "relay"), Some(Refusal::RevokedKey));
    assert_eq!(door.list().await, format!("[{by_hand}]"));
    let gone = door.send(Method::DELETE, &format!("/{id}"), "").await;
    assert_eq!(
        (gone.status, &*text(&gone)),
        (StatusCode::NOT_FOUND, r#"{"detail":"There is nothing of this name."}"#)
    );
}

#[tokio::test]
async fn enveloped_bodies_have_the_documented_members_in_their_order() {
    let fixture = Fixture::with(&file_keys());
    let door = Door::desk(&fixture, "key_desk", "live");
    let answer = door.send(Method::POST, "", r#"{"name": "Production \"Key\""}"#).await;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let (id, key) =
        (body["data"]["id"].as_str().expect("an id"), body["data"]["key"].as_str().expect("a key"));
    assert!(id.starts_with("key_"));
    let head = format!(r#"{{"id":"{id}","name":"Production \"Key\"","prefix":"{}","#, &key[..8]);
    let rest = r#""created_at":"2026-11-22T00:00:00Z","last_used":null}"#;
    assert_eq!(text(&answer), format!(r#"{{"success":true,"data":{head}"key":"{key}",{rest}}}"#));
    let by_hand =
        r#"{"id":"key_desk","name":"By hand","prefix":"kl_","created_at":null,"last_used":null}"#;
    assert_eq!(door.list().await, format!(r#"{{"success":true,"data":[{by_hand},{head}{rest}]}}"#));
    let answer = door.send(Method::DELETE, &format!("/{id}"), "").await;
    assert_eq!(
        (answer.status, &*text(&answer)),
        (StatusCode::OK, r#"{"success":true,"message":"API key revoked successfully"}"#)
    );
}

#[tokio::test]
async fn last_use_is_shown() {
    let fixture = Fixture::with(&file_keys());
    let note = keystore::UseNote {
        key_id: "key_relay".into(),
        secret: Some((Digest::of(HAND.as_bytes()), START)),
        day: 20_779,
        hours: hours(20_779, 1),
    };
    fixture.store.note_use(vec![note]).await.expect("noted");
    assert!(
        Door::relay(&fixture, "key_relay")
            .list()
            .await
            .ends_with(r#""last_used_at":"2026-11-22T00:00:00Z"}]"#)
    );
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_in_the_apis_style() {
    let fixture = Fixture::with(&file_keys());
    let door = Door::relay(&fixture, "key_relay");
    for (method, path, allow) in [
        (Method::PUT, "", "GET, HEAD, POST"),
        (Method::DELETE, "", "GET, HEAD, POST"),
        (Method::GET, "/key_relay", "DELETE"),
        (Method::POST, "/", "DELETE"),
    ] {
        let answer = door.send(method, path, "").await;
        assert_eq!(
            (answer.status, answer.allow.as_deref()),
            (StatusCode::METHOD_NOT_ALLOWED, Some(allow))
        );
        assert_eq!(text(&answer), r#"{"detail":"There is no such method here."}"#);
    }
    for path in ["/", "/key_none", "/key_relay/", "/key_relay/x", "/key_desk"] {
        assert_eq!(
            door.send(Method::DELETE, path, "").await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let problem =
        Door::desk(&fixture, "key_desk", "live").send(Method::DELETE, "/key_none", "").await;
    assert_eq!(problem.content_type.as_deref(), Some("application/problem+json"));
    let expected = concat!(
        r#"{"type":"about:blank","title":"Not Found","status":404,"#,
        r#""detail":"There is nothing of this name.","code":"not_found","request_id":"req_1"}"#
    );
    assert_eq!(text(&problem), expected);
}

#[tokio::test]
async fn creation_can_be_turned_off() {
    let file = FILE.replace("path = \"/api/keys\"", "path = \"/api/keys\"\ncreate = false");
    let fixture = Fixture::with_file(&format!("{file}{}", file_keys()));
    let answer = Door::relay(&fixture, "key_relay").send(Method::POST, "", r#"{"name":"x"}"#).await;
    assert_eq!(
        (answer.status, answer.allow.as_deref()),
        (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD"))
    );
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let fixture = Fixture::with(&file_keys());
    let door = Door::relay(&fixture, "key_relay");
    for body in [
        "",
        "[]",
        "{}",
        r#"{"name":"x""#,
        r#"{"name":""}"#,
        r#"{"name":null}"#,
        r#"{"name":"x","name":"y"}"#,
        r#"{"name":"x","organization":"org_acme"}"#,
        r#"{"name":"x","expires_at":"2025-12-31T23:59:59Z"}"#,
        r#"{"name":"x","expires_at":1800000000}"#,
        r#"{"name":"x","scopes":["unheard:of"]}"#,
    ] {
        door.refused(body).await;
    }
    assert_eq!(door.ids().await, ["key_relay"]);
}

#[tokio::test]
async fn store_that_fails_is_answered_with_503() {
    let fixture = Fixture::with(&file_keys());
    fixture.break_store().await;
    let door = Door::relay(&fixture, "key_relay");
    for (method, path, body) in [(Method::GET, "", ""), (Method::POST, "", r#"{"name":"x"}"#)] {
        assert_eq!(door.send(method, path, body).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn calls_do_not_pile_up_behind_a_store_that_hangs() {
    const MORE: usize = 10;
    let fixture = Fixture::with(&file_keys());
    let hung = fixture.operations.changes.lock().await;
    let (calls, receiver) = tokio::sync::mpsc::channel(2 * crate::control::calls::MOST_CALLS);
    let service = fixture.service.clone();
    let answer = move |call| {
        let service = service.clone();
        async move { service.answer(call).await }
    };
    let answering = tokio::spawn(crate::control::calls::Calls::new().run(receiver, answer));
    let mut answers = Vec::new();
    for _ in 0..crate::control::calls::MOST_CALLS + MORE {
        let (answer, answered) = tokio::sync::oneshot::channel();
        calls
            .send((call("relay", "key_relay", "live", Method::POST, "", r#"{"name":"a"}"#), answer))
            .await
            .expect("room");
        answers.push(answered);
    }
    let waiting = || calls.max_capacity() - calls.capacity();
    // One call has been taken and waits for a slot.
    while waiting() >= MORE {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting(), MORE - 1, "they wait where there is little room for them");
    // Calls that were abandoned while they waited are not served.
    answers.truncate(1);
    drop(hung);
    drop(calls);
    answering.await.expect("no panic");
    assert!(answers.remove(0).await.is_ok());
}
