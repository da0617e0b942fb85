use super::*;

async fn ids(fixture: &Fixture, query: KeyQuery) -> Vec<String> {
    fixture
        .store
        .keys(KeyQuery { now: NOON, ..query })
        .await
        .expect("readable")
        .into_iter()
        .map(|key| key.id)
        .collect()
}

fn everything() -> KeyQuery {
    KeyQuery { limit: 100, ..KeyQuery::default() }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn keys_are_filtered_by_everything_that_can_be_asked() {
    let fixture = Fixture::new();
    let keys = [
        StoredKey {
            environment: some("test"),
            name: "GRÜN".to_owned(),
            ..of_organization("a", "acme")
        },
        StoredKey {
            apis: vec!["other".to_owned()],
            parent: some("a"),
            ..of_organization("b", "acme")
        },
        StoredKey { paused: true, parent: some("a"), ..plain("c") },
        StoredKey { expires_at: Some(NOON), paused: true, ..plain("d") },
        StoredKey { expires_at: Some(NOON + 1), parent: some("b"), ..of_organization("e", "zeta") },
        of_organization("f", "acme"),
    ];
    for key in keys {
        fixture.create(key).await.expect("room for it");
    }
    fixture.revoke(&["f"], NOON).await.expect("a revocation");
    let cases = [
        (everything(), "abcdef"),
        (KeyQuery { without_revoked: true, ..everything() }, "abcde"),
        (KeyQuery { organization: some("acme"), ..everything() }, "abf"),
        (KeyQuery { organization: some("acme"), parent: some("a"), ..everything() }, "b"),
        (KeyQuery { parent: some("a"), ..everything() }, "bc"),
        (KeyQuery { api: some("other"), ..everything() }, "b"),
        (KeyQuery { environment: some("test"), ..everything() }, "a"),
        (KeyQuery { name: some("grün"), ..everything() }, "a"),
        (KeyQuery { name: some("NAME OF"), organization: some("acme"), ..everything() }, "bf"),
        (KeyQuery { condition: Some(Condition::Active), ..everything() }, "abe"),
        (KeyQuery { condition: Some(Condition::Paused), ..everything() }, "c"),
        (KeyQuery { condition: Some(Condition::Expired), ..everything() }, "d"),
        (
            KeyQuery { condition: Some(Condition::Revoked), without_revoked: true, ..everything() },
            "f",
        ),
        (KeyQuery { organization: some("nobody"), ..everything() }, ""),
        (KeyQuery { limit: 0, ..everything() }, ""),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&fixture, query.clone()).await.concat(), expected, "{query:?}");
    }
    assert_eq!(
        fixture.store.descendants("a").await,
        Ok(vec!["b".to_owned(), "c".to_owned(), "e".to_owned()])
    );
    assert_eq!(
        fixture.store.key_by_digest(digest("f")).await.map(|key| key.map(|key| key.id)),
        Ok(some("f"))
    );
}

#[tokio::test]
async fn pages_neither_repeat_nor_miss_a_key_while_others_come_and_go() {
    let fixture = Fixture::new();
    for number in 0..20 {
        fixture.create(plain(&format!("key_{number:02}"))).await.expect("room for it");
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = ids(
            &fixture,
            KeyQuery { after: after.clone(), limit: 3, without_revoked: true, ..everything() },
        )
        .await;
        let Some(last) = page.last().cloned() else { break };
        // Keys that are added or revoked meanwhile do not move the keys of later pages.
        fixture.create(plain(&format!("{last}_x"))).await.expect("room for it");
        fixture.create(plain(&format!("key_{}", seen.len() + 100))).await.expect("room for it");
        fixture.revoke(&[&page[0]], NOON).await.expect("a revocation");
        seen.extend(page);
        after = Some(last);
        assert!(seen.len() < 100);
        if seen.contains(&"key_19".to_owned()) {
            break;
        }
    }
    for number in 0..20 {
        let id = format!("key_{number:02}");
        assert_eq!(seen.iter().filter(|seen| **seen == id).count(), 1, "{id}");
    }
}

#[tokio::test]
async fn last_key_of_many_is_found_although_a_command_looks_through_few() {
    let fixture = Fixture::new();
    let path = fixture.path();
    fixture.store.close().await;
    let connection = Connection::open(&path).expect("the file");
    let sql = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE \
        n < 12000)
        INSERT INTO keys SELECT printf('key_%05d', n), printf('number %d', n), NULL, \
        '[\"desk\"]', '', NULL, '[]', '[]', '[]', '[]', NULL,
        0, '', NULL, NULL, 0, 1 FROM numbers";
    connection.execute_batch(sql).expect("many keys");
    drop(connection);
    let store = KeyStore::open(&path, |_| ()).expect("the same store").store;
    let ids = |keys: Result<Vec<StoredKey>, Unavailable>| {
        keys.expect("readable").into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let found =
        store.keys(KeyQuery { name: some("Number 1200"), limit: 3, ..KeyQuery::default() }).await;
    assert_eq!(ids(found), ["key_01200", "key_12000"]);
    let found = store.keys(KeyQuery { limit: 6000, ..KeyQuery::default() }).await;
    assert_eq!(ids(found).last().map(String::as_str), Some("key_06000"));
}

