use super::*;

fn change() -> KeyChange {
    KeyChange::default()
}

#[tokio::test]
async fn update_changes_what_it_names_and_nothing_else() {
    let bench = Bench::open();
    let new = NewKey {
        scopes: texts(&["tickets:read"]),
        expires_at: Some("2027-01-01T00:00:00Z".into()),
        ..of_acme("old name")
    };
    let (before, key) = bench.make(new).await;
    let wanted = KeyChange { name: Some("new name".into()), expires_at: Some(None), ..change() };
    let after =
        bench.office.update(&operator(), &before.id, wanted, Some(1)).await.expect("changed");
    assert_eq!(
        after,
        KeyView { name: "new name".into(), expires_at: None, revision: 2, ..before.clone() }
    );
    assert_eq!(bench.office.key(&operator(), &before.id).await, Ok(after.clone()));
    assert_eq!(bench.refusal(&key, "desk"), None);
    let log =
        bench.office.audit(&operator(), AuditFilter::default(), None, 1).await.expect("a log");
    let expected = serde_json::json!({
        "name": { "from": "old name", "to": "new name" },
        "expires_at": { "from": "2027-01-01T00:00:00Z", "to": null },
    });
    assert_eq!((&*log.entries[0].action, &log.entries[0].detail), ("key.update", &expected));
    assert_eq!(bench.office.update(&operator(), &before.id, change(), None).await, Ok(after));
    assert_eq!(bench.actions().await.len(), 2, "nothing changed, but something was written");
}

#[tokio::test]
async fn update_is_checked_like_a_creation() {
    let bench = Bench::open();
    let (key, _) = bench.make(of_acme("one")).await;
    let wanted = KeyChange {
        name: Some(String::new()),
        scopes: Some(texts(&["nothing"])),
        allow_ips: Some(texts(&["here"])),
        rate_limit: Some(Some(texts(&["1/s", "1/s"]))),
        expires_at: Some(Some("2020-01-01T00:00:00Z".into())),
        ..change()
    };
    let answer = bench.office.update(&operator(), &key.id, wanted, None).await;
    assert_eq!(
        members(answer),
        ["name", "scopes[0]", "allow_ips[0]", "rate_limit[1]", "expires_at"]
    );
}

#[tokio::test]
async fn change_of_another_revision_is_stale() {
    let bench = Bench::open();
    let (key, _) = bench.make(of_acme("one")).await;
    let named = |name: &str| KeyChange { name: Some(name.into()), ..change() };
    let actor = operator();
    let (first, second) = tokio::join!(
        bench.office.update(&actor, &key.id, named("first"), Some(1)),
        bench.office.update(&actor, &key.id, named("second"), Some(1))
    );
    assert_eq!((first.map(|key| key.revision), second), (Ok(2), Err(OfficeError::Stale)));
    assert_eq!(
        bench.office.set_paused(&actor, &key.id, true, Some(1)).await,
        Err(OfficeError::Stale)
    );
    assert_eq!(
        bench.office.rotate(&actor, &key.id, Rotation::default(), Some(1)).await,
        Err(OfficeError::Stale)
    );
}

#[tokio::test]
async fn paused_key_is_refused_until_it_is_resumed() {
    let bench = Bench::open();
    let (key, text) = bench.make(of_acme("one")).await;
    let paused = bench.office.set_paused(&operator(), &key.id, true, None).await.expect("paused");
    assert_eq!((paused.status, paused.revision), (Status::Paused, 2));
    assert_eq!(bench.refusal(&text, "desk"), Some(Refusal::PausedKey));
    assert_eq!(
        bench.office.set_paused(&operator(), &key.id, true, None).await.map(|key| key.revision),
        Ok(2)
    );
    let bench = bench.restart().await;
    assert_eq!(bench.refusal(&text, "desk"), Some(Refusal::PausedKey));
    let resumed =
        bench.office.set_paused(&operator(), &key.id, false, Some(2)).await.expect("resumed");
    assert_eq!((resumed.status, resumed.revision), (Status::Active, 3));
    assert_eq!(bench.refusal(&text, "desk"), None);
    assert_eq!(
        bench.actions().await[..2],
        [format!("token ops key.resume {}", key.id), format!("token ops key.pause {}", key.id)]
    );
}

