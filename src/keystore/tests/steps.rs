use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn notes(count: usize) -> Vec<UseNote> {
    let note = |number| {
        let id = format!("key_{number}");
        UseNote {
            key_id: id.as_str().into(),
            secret: Some((digest(&id), NOON)),
            day: 1,
            hours: hours(1, 1),
        }
    };
    (0..count).map(note).collect()
}

#[tokio::test]
async fn batch_of_a_hundred_thousand_notes_lets_changes_go_first() {
    let fixture = Fixture::new();
    let finished = Arc::new(AtomicUsize::new(0));
    let batch = tokio::spawn({
        let (store, finished) = (fixture.store.clone(), finished.clone());
        async move {
            store.note_use(notes(100_000)).await.expect("written");
            finished.fetch_add(1, Ordering::SeqCst)
        }
    });
    tokio::task::yield_now().await;
    for number in 0..20 {
        fixture.create(plain(&format!("key_{number}"))).await.expect("room for it");
    }
    assert_eq!(
        finished.load(Ordering::SeqCst),
        0,
        "all changes were made before the end of the batch"
    );
    batch.await.expect("it ends");
    assert_eq!(fixture.store.uses("key_99999", 1, 1).await, Ok(vec![day_use(1, 1)]));
    assert_eq!(fixture.store.uses("key_0", 1, 1).await, Ok(vec![day_use(1, 1)]));
    assert_eq!(fixture.store.health().queued(), 0);
}

#[tokio::test]
async fn backup_holds_every_change_that_was_acknowledged_before_it_ended() {
    let fixture = Fixture::new();
    fixture.store.note_use(notes(150_000)).await.expect("enough pages for many steps");
    let copy = fixture.folder.path().join("copy.db");
    let backup = tokio::spawn({
        let (store, copy) = (fixture.store.clone(), copy.clone());
        async move { store.backup(&copy).await }
    });
    let mut during = 0;
    while !backup.is_finished() {
        fixture.create(plain(&format!("key_{during:04}"))).await.expect("changes go on");
        during += 1;
    }
    backup.await.expect("it ends").expect("a backup");
    assert!(during > 3, "changes were made meanwhile: {during}");
    assert_eq!(std::fs::metadata(&copy).expect("a file").permissions().mode() & 0o777, 0o600);
    let error = fixture.store.backup(&copy).await.expect_err("it exists").to_string();
    assert!(error.contains("exists"), "{error}");
    let names = std::fs::read_dir(fixture.folder.path()).expect("a folder").count();
    assert_eq!(names, 3, "the store, its WAL and the copy; nothing half made");

    let mut keys = Vec::new();
    let restored = KeyStore::open(&copy, |key| keys.push(key)).expect("the copy is a store").store;
    // One change may have waited while the copy was synced. Another may have been requested before
    // the end of the backup was noticed.
    assert!(keys.len() + 2 >= during, "{} of {during}", keys.len());
    assert_eq!(restored.uses("key_49999", 1, 1).await, Ok(vec![day_use(1, 1)]));
    assert_eq!(fixture.store.uses("key_49999", 1, 1).await, Ok(vec![day_use(1, 1)]));
}

#[tokio::test]
async fn old_backup_is_restored_as_it_was() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    let copy = fixture.folder.path().join("copy.db");
    fixture.store.backup(&copy).await.expect("a backup");
    fixture.revoke(&["key_a"], NOON).await.expect("a revocation");
    fixture.create(plain("key_b")).await.expect("room for it");
    let path = fixture.path();
    fixture.store.close().await;
    assert!(!path.with_file_name("keys.db-wal").exists(), "a store that was closed is one file");
    std::fs::rename(&copy, &path).expect("restored");
    let mut keys = Vec::new();
    let opened = KeyStore::open(&path, |key| keys.push(key)).expect("an old state");
    assert_eq!(keys, [plain("key_a")]);
    assert!(opened.found.revocations.is_empty());
    let again = Change::Revoke {
        ids: vec!["key_a".to_owned()],
        secrets: Vec::new(),
        revocation: revocation(NOON),
    };
    opened
        .store
        .commit(again, entry("key.revoke"))
        .await
        .expect("what the file revokes is written again");
}

