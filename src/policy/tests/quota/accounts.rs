//! Tests of what the account of a key counts, and of how long it is kept.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn unlimited_key_has_no_allowance_and_is_never_refused() {
    let (account, api, digest) = (Account::default(), Arc::from("desk"), Digest::of(b"secret"));
    for now in 0..1000 {
        assert_eq!(account.charge(&api, &digest, &[], now), Ok(None));
    }
    assert_eq!(account.peek(&api, &[], 0), None);
}

fn used_twice(limits: &[Limit], now: u64) -> (Arc<str>, Arc<Account>) {
    let (api, account) = ("desk".into(), Arc::new(Account::default()));
    for _ in 0..2 {
        account.charge(&api, &Digest::of(b"secret"), limits, now).expect("within the limit");
    }
    (api, account)
}

#[test]
fn counts_survive_a_key_that_goes_and_comes_back_within_its_window() {
    let limits = [limit(2, MINUTE)];
    let start = 1_000 * MINUTE;
    let (api, account) = used_twice(&limits, start);
    let mut departed = Departed::default();
    departed.add("key_crm", account, start + 10 * SECOND);
    for second in [10, 20, 30] {
        assert!(departed.forget(start + second * SECOND).is_empty());
    }
    let back = departed.take("key_crm").expect("it is remembered");
    let charged = back.charge(&api, &Digest::of(b"another secret"), &limits, start + 40 * SECOND);
    assert!(charged.is_err(), "its two requests were forgotten");
}

#[test]
fn counts_are_dropped_once_a_key_is_gone_for_longer_than_its_window() {
    let (_, account) = used_twice(&[limit(2, MINUTE)], 0);
    let mut departed = Departed::default();
    departed.add("key_crm", account, 0);
    assert!(departed.forget(SECOND).is_empty());
    assert_eq!(departed.forget(MINUTE + SECOND + 1).len(), 1);
    assert!(departed.take("key_crm").is_none());
}

#[test]
fn account_of_a_key_that_was_never_used_is_not_remembered() {
    let mut departed = Departed::default();
    departed.add("key_idle", Arc::default(), 0);
    assert!(departed.take("key_idle").is_none());
}

#[test]
fn five_hundred_requests_at_once_against_a_hundred_admit_exactly_a_hundred() {
    let text = key_text("live", "crm");
    let mut definition_of_key = key(&text);
    definition_of_key.grants = vec![grant(&[0], &[limit(100, MINUTE)])];
    let snapshot = snapshot(definition(), [definition_of_key]);
    let admitted = AtomicUsize::new(0);
    let gate = Barrier::new(500);
    std::thread::scope(|scope| {
        for number in 0..500 {
            let (snapshot, admitted, gate, text) = (&snapshot, &admitted, &gate, &text);
            scope.spawn(move || {
                let call = Call::new("GET", "/api/v1/tickets").bearer(text);
                gate.wait();
                // The clock readings of the threads differ slightly.
                let now = Now { monotonic: NOON.monotonic + number * 7919 % 1000, ..NOON };
                match call.judge(snapshot, now) {
                    Ok(_) => drop(admitted.fetch_add(1, Ordering::SeqCst)),
                    Err(refused) => assert!(matches!(refused.refusal, Refusal::RateLimited(_))),
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 100);
}

#[test]
fn jumps_of_the_wall_clock_change_nothing() {
    let text = key_text("live", "crm");
    let mut definition_of_key = key(&text);
    definition_of_key.grants = vec![grant(&[0], &[limit(3, MINUTE)])];
    let snapshot = snapshot(definition(), [definition_of_key]);
    let call = Call::new("GET", "/api/v1/tickets").bearer(&text);
    let jumps = [0, i64::MAX, i64::MIN, -1, NOON.unix, NOON.unix + 86_400 * 365];
    let admitted =
        jumps.iter().filter(|unix| call.judge(&snapshot, Now { unix: **unix, ..NOON }).is_ok());
    assert_eq!(admitted.count(), 3);
    for unix in jumps {
        assert!(
            call.judge(&snapshot, Now { unix, monotonic: NOON.monotonic + 59 * SECOND }).is_err()
        );
    }
    assert!(
        call.judge(&snapshot, Now { unix: 0, monotonic: NOON.monotonic + 62 * SECOND }).is_ok()
    );
}

#[test]
fn refused_requests_spend_nothing() {
    let text = key_text("live", "crm");
    let mut definition_of_key = key(&text);
    definition_of_key.grants = vec![grant(&[0], &[limit(2, MINUTE)])];
    let snapshot = snapshot(definition(), [definition_of_key]);
    for _ in 0..10 {
        let refused = Call::new("POST", "/api/v1/tickets")
            .bearer(&text)
            .judge(&snapshot, NOON)
            .expect_err("it only reads");
        assert_eq!(refused.allowance.map(|allowance| allowance.remaining), Some(2));
    }
    let call = Call::new("GET", "/api/v1/tickets").bearer(&text);
    let remaining = |_| {
        call.judge(&snapshot, NOON)
            .ok()
            .and_then(|admission| admission.allowance())
            .map(|allowance| allowance.remaining)
    };
    assert_eq!([0, 1, 2].map(remaining), [Some(1), Some(0), None]);
}