#[tokio::test]
async fn what_only_takes_away_is_in_force_even_if_the_commit_fails_and_what_gives_is_not() {
    let bench = Bench::open();
    let all = || NewKey {
        scopes: texts(&["*"]),
        expires_at: Some("2027-01-01T00:00:00Z".into()),
        ..of_acme("all")
    };
    let (narrowed, _) = bench.make(all()).await;
    let (mixed, _) = bench.make(all()).await;
    let (widened, _) =
        bench.make(NewKey { scopes: texts(&["tickets:read"]), ..of_acme("some") }).await;
    let (paused, text) = bench.make(of_acme("paused")).await;
    let bench = bench.fail_writes("keys", "UPDATE", "1").await;
    let terms = |id: &str| bench.registry.key(id).expect("it runs").terms();
    let before = [terms(&narrowed.id), terms(&mixed.id), terms(&widened.id)];
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
            bench.office.update(&operator(), id, wanted, None).await,
            Err(OfficeError::Unavailable)
        );
    }
    assert_eq!(
        bench.office.set_paused(&operator(), &paused.id, true, None).await,
        Err(OfficeError::Unavailable)
    );
    assert_ne!(terms(&narrowed.id), before[0]);
    assert_eq!([terms(&mixed.id), terms(&widened.id)], before[1..]);
    assert_eq!(bench.refusal(&text, "desk"), Some(Refusal::PausedKey));
    // What is stored is not paused, and to say so again brings both together.
    assert_eq!(
        bench.office.set_paused(&operator(), &paused.id, false, None).await.map(|key| key.status),
        Ok(Status::Active)
    );
    assert_eq!(bench.refusal(&text, "desk"), None);
}

#[tokio::test]
async fn former_secret_works_until_its_grace_period_ends() {
    let bench = Bench::open();
    let (key, old) = bench.make(of_acme("one")).await;
    let rotated = bench
        .office
        .rotate(&operator(), &key.id, Rotation { grace: Some("2h".into()) }, Some(1))
        .await
        .expect("rotated");
    let new = rotated.key.expect("the new secret");
    assert_eq!(
        (&rotated.record.id, rotated.record.secrets.len(), rotated.record.revision),
        (&key.id, 2, 2)
    );
    assert_eq!(rotated.record.secrets[1].ends_at.as_deref(), Some("2026-11-22T02:00:00Z"));
    assert_eq!(rotated.record.prefix, new[..8]);
    assert_eq!((bench.refusal(&old, "desk"), bench.refusal(&new, "desk")), (None, None));
    let bench = bench.restart().await;
    bench.pass(2 * HOUR - 1);
    assert_eq!(bench.refusal(&old, "desk"), None);
    bench.pass(1);
    assert_eq!(
        (bench.refusal(&old, "desk"), bench.refusal(&new, "desk")),
        (Some(Refusal::ExpiredKey), None)
    );
    // The next change forgets it.
    let after = bench.office.set_paused(&operator(), &key.id, true, None).await.expect("paused");
    assert_eq!(after.secrets.len(), 1);
}

#[tokio::test]
async fn former_secret_does_not_outlive_its_key_and_works_for_a_day_where_nothing_is_said() {
    let bench = Bench::open();
    let (soon, old) = bench
        .make(NewKey { expires_at: Some("2026-11-22T01:00:00Z".into()), ..of_acme("soon") })
        .await;
    let rotated = bench
        .office
        .rotate(&operator(), &soon.id, Rotation::default(), None)
        .await
        .expect("rotated");
    assert_eq!(rotated.record.secrets[1].ends_at.as_deref(), Some("2026-11-22T01:00:00Z"));
    let (long, _) = bench.make(of_acme("long")).await;
    let rotated = bench
        .office
        .rotate(&operator(), &long.id, Rotation::default(), None)
        .await
        .expect("rotated");
    assert_eq!(rotated.record.secrets[1].ends_at.as_deref(), Some("2026-11-23T00:00:00Z"));
    let sooner = KeyChange { expires_at: Some(Some("2026-11-22T12:00:00Z".into())), ..change() };
    let changed = bench.office.update(&operator(), &long.id, sooner, None).await.expect("changed");
    assert_eq!(changed.secrets[1].ends_at.as_deref(), Some("2026-11-22T12:00:00Z"));
    bench.pass(HOUR);
    assert_eq!(bench.refusal(&old, "desk"), Some(Refusal::ExpiredKey));
    assert_eq!(
        conflict(bench.office.rotate(&operator(), &soon.id, Rotation::default(), None).await).0,
        Conflict::KeyExpired
    );
    for grace in ["soon", "91d", "-1s"] {
        let rotation = Rotation { grace: Some(grace.into()) };
        assert_eq!(
            members(bench.office.rotate(&operator(), &long.id, rotation, None).await),
            ["grace"]
        );
    }
}

