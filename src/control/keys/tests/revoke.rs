use std::time::{Duration, Instant};

use super::*;

/// A key of the file, and of an organisation.
const FILE_KEY: &str = "kl_by-hand";

fn file_key() -> String {
    let digest = Digest::of(FILE_KEY.as_bytes());
    format!(
        "[[key]]\nid = \"key_file\"\nname = \"By hand\"\norganization = \"org_acme\"\n\
            apis = [\"desk\"]\nsha256 = \"{digest}\"\n"
    )
}

fn order(reason: &str) -> RevocationOrder {
    RevocationOrder { reason: Some(reason.into()), descendants: false }
}

/// A key that this one made.
async fn child(fixture: &Fixture, parent: &str) -> KeyView {
    let (view, _) = fixture.make(of_acme("child")).await;
    let stored = fixture.store.key(&view.id).await.expect("a store").expect("a key");
    let id = format!("{}_child", view.id);
    let digest = Digest::of(id.as_bytes());
    let secrets =
        vec![keystore::StoredSecret { digest, created_at: START, ends_at: None, last_used: None }];
    let key = StoredKey {
        id: id.clone(),
        parent: Some(parent.into()),
        organization: None,
        secrets,
        ..stored
    };
    let entry = fixture.operations.entry("test", "key.create", &id, None, serde_json::json!({}));
    fixture
        .store
        .commit(Change::Create { key: Box::new(key.clone()), cap: None, idempotency: None }, entry)
        .await
        .expect("made");
    fixture.registry.put(&key);
    fixture.operations.key(&operator(), &id).await.expect("a key")
}

/// Waits until the store knows of a revocation.
async fn wait_for(what: &str, fixture: &Fixture, id: &str) -> Revocation {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some((_, revocation)) =
            fixture.store.revocations(vec![id.into()]).await.expect("a store").pop()
        {
            return revocation;
        }
        assert!(Instant::now() < deadline, "{what} took too long");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn revoked_key_is_refused_for_good_and_to_revoke_it_again_succeeds() {
    let fixture = Fixture::open();
    let (key, text) = fixture.make(of_acme("one")).await;
    let revoked =
        fixture.service.revoke(&operator(), &key.id, order("leaked")).await.expect("revoked");
    assert_eq!(revoked.revoked, [&*key.id]);
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::RevokedKey));
    fixture.pass(60);
    fixture.service.revoke(&acme(), &key.id, order("again")).await.expect("revoked already");
    let fixture = fixture.restart().await;
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::RevokedKey));
    let view = fixture.operations.key(&operator(), &key.id).await.expect("it is still known");
    assert_eq!(
        (view.status, view.revoked_at.as_deref()),
        (Status::Revoked, Some("2026-11-22T00:00:00Z"))
    );
    assert_eq!(
        (view.revoked_by.as_deref(), view.revoked_because.as_deref()),
        (Some("token ops"), Some("leaked"))
    );
    assert_eq!(fixture.actions().await[0], format!("token ops key.revoke {}", key.id));
    assert_eq!(fixture.actions().await.len(), 2);
}

#[tokio::test]
async fn revocation_of_a_key_of_the_file_outlives_its_place_there() {
    let fixture = Fixture::with(&file_key());
    assert_eq!(fixture.refusal(FILE_KEY, "desk"), None);
    fixture.service.revoke(&acme(), "key_file", order("leaked")).await.expect("revoked");
    assert_eq!(fixture.refusal(FILE_KEY, "desk"), Some(Refusal::RevokedKey));
    let fixture = fixture.restart().await;
    assert_eq!(fixture.refusal(FILE_KEY, "desk"), Some(Refusal::RevokedKey));
    let view = fixture.operations.key(&operator(), "key_file").await.expect("a key");
    assert_eq!((view.status, view.revoked_by.as_deref()), (Status::Revoked, Some("token acme")));
}

