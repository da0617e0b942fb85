use super::*;

#[tokio::test]
async fn created_key_is_shown_once_works_at_once_and_is_there_after_a_restart() {
    let fixture = Fixture::open();
    let new = NewKey {
        scopes: texts(&["tickets:read"]),
        allow_ips: texts(&["203.0.113.0/24"]),
        rate_limit: Some(texts(&["10/s"])),
        expires_at: Some("2027-01-01T01:00:00+01:00".into()),
        ..of_acme("CRM")
    };
    let (view, text) = fixture.make(new).await;
    assert!(text.starts_with("kl_") && text.len() == 3 + 36, "{}", text.len());
    assert!(view.id.starts_with("key_") && view.id.len() == 24, "{}", view.id);
    assert_eq!((&*view.prefix, view.environment.as_deref()), (&text[..8], Some("live")));
    assert_eq!(view.expires_at.as_deref(), Some("2027-01-01T00:00:00Z"));
    assert_eq!(
        (view.created_at.as_deref(), view.created_by.as_deref()),
        (Some("2026-11-22T00:00:00Z"), Some("token ops"))
    );
    assert_eq!((view.status, view.source, view.revision), (Status::Active, Source::Store, 1));
    assert_eq!(fixture.refusal(&text, "desk"), None);
    assert_eq!(fixture.operations.key(&operator(), &view.id).await, Ok(view.clone()));
    let everything = format!(
        "{:?} {:?}",
        fixture.store.key(&view.id).await,
        fixture.operations.audit(&operator(), AuditFilter::default(), None, 9).await
    );
    assert!(!everything.contains(&text), "the key is kept");
    let fixture = fixture.restart().await;
    assert_eq!(fixture.refusal(&text, "desk"), None);
    assert_eq!(fixture.operations.key(&operator(), &view.id).await, Ok(view));
}

#[tokio::test]
async fn prefix_is_the_environments() {
    let fixture = Fixture::open();
    let (view, text) =
        fixture.make(NewKey { environment: Some("test".into()), ..desk_key("sandbox") }).await;
    assert!(text.starts_with("kt_"));
    assert_eq!(view.environment.as_deref(), Some("test"));
    let (view, text) =
        fixture.make(NewKey { apis: Some(texts(&["relay"])), ..desk_key("relay") }).await;
    assert!(text.starts_with("rl_live_"));
    assert!(
        uuid::Uuid::parse_str(&view.id).is_ok_and(|id| id.get_version_num() == 4),
        "{}",
        view.id
    );
}

#[tokio::test]
async fn key_of_two_worlds_is_refused() {
    let fixture = Fixture::open();
    let both = NewKey { apis: Some(texts(&["desk", "relay"])), ..desk_key("both") };
    assert_eq!(members(fixture.operations.create(&operator(), both, None).await), ["environment"]);
}

#[tokio::test]
async fn every_mistake_is_told_at_once() {
    let fixture = Fixture::open();
    let new = NewKey {
        name: "a\nb".into(),
        organization: Some(String::new()),
        apis: Some(texts(&["desk", "disk", "desk"])),
        environment: Some("staging".into()),
        scopes: texts(&["tickets:read", "tickets:delete", "keys:manage", "*"]),
        allow_ips: texts(&["203.0.113.1/24"]),
        allow_referrers: texts(&["app.example.com"]),
        allow_endpoints: texts(&["GET tickets"]),
        rate_limit: Some(texts(&["10/s", "20/s", "many"])),
        expires_at: Some("2026-11-22T00:00:00Z".into()),
    };
    let expected = [
        "name",
        "organization",
        "apis[1]",
        "apis[2]",
        "environment",
        "scopes[1]",
        "allow_ips[0]",
        "allow_referrers[0]",
        "allow_endpoints[0]",
        "rate_limit[1]",
        "rate_limit[2]",
        "expires_at",
    ];
    assert_eq!(members(fixture.operations.create(&operator(), new, None).await), expected);
    assert_eq!(
        members(
            fixture
                .operations
                .create(&operator(), NewKey { apis: None, ..desk_key("x") }, None)
                .await
        ),
        ["apis"]
    );
    assert_eq!(
        members(
            fixture
                .operations
                .create(&operator(), NewKey { apis: Some(vec![]), ..desk_key("x") }, None)
                .await
        ),
        ["apis"]
    );
    let long = NewKey { name: "é".repeat(201), ..desk_key("") };
    assert_eq!(members(fixture.operations.create(&operator(), long, None).await), ["name"]);
    fixture.make(NewKey { name: "é".repeat(200), ..desk_key("") }).await;
    assert_eq!(fixture.actions().await.len(), 1);
}