#[tokio::test]
async fn rotating_again_ends_the_oldest_secret_and_no_grace_ends_all() {
    let bench = Bench::open();
    let (key, first) = bench.make(of_acme("one")).await;
    let mut secrets = vec![first];
    for _ in 0..3 {
        bench.pass(1);
        let rotated = bench
            .office
            .rotate(&operator(), &key.id, Rotation::default(), None)
            .await
            .expect("rotated");
        secrets.push(rotated.key.expect("a secret"));
    }
    let refused: Vec<bool> =
        secrets.iter().map(|secret| bench.refusal(secret, "desk").is_some()).collect();
    assert_eq!(refused, [true, false, false, false]);
    let rotation = Rotation { grace: Some("0s".into()) };
    let rotated = bench.office.rotate(&operator(), &key.id, rotation, None).await.expect("rotated");
    assert_eq!(rotated.record.secrets.len(), 1);
    assert!(secrets.iter().all(|secret| bench.refusal(secret, "desk").is_some()));
}

#[tokio::test]
async fn last_use_is_shown_for_each_secret_and_outlives_it() {
    let bench = Bench::open();
    let (key, old) = bench.make(of_acme("one")).await;
    let used = keystore::UseNote {
        key_id: (&*key.id).into(),
        secret: Some((Digest::of(old.as_bytes()), START + 7)),
        day: 20_779,
        requests: 3,
    };
    bench.store.note_use(vec![used]).await.expect("noted");
    bench
        .office
        .rotate(&operator(), &key.id, Rotation { grace: Some("1h".into()) }, None)
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
    assert_eq!(shown(&bench.office.key(&operator(), &key.id).await.expect("a key")), expected);
    bench.pass(2 * HOUR);
    let paused = bench.office.set_paused(&operator(), &key.id, true, None).await.expect("paused");
    assert_eq!(shown(&paused), expected, "pruning has forgotten when the key was last used");
}

#[tokio::test]
async fn revoked_key_and_key_of_the_file_cannot_be_changed() {
    let bench = Bench::with(
        "[[key]]\nid = \"key_file\"\napis = [\"desk\"]\n\
            sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n",
    );
    let (key, _) = bench.make(of_acme("one")).await;
    bench.office.revoke(&operator(), &key.id, RevocationOrder::default()).await.expect("revoked");
    let office = &bench.office;
    assert_eq!(
        conflict(office.update(&operator(), &key.id, change(), None).await).0,
        Conflict::KeyRevoked
    );
    assert_eq!(
        conflict(office.set_paused(&operator(), &key.id, false, None).await).0,
        Conflict::KeyRevoked
    );
    assert_eq!(
        conflict(office.rotate(&operator(), &key.id, Rotation::default(), None).await).0,
        Conflict::KeyRevoked
    );
    assert_eq!(
        office.update(&operator(), "key_file", change(), None).await,
        Err(OfficeError::FileKey)
    );
    assert_eq!(
        office.set_paused(&operator(), "key_file", true, None).await,
        Err(OfficeError::FileKey)
    );
    assert_eq!(
        office.rotate(&operator(), "key_none", Rotation::default(), None).await,
        Err(OfficeError::NotFound)
    );
}

#[tokio::test]
async fn key_whose_environment_is_gone_is_not_rotated_into_one_that_nobody_takes() {
    let mut bench = Bench::open();
    let (key, text) =
        bench.make(NewKey { environment: Some("test".into()), ..desk_key("one") }).await;
    bench.file = FILE.replace(", test = \"kt_\"", "");
    let bench = bench.restart().await;
    assert_eq!(
        members(bench.office.rotate(&operator(), &key.id, Rotation::default(), None).await),
        ["environment"]
    );
    let stored = bench.store.key(&key.id).await.expect("a store").expect("a key");
    assert_eq!(
        stored.secrets.iter().map(|secret| secret.digest).collect::<Vec<_>>(),
        [Digest::of(text.as_bytes())]
    );
}
