use super::*;

/// Keys of the file: one of an organisation, and one that the file itself revokes.
const FILE_KEYS: &str = r#"
[revoked]
keys = ["key_y"]

[[key]]
id = "key_z"
name = "By hand"
organization = "org_acme"
apis = ["relay"]
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
scopes = ["*"]
allow_ips = ["203.0.113.0/24", "2001:db8::1"]
allow_referrers = [
  "https://app.example.com/*", "http://localhost:8080/page", "https://b.example.com",
]
allow_endpoints = ["GET /tickets/**"]
rate_limit = ["10/s", "1000/day"]
expires_at = 2027-01-01T00:00:00Z

[[key]]
id = "key_y"
apis = ["desk"]
sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
"#;

fn ids(page: &KeyPage) -> Vec<&str> {
    page.keys.iter().map(|key| &*key.id).collect()
}

async fn list(fixture: &Fixture, actor: &Actor, filter: KeyFilter) -> Vec<String> {
    let page = fixture.operations.list(actor, filter, None, 100).await.expect("a list");
    assert_eq!(page.next, None);
    page.keys.into_iter().map(|key| key.name).collect()
}

#[tokio::test]
async fn key_of_the_file_is_shown_as_it_stands_there() {
    let fixture = Fixture::with(FILE_KEYS);
    let key = fixture.operations.key(&acme(), "key_z").await.expect("a key");
    assert_eq!(
        (&*key.name, key.source, key.status, key.revision),
        ("By hand", Source::File, Status::Active, 0)
    );
    assert_eq!(
        (&*key.prefix, key.environment.as_deref(), key.created_at.as_deref()),
        ("", Some("live"), None)
    );
    assert_eq!(key.allow_ips, ["203.0.113.0/24", "2001:db8::1"]);
    assert_eq!(
        key.allow_referrers,
        ["https://app.example.com/*", "http://localhost:8080/page", "https://b.example.com/*"]
    );
    assert_eq!(
        (key.allow_endpoints, key.rate_limit),
        (texts(&["GET /tickets/**"]), Some(texts(&["10/s", "1000/day"])))
    );
    assert_eq!(
        (key.expires_at.as_deref(), &*key.secrets[0].fingerprint),
        (Some("2027-01-01T00:00:00Z"), "000000000000")
    );
    let revoked = fixture.operations.key(&operator(), "key_y").await.expect("a key");
    assert_eq!(
        (revoked.status, revoked.revoked_by.as_deref(), revoked.revoked_at),
        (Status::Revoked, Some("gateway.toml"), None)
    );
}

#[tokio::test]
async fn keys_are_listed_page_by_page_those_of_the_file_first() {
    let fixture = Fixture::with(FILE_KEYS);
    let mut expected = texts(&["key_y", "key_z"]);
    let mut stored = Vec::new();
    for name in ["a", "b", "c"] {
        stored.push(fixture.make(of_acme(name)).await.0.id);
    }
    stored.sort();
    expected.extend(stored);
    for limit in 1..=6 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = fixture
                .operations
                .list(&operator(), KeyFilter::default(), after.as_deref(), limit)
                .await
                .expect("a page");
            assert!(page.keys.len() <= limit);
            found.extend(ids(&page).into_iter().map(str::to_owned));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{limit} a page");
    }
    assert_eq!(
        members(fixture.operations.list(&operator(), KeyFilter::default(), Some("key_y"), 5).await),
        ["after"]
    );
}

