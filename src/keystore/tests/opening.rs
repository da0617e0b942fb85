use std::os::unix::fs::PermissionsExt;

use super::schema::{APPLICATION, MIGRATIONS, migrate};
use super::*;

fn open(path: &Path) -> Result<Opened, OpenError> {
    KeyStore::open(path, |_| ())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[tokio::test]
async fn files_of_the_store_are_for_their_owner_alone() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    let mut names = Vec::new();
    for file in std::fs::read_dir(fixture.folder.path()).expect("a folder") {
        let path = file.expect("a file").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
    }
    names.sort();
    assert_eq!(names, ["keys.db", "keys.db-wal"]);
}

#[tokio::test]
async fn file_that_others_can_open_is_refused_with_the_command_that_helps() {
    let fixture = Fixture::new();
    let path = fixture.path();
    fixture.store.close().await;
    for bits in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(bits))
            .expect("its owner's right");
        let error = open(&path).expect_err("it is refused").to_string();
        assert!(error.contains("chmod 600") && error.contains(&format!("{bits:04o}")), "{error}");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("its owner's right");
    open(&path).expect("now it opens");
}

#[tokio::test]
async fn store_is_open_in_one_place_at_a_time() {
    let fixture = Fixture::new();
    let error = open(&fixture.path()).expect_err("it is in use");
    assert!(
        matches!(error, OpenError::InUse) && error.to_string().contains("open in another process"),
        "{error}"
    );
    fixture.create(plain("key_a")).await.expect("the first one goes on");
    let (_fixture, keys, _) = fixture.reopen().await;
    assert_eq!(keys.len(), 1);
}

#[test]
fn file_of_another_program_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = |name: &str, sql: &str| {
        let path = folder.path().join(name);
        drop(std::fs::File::create_new(&path).expect("a new file"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))
            .expect("its owner's right");
        Connection::open(&path).expect("a database").execute_batch(sql).expect("its tables");
        path
    };
    for path in [
        database("tables.db", "CREATE TABLE songs (title TEXT)"),
        database("application.db", "PRAGMA application_id = 1234"),
        database("version.db", "PRAGMA user_version = 1"),
    ] {
        assert!(matches!(open(&path), Err(OpenError::NotAStore)), "{}", path.display());
        let connection = Connection::open(&path).expect("a database");
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name <> 'songs'", (), |row| {
                row.get(0)
            })
            .expect("a count");
        assert_eq!(tables, 0);
    }
    let text = folder.path().join("gateway.toml");
    std::fs::write(&text, "[server]\nlisten = \"127.0.0.1:0\"\n".repeat(100)).expect("a file");
    std::fs::set_permissions(&text, PermissionsExt::from_mode(0o600)).expect("its owner's right");
    assert!(matches!(open(&text), Err(OpenError::NotAStore)));
}

#[tokio::test]
async fn store_of_a_newer_version_is_refused() {
    let fixture = Fixture::new();
    let path = fixture.path();
    fixture.store.close().await;
    let newer = MIGRATIONS.len() + 1;
    Connection::open(&path)
        .expect("a database")
        .execute_batch(&format!("PRAGMA user_version = {newer}"))
        .expect("a version");
    let error = open(&path).expect_err("it is refused").to_string();
    assert!(error.contains("newer Keygate") && error.contains(&newer.to_string()), "{error}");
}

#[test]
fn migrations_that_are_missing_are_run_in_order_and_one_that_fails_leaves_the_version_before_it() {
    let connection = Connection::open_in_memory().expect("a database");
    let version = || {
        connection
            .query_row("PRAGMA user_version", (), |row| row.get::<_, i64>(0))
            .expect("a version")
    };
    migrate(&connection, &["CREATE TABLE one (a TEXT)"]).expect("a new store");
    assert_eq!(version(), 1);
    let second = "ALTER TABLE one ADD COLUMN b TEXT; INSERT INTO one VALUES ('a', 'b')";
    let broken = [
        "CREATE TABLE one (a TEXT)",
        second,
        "CREATE TABLE three (a TEXT); INSERT INTO nowhere VALUES (1)",
    ];
    migrate(&connection, &broken).expect_err("the third is broken");
    assert_eq!(version(), 2);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        .expect("a count");
    assert_eq!(tables, 1, "nothing of the third is there");
    migrate(&connection, &[broken[0], second, "CREATE TABLE three (a TEXT)"])
        .expect("a repaired program");
    assert_eq!(version(), 3);
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM one", (), |row| row.get(0)).expect("a count");
    assert_eq!(rows, 1, "what was migrated is not migrated again");
}

