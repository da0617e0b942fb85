use bytes::Bytes;
use http::{Method, StatusCode};

use super::*;

const HAND: &str = "rl_live_by-hand";

/// A key of the file for each API, without organisation.
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
    bench: &'b Bench,
    api: &'static str,
    key: String,
    environment: &'static str,
}

impl<'b> Door<'b> {
    fn relay(bench: &'b Bench, key: &str) -> Self {
        Self { bench, api: "relay", key: key.into(), environment: "live" }
    }

    fn desk(bench: &'b Bench, key: &str, environment: &'static str) -> Self {
        Self { bench, api: "desk", key: key.into(), environment }
    }

    async fn send(&self, method: Method, path: &str, body: &str) -> KeyAnswer {
        self.bench
            .office
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

    /// The id and the text of a new key.
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
    let bench = Bench::with(&file_keys());
    let door = Door::relay(&bench, "key_relay");
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
    let rest = r#""scopes":[],"created_at":"2026-11-22T00:00:00Z","expires_at":"2026-12-31T23:59:59Z","last_used_at":null}"#;
    let head = format!(r#"{{"id":"{id}","name":"Production Server","key_prefix":"rl_live_","#);
    assert_eq!(text(&answer), format!(r#"{head}"key":"{key}",{rest}"#));
    assert_eq!(bench.refusal(key, "relay"), None);
    let by_hand = r#"{"id":"key_relay","name":"By hand","key_prefix":"rl_live_","scopes":[],"created_at":null,"expires_at":null,"last_used_at":null}"#;
    assert_eq!(door.list().await, format!("[{by_hand},{head}{rest}]"));
    assert_eq!(
        door.send(Method::DELETE, &format!("/{id}"), "").await,
        crate::control::office::key_endpoints::empty(StatusCode::NO_CONTENT)
    );
    assert_eq!(bench.refusal(key, "relay"), Some(Refusal::RevokedKey));
    assert_eq!(door.list().await, format!("[{by_hand}]"));
    let gone = door.send(Method::DELETE, &format!("/{id}"), "").await;
    assert_eq!(
        (gone.status, &*text(&gone)),
        (StatusCode::NOT_FOUND, r#"{"detail":"There is nothing of this name."}"#)
    );
}

#[tokio::test]
async fn enveloped_bodies_have_the_documented_members_in_their_order() {
    let bench = Bench::with(&file_keys());
    let door = Door::desk(&bench, "key_desk", "live");
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
    let bench = Bench::with(&file_keys());
    let note = keystore::UseNote {
        key_id: "key_relay".into(),
        secret: Some((Digest::of(HAND.as_bytes()), START)),
        day: 20_779,
        requests: 1,
    };
    bench.store.note_use(vec![note]).await.expect("noted");
    assert!(
        Door::relay(&bench, "key_relay")
            .list()
            .await
            .ends_with(r#""last_used_at":"2026-11-22T00:00:00Z"}]"#)
    );
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_in_the_apis_style() {
    let bench = Bench::with(&file_keys());
    let door = Door::relay(&bench, "key_relay");
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
        Door::desk(&bench, "key_desk", "live").send(Method::DELETE, "/key_none", "").await;
    assert_eq!(problem.content_type.as_deref(), Some("application/problem+json"));
    let expected = r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"There is nothing of this name.","code":"not_found","request_id":"req_1"}"#;
    assert_eq!(text(&problem), expected);
}

#[tokio::test]
async fn creation_can_be_turned_off() {
    let file = FILE.replace("path = \"/api/keys\"", "path = \"/api/keys\"\ncreate = false");
    let bench = Bench::with_file(&format!("{file}{}", file_keys()));
    let answer = Door::relay(&bench, "key_relay").send(Method::POST, "", r#"{"name":"x"}"#).await;
    assert_eq!(
        (answer.status, answer.allow.as_deref()),
        (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD"))
    );
}

#[tokio::test]
async fn bad_bodies_are_refused() {
    let bench = Bench::with(&file_keys());
    let door = Door::relay(&bench, "key_relay");
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
async fn new_key_may_do_what_its_maker_may_where_the_body_is_silent() {
    let bench = Bench::open();
    let maker = NewKey {
        scopes: texts(&["keys:manage", "tickets:read"]),
        allow_ips: texts(&["203.0.113.0/24"]),
        allow_referrers: texts(&["https://app.example.com/*"]),
        allow_endpoints: texts(&["GET /tickets", "GET /keys", "POST /keys"]),
        rate_limit: Some(texts(&["5/s"])),
        expires_at: Some("2027-01-01T00:00:00Z".into()),
        ..of_acme("maker")
    };
    let (maker, _) = bench.make(maker).await;
    let (id, key) = Door::desk(&bench, &maker.id, "live").make(r#"{"name":"child"}"#).await;
    let child = bench.office.key(&operator(), &id).await.expect("a key");
    let expected = KeyView {
        id: child.id.clone(),
        name: "child".into(),
        prefix: key[..8].into(),
        created_by: Some(format!("key {}", maker.id)),
        parent: Some(maker.id.clone()),
        secrets: child.secrets.clone(),
        ..maker.clone()
    };
    assert_eq!(child, expected);
    assert_eq!(bench.actions().await[0], format!("key {} key.create {id}", maker.id));
}

#[tokio::test]
async fn asking_for_more_than_the_maker_has_is_refused() {
    let bench = Bench::open();
    let limited = |scopes: &[&str]| NewKey {
        scopes: texts(scopes),
        expires_at: Some("2027-01-01T00:00:00Z".into()),
        ..of_acme("maker")
    };
    let (maker, _) = bench.make(limited(&["keys:manage", "tickets:read"])).await;
    let door = Door::desk(&bench, &maker.id, "live");
    for body in [
        r#"{"name":"x","scopes":["*"]}"#,
        r#"{"name":"x","scopes":["tickets:read","tickets:write"]}"#,
        r#"{"name":"x","expires_at":"2027-01-01T00:00:01Z"}"#,
        r#"{"name":"x","expires_at":null}"#,
    ] {
        door.refused(body).await;
    }
    door.make(r#"{"name":"less","scopes":["tickets:read"],"expires_at":"2026-12-31T00:00:00Z"}"#)
        .await;
    // Where no scope means nothing, everybody may give it.
    door.make(r#"{"name":"nothing","scopes":[]}"#).await;
    let (all, _) = bench.make(NewKey { scopes: texts(&["*"]), ..of_acme("all") }).await;
    bench
        .office
        .change_organization(
            &operator(),
            "org_acme",
            OrganizationChange { key_cap: Some(Some(9)) },
            None,
        )
        .await
        .expect("a cap");
    Door::desk(&bench, &all.id, "live")
        .make(r#"{"name":"some","scopes":["tickets:write"],"expires_at":null}"#)
        .await;
}

#[tokio::test]
async fn empty_list_is_everything_where_the_api_says_so() {
    let file =
        FILE.replace("path = \"/api/keys\"", "path = \"/api/keys\"\nscope = \"keys:manage\"");
    let bench = Bench::with_file(&file);
    let relay = |scopes: &[&str]| NewKey {
        apis: Some(texts(&["relay"])),
        scopes: texts(scopes),
        ..desk_key("maker")
    };
    let (narrow, _) = bench.make(relay(&["keys:manage"])).await;
    let door = Door::relay(&bench, &narrow.id);
    door.refused(r#"{"name":"x","scopes":[]}"#).await;
    door.refused(r#"{"name":"x","scopes":["*"]}"#).await;
    let (id, _) = door.make(r#"{"name":"x"}"#).await;
    assert_eq!(bench.office.key(&operator(), &id).await.expect("a key").scopes, ["keys:manage"]);
    let (wide, _) = bench.make(relay(&[])).await;
    let door = Door::relay(&bench, &wide.id);
    door.make(r#"{"name":"x","scopes":["*"]}"#).await;
    door.make(r#"{"name":"x","scopes":["keys:manage"]}"#).await;
}

#[tokio::test]
async fn test_key_neither_sees_nor_touches_live_keys() {
    let bench = Bench::with(&file_keys());
    let manage = |environment: &str| NewKey {
        environment: Some(environment.into()),
        scopes: texts(&["keys:manage"]),
        ..of_acme(environment)
    };
    let (live, live_key) = bench.make(manage("live")).await;
    let (test, _) = bench.make(manage("test")).await;
    let door = Door::desk(&bench, &test.id, "test");
    let (child, child_key) = door.make(r#"{"name":"child"}"#).await;
    assert!(child_key.starts_with("kt_"));
    let mut ids = door.ids().await;
    ids.sort();
    let mut expected = [test.id.clone(), child.clone()];
    expected.sort();
    assert_eq!(ids, expected);
    for id in [&live.id, "key_desk"] {
        assert_eq!(
            door.send(Method::DELETE, &format!("/{id}"), "").await.status,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(bench.refusal(&live_key, "desk"), None);
    assert_eq!(Door::desk(&bench, &live.id, "live").ids().await, [live.id]);
}

#[tokio::test]
async fn caller_sees_its_organization_and_without_one_itself_and_its_descendants() {
    let bench = Bench::with(&file_keys());
    let relay = |organization: Option<&str>| NewKey {
        apis: Some(texts(&["relay"])),
        organization: organization.map(Into::into),
        ..desk_key("x")
    };
    let (ours, _) = bench.make(relay(Some("org_a"))).await;
    let (also_ours, _) = bench.make(relay(Some("org_a"))).await;
    let (theirs, _) = bench.make(relay(Some("org_b"))).await;
    let (stranger, _) = bench.make(relay(None)).await;
    bench.make(NewKey { organization: Some("org_a".into()), ..desk_key("of another API") }).await;
    let mut expected = [ours.id.clone(), also_ours.id.clone()];
    expected.sort();
    assert_eq!(Door::relay(&bench, &ours.id).ids().await, expected);
    assert_eq!(Door::relay(&bench, &theirs.id).ids().await, [&*theirs.id]);
    let door = Door::relay(&bench, "key_relay");
    let (son, _) = door.make(r#"{"name":"son"}"#).await;
    bench.pass(1);
    let (grandson, _) = Door::relay(&bench, &son).make(r#"{"name":"grandson"}"#).await;
    assert_eq!(door.ids().await, ["key_relay", &son, &grandson]);
    assert_eq!(Door::relay(&bench, &son).ids().await, [son.clone(), grandson]);
    for id in [&stranger.id, &ours.id, "key_relay"] {
        assert_eq!(
            Door::relay(&bench, &son).send(Method::DELETE, &format!("/{id}"), "").await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn makers_revocation_does_not_touch_what_it_made_unless_descendants_are_meant() {
    let bench = Bench::with(&file_keys());
    let door = Door::relay(&bench, "key_relay");
    let (son, key) = door.make(r#"{"name":"son"}"#).await;
    assert_eq!(door.send(Method::DELETE, "/key_relay", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(bench.refusal(HAND, "relay"), Some(Refusal::RevokedKey));
    assert_eq!(bench.refusal(&key, "relay"), None);
    let answer = door.send(Method::POST, "", r#"{"name":"after the end"}"#).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "a revoked key has made another");
    let all = RevocationOrder { reason: None, descendants: true };
    assert_eq!(
        bench.office.revoke(&operator(), "key_relay", all).await.expect("revoked").revoked,
        ["key_relay", &son]
    );
    assert_eq!(bench.refusal(&key, "relay"), Some(Refusal::RevokedKey));
    let bench = bench.restart().await;
    assert_eq!(
        bench.refusal(HAND, "relay"),
        Some(Refusal::RevokedKey),
        "the revocation of a key of the file did not last"
    );
}

#[tokio::test]
async fn cap_counts_for_organizations_and_for_families() {
    let bench = Bench::with(&file_keys());
    let door = Door::relay(&bench, "key_relay");
    let mut maker = "key_relay".to_owned();
    for _ in 0..4 {
        maker = Door::relay(&bench, &maker).make(r#"{"name":"child"}"#).await.0;
    }
    for key in ["key_relay", &maker] {
        let answer =
            Door::relay(&bench, key).send(Method::POST, "", r#"{"name":"one more"}"#).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", text(&answer));
    }
    door.send(Method::DELETE, &format!("/{maker}"), "").await;
    door.make(r#"{"name":"room again"}"#).await;
    let (ours, _) = bench
        .make(NewKey {
            apis: Some(texts(&["relay"])),
            organization: Some("org_a".into()),
            ..desk_key("x")
        })
        .await;
    let door = Door::relay(&bench, &ours.id);
    for _ in 0..3 {
        door.make(r#"{"name":"child"}"#).await;
    }
    assert_eq!(
        door.send(Method::POST, "", r#"{"name":"one more"}"#).await.status,
        StatusCode::CONFLICT
    );
}

#[tokio::test]
async fn store_that_fails_is_answered_with_503() {
    let bench = Bench::with(&file_keys());
    bench.break_store().await;
    let door = Door::relay(&bench, "key_relay");
    for (method, path, body) in [(Method::GET, "", ""), (Method::POST, "", r#"{"name":"x"}"#)] {
        assert_eq!(door.send(method, path, body).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn calls_do_not_pile_up_behind_a_store_that_hangs() {
    const MORE: usize = 10;
    let bench = Bench::with(&file_keys());
    let hung = bench.office.desk.turn.lock().await;
    let (calls, receiver) = tokio::sync::mpsc::channel(2 * crate::control::key_calls::KEY_CALLS);
    let answering =
        tokio::spawn(crate::control::key_calls::KeyDesk::new().run(bench.office.clone(), receiver));
    let mut answers = Vec::new();
    for _ in 0..crate::control::key_calls::KEY_CALLS + MORE {
        let (answer, answered) = tokio::sync::oneshot::channel();
        calls
            .send((call("relay", "key_relay", "live", Method::POST, "", r#"{"name":"a"}"#), answer))
            .await
            .expect("room");
        answers.push(answered);
    }
    let waiting = || calls.max_capacity() - calls.capacity();
    // One has been taken and waits for a slot.
    while waiting() >= MORE {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting(), MORE - 1, "they wait where there is little room for them");
    // Those who gave up while they waited are not served.
    answers.truncate(1);
    drop(hung);
    drop(calls);
    answering.await.expect("no panic");
    assert!(answers.remove(0).await.is_ok());
}