#[tokio::test]
async fn descendants_are_revoked_only_if_they_are_meant() {
    let fixture = Fixture::open();
    let (root, _) = fixture.make(desk_key("root")).await;
    let son = child(&fixture, &root.id).await;
    let grandson = child(&fixture, &son.id).await;
    let revoked = |id: &str| fixture.registry.is_revoked(id);
    fixture.service.revoke(&operator(), &root.id, order("alone")).await.expect("revoked");
    assert!(revoked(&root.id) && !revoked(&son.id) && !revoked(&grandson.id));
    let all = RevocationOrder { reason: None, descendants: true };
    let answer = fixture.service.revoke(&operator(), &root.id, all).await.expect("revoked");
    assert_eq!(answer.revoked[0], root.id);
    assert!(answer.revoked.contains(&son.id) && answer.revoked.contains(&grandson.id));
    assert!(revoked(&son.id) && revoked(&grandson.id));
    assert_eq!(
        fixture
            .operations
            .key(&operator(), &root.id)
            .await
            .expect("a key")
            .revoked_because
            .as_deref(),
        Some("alone")
    );
}

#[tokio::test]
async fn organizations_admin_revokes_no_descendants_of_another_organization() {
    let fixture = Fixture::open();
    let (root, _) = fixture.make(of_acme("root")).await;
    // Of no organisation, as if its maker had been moved to another one.
    let son = child(&fixture, &root.id).await;
    let all = RevocationOrder { reason: None, descendants: true };
    let answer = fixture.service.revoke(&acme(), &root.id, all.clone()).await.expect("revoked");
    assert_eq!(answer.revoked, [&*root.id]);
    assert!(!fixture.registry.is_revoked(&son.id));
    fixture.service.revoke(&operator(), &root.id, all).await.expect("revoked");
    assert!(fixture.registry.is_revoked(&son.id));
}

#[tokio::test]
async fn key_stays_refused_if_the_store_does_not_take_its_revocation() {
    let fixture = Fixture::with(&file_key());
    let (key, text) = fixture.make(of_acme("one")).await;
    let stored = fixture.store.key(&key.id).await.expect("a store").expect("a key");
    fixture.break_store().await;
    assert_eq!(
        fixture.service.revoke(&operator(), &key.id, order("leaked")).await,
        Err(ServiceError::Unrecorded)
    );
    assert_eq!(
        fixture.service.revoke(&operator(), "key_file", order("leaked")).await,
        Err(ServiceError::Unrecorded)
    );
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::RevokedKey));
    assert_eq!(fixture.refusal(FILE_KEY, "desk"), Some(Refusal::RevokedKey));
    fixture.registry.put(&stored);
    assert_eq!(
        fixture.refusal(&text, "desk"),
        Some(Refusal::RevokedKey),
        "a later change has revived it"
    );
}

#[tokio::test]
async fn revocation_that_failed_reaches_the_store_when_it_works_again() {
    let fixture = Fixture::open();
    let (key, _) = fixture.make(of_acme("one")).await;
    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
        + 2;
    let fixture =
        fixture.fail_writes("revocations", "INSERT", &format!("unixepoch() < {until}")).await;
    assert_eq!(
        fixture.service.revoke(&acme(), &key.id, order("leaked")).await,
        Err(ServiceError::Unrecorded)
    );
    let revocation = wait_for("the revocation", &fixture, &key.id).await;
    assert_eq!(
        revocation,
        Revocation { at: START, by: "token acme".into(), reason: Some("leaked".into()) }
    );
}

#[tokio::test]
async fn keys_that_the_file_revokes_are_revoked_in_the_store() {
    let fixture = Fixture::open();
    let (key, text) = fixture.make(of_acme("one")).await;
    let (other, _) = fixture.make(of_acme("two")).await;
    fixture.service.note_revoked_in_file(vec![key.id.clone(), other.id.clone()]);
    for id in [&key.id, &other.id] {
        let revocation = wait_for("the revocation", &fixture, id).await;
        assert_eq!((revocation.by.as_str(), revocation.reason), ("gateway.toml", None));
    }
    let fixture = fixture.restart().await;
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::RevokedKey));
    assert!(fixture.actions().await.contains(&format!("gateway.toml key.revoke {}", key.id)));
}

#[tokio::test]
async fn foreign_unknown_and_badly_explained_revocations_are_refused() {
    let fixture = Fixture::open();
    let (foreign, text) = fixture.make(desk_key("no organization")).await;
    assert_eq!(
        fixture.service.revoke(&acme(), &foreign.id, order("mine now")).await,
        Err(ServiceError::NotFound)
    );
    assert_eq!(
        fixture.service.revoke(&operator(), "key_none", order("")).await,
        Err(ServiceError::NotFound)
    );
    assert_eq!(
        members(fixture.service.revoke(&operator(), &foreign.id, order("a\nb")).await),
        ["reason"]
    );
    assert_eq!(fixture.refusal(&text, "desk"), None);
}
