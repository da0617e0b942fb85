//! A disk that fails or hangs delays changes and nothing else.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::office::Office;
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
        let office = Office::open();
        let (kept, revoked) = (office.create("kept"), office.create("revoked"));
        assert_eq!(office.metric("keygate_store_healthy"), 1);
        office.disk.fail(fault);
        assert_unavailable(&office.try_to_create("lost"));
        assert_unavailable(&office.ask(
            "PATCH",
            &format!("/v1/keys/{}", kept.id),
            &json!({ "name": "renamed" }),
        ));
        assert_unavailable(&office.ask(
            "POST",
            &format!("/v1/keys/{}/rotate", kept.id),
            &json!({}),
        ));
        assert_eq!((office.status(&kept), office.status(&revoked)), (200, 200));
        assert_unavailable(&office.revoke(&revoked));
        assert_eq!(office.status(&revoked), 401, "refused at once");
        assert_eq!(office.metric("keygate_store_healthy"), 0);
        assert!(office.metric("keygate_store_failures_total") >= 4);
        assert_eq!(office.gateway.events("the store cannot write").len(), 1);
        assert!(office.gateway.events("the store can write again").is_empty());

        office.disk.heal(fault);
        let late = office.create("late");
        let healthy = (
            office.metric("keygate_store_healthy"),
            office.gateway.events("the store can write again").len(),
        );
        assert_eq!(healthy, (1, 1));
        assert_eq!(
            (office.status(&kept), office.status(&revoked), office.status(&late)),
            (200, 401, 200)
        );
        office.wait_for_lasting_revocation(&revoked, "token ops");
        assert!(office.metric("keygate_store_commits_total") >= 4);

        let office = office.restart();
        assert_eq!(
            (office.status(&kept), office.status(&revoked), office.status(&late)),
            (200, 401, 200)
        );
        let mut names = office.names();
        names.sort();
        assert_eq!(names, ["kept", "late", "revoked"]);
    }
}

#[test]
fn revocation_that_the_store_has_yet_to_take_is_written_down_when_the_gateway_stops() {
    let office = Office::open();
    let key = office.create("revoked");
    office.disk.fail("full");
    assert_unavailable(&office.revoke(&key));
    office.disk.heal("full");
    let office = office.restart();
    assert_eq!(office.status(&key), 401);
}

#[test]
fn revocation_by_file_works_while_the_store_hangs() {
    let office = Office::open();
    let (kept, by_file, by_request) =
        (office.create("kept"), office.create("by file"), office.create("by request"));
    office.disk.fail("hang");
    thread::scope(|scope| {
        let changes = [
            scope.spawn(|| office.try_to_create("lost")),
            scope.spawn(|| office.revoke(&by_request)),
        ];
        wait_for("the revocation by request is in force", || {
            (office.status(&by_request) == 401).then_some(())
        });
        let begun = Instant::now();
        office.revoke_in_file(&by_file);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(office.status(&kept), 200);
        wait_for("it is noticed", || (office.metric("keygate_store_healthy") == 0).then_some(()));
        wait_for("it is told", || {
            (office.gateway.events("the store does not answer").len() == 1).then_some(())
        });
        for change in changes {
            assert_unavailable(&change.join().expect("an answer"));
        }
    });
    let begun = Instant::now();
    let office = office.restart_after(|disk| {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it stops without the store: {:?}",
            begun.elapsed()
        );
        disk.heal("hang");
    });
    assert_eq!((office.status(&kept), office.status(&by_file)), (200, 401));
}

#[test]
fn store_that_hung_goes_on_when_its_disk_does() {
    let office = Office::open();
    let key = office.create("before");
    office.disk.fail("hang");
    thread::scope(|scope| {
        let revocation = scope.spawn(|| office.revoke(&key));
        wait_for("the revocation is in force", || (office.status(&key) == 401).then_some(()));
        office.disk.heal("hang");
        assert_eq!(revocation.join().expect("an answer").status(), 200);
    });
    office.create("after");
    assert_eq!(office.metric("keygate_store_healthy"), 1);
}