#[tokio::test]
async fn list_is_narrowed_by_every_filter() {
    let fixture = Fixture::with(FILE_KEYS);
    let make = async |name: &str, new: NewKey| {
        fixture.make(NewKey { name: name.into(), ..new }).await.0.id
    };
    make("active", desk_key("")).await;
    let paused = make("Paused", of_acme("")).await;
    let revoked = make("revoked", of_acme("")).await;
    make("expired", NewKey { expires_at: Some("2026-11-22T00:00:01Z".into()), ..of_acme("") })
        .await;
    make(
        "closed",
        NewKey {
            organization: Some("org_closed".into()),
            environment: Some("test".into()),
            ..desk_key("")
        },
    )
    .await;
    make("relay", NewKey { apis: Some(texts(&["relay"])), ..desk_key("") }).await;
    fixture.operations.set_paused(&operator(), &paused, true, None).await.expect("paused");
    fixture
        .service
        .revoke(&operator(), &revoked, RevocationOrder::default())
        .await
        .expect("revoked");
    fixture.operations.set_suspended(&operator(), "org_closed", true).await.expect("suspended");
    fixture.pass(1);
    let status = |status| KeyFilter { status: Some(status), ..KeyFilter::default() };
    let stored = |filter| KeyFilter { source: Some(Source::Store), ..filter };
    let all = KeyFilter::default;
    for (filter, expected) in [
        (status(Status::Active), &["By hand", "active", "relay"][..]),
        (status(Status::Paused), &["Paused"]),
        (status(Status::Expired), &["expired"]),
        (status(Status::Suspended), &["closed"]),
        (status(Status::Revoked), &["key_y", "revoked"]),
        (stored(status(Status::Revoked)), &["revoked"]),
        (KeyFilter { source: Some(Source::File), ..all() }, &["By hand", "key_y"]),
        (
            KeyFilter { organization: Some("org_acme".into()), ..all() },
            &["By hand", "Paused", "expired", "revoked"],
        ),
        (KeyFilter { api: Some("relay".into()), ..all() }, &["By hand", "relay"]),
        (KeyFilter { environment: Some("test".into()), ..all() }, &["closed"]),
        (KeyFilter { name: Some("PAUSE".into()), ..all() }, &["Paused"]),
        (KeyFilter { parent: Some(paused.clone()), ..all() }, &[]),
    ] {
        let mut found = list(&fixture, &operator(), filter.clone()).await;
        found.sort();
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn organizations_admin_sees_and_touches_only_its_own() {
    let fixture = Fixture::with(FILE_KEYS);
    let (own, _) = fixture.make(of_acme("own")).await;
    let (foreign, _) = fixture
        .make(NewKey { organization: Some("org_other".into()), ..desk_key("foreign") })
        .await;
    let (nobodys, _) = fixture.make(desk_key("nobody's")).await;
    assert_eq!(list(&fixture, &acme(), KeyFilter::default()).await, ["By hand", "own"]);
    assert!(
        list(
            &fixture,
            &acme(),
            KeyFilter { organization: Some("org_other".into()), ..KeyFilter::default() }
        )
        .await
        .is_empty()
    );
    let operations = &fixture.operations;
    for id in [&foreign.id, &nobodys.id, "key_y"] {
        assert_eq!(operations.key(&acme(), id).await, Err(ServiceError::NotFound));
        assert_eq!(
            operations.update(&acme(), id, KeyChange::default(), None).await,
            Err(ServiceError::NotFound)
        );
        assert_eq!(
            operations.set_paused(&acme(), id, true, None).await,
            Err(ServiceError::NotFound)
        );
        assert_eq!(
            operations.rotate(&acme(), id, Rotation::default(), None, None).await,
            Err(ServiceError::NotFound)
        );
        assert_eq!(
            fixture.service.revoke(&acme(), id, RevocationOrder::default()).await,
            Err(ServiceError::NotFound)
        );
        assert_eq!(
            operations.key_use(&acme(), id, UseSpan::default()).await,
            Err(ServiceError::NotFound)
        );
    }
    let log = operations.audit(&acme(), AuditFilter::default(), None, 10).await.expect("a log");
    assert_eq!(log.entries.iter().map(|entry| &*entry.subject).collect::<Vec<_>>(), [&*own.id]);
    let foreign_log = AuditFilter { organization: Some("org_other".into()), subject: None };
    assert!(
        operations.audit(&acme(), foreign_log, None, 10).await.expect("a log").entries.is_empty()
    );
    assert!(matches!(
        operations.backup(&acme(), Path::new("/nowhere")).await,
        Err(ServiceError::Forbidden(_))
    ));
}

#[tokio::test]
async fn use_is_told_by_day() {
    let fixture = Fixture::open();
    let (key, text) = fixture.make(of_acme("one")).await;
    let today = timestamp::day_of(START);
    let note = |day, requests| keystore::UseNote {
        key_id: (&*key.id).into(),
        secret: Some((Digest::of(text.as_bytes()), START)),
        day,
        hours: hours(day, requests),
    };
    fixture
        .store
        .note_use(vec![note(today - 2, 5), note(today, 7), note(today, 1)])
        .await
        .expect("noted");
    let span = |from: Option<&str>, to: Option<&str>| UseSpan {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        by: UseBy::Hour,
    };
    let days = async |from, to| {
        let used = fixture.operations.key_use(&acme(), &key.id, span(from, to)).await;
        let days = used.expect("days").days;
        days.into_iter().map(|day| (day.day, day.counts.requests)).collect::<Vec<_>>()
    };
    let (first, last) = (("2026-11-20".to_owned(), 5), ("2026-11-22".to_owned(), 8));
    assert_eq!(days(None, None).await, [first.clone(), last.clone()]);
    assert_eq!(days(Some("2026-11-21"), None).await, [last]);
    assert_eq!(days(None, Some("2026-11-21")).await, [first]);
    assert_eq!(
        members(fixture.operations.key_use(&acme(), &key.id, span(Some("yesterday"), None)).await),
        ["from"]
    );
}

#[tokio::test]
async fn audit_log_is_read_page_by_page_the_newest_first() {
    let fixture = Fixture::open();
    let mut expected = Vec::new();
    for name in ["a", "b", "c"] {
        expected.insert(0, fixture.make(of_acme(name)).await.0.id);
    }
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = fixture
            .operations
            .audit(&operator(), AuditFilter::default(), before.as_deref(), 2)
            .await
            .expect("a page");
        found.extend(page.entries.into_iter().map(|entry| entry.subject));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    let one = AuditFilter { subject: Some(expected[0].clone()), organization: None };
    let page = fixture.operations.audit(&operator(), one, None, 10).await.expect("a page");
    assert_eq!((page.entries.len(), &page.entries[0].detail["key"]["name"]), (1, &"c".into()));
    assert_eq!(
        members(fixture.operations.audit(&operator(), AuditFilter::default(), Some("x"), 2).await),
        ["before"]
    );
}

#[tokio::test]
async fn backup_is_a_store_and_overwrites_nothing() {
    let fixture = Fixture::open();
    let (key, _) = fixture.make(of_acme("one")).await;
    let copy = fixture.folder.path().join("copy.db");
    fixture.operations.backup(&operator(), &copy).await.expect("a copy");
    assert_eq!(
        conflict(fixture.operations.backup(&operator(), &copy).await).0,
        Conflict::FileExists
    );
    let mut keys = Vec::new();
    KeyStore::open(&copy, |key| keys.push(key.id)).expect("the copy is a store");
    assert_eq!(keys, [key.id]);
}

#[tokio::test]
async fn without_a_store_the_files_keys_are_shown_and_nothing_can_be_changed() {
    let file = FILE.replace("[store]\npath = \"keygate.db\"\nkeys_per_organization = 4\n", "");
    let file = file.replace(
        "[api.key_api]\npath = \"/keys\"\nstyle = \"envelope\"\nscope = \"keys:manage\"\n",
        "",
    );
    let file = file.replace("[api.key_api]\npath = \"/api/keys\"\nstyle = \"bare\"\n", "");
    let fixture = Fixture::with_file(&format!("{file}{FILE_KEYS}"));
    let service = KeyService::new(fixture.registry.clone(), None, || START);
    let operations = service.operations();
    assert_eq!(
        ids(&operations.list(&operator(), KeyFilter::default(), None, 10).await.expect("a list")),
        ["key_y", "key_z"]
    );
    assert_eq!(
        operations.organizations(&operator(), None, 10).await.expect("a list").organizations[0]
            .key_cap,
        0
    );
    assert_eq!(
        operations.create(&operator(), desk_key("one"), None).await,
        Err(ServiceError::NoStore)
    );
    assert_eq!(
        service.revoke(&operator(), "key_z", RevocationOrder::default()).await,
        Err(ServiceError::NoStore)
    );
    assert!(!fixture.registry.is_revoked("key_z"), "it would be refused until the next start only");
    assert_eq!(
        operations.set_suspended(&operator(), "org_acme", true).await,
        Err(ServiceError::NoStore)
    );
}
