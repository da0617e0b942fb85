//! What a key may grant to the keys that it creates.

use super::*;

#[tokio::test]
async fn new_key_may_do_what_its_maker_may_where_the_body_is_silent() {
    let fixture = Fixture::open();
    let maker = NewKey {
        scopes: texts(&["keys:manage", "tickets:read"]),
        allow_ips: texts(&["203.0.113.0/24"]),
        allow_referrers: texts(&["https://app.example.com/*"]),
        allow_endpoints: texts(&["GET /tickets", "GET /keys", "POST /keys"]),
        rate_limit: Some(texts(&["5/s"])),
        expires_at: Some("2027-01-01T00:00:00Z".into()),
        ..of_acme("maker")
    };
    let (maker, _) = fixture.make(maker).await;
    let (id, key) = Door::desk(&fixture, &maker.id, "live").make(r#"{"name":"child"}"#).await;
    let child = fixture.operations.key(&operator(), &id).await.expect("a key");
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
    assert_eq!(fixture.actions().await[0], format!("key {} key.create {id}", maker.id));
}

#[tokio::test]
async fn asking_for_more_than_the_maker_has_is_refused() {
    let fixture = Fixture::open();
    let limited = |scopes: &[&str]| NewKey {
        scopes: texts(scopes),
        expires_at: Some("2027-01-01T00:00:00Z".into()),
        ..of_acme("maker")
    };
    let (maker, _) = fixture.make(limited(&["keys:manage", "tickets:read"])).await;
    let door = Door::desk(&fixture, &maker.id, "live");
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
    // In this API an empty list permits nothing, so every key may grant it.
    door.make(r#"{"name":"nothing","scopes":[]}"#).await;
    let (all, _) = fixture.make(NewKey { scopes: texts(&["*"]), ..of_acme("all") }).await;
    fixture
        .operations
        .change_organization(
            &operator(),
            "org_acme",
            OrganizationChange { key_cap: Some(Some(9)) },
            None,
        )
        .await
        .expect("a cap");
    Door::desk(&fixture, &all.id, "live")
        .make(r#"{"name":"some","scopes":["tickets:write"],"expires_at":null}"#)
        .await;
}

#[tokio::test]
async fn empty_list_is_everything_where_the_api_says_so() {
    let file =
        FILE.replace("path = \"/api/keys\"", "path = \"/api/keys\"\nscope = \"keys:manage\"");
    let fixture = Fixture::with_file(&file);
    let relay = |scopes: &[&str]| NewKey {
        apis: Some(texts(&["relay"])),
        scopes: texts(scopes),
        ..desk_key("maker")
    };
    let (narrow, _) = fixture.make(relay(&["keys:manage"])).await;
    let door = Door::relay(&fixture, &narrow.id);
    door.refused(r#"{"name":"x","scopes":[]}"#).await;
    door.refused(r#"{"name":"x","scopes":["*"]}"#).await;
    let (id, _) = door.make(r#"{"name":"x"}"#).await;
    assert_eq!(
        fixture.operations.key(&operator(), &id).await.expect("a key").scopes,
        ["keys:manage"]
    );
    let (wide, _) = fixture.make(relay(&[])).await;
    let door = Door::relay(&fixture, &wide.id);
    door.make(r#"{"name":"x","scopes":["*"]}"#).await;
    door.make(r#"{"name":"x","scopes":["keys:manage"]}"#).await;
}
