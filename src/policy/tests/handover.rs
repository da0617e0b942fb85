//! Tests of passing counts from one process to another.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const START: u64 = 10_000 * 3600 * SECOND;

fn limits() -> impl Strategy<Value = Vec<Limit>> {
    let windows =
        prop::sample::subsequence(vec![SECOND, 7 * SECOND + 3, 60 * SECOND, 3600 * SECOND], 1..4);
    windows.prop_flat_map(|windows| {
        let count = windows.len();
        (Just(windows), prop::collection::vec(1..30_u32, count)).prop_map(|(windows, counts)| {
            windows.into_iter().zip(counts).map(|(window, count)| Limit { count, window }).collect()
        })
    })
}

fn apis() -> [Arc<str>; 2] {
    ["desk".into(), "billing".into()]
}

proptest! {
    #[test]
    fn account_that_moves_at_any_moment_judges_every_request_as_one_that_stays(
        limits in limits(),
        steps in prop::collection::vec((0..3 * SECOND, 0..2_usize), 1..200),
        moves in 0..200_usize,
    ) {
        let (apis, digest) = (apis(), Digest::of(b"key"));
        let stays = Account::default();
        let mut moved = Account::default();
        let mut now = START;
        for (number, (step, api)) in steps.iter().enumerate() {
            now += step;
            if number == moves {
                // Use the format that the two processes exchange.
                if let Some(state) = moved.export(now) {
                    let text = serde_json::to_string(&state).unwrap();
                    moved = Account::default();
                    moved.import(&serde_json::from_str::<AccountState>(&text).unwrap(), |name| {
                        name.into()
                    });
                }
            }
            prop_assert_eq!(
                moved.charge(&apis[*api], &digest, &limits, now),
                stays.charge(&apis[*api], &digest, &limits, now)
            );
        }
    }

    #[test]
    fn nothing_that_another_process_says_makes_it_panic(
        length in any::<u64>(),
        first in any::<u64>(),
        counts in prop::collection::vec(any::<u32>(), 0..70),
        now in 0..u64::MAX / 2,
    ) {
        let state = AccountState {
            counts: vec![("desk".to_owned(), vec![WindowCounts { length, first, counts }])],
            last_used: vec![(Digest::of(b"key"), 5)],
        };
        let account = Account::default();
        account.import(&state, |name| name.into());
        let limits = [Limit { count: 5, window: length.clamp(SECOND, 1 << 60) }];
        let _ = account.charge(&apis()[0], &Digest::of(b"key"), &limits, now);
        let _ = account.export(now);
    }
}

#[test]
fn last_use_moves_too_and_is_not_told_twice() {
    let (apis, digest) = (apis(), Digest::of(b"key"));
    let before = Account::default();
    assert_eq!(before.export(START), None, "a key that was never used");
    assert!(before.note_use(&apis[0], &digest, 1_700_000_000));
    let after = Account::default();
    after.import(&before.export(START).unwrap(), |name| name.into());
    assert_eq!(after.last_used().collect::<Vec<_>>(), [(digest, 1_700_000_000)]);
    assert_eq!(after.collect().secrets, []);
    assert!(after.note_use(&apis[0], &digest, 1_700_000_009));
    assert_eq!(after.collect().secrets, [(digest, 1_700_000_009)]);
}
