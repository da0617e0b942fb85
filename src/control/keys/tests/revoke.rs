use std::time::{Duration, Instant};

use super::*;
use crate::control::table::KeyName;

/// A key of the file that belongs to an organisation.
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

fn named(ids: &[&str]) -> Vec<KeyName> {
    ids.iter().map(|id| KeyName::Id((*id).to_owned())).collect()
}

/// Creates a key as a child of `parent`.
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
    let actor = Actor::named("test");
    let entry = fixture.operations.entry(&actor, "key.create", &id, None, serde_json::json!({}));
    fixture
        .store
        .commit(Change::Create { key: Box::new(key.clone()), cap: None, idempotency: None }, entry)
        .await
        .expect("made");
    fixture.registry.put(&key);
    fixture.operations.key(&operator(), &id).await.expect("a key")
}

/// Waits until the store has recorded a revocation, and returns it.
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
    let revoked = |id: &str| fixture.is_revoked(id);
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
    // It has no organisation, as if its parent had moved to another one.
    let son = child(&fixture, &root.id).await;
    let all = RevocationOrder { reason: None, descendants: true };
    let answer = fixture.service.revoke(&acme(), &root.id, all.clone()).await.expect("revoked");
    assert_eq!(answer.revoked, [&*root.id]);
    assert!(!fixture.is_revoked(&son.id));
    fixture.service.revoke(&operator(), &root.id, all).await.expect("revoked");
    assert!(fixture.is_revoked(&son.id));
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
    fixture.service.note_revoked_in_file(named(&[&key.id, &other.id]));
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

#[tokio::test]
async fn of_a_revoked_key_memory_keeps_no_more_than_why_it_is_refused() {
    let fixture = Fixture::open();
    let (key, text) = fixture.make(of_acme("one")).await;
    fixture.service.revoke(&operator(), &key.id, order("leaked")).await.expect("revoked");
    assert!(fixture.registry.key(&key.id).is_none() && !fixture.registry.is_revoked(&key.id));
    assert_eq!(fixture.registry.look(|table| table.snapshot().tombstones.len()), 1);
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::RevokedKey));
    let view = fixture.operations.key(&acme(), &key.id).await.expect("the store knows it");
    assert_eq!((view.status, view.revoked_because.as_deref()), (Status::Revoked, Some("leaked")));
    let list =
        fixture.operations.list(&acme(), KeyFilter::default(), None, 10).await.expect("a list");
    assert_eq!(list.keys, [view]);
    let foreign = token("other", Some("org_other"));
    assert_eq!(fixture.operations.key(&foreign, &key.id).await, Err(ServiceError::NotFound));
    let change = KeyChange { name: Some("again".into()), ..KeyChange::default() };
    let (why, _) = conflict(fixture.operations.update(&operator(), &key.id, change, None).await);
    assert_eq!(why, Conflict::KeyRevoked);
    let import = |organization: Option<&str>| ImportedKey {
        sha256: Digest::of(text.as_bytes()).to_string(),
        name: "again".into(),
        organization: organization.map(str::to_owned),
        apis: Some(texts(&["desk"])),
        ..ImportedKey::default()
    };
    let (why, detail) = conflict(fixture.operations.import(&operator(), import(None)).await);
    assert!(why == Conflict::DigestTaken && detail.contains(&key.id), "{detail}");
    let (why, detail) = conflict(fixture.operations.import(&foreign, import(None)).await);
    assert!(why == Conflict::DigestTaken && !detail.contains(&key.id), "{detail}");
}

#[tokio::test]
async fn key_that_was_refused_for_longer_than_is_remembered_is_unknown_and_never_taken_again() {
    const DAY: i64 = 86_400;
    for restarted in [false, true] {
        let mut fixture = Fixture::open();
        let (key, text) = fixture.make(desk_key("one")).await;
        fixture.service.revoke(&operator(), &key.id, order("leaked")).await.expect("revoked");
        fixture.pass(90 * DAY);
        if restarted {
            fixture = fixture.restart().await;
        }
        assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::RevokedKey));
        fixture.pass(2 * DAY);
        if restarted {
            fixture = fixture.restart().await;
        } else {
            fixture.forget_dead();
        }
        assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::UnknownKey));
        assert_eq!(fixture.registry.look(|table| table.snapshot().tombstones.len()), 0);
        let view = fixture.operations.key(&operator(), &key.id).await.expect("the store knows it");
        assert_eq!(view.status, Status::Revoked);
        let import = |id: &str, text: &str| ImportedKey {
            id: Some(id.into()),
            sha256: Digest::of(text.as_bytes()).to_string(),
            name: "again".into(),
            apis: Some(texts(&["desk"])),
            ..ImportedKey::default()
        };
        let by_id = fixture.operations.import(&operator(), import(&key.id, "another")).await;
        assert_eq!(conflict(by_id).0, Conflict::IdTaken);
        let by_digest = fixture.operations.import(&operator(), import("key_new", &text)).await;
        assert_eq!(conflict(by_digest).0, Conflict::DigestTaken);
    }
}

#[tokio::test]
async fn revocation_that_could_not_begin_does_not_claim_to_be_in_force() {
    let fixture = Fixture::open();
    let expiring = NewKey { expires_at: Some("2026-11-22T01:00:00Z".into()), ..of_acme("one") };
    let (key, _) = fixture.make(expiring).await;
    fixture.pass(3600);
    fixture.service.retire_expired(&[(&*key.id).into()], fixture.unix());
    fixture.break_store().await;
    // Only the store knows whether there is such a key.
    assert_eq!(
        fixture.service.revoke(&operator(), &key.id, order("leaked")).await,
        Err(ServiceError::Unavailable)
    );
}

