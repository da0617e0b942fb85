//! A disk that fails or hangs delays changes and nothing else.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::key_service::KeyAdmin;
use crate::harness::{Message, wait_for};

#[track_caller]
fn assert_unavailable(answer: &Message) {
    assert_eq!(
        (answer.status(), answer.header("content-type")),
        (503, Some("application/problem+json")),
        "{answer:?}"
    );
    assert_eq!(answer.json()["code"], "store_unavailable");
}

#[test]
fn store_that_cannot_write_answers_changes_with_503_and_serves_on() {
    for fault in ["fail-fsync", "fail-late", "full"] {
        let admin = KeyAdmin::open();
        let (kept, revoked) = (admin.create("kept"), admin.create("revoked"));
        assert_eq!(admin.metric("keygate_store_healthy"), 1);
        admin.disk.fail(fault);
        assert_unavailable(&admin.try_to_create("lost"));
        assert_unavailable(&admin.ask(
            "PATCH",
            &format!("/v1/keys/{}", kept.id),
            &json!({ "name": "renamed" }),
        ));
        assert_unavailable(&admin.ask("POST", &format!("/v1/keys/{}/rotate", kept.id), &json!({})));
        assert_eq!((admin.status(&kept), admin.status(&revoked)), (200, 200));
        assert_unavailable(&admin.revoke(&revoked));
        assert_eq!(admin.status(&revoked), 401, "refused at once");
        assert_eq!(admin.metric("keygate_store_healthy"), 0);
        assert!(admin.metric("keygate_store_failures_total") >= 4);
        assert_eq!(admin.gateway.events("the store cannot write").len(), 1);
        assert!(admin.gateway.events("the store can write again").is_empty());

        admin.disk.heal(fault);
        let late = admin.create("late");
        let healthy = (
            admin.metric("keygate_store_healthy"),
            admin.gateway.events("the store can write again").len(),
        );
        assert_eq!(healthy, (1, 1));
        assert_eq!(
            (admin.status(&kept), admin.status(&revoked), admin.status(&late)),
            (200, 401, 200)
        );
        admin.wait_for_lasting_revocation(&revoked, "token ops");
        assert!(admin.metric("keygate_store_commits_total") >= 4);

        let admin = admin.restart();
        assert_eq!(
            (admin.status(&kept), admin.status(&revoked), admin.status(&late)),
            (200, 401, 200)
        );
        let mut names = admin.names();
        names.sort();
        assert_eq!(names, ["kept", "late", "revoked"]);
    }
}

#[test]
fn revocation_that_the_store_has_yet_to_take_is_written_down_when_the_gateway_stops() {
    let admin = KeyAdmin::open();
    let key = admin.create("revoked");
    admin.disk.fail("full");
    assert_unavailable(&admin.revoke(&key));
    admin.disk.heal("full");
    let admin = admin.restart();
    assert_eq!(admin.status(&key), 401);
}

#[test]
fn revocation_by_file_works_while_the_store_hangs() {
    let admin = KeyAdmin::open();
    let (kept, by_file, by_request) =
        (admin.create("kept"), admin.create("by file"), admin.create("by request"));
    admin.disk.fail("hang");
    thread::scope(|scope| {
        let changes = [
            scope.spawn(|| admin.try_to_create("lost")),
            scope.spawn(|| admin.revoke(&by_request)),
        ];
        wait_for("the revocation by request is in force", || {
            (admin.status(&by_request) == 401).then_some(())
        });
        let begun = Instant::now();
        admin.revoke_in_file(&by_file);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(admin.status(&kept), 200);
        wait_for("it is noticed", || (admin.metric("keygate_store_healthy") == 0).then_some(()));
        wait_for("it is told", || {
            (admin.gateway.events("the store does not answer").len() == 1).then_some(())
        });
        for change in changes {
            assert_unavailable(&change.join().expect("an answer"));
        }
    });
    let begun = Instant::now();
    let admin = admin.restart_after(|disk| {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it stops without the store: {:?}",
            begun.elapsed()
        );
        disk.heal("hang");
    });
    assert_eq!((admin.status(&kept), admin.status(&by_file)), (200, 401));
}

#[test]
fn store_that_hung_goes_on_when_its_disk_does() {
    let admin = KeyAdmin::open();
    let key = admin.create("before");
    admin.disk.fail("hang");
    thread::scope(|scope| {
        let revocation = scope.spawn(|| admin.revoke(&key));
        wait_for("the revocation is in force", || (admin.status(&key) == 401).then_some(()));
        admin.disk.heal("hang");
        assert_eq!(revocation.join().expect("an answer").status(), 200);
    });
    admin.create("after");
    assert_eq!(admin.metric("keygate_store_healthy"), 1);
}
