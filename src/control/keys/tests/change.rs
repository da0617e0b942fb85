use super::*;

fn change() -> KeyChange {
    KeyChange::default()
}

#[tokio::test]
async fn update_changes_what_it_names_and_nothing_else() {
    let fixture = Fixture::open();
    let new = NewKey {
        scopes: texts(&["tickets:read"]),
        expires_at: Some("2027-01-01T00:00:00Z".into()),
        ..of_acme("old name")
    };
    let (before, key) = fixture.make(new).await;
    let wanted = KeyChange { name: Some("new name".into()), expires_at: Some(None), ..change() };
    let after =
        fixture.operations.update(&operator(), &before.id, wanted, Some(1)).await.expect("changed");
    assert_eq!(
        after,
        KeyView { name: "new name".into(), expires_at: None, revision: 2, ..before.clone() }
    );
    assert_eq!(fixture.operations.key(&operator(), &before.id).await, Ok(after.clone()));
    assert_eq!(fixture.refusal(&key, "desk"), None);
    let log = fixture
        .operations
        .audit(&operator(), AuditFilter::default(), None, 1)
        .await
        .expect("a log");
    let expected = serde_json::json!({
        "name": { "from": "old name", "to": "new name" },
        "expires_at": { "from": "2027-01-01T00:00:00Z", "to": null },
    });
    assert_eq!((&*log.entries[0].action, &log.entries[0].detail), ("key.update", &expected));
    assert_eq!(fixture.operations.update(&operator(), &before.id, change(), None).await, Ok(after));
    assert_eq!(fixture.actions().await.len(), 2, "nothing changed, but something was written");
}

#[tokio::test]
async fn update_is_checked_like_a_creation() {
    let fixture = Fixture::open();
    let (key, _) = fixture.make(of_acme("one")).await;
    let wanted = KeyChange {
        name: Some(String::new()),
        scopes: Some(texts(&["nothing"])),
        allow_ips: Some(texts(&["here"])),
        rate_limit: Some(Some(texts(&["1/s", "1/s"]))),
        expires_at: Some(Some("2020-01-01T00:00:00Z".into())),
        ..change()
    };
    let answer = fixture.operations.update(&operator(), &key.id, wanted, None).await;
    assert_eq!(
        members(answer),
        ["name", "scopes[0]", "allow_ips[0]", "rate_limit[1]", "expires_at"]
    );
}

#[tokio::test]
async fn change_of_another_revision_is_stale() {
    let fixture = Fixture::open();
    let (key, _) = fixture.make(of_acme("one")).await;
    let named = |name: &str| KeyChange { name: Some(name.into()), ..change() };
    let actor = operator();
    let (first, second) = tokio::join!(
        fixture.operations.update(&actor, &key.id, named("first"), Some(1)),
        fixture.operations.update(&actor, &key.id, named("second"), Some(1))
    );
    assert_eq!((first.map(|key| key.revision), second), (Ok(2), Err(ServiceError::Stale)));
    assert_eq!(
        fixture.operations.set_paused(&actor, &key.id, true, Some(1)).await,
        Err(ServiceError::Stale)
    );
    assert_eq!(
        fixture.operations.rotate(&actor, &key.id, Rotation::default(), Some(1), None).await,
        Err(ServiceError::Stale)
    );
}

#[tokio::test]
async fn paused_key_is_refused_until_it_is_resumed() {
    let fixture = Fixture::open();
    let (key, text) = fixture.make(of_acme("one")).await;
    let paused =
        fixture.operations.set_paused(&operator(), &key.id, true, None).await.expect("paused");
    assert_eq!((paused.status, paused.revision), (Status::Paused, 2));
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::PausedKey));
    assert_eq!(
        fixture
            .operations
            .set_paused(&operator(), &key.id, true, None)
            .await
            .map(|key| key.revision),
        Ok(2)
    );
    let fixture = fixture.restart().await;
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::PausedKey));
    let resumed =
        fixture.operations.set_paused(&operator(), &key.id, false, Some(2)).await.expect("resumed");
    assert_eq!((resumed.status, resumed.revision), (Status::Active, 3));
    assert_eq!(fixture.refusal(&text, "desk"), None);
    assert_eq!(
        fixture.actions().await[..2],
        [format!("token ops key.resume {}", key.id), format!("token ops key.pause {}", key.id)]
    );
}