/// Version 1 wrote the fixture, which newer versions must not change.
#[tokio::test]
async fn store_of_version_1_opens_with_all_it_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.db");
    let connection = Connection::open(&path).expect("a database");
    connection.execute_batch(include_str!("version_1.sql")).expect("the fixture");
    connection
        .execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1"))
        .expect("its version");
    drop(connection);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("its owner's right");

    let mut keys = Vec::new();
    let opened = KeyStore::open(&path, |key| keys.push(key)).expect("an old store");
    let old = secret("key_full-old");
    let expected = StoredKey {
        revocation: Some(revocation(NOON + 5)),
        secrets: vec![
            secret("key_full-new"),
            StoredSecret { ends_at: Some(NOON + 10), last_used: Some(NOON + 7), ..old },
        ],
        revision: 3,
        ..full("key_full")
    };
    assert_eq!(keys, [expected, plain("key_plain")]);
    assert_eq!(opened.found.revocations, ["key_of_the_file"]);
    let acme = StoredOrganization {
        name: "org_acme".to_owned(),
        suspended_at: Some(NOON),
        key_cap: Some(7),
        revision: 2,
    };
    assert_eq!(opened.found.organizations, [acme]);
    let store = opened.store;
    assert_eq!(
        store.uses("key_full", 0, 30000).await,
        Ok(vec![DayUse { hours: Hours::new(), ..day_use(20833, 12) }])
    );
    assert_eq!(
        store.replay("ops", "request", NOON).await,
        Ok(Some((digest("body"), "key_plain".to_owned())))
    );
    let entries =
        store.audit(AuditQuery { limit: 5, ..AuditQuery::default() }).await.expect("readable");
    assert_eq!(entries, [AuditEntry { sequence: 41, ..entry("key.create") }]);
}

/// Such writes would be lost at the next start.
#[tokio::test]
async fn nothing_is_acknowledged_while_the_files_are_not_where_they_were() {
    for name in ["keys.db", "keys.db-wal"] {
        let fixture = Fixture::new();
        fixture.create(plain("key_a")).await.expect("room for it");
        let (here, aside) = (fixture.folder.path().join(name), fixture.folder.path().join("aside"));
        std::fs::rename(&here, &aside).expect("a file");
        let error = fixture.create(plain("key_b")).await.expect_err("it has no name");
        assert!(format!("{error:?}").contains("deleted or replaced"), "{error:?}");
        std::fs::copy(&aside, &here).expect("room for it");
        fixture.revoke(&["key_a"], NOON).await.expect_err("another file has its name");
        assert!(!fixture.store.health().is_healthy());

        let copy = fixture.folder.path().join("copy.db");
        fixture.store.backup(&copy).await.expect("what is in use can be copied");
        std::fs::rename(&aside, &here).expect("a file");
        fixture.create(plain("key_c")).await.expect("it is back");
        assert!(fixture.store.health().is_healthy());
        let (_fixture, keys, _) = fixture.reopen().await;
        assert_eq!(keys.iter().map(|key| &*key.id).collect::<Vec<_>>(), ["key_a", "key_c"]);
    }
}

#[tokio::test]
async fn released_store_is_another_processs_until_it_is_reclaimed_and_calls_wait_meanwhile() {
    let fixture = Fixture::new();
    fixture.create(plain("key_a")).await.expect("room for it");
    fixture.store.release().await.expect("it is open");
    let mut keys = Vec::new();
    let other =
        KeyStore::open(&fixture.path(), |key| keys.push(key.id)).expect("nobody has it open").store;
    assert_eq!(keys, ["key_a"]);
    assert!(
        matches!(fixture.store.reclaim(&fixture.path()).await, Err(OpenError::InUse)),
        "it may be tried again"
    );
    let waiting = tokio::spawn({
        let store = fixture.store.clone();
        async move { store.key("key_a").await }
    });
    other.close().await;
    fixture.store.reclaim(&fixture.path()).await.expect("it is free");
    assert!(waiting.await.expect("no panic").expect("it is open again").is_some());
    fixture.create(plain("key_b")).await.expect("it can be written");
    fixture.store.release().await.expect("it is open");
    fixture.store.clone().close().await;
    assert!(
        fixture.store.key("key_a").await.is_err(),
        "nobody waits for a store that never comes back"
    );
}