#[tokio::test]
async fn use_adds_up_by_day_and_the_latest_use_stays_for_keys_of_the_file_too() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    let note = |id: &str, at, day, requests| UseNote {
        key_id: id.into(),
        secret: Some((digest(id), at)),
        day,
        hours: hours(day, requests),
    };
    let notes = vec![
        note("key_a", NOON + 9, 100, 3),
        note("key_file", NOON, 100, 1),
        note("key_a", NOON + 4, 100, 2),
    ];
    fixture.store.note_use(notes).await.expect("written");
    let unseen = UseNote { key_id: "key_a".into(), secret: None, day: 102, hours: hours(102, 7) };
    fixture
        .store
        .note_use(vec![unseen, note("key_file", NOON + 1, 101, 0)])
        .await
        .expect("written");
    let days = [day_use(100, 5), day_use(102, 7)];
    assert_eq!(fixture.store.uses("key_a", 100, 102).await, Ok(days.to_vec()));
    assert_eq!(fixture.store.uses("key_a", 101, 102).await, Ok(days[1..].to_vec()));
    let (fixture, keys, _) = fixture.reopen().await;
    assert_eq!(keys[0].secrets[0].last_used, Some(NOON + 9));
    let last = fixture.store.last_used(vec!["key_file".to_owned(), "nobody".to_owned()]).await;
    assert_eq!(last, Ok(vec![("key_file".to_owned(), digest("key_file"), NOON + 1)]));
    assert_eq!(fixture.store.uses("key_file", 0, 1000).await, Ok(vec![day_use(100, 1)]));
}

#[tokio::test]
async fn requests_of_a_day_stay_when_a_later_day_begins_and_when_their_secret_goes() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    for (day, requests) in [(100, 3), (101, 2), (100, 1), (101, 4)] {
        let secret = Some((digest("key_a"), NOON + day));
        fixture
            .store
            .note_use(vec![UseNote {
                key_id: "key_a".into(),
                secret,
                day,
                hours: hours(day, requests),
            }])
            .await
            .expect("written");
    }
    let days = Ok(vec![day_use(100, 4), day_use(101, 6)]);
    assert_eq!(fixture.store.uses("key_a", 0, 200).await, days);
    assert_eq!(fixture.key("key_a").await.secrets[0].last_used, Some(NOON + 101));
    let rotated = StoredKey { revision: 2, secrets: vec![secret("newest")], ..plain("key_a") };
    fixture.update(rotated).await.expect("the next revision");
    assert_eq!(fixture.store.uses("key_a", 0, 200).await, days);
}

#[tokio::test]
async fn audit_log_goes_back_page_by_page_and_narrows() {
    let fixture = Fixture::new();
    for number in 0..10 {
        let organization = Some(if number % 2 == 0 { "even" } else { "odd" }.to_owned());
        let entry =
            AuditEntry { subject: format!("key_{number}"), organization, ..entry("key.create") };
        let change = Change::Create {
            key: Box::new(plain(&format!("key_{number}"))),
            cap: None,
            idempotency: None,
        };
        fixture.store.commit(change, entry).await.expect("room for it");
    }
    let page = async |query: AuditQuery| {
        let entries =
            fixture.store.audit(AuditQuery { limit: 3, ..query }).await.expect("readable");
        entries.into_iter().map(|entry| (entry.sequence, entry.subject)).collect::<Vec<_>>()
    };
    let first = page(AuditQuery::default()).await;
    assert_eq!(
        first.iter().map(|(_, subject)| subject.as_str()).collect::<Vec<_>>(),
        ["key_9", "key_8", "key_7"]
    );
    let second = page(AuditQuery { before: Some(first[2].0), ..AuditQuery::default() }).await;
    assert_eq!(
        second.iter().map(|(_, subject)| subject.as_str()).collect::<Vec<_>>(),
        ["key_6", "key_5", "key_4"]
    );
    let odd = page(AuditQuery {
        organization: some("odd"),
        before: Some(second[0].0),
        ..AuditQuery::default()
    })
    .await;
    assert_eq!(
        odd.iter().map(|(_, subject)| subject.as_str()).collect::<Vec<_>>(),
        ["key_5", "key_3", "key_1"]
    );
    assert_eq!(page(AuditQuery { subject: some("key_2"), ..AuditQuery::default() }).await.len(), 1);
}