#[tokio::test]
async fn expired_key_leaves_memory_and_comes_back_when_it_is_given_more_time() {
    let fixture = Fixture::open();
    let expiring = NewKey { expires_at: Some("2026-11-22T01:00:00Z".into()), ..of_acme("one") };
    let (key, text) = fixture.make(expiring).await;
    let expire =
        |fixture: &Fixture| fixture.service.retire_expired(&[(&*key.id).into()], fixture.unix());
    fixture.pass(3599);
    expire(&fixture);
    assert!(fixture.registry.key(&key.id).is_some(), "it has a second left");
    fixture.pass(1);
    expire(&fixture);
    assert!(fixture.registry.key(&key.id).is_none());
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::ExpiredKey));
    let fixture = fixture.restart().await;
    assert!(fixture.registry.key(&key.id).is_none());
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::ExpiredKey));
    let view = fixture.operations.key(&acme(), &key.id).await.expect("the store knows it");
    assert_eq!(view.status, Status::Expired);

    let change =
        KeyChange { expires_at: Some(Some("2027-01-01T00:00:00Z".into())), ..KeyChange::default() };
    fixture.operations.update(&acme(), &key.id, change, None).await.expect("more time");
    assert_eq!(fixture.refusal(&text, "desk"), None);
    assert_eq!(fixture.registry.look(|table| table.snapshot().tombstones.len()), 0);
}

#[tokio::test]
async fn expired_key_is_revoked_for_good_by_request_and_by_the_file() {
    let fixture = Fixture::with("[revoked]\nkeys = [\"key_second\"]\n");
    let (by_request, text) = fixture.make(of_acme("one")).await;
    let import = ImportedKey {
        id: Some("key_first".into()),
        sha256: Digest::of(b"kl_first").to_string(),
        name: "first".into(),
        apis: Some(texts(&["desk"])),
        expires_at: Some("2026-11-22T01:00:00Z".into()),
        ..ImportedKey::default()
    };
    fixture.operations.import(&operator(), import).await.expect("imported");
    let change =
        KeyChange { expires_at: Some(Some("2026-11-22T01:00:00Z".into())), ..KeyChange::default() };
    fixture.operations.update(&operator(), &by_request.id, change, None).await.expect("an end");
    fixture.pass(7200);
    let fixture = fixture.restart().await;
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::ExpiredKey));
    fixture.service.revoke(&acme(), &by_request.id, order("leaked")).await.expect("revoked");
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::RevokedKey));

    fixture.service.note_revoked_in_file(named(&["key_first", "key_of_nobody"]));
    let revocation = wait_for("the revocation of an expired key", &fixture, "key_first").await;
    assert_eq!(revocation.by, "gateway.toml");
    fixture.service.flush().await;
    assert_eq!(fixture.refusal("kl_first", "desk"), Some(Refusal::RevokedKey));
    let nobody = fixture.store.revocations(vec!["key_of_nobody".into()]).await;
    assert_eq!(nobody, Ok(Vec::new()), "the file may name whatever it likes");
}

#[tokio::test]
async fn keys_are_taken_back_when_the_clock_is_set_back() {
    let fixture = Fixture::open();
    let expiring = NewKey { expires_at: Some("2026-11-22T01:00:00Z".into()), ..of_acme("one") };
    let (key, text) = fixture.make(expiring).await;
    let (revoked, revoked_text) = fixture.make(of_acme("two")).await;
    fixture.service.revoke(&operator(), &revoked.id, order("leaked")).await.expect("revoked");
    fixture.pass(7200);
    fixture.service.retire_expired(&[(&*key.id).into()], fixture.unix());
    let before = fixture.unix();
    fixture.pass(-7000);
    fixture.service.revive(fixture.unix(), before).await.expect("taken back");
    assert_eq!(fixture.refusal(&text, "desk"), None);
    assert_eq!(fixture.refusal(&revoked_text, "desk"), Some(Refusal::RevokedKey));
}

#[tokio::test]
async fn secret_of_the_file_that_was_revoked_stays_so_under_another_id_and_in_the_store() {
    let fixture = Fixture::with(&file_key());
    fixture.service.revoke(&operator(), "key_file", order("leaked")).await.expect("revoked");
    let renamed = file_key().replace("key_file", "key_renamed");
    let Fixture { store, folder, now, file, .. } = fixture;
    store.close().await;
    let fixture = Fixture::start(folder, now, &file.replace(&file_key(), &renamed));
    assert_eq!(fixture.refusal(FILE_KEY, "desk"), Some(Refusal::RevokedKey));
    let Fixture { store, folder, now, file, .. } = fixture;
    store.close().await;
    let fixture = Fixture::start(folder, now, &file.replace(&renamed, ""));
    let import = ImportedKey {
        sha256: Digest::of(FILE_KEY.as_bytes()).to_string(),
        name: "again".into(),
        apis: Some(texts(&["desk"])),
        ..ImportedKey::default()
    };
    let (why, _) = conflict(fixture.operations.import(&operator(), import).await);
    assert_eq!(why, Conflict::DigestTaken);
}