#[tokio::test]
async fn organization_has_no_more_keys_than_its_cap() {
    let fixture = Fixture::open();
    let mut ids = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(fixture.make(of_acme(name)).await.0.id);
    }
    let (why, _) = conflict(fixture.operations.create(&operator(), of_acme("e"), None).await);
    assert_eq!(why, Conflict::CapReached);
    let import = ImportedKey {
        sha256: "00".repeat(32),
        name: "e".into(),
        organization: Some("org_acme".into()),
        apis: Some(texts(&["desk"])),
        ..ImportedKey::default()
    };
    assert_eq!(
        conflict(fixture.operations.import(&operator(), import.clone()).await).0,
        Conflict::CapReached
    );
    fixture.make(NewKey { organization: Some("org_other".into()), ..desk_key("e") }).await;
    fixture
        .service
        .revoke(&operator(), &ids[0], RevocationOrder::default())
        .await
        .expect("revoked");
    fixture.make(of_acme("e")).await;
    fixture
        .operations
        .change_organization(
            &operator(),
            "org_acme",
            OrganizationChange { key_cap: Some(Some(5)) },
            None,
        )
        .await
        .expect("a cap");
    fixture.operations.import(&operator(), import).await.expect("room for one more");
}

#[tokio::test]
async fn same_request_makes_one_key_and_another_body_is_refused() {
    let fixture = Fixture::open();
    let operations = &fixture.operations;
    let first = operations.create(&operator(), of_acme("one"), Some("abc")).await.expect("made");
    assert!(first.key.is_some() && !first.key_shown);
    let again =
        operations.create(&operator(), of_acme("one"), Some("abc")).await.expect("the same");
    assert_eq!((again.record, again.key, again.key_shown), (first.record.clone(), None, true));
    assert_eq!(
        operations.create(&operator(), of_acme("two"), Some("abc")).await,
        Err(ServiceError::IdempotencyReused)
    );
    let other = token("other", None);
    assert_ne!(
        operations.create(&other, of_acme("one"), Some("abc")).await.expect("another's").record.id,
        first.record.id
    );
    fixture.pass(24 * HOUR);
    assert_ne!(
        operations
            .create(&operator(), of_acme("one"), Some("abc"))
            .await
            .expect("a day later")
            .record
            .id,
        first.record.id
    );
}

#[tokio::test]
async fn name_that_contains_a_key_is_refused() {
    let fixture = Fixture::open();
    let (_, text) = fixture.make(of_acme("one")).await;
    for name in [text.clone(), format!("CRM {text}"), format!("key={text};")] {
        let named = fixture.operations.create(&operator(), of_acme(&name), None).await;
        assert_eq!(members(named), ["name"]);
        let of = NewKey { organization: Some(name), ..of_acme("two") };
        let owned = fixture.operations.create(&operator(), of, None).await;
        assert_eq!(members(owned), ["organization"]);
    }
}

#[tokio::test]
async fn duplicates_at_the_same_time_make_one_key() {
    let fixture = Fixture::open();
    let (actor, operations) = (operator(), &fixture.operations);
    let make = || operations.create(&actor, of_acme("one"), Some("abc"));
    let (a, b, c) = tokio::join!(make(), make(), make());
    let answers = [a.expect("a"), b.expect("b"), c.expect("c")];
    assert_eq!(answers.iter().filter(|answer| answer.key.is_some()).count(), 1);
    assert!(answers.iter().all(|answer| answer.record.id == answers[0].record.id));
    assert_eq!(fixture.actions().await.len(), 1);
}

#[tokio::test]
async fn change_goes_on_when_whoever_asked_has_left() {
    let fixture = Fixture::open();
    let (actor, operations) = (operator(), &fixture.operations);
    let change = fixture
        .service
        .change(|keys| async move { keys.create(&operator(), of_acme("one"), None).await });
    tokio::select! {
        biased;
        _ = change => panic!("done before it began"),
        () = std::future::ready(()) => {}
    }
    for _ in 0..2000 {
        if !fixture.actions().await.is_empty() {
            break;
        }
    }
    let page = operations.list(&actor, KeyFilter::default(), None, 10).await.expect("a list");
    assert!(fixture.registry.key(&page.keys[0].id).is_some(), "committed, but not in force");
}

#[tokio::test]
async fn nothing_is_made_while_the_store_fails() {
    let fixture = Fixture::open();
    fixture.break_store().await;
    assert_eq!(
        fixture.operations.create(&operator(), of_acme("one"), None).await,
        Err(ServiceError::Unavailable)
    );
    assert_eq!(fixture.registry.look(|table| table.snapshot().keyring.len()), 0);
}

