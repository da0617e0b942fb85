use super::*;

async fn conflict(result: impl Future<Output = Result<(), CommitError>>) -> Conflict {
    match result.await {
        Err(CommitError::Conflict(conflict)) => conflict,
        other => panic!("expected a conflict, found {other:?}"),
    }
}

#[tokio::test]
async fn created_key_comes_back_as_it_was_from_memory_and_after_a_restart() {
    let fixture = Fixture::new();
    for key in [full("key_b"), plain("key_a")] {
        fixture.create(key.clone()).await.expect("room for it");
        assert_eq!(fixture.key(&key.id).await, key);
    }
    let no_limit = StoredKey { rate_limit: Some(Vec::new()), ..plain("key_c") };
    fixture.create(no_limit.clone()).await.expect("room for it");
    let (_fixture, keys, _) = fixture.reopen().await;
    assert_eq!(
        keys,
        [plain("key_a"), full("key_b"), no_limit],
        "ordered by id, no limit told from the API's"
    );
}

#[tokio::test]
async fn id_that_is_taken_or_was_ever_revoked_is_not_given_again() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    let again = StoredKey { secrets: vec![secret("another")], ..plain("key_a") };
    assert_eq!(conflict(fixture.create(again)).await, Conflict::IdTaken);
    fixture.revoke(&["key_of_the_file"], NOON).await.expect("ids need not be keys of the store");
    assert_eq!(conflict(fixture.create(plain("key_of_the_file"))).await, Conflict::IdTaken);
}

#[tokio::test]
async fn secret_that_was_ever_revoked_is_not_taken_again_under_any_id() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    let change = Change::Revoke {
        ids: vec!["key_a".to_owned(), "key_of_the_file".to_owned()],
        secrets: vec![("key_of_the_file".to_owned(), digest("in the file"))],
        revocation: revocation(NOON),
    };
    fixture.store.commit(change, entry("key.revoke")).await.expect("a revocation");
    let (fixture, _, opened) = fixture.reopen().await;
    assert_eq!(opened.found.revoked_secrets, [digest("in the file")]);
    for (text, key_id) in [("key_a", "key_a"), ("in the file", "key_of_the_file")] {
        let taken = Conflict::DigestTaken { key_id: key_id.to_owned() };
        let again = StoredKey { secrets: vec![secret(text)], ..plain("key_b") };
        assert_eq!(conflict(fixture.create(again)).await, taken);
    }
    let ids = ["key_a", "key_b"].map(str::to_owned).to_vec();
    let taken = fixture.store.taken(ids, vec![digest("key_a"), digest("key_b")]).await;
    let expected = Taken {
        ids: vec!["key_a".to_owned()],
        secrets: vec![(digest("key_a"), "key_a".to_owned())],
    };
    assert_eq!(taken, Ok(expected));
}

#[tokio::test]
async fn secret_of_another_key_is_refused_on_create_and_on_update_and_nothing_of_it_stays() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    let thief = StoredKey {
        secrets: vec![secret("own"), secret("key_a")],
        organization: Some("org".to_owned()),
        ..plain("key_b")
    };
    let taken = Conflict::DigestTaken { key_id: "key_a".to_owned() };
    assert_eq!(conflict(fixture.create(thief)).await, taken);
    assert_eq!(fixture.store.key("key_b").await, Ok(None));
    assert_eq!(fixture.store.count_keys("org").await, Ok(0));
    assert_eq!(
        fixture
            .store
            .audit(AuditQuery { limit: 10, ..AuditQuery::default() })
            .await
            .map(|entries| entries.len()),
        Ok(1)
    );

    fixture.create(plain("key_b")).await.expect("room for it");
    let thief = StoredKey {
        secrets: vec![secret("key_b"), secret("key_a")],
        revision: 2,
        ..plain("key_b")
    };
    assert_eq!(conflict(fixture.update(thief)).await, taken);
    assert_eq!(fixture.key("key_b").await, plain("key_b"));
}

#[tokio::test]
async fn update_writes_everything_but_origin_and_needs_the_next_revision() {
    let fixture = Fixture::new();
    fixture.create(of_organization("key_a", "org_acme")).await.expect("room for it");
    let changed = StoredKey {
        revision: 2,
        created_by: "somebody else".to_owned(),
        parent: None,
        ..full("key_a")
    };
    fixture.update(changed.clone()).await.expect("the next revision");
    assert_eq!(
        fixture.key("key_a").await,
        StoredKey { created_by: "token ops".to_owned(), ..changed.clone() }
    );
    assert_eq!(conflict(fixture.update(changed.clone())).await, Conflict::Stale);
    assert_eq!(
        conflict(fixture.update(StoredKey { revision: 4, ..changed })).await,
        Conflict::Stale
    );
    assert_eq!(
        conflict(fixture.update(StoredKey { revision: 2, ..plain("key_none") })).await,
        Conflict::NotFound
    );
}

#[tokio::test]
async fn rotation_keeps_the_last_use_of_secrets_that_stay() {
    let fixture = Fixture::new();
    fixture.create(full("key_a")).await.expect("room for it");
    let note = |text: &str, at| UseNote {
        key_id: "key_a".into(),
        secret: Some((digest(text), at)),
        day: 1,
        hours: hours(1, 1),
    };
    fixture
        .store
        .note_use(vec![note("key_a-new", NOON + 1), note("key_a-old", NOON + 2)])
        .await
        .expect("written");
    let rotated = StoredKey {
        revision: 2,
        secrets: vec![secret("newest"), secret("key_a-new")],
        ..full("key_a")
    };
    fixture.update(rotated).await.expect("the next revision");
    let last: Vec<_> =
        fixture.key("key_a").await.secrets.iter().map(|secret| secret.last_used).collect();
    assert_eq!(last, [None, Some(NOON + 1)]);
    let kept = fixture.store.last_used(vec!["key_a".to_owned()]).await.expect("readable");
    assert_eq!(
        kept,
        [("key_a".to_owned(), digest("key_a-new"), NOON + 1)],
        "nothing is kept of a secret that is gone"
    );
    assert_eq!(fixture.store.key_by_digest(digest("key_a-old")).await, Ok(None));
}