#[tokio::test]
async fn pruning_takes_what_is_old_and_leaves_the_rest() {
    let fixture = Fixture::new();
    for number in 0..1200 {
        let at = NOON + number;
        let id = format!("key_{number:04}");
        let idempotency =
            Some(Idempotency { token: "ops".to_owned(), key: id.clone(), body: digest(&id) });
        let change = Change::Create { key: Box::new(plain(&id)), cap: None, idempotency };
        fixture
            .store
            .commit(change, AuditEntry { at, ..entry("key.create") })
            .await
            .expect("room for it");
    }
    let use_of = |day| UseNote { key_id: "key_a".into(), secret: None, day, hours: hours(day, 1) };
    fixture.store.note_use((0..2000).map(use_of).collect()).await.expect("written");
    let prune = Prune {
        audit_before: NOON + 1100,
        uses_before_day: 1900,
        hours_before_day: 0,
        idempotency_before: NOON + 1000,
        sessions_before: NOON,
    };
    fixture.store.prune(prune).await.expect("pruned");
    let entries = fixture
        .store
        .audit(AuditQuery { limit: 5000, ..AuditQuery::default() })
        .await
        .expect("readable");
    assert_eq!((entries.len(), entries.last().map(|entry| entry.at)), (100, Some(NOON + 1100)));
    let days = fixture.store.uses("key_a", 0, 5000).await.expect("readable");
    assert_eq!((days.len(), days.first().map(|day| day.day)), (100, Some(1900)));
    assert_eq!(fixture.store.replay("ops", "key_0999", NOON).await, Ok(None));
    assert_eq!(
        fixture.store.replay("ops", "key_1000", NOON).await,
        Ok(Some((digest("key_1000"), "key_1000".to_owned())))
    );
    let last = entries[0].sequence;
    fixture.store.prune(Prune { audit_before: i64::MAX, ..prune }).await.expect("pruned");
    fixture.create(plain("key_new")).await.expect("room for it");
    let entries = fixture
        .store
        .audit(AuditQuery { limit: 5, ..AuditQuery::default() })
        .await
        .expect("readable");
    assert_eq!(
        entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(),
        [last + 1],
        "numbers are not given twice"
    );
}

#[tokio::test]
async fn closing_does_what_was_queued_and_refuses_what_comes_after() {
    let fixture = Fixture::new();
    let handle = fixture.store.clone();
    let batch = tokio::spawn({
        let store = fixture.store.clone();
        async move { store.note_use(notes(5000)).await.is_ok() }
    });
    tokio::task::yield_now().await;
    let (_fixture, ..) = fixture.reopen().await;
    assert!(batch.await.expect("it ends"), "the batch was queued before the close");
    let error = handle.key("key_a").await.expect_err("the thread has ended").to_string();
    assert!(error.contains("closed"), "{error}");
}

#[tokio::test]
async fn dropping_the_last_handle_lets_go_of_the_file() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    let path = fixture.path();
    drop(fixture.store);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let opened = loop {
        match KeyStore::open(&path, |_| ()) {
            Err(OpenError::InUse) if std::time::Instant::now() < deadline => {
                std::thread::yield_now()
            }
            other => break other.expect("the file is free again"),
        }
    };
    assert!(opened.store.key("key_a").await.expect("readable").is_some());
}

#[tokio::test]
async fn health_counts_commits_and_not_conflicts() {
    let fixture = Fixture::new();
    let health = fixture.store.health();
    fixture.create(plain("key_a")).await.expect("room for it");
    fixture.create(plain("key_a")).await.expect_err("it is there");
    assert_eq!((health.commits(), health.failures(), health.is_healthy()), (1, 0, true));
    assert_eq!((health.last_failure(), health.queued()), (None, 0));
}