#[tokio::test]
async fn imported_key_works_and_a_clash_names_both_places() {
    let file_key = "a key by hand";
    let fixture = Fixture::with(&format!(
        "[[key]]\nid = \"key_file\"\napis = [\"desk\"]\nsha256 = \"{}\"\n",
        Digest::of(file_key.as_bytes())
    ));
    let text = "kl_made-elsewhere";
    let import = |id: &str, text: &str| ImportedKey {
        id: Some(id.into()),
        sha256: Digest::of(text.as_bytes()).to_string(),
        prefix: Some("kl_made-".into()),
        name: "old".into(),
        apis: Some(texts(&["desk"])),
        scopes: texts(&["*"]),
        ..ImportedKey::default()
    };
    let view =
        fixture.operations.import(&operator(), import("crm:1", text)).await.expect("imported");
    assert_eq!((&*view.id, &*view.prefix), ("crm:1", "kl_made-"));
    assert_eq!(fixture.refusal(text, "desk"), None);
    for (import, expected, names) in [
        (import("crm:1", "another"), Conflict::IdTaken, "store"),
        (import("key_file", "another"), Conflict::IdTaken, "gateway.toml"),
        (import("crm:2", text), Conflict::DigestTaken, "crm:1"),
        (import("crm:2", file_key), Conflict::DigestTaken, "`key_file` in gateway.toml"),
    ] {
        let (why, detail) = conflict(fixture.operations.import(&operator(), import).await);
        assert_eq!(why, expected, "{detail}");
        assert!(detail.contains(names), "{detail}");
    }
    let wrong = ImportedKey {
        sha256: text.into(),
        prefix: Some("too long a prefix".into()),
        ..import("no spaces", text)
    };
    let answer = fixture.operations.import(&operator(), wrong).await;
    assert!(!format!("{answer:?}").contains(text), "what may be a key is repeated");
    assert_eq!(members(answer), ["sha256", "id", "prefix"]);
    assert_eq!(fixture.actions().await, ["token ops key.import crm:1"]);
}

#[tokio::test]
async fn organizations_admin_makes_keys_for_its_own_only() {
    let fixture = Fixture::open();
    let own =
        fixture.operations.create(&acme(), desk_key("mine"), None).await.expect("made").record;
    assert_eq!(own.organization.as_deref(), Some("org_acme"));
    let foreign = NewKey { organization: Some("org_other".into()), ..desk_key("theirs") };
    assert!(matches!(
        fixture.operations.create(&acme(), foreign, None).await,
        Err(ServiceError::Forbidden(_))
    ));
}

#[tokio::test]
async fn organizations_admin_learns_nothing_of_others_keys_by_importing_their_digests() {
    let file_key = "a key by hand";
    let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
    let file = format!(
        "[[key]]\nid = \"key_file\"\norganization = \"org_other\"\napis = [\"desk\"]\n\
            sha256 = \"{}\"\n",
        digest(file_key)
    );
    let fixture = Fixture::with(&file);
    let (theirs, text) =
        fixture.make(NewKey { organization: Some("org_other".into()), ..desk_key("theirs") }).await;
    let (ours, own_text) = fixture.make(of_acme("ours")).await;
    let import = |text| ImportedKey {
        sha256: digest(text),
        name: "old".into(),
        apis: Some(texts(&["desk"])),
        ..ImportedKey::default()
    };
    for taken in [file_key, &text] {
        let (why, detail) = conflict(fixture.operations.import(&acme(), import(taken)).await);
        assert_eq!(why, Conflict::DigestTaken);
        assert!(!detail.contains("key_file") && !detail.contains(&theirs.id), "{detail}");
    }
    let (_, detail) = conflict(fixture.operations.import(&acme(), import(&own_text)).await);
    assert!(detail.contains(&ours.id), "{detail}");
}

#[tokio::test]
async fn organizations_admin_does_not_take_over_the_id_of_a_key_that_is_gone() {
    let fixture = Fixture::open();
    let used = keystore::UseNote {
        key_id: "key_gone".into(),
        secret: None,
        day: 20_000,
        hours: hours(20_000, 7),
    };
    fixture.store.note_use(vec![used]).await.expect("noted");
    let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
    let import = |id: &str, text| ImportedKey {
        id: Some(id.into()),
        sha256: digest(text),
        name: "old".into(),
        apis: Some(texts(&["desk"])),
        ..ImportedKey::default()
    };
    assert_eq!(
        conflict(fixture.operations.import(&acme(), import("key_gone", "kl_one")).await).0,
        Conflict::IdTaken
    );
    fixture
        .operations
        .import(&acme(), import("key_new", "kl_one"))
        .await
        .expect("nobody had that id");
    fixture
        .operations
        .import(&operator(), import("key_gone", "kl_two"))
        .await
        .expect("moved from the file to the store");
}