#[tokio::test]
async fn what_only_takes_away_is_in_force_even_if_the_commit_fails_and_what_gives_is_not() {
    let fixture = Fixture::open();
    let all = || NewKey {
        scopes: texts(&["*"]),
        expires_at: Some("2027-01-01T00:00:00Z".into()),
        ..of_acme("all")
    };
    let (narrowed, _) = fixture.make(all()).await;
    let (mixed, _) = fixture.make(all()).await;
    let (widened, _) =
        fixture.make(NewKey { scopes: texts(&["tickets:read"]), ..of_acme("some") }).await;
    let (paused, text) = fixture.make(of_acme("paused")).await;
    let fixture = fixture.fail_writes("keys", "UPDATE", "1").await;
    let grants = |id: &str| fixture.registry.key(id).expect("it runs").grants();
    let before = [grants(&narrowed.id), grants(&mixed.id), grants(&widened.id)];
    for (id, wanted) in [
        (
            &narrowed.id,
            KeyChange { scopes: Some(texts(&["tickets:read", "tickets:write"])), ..change() },
        ),
        (&mixed.id, KeyChange { scopes: Some(vec![]), expires_at: Some(None), ..change() }),
        (
            &widened.id,
            KeyChange { scopes: Some(texts(&["tickets:write", "tickets:read"])), ..change() },
        ),
    ] {
        assert_eq!(
            fixture.operations.update(&operator(), id, wanted, None).await,
            Err(ServiceError::Unavailable)
        );
    }
    assert_eq!(
        fixture.operations.set_paused(&operator(), &paused.id, true, None).await,
        Err(ServiceError::Unavailable)
    );
    assert_ne!(grants(&narrowed.id), before[0]);
    assert_eq!([grants(&mixed.id), grants(&widened.id)], before[1..]);
    assert_eq!(fixture.refusal(&text, "desk"), Some(Refusal::PausedKey));
    // The stored key is not paused. Resuming it makes the published key agree.
    assert_eq!(
        fixture
            .operations
            .set_paused(&operator(), &paused.id, false, None)
            .await
            .map(|key| key.status),
        Ok(Status::Active)
    );
    assert_eq!(fixture.refusal(&text, "desk"), None);
}

#[tokio::test]
async fn former_secret_works_until_its_grace_period_ends() {
    let fixture = Fixture::open();
    let (key, old) = fixture.make(of_acme("one")).await;
    let rotated = fixture
        .operations
        .rotate(&operator(), &key.id, Rotation { grace: Some("2h".into()) }, Some(1), None)
        .await
        .expect("rotated");
    let new = rotated.key.expect("the new secret");
    assert_eq!(
        (&rotated.record.id, rotated.record.secrets.len(), rotated.record.revision),
        (&key.id, 2, 2)
    );
    assert_eq!(rotated.record.secrets[1].ends_at.as_deref(), Some("2026-11-22T02:00:00Z"));
    assert_eq!(rotated.record.prefix, new[..8]);
    assert_eq!((fixture.refusal(&old, "desk"), fixture.refusal(&new, "desk")), (None, None));
    let fixture = fixture.restart().await;
    fixture.pass(2 * HOUR - 1);
    assert_eq!(fixture.refusal(&old, "desk"), None);
    fixture.pass(1);
    assert_eq!(
        (fixture.refusal(&old, "desk"), fixture.refusal(&new, "desk")),
        (Some(Refusal::ExpiredKey), None)
    );
    // The next change removes it.
    let after =
        fixture.operations.set_paused(&operator(), &key.id, true, None).await.expect("paused");
    assert_eq!(after.secrets.len(), 1);
}

#[tokio::test]
async fn former_secret_does_not_outlive_its_key_and_works_for_a_day_where_nothing_is_said() {
    let fixture = Fixture::open();
    let (soon, old) = fixture
        .make(NewKey { expires_at: Some("2026-11-22T01:00:00Z".into()), ..of_acme("soon") })
        .await;
    let rotated = fixture
        .operations
        .rotate(&operator(), &soon.id, Rotation::default(), None, None)
        .await
        .expect("rotated");
    assert_eq!(rotated.record.secrets[1].ends_at.as_deref(), Some("2026-11-22T01:00:00Z"));
    let (long, _) = fixture.make(of_acme("long")).await;
    let rotated = fixture
        .operations
        .rotate(&operator(), &long.id, Rotation::default(), None, None)
        .await
        .expect("rotated");
    assert_eq!(rotated.record.secrets[1].ends_at.as_deref(), Some("2026-11-23T00:00:00Z"));
    let sooner = KeyChange { expires_at: Some(Some("2026-11-22T12:00:00Z".into())), ..change() };
    let changed =
        fixture.operations.update(&operator(), &long.id, sooner, None).await.expect("changed");
    assert_eq!(changed.secrets[1].ends_at.as_deref(), Some("2026-11-22T12:00:00Z"));
    fixture.pass(HOUR);
    assert_eq!(fixture.refusal(&old, "desk"), Some(Refusal::ExpiredKey));
    assert_eq!(
        conflict(
            fixture.operations.rotate(&operator(), &soon.id, Rotation::default(), None, None).await
        )
        .0,
        Conflict::KeyExpired
    );
    for grace in ["soon", "91d", "-1s"] {
        let rotation = Rotation { grace: Some(grace.into()) };
        assert_eq!(
            members(fixture.operations.rotate(&operator(), &long.id, rotation, None, None).await),
            ["grace"]
        );
    }
}