#[tokio::test]
async fn revocation_is_final_and_the_first_one_stays() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    fixture.revoke(&["key_a", "key_of_the_file"], NOON).await.expect("a revocation");
    fixture.revoke(&["key_a"], NOON + 5).await.expect("again");
    let revoked = StoredKey { revocation: Some(revocation(NOON)), revision: 2, ..plain("key_a") };
    assert_eq!(fixture.key("key_a").await, revoked);
    for revision in 1..4 {
        let revival = StoredKey { revision, revocation: None, ..plain("key_a") };
        assert_eq!(conflict(fixture.update(revival)).await, Conflict::Revoked);
    }
    let (_fixture, keys, opened) = fixture.reopen().await;
    assert_eq!(keys, [revoked]);
    assert_eq!(
        opened.found.revocations,
        ["key_of_the_file"],
        "the others are told with their keys"
    );
}

#[tokio::test]
async fn cap_counts_keys_of_the_organisation_that_are_not_revoked() {
    let fixture = Fixture::new();
    let create = |id: &str, organization: &str| {
        let key = Box::new(of_organization(id, organization));
        fixture
            .store
            .commit(Change::Create { key, cap: Some(2), idempotency: None }, entry("key.create"))
    };
    for (id, organization) in [("a", "one"), ("b", "one"), ("c", "two")] {
        create(id, organization).await.expect("room for it");
    }
    assert_eq!(conflict(create("d", "one")).await, Conflict::CapReached(2));
    fixture.revoke(&["a", "elsewhere"], NOON).await.expect("a revocation");
    fixture.revoke(&["a"], NOON).await.expect("which counts once");
    assert_eq!(fixture.store.count_keys("one").await, Ok(1));
    create("d", "one").await.expect("room again");
    assert_eq!(conflict(create("e", "one")).await, Conflict::CapReached(2));
}

#[tokio::test]
async fn creation_can_be_repeated_within_a_day_and_its_key_used_anew_after_it() {
    let fixture = Fixture::new();
    let create = |id: &str, token: &str, at| {
        let idempotency =
            Idempotency { token: token.to_owned(), key: "request".to_owned(), body: digest(id) };
        let change =
            Change::Create { key: Box::new(plain(id)), cap: None, idempotency: Some(idempotency) };
        fixture.store.commit(change, AuditEntry { at, ..entry("key.create") })
    };
    let day = 24 * 60 * 60;
    create("key_a", "ops", NOON).await.expect("a first time");
    assert_eq!(
        conflict(create("key_b", "ops", NOON + day - 1)).await,
        Conflict::IdempotencyKeyUsed
    );
    assert_eq!(
        fixture.store.replay("ops", "request", NOON + day - 1).await,
        Ok(Some((digest("key_a"), "key_a".to_owned())))
    );
    assert_eq!(fixture.store.replay("ops", "request", NOON + day).await, Ok(None));
    assert_eq!(fixture.store.replay("other", "request", NOON).await, Ok(None));
    create("key_b", "other", NOON).await.expect("another token's requests are others");
    create("key_c", "ops", NOON + day).await.expect("a day later");
    assert_eq!(
        fixture.store.replay("ops", "request", NOON + day).await,
        Ok(Some((digest("key_c"), "key_c".to_owned())))
    );
}

#[tokio::test]
async fn organisation_is_kept_with_its_revision_beside_the_count_of_its_keys() {
    let fixture = Fixture::new();
    fixture.create(of_organization("key_a", "acme")).await.expect("room for it");
    let keep = |revision, suspended_at| {
        let organization = StoredOrganization {
            name: "acme".to_owned(),
            suspended_at,
            key_cap: Some(5),
            revision,
        };
        fixture.store.commit(Change::Organization(organization), entry("organization.update"))
    };
    keep(1, Some(NOON)).await.expect("the first");
    assert_eq!(conflict(keep(1, None)).await, Conflict::Stale);
    keep(2, None).await.expect("the second");
    let kept = StoredOrganization {
        name: "acme".to_owned(),
        suspended_at: None,
        key_cap: Some(5),
        revision: 2,
    };
    assert_eq!(fixture.store.organization("acme").await, Ok(Some((kept.clone(), 1))));
    fixture.create(of_organization("key_b", "zeta")).await.expect("room for it");
    let (fixture, _, opened) = fixture.reopen().await;
    assert_eq!(
        opened.found.organizations,
        std::slice::from_ref(&kept),
        "only those of which something is kept"
    );
    let zeta = StoredOrganization { name: "zeta".to_owned(), ..StoredOrganization::default() };
    assert_eq!(
        fixture.store.organizations(None, 10).await,
        Ok(vec![(kept.clone(), 1), (zeta.clone(), 1)])
    );
    assert_eq!(fixture.store.organizations(None, 1).await, Ok(vec![(kept, 1)]));
    assert_eq!(fixture.store.organizations(Some("acme"), 1).await, Ok(vec![(zeta, 1)]));
}
