//! Which keys a caller may see and revoke, and how many it may create.

use super::*;

#[tokio::test]
async fn test_key_neither_sees_nor_touches_live_keys() {
    let fixture = Fixture::with(&file_keys());
    let manage = |environment: &str| NewKey {
        environment: Some(environment.into()),
        scopes: texts(&["keys:manage"]),
        ..of_acme(environment)
    };
    let (live, live_key) = fixture.make(manage("live")).await;
    let (test, _) = fixture.make(manage("test")).await;
    let door = Door::desk(&fixture, &test.id, "test");
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
    assert_eq!(fixture.refusal(&live_key, "desk"), None);
    assert_eq!(Door::desk(&fixture, &live.id, "live").ids().await, [live.id]);
}

#[tokio::test]
async fn caller_sees_its_organization_and_without_one_itself_and_its_descendants() {
    let fixture = Fixture::with(&file_keys());
    let relay = |organization: Option<&str>| NewKey {
        apis: Some(texts(&["relay"])),
        organization: organization.map(Into::into),
        ..desk_key("x")
    };
    let (ours, _) = fixture.make(relay(Some("org_a"))).await;
    let (also_ours, _) = fixture.make(relay(Some("org_a"))).await;
    let (theirs, _) = fixture.make(relay(Some("org_b"))).await;
    let (stranger, _) = fixture.make(relay(None)).await;
    fixture.make(NewKey { organization: Some("org_a".into()), ..desk_key("of another API") }).await;
    let mut expected = [ours.id.clone(), also_ours.id.clone()];
    expected.sort();
    assert_eq!(Door::relay(&fixture, &ours.id).ids().await, expected);
    assert_eq!(Door::relay(&fixture, &theirs.id).ids().await, [&*theirs.id]);
    let door = Door::relay(&fixture, "key_relay");
    let (son, _) = door.make(r#"{"name":"son"}"#).await;
    fixture.pass(1);
    let (grandson, _) = Door::relay(&fixture, &son).make(r#"{"name":"grandson"}"#).await;
    assert_eq!(door.ids().await, ["key_relay", &son, &grandson]);
    assert_eq!(Door::relay(&fixture, &son).ids().await, [son.clone(), grandson]);
    for id in [&stranger.id, &ours.id, "key_relay"] {
        assert_eq!(
            Door::relay(&fixture, &son).send(Method::DELETE, &format!("/{id}"), "").await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn makers_revocation_does_not_touch_what_it_made_unless_descendants_are_meant() {
    let fixture = Fixture::with(&file_keys());
    let door = Door::relay(&fixture, "key_relay");
    let (son, key) = door.make(r#"{"name":"son"}"#).await;
    assert_eq!(door.send(Method::DELETE, "/key_relay", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(fixture.refusal(HAND, "relay"), Some(Refusal::RevokedKey));
    assert_eq!(fixture.refusal(&key, "relay"), None);
    let answer = door.send(Method::POST, "", r#"{"name":"after the end"}"#).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "a revoked key has made another");
    let all = RevocationOrder { reason: None, descendants: true };
    assert_eq!(
        fixture.service.revoke(&operator(), "key_relay", all).await.expect("revoked").revoked,
        ["key_relay", &son]
    );
    assert_eq!(fixture.refusal(&key, "relay"), Some(Refusal::RevokedKey));
    let fixture = fixture.restart().await;
    assert_eq!(
        fixture.refusal(HAND, "relay"),
        Some(Refusal::RevokedKey),
        "the revocation of a key of the file did not last"
    );
}

#[tokio::test]
async fn cap_counts_for_organizations_and_for_families() {
    let fixture = Fixture::with(&file_keys());
    let door = Door::relay(&fixture, "key_relay");
    let mut maker = "key_relay".to_owned();
    for _ in 0..4 {
        maker = Door::relay(&fixture, &maker).make(r#"{"name":"child"}"#).await.0;
    }
    for key in ["key_relay", &maker] {
        let answer =
            Door::relay(&fixture, key).send(Method::POST, "", r#"{"name":"one more"}"#).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{}", text(&answer));
    }
    door.send(Method::DELETE, &format!("/{maker}"), "").await;
    door.make(r#"{"name":"room again"}"#).await;
    let (ours, _) = fixture
        .make(NewKey {
            apis: Some(texts(&["relay"])),
            organization: Some("org_a".into()),
            ..desk_key("x")
        })
        .await;
    let door = Door::relay(&fixture, &ours.id);
    for _ in 0..3 {
        door.make(r#"{"name":"child"}"#).await;
    }
    assert_eq!(
        door.send(Method::POST, "", r#"{"name":"one more"}"#).await.status,
        StatusCode::CONFLICT
    );
}