#[tokio::test]
async fn rotating_again_ends_the_oldest_secret_and_no_grace_ends_all() {
    let fixture = Fixture::open();
    let (key, first) = fixture.make(of_acme("one")).await;
    let mut secrets = vec![first];
    for _ in 0..3 {
        fixture.pass(1);
        let rotated = fixture
            .operations
            .rotate(&operator(), &key.id, Rotation::default(), None, None)
            .await
            .expect("rotated");
        secrets.push(rotated.key.expect("a secret"));
    }
    let refused: Vec<bool> =
        secrets.iter().map(|secret| fixture.refusal(secret, "desk").is_some()).collect();
    assert_eq!(refused, [true, false, false, false]);
    let rotation = Rotation { grace: Some("0s".into()) };
    let rotated = fixture
        .operations
        .rotate(&operator(), &key.id, rotation, None, None)
        .await
        .expect("rotated");
    assert_eq!(rotated.record.secrets.len(), 1);
    assert!(secrets.iter().all(|secret| fixture.refusal(secret, "desk").is_some()));
}

#[tokio::test]
async fn last_use_is_shown_for_each_secret_and_outlives_it() {
    let fixture = Fixture::open();
    let (key, old) = fixture.make(of_acme("one")).await;
    let used = keystore::UseNote {
        key_id: (&*key.id).into(),
        secret: Some((Digest::of(old.as_bytes()), START + 7)),
        day: 20_779,
        hours: hours(20_779, 3),
    };
    fixture.store.note_use(vec![used]).await.expect("noted");
    fixture
        .operations
        .rotate(&operator(), &key.id, Rotation { grace: Some("1h".into()) }, None, None)
        .await
        .expect("rotated");
    let shown = |view: &KeyView| {
        (
            view.last_used_at.clone(),
            view.secrets.iter().map(|secret| secret.last_used_at.clone()).collect::<Vec<_>>(),
        )
    };
    let expected = (
        Some("2026-11-22T00:00:07Z".to_owned()),
        vec![None, Some("2026-11-22T00:00:07Z".to_owned())],
    );
    assert_eq!(
        shown(&fixture.operations.key(&operator(), &key.id).await.expect("a key")),
        expected
    );
    fixture.pass(2 * HOUR);
    let paused =
        fixture.operations.set_paused(&operator(), &key.id, true, None).await.expect("paused");
    assert_eq!(shown(&paused), expected, "pruning has forgotten when the key was last used");
}

#[tokio::test]
async fn revoked_key_and_key_of_the_file_cannot_be_changed() {
    let fixture = Fixture::with(
        "[[key]]\nid = \"key_file\"\napis = [\"desk\"]\n\
            sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n",
    );
    let (key, _) = fixture.make(of_acme("one")).await;
    fixture
        .service
        .revoke(&operator(), &key.id, RevocationOrder::default())
        .await
        .expect("revoked");
    let operations = &fixture.operations;
    assert_eq!(
        conflict(operations.update(&operator(), &key.id, change(), None).await).0,
        Conflict::KeyRevoked
    );
    assert_eq!(
        conflict(operations.set_paused(&operator(), &key.id, false, None).await).0,
        Conflict::KeyRevoked
    );
    assert_eq!(
        conflict(operations.rotate(&operator(), &key.id, Rotation::default(), None, None).await).0,
        Conflict::KeyRevoked
    );
    assert_eq!(
        operations.update(&operator(), "key_file", change(), None).await,
        Err(ServiceError::FileKey)
    );
    assert_eq!(
        operations.set_paused(&operator(), "key_file", true, None).await,
        Err(ServiceError::FileKey)
    );
    assert_eq!(
        operations.rotate(&operator(), "key_none", Rotation::default(), None, None).await,
        Err(ServiceError::NotFound)
    );
}

#[tokio::test]
async fn key_whose_environment_is_gone_is_not_rotated_into_one_that_nobody_takes() {
    let mut fixture = Fixture::open();
    let (key, text) =
        fixture.make(NewKey { environment: Some("test".into()), ..desk_key("one") }).await;
    fixture.file = FILE.replace(", test = \"kt_\"", "");
    let fixture = fixture.restart().await;
    assert_eq!(
        members(
            fixture.operations.rotate(&operator(), &key.id, Rotation::default(), None, None).await
        ),
        ["environment"]
    );
    let stored = fixture.store.key(&key.id).await.expect("a store").expect("a key");
    assert_eq!(
        stored.secrets.iter().map(|secret| secret.digest).collect::<Vec<_>>(),
        [Digest::of(text.as_bytes())]
    );
}
