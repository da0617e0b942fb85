//! Tests the watch in virtual time.

use proptest::prelude::*;

use super::*;

fn file(inode: u64, size: u64, modified: u64) -> Option<Identity> {
    let changed = (0, i64::try_from(modified).unwrap());
    Some(Identity {
        device: 1,
        inode,
        size,
        modified: SystemTime::UNIX_EPOCH + Duration::from_millis(modified),
        changed,
    })
}

fn at(milliseconds: u64) -> Moment {
    let monotonic = Duration::from_millis(milliseconds);
    Moment { monotonic, wall: SystemTime::UNIX_EPOCH + monotonic }
}

fn watch() -> Watch {
    Watch::new(file(1, 100, 0), at(0))
}

/// Polls every 100 ms from `from` to `to`. Returns the first decision other than to wait, and when
/// it was made.
fn poll(
    watch: &mut Watch,
    identity: Option<Identity>,
    from: u64,
    to: u64,
) -> Option<(u64, Decision)> {
    (from..=to).step_by(100).find_map(|now| {
        match watch.observe(&[Event::Poll], identity, at(now)) {
            Decision::Wait => None,
            decision => Some((now, decision)),
        }
    })
}

#[test]
fn unchanged_file_is_never_loaded_again() {
    assert_eq!(poll(&mut watch(), file(1, 100, 0), 100, 60_000), None);
}

#[test]
fn file_closed_after_writing_is_loaded_at_once() {
    let mut watch = watch();
    assert_eq!(watch.observe(&[Event::Written], file(1, 40, 1000), at(1000)), Decision::Wait);
    assert_eq!(
        watch.observe(&[Event::Written, Event::Closed], file(1, 90, 1001), at(1001)),
        Decision::Load
    );
}

#[test]
fn file_renamed_into_place_is_loaded_at_once() {
    assert_eq!(watch().observe(&[Event::Renamed], file(2, 90, 500), at(1000)), Decision::Load);
}

#[test]
fn close_is_believed_even_if_size_and_time_are_the_same() {
    assert_eq!(watch().observe(&[Event::Closed], file(1, 100, 0), at(3)), Decision::Load);
}

#[test]
fn swapped_link_on_the_way_is_loaded_at_once() {
    assert_eq!(
        watch().observe(&[Event::NeighbourRenamed], file(2, 100, 0), at(1000)),
        Decision::Load
    );
}

#[test]
fn renamed_neighbour_does_not_hasten_a_writer() {
    let mut watch = watch();
    assert_eq!(watch.observe(&[Event::Written], file(1, 10, 1000), at(1000)), Decision::Wait);
    assert_eq!(
        watch.observe(&[Event::NeighbourRenamed], file(1, 10, 1000), at(1010)),
        Decision::Wait
    );
    // Not even if the file was removed and is being written anew.
    assert_eq!(
        watch.observe(&[Event::Written, Event::NeighbourRenamed], file(2, 10, 1000), at(1020)),
        Decision::Wait
    );
}

#[test]
fn writer_that_goes_on_after_closing_is_waited_for() {
    let mut watch = watch();
    assert_eq!(
        watch.observe(&[Event::Closed, Event::Written], file(1, 10, 1000), at(1000)),
        Decision::Wait
    );
    assert_eq!(poll(&mut watch, file(1, 10, 1000), 1100, 10_900), None);
}

#[test]
fn writer_that_never_closes_is_waited_for_ten_seconds_after_its_last_write() {
    let mut watch = watch();
    for now in (1000..20_000).step_by(5000) {
        assert_eq!(watch.observe(&[Event::Written], file(1, now, now), at(now)), Decision::Wait);
        assert_eq!(poll(&mut watch, file(1, now, now), now + 100, now + 4900), None);
    }
    assert_eq!(
        poll(&mut watch, file(1, 16_000, 16_000), 21_000, 40_000),
        Some((26_000, Decision::Load))
    );
}

#[test]
fn change_seen_only_by_polling_is_loaded_when_it_has_been_still() {
    let mut watch = watch();
    assert_eq!(poll(&mut watch, file(1, 50, 900), 1000, 1900), None);
    assert_eq!(poll(&mut watch, file(1, 80, 1900), 2000, 9000), Some((3100, Decision::Load)));
    watch.tried(file(1, 80, 1900).unwrap(), at(3100));
    assert_eq!(poll(&mut watch, file(1, 80, 1900), 3200, 9000), None);
}

#[test]
fn new_inode_seen_only_by_polling_may_be_half_written_and_has_to_be_still() {
    assert_eq!(poll(&mut watch(), file(2, 50, 900), 1000, 9000), Some((2100, Decision::Load)));
}

#[test]
fn deletion_is_told_once_and_the_return_is_loaded() {
    let mut watch = watch();
    assert_eq!(poll(&mut watch, None, 1000, 3000), Some((2100, Decision::Gone)));
    assert_eq!(poll(&mut watch, None, 3100, 9000), None);
    assert_eq!(watch.observe(&[Event::Renamed], file(1, 100, 0), at(9100)), Decision::Load);
    watch.tried(file(1, 100, 0).unwrap(), at(9100));
    assert_eq!(
        poll(&mut watch, None, 9200, 20_000).map(|(_, decision)| decision),
        Some(Decision::Gone)
    );
}

#[test]
fn editor_that_moves_the_old_file_away_first_is_not_a_deletion() {
    let mut watch = watch();
    assert_eq!(watch.observe(&[Event::NeighbourRenamed], None, at(1000)), Decision::Wait);
    assert_eq!(
        watch.observe(&[Event::Written, Event::Closed], file(2, 120, 1001), at(1001)),
        Decision::Load
    );
}

#[test]
fn return_seen_only_by_polling_is_loaded_even_if_it_is_the_same_file() {
    let mut watch = watch();
    assert_eq!(
        poll(&mut watch, None, 1000, 9000).map(|(_, decision)| decision),
        Some(Decision::Gone)
    );
    assert_eq!(poll(&mut watch, file(1, 100, 0), 9000, 20_000), Some((10_100, Decision::Load)));
}

#[test]
fn file_that_could_not_be_read_is_tried_again() {
    let mut watch = watch();
    watch.failed(at(1000));
    assert_eq!(poll(&mut watch, file(1, 100, 0), 1100, 9000), Some((2100, Decision::Load)));
}

#[test]
fn last_moment_seen_unchanged_stops_at_the_edit() {
    let mut watch = watch();
    poll(&mut watch, file(1, 100, 0), 100, 5000);
    poll(&mut watch, file(1, 90, 5050), 5100, 5900);
    assert_eq!(watch.unchanged_at(), at(5000).wall);
}

proptest! {
    /// A writer whose every write is reported may pause for any time below ten seconds. Nothing is
    /// loaded until it closes the file.
    #[test]
    fn half_written_file_is_never_loaded(
        pauses in proptest::collection::vec(1u64..9_900, 1..20),
        neighbours in any::<u32>(),
    ) {
        let mut watch = watch();
        let mut now = 1000;
        for (step, pause) in pauses.iter().enumerate() {
            let size = step as u64;
            let written = watch.observe(&[Event::Written], file(1, size, now), at(now));
            prop_assert_eq!(written, Decision::Wait);
            let renamed = neighbours >> step & 1 == 1;
            let events = [if renamed { Event::NeighbourRenamed } else { Event::Poll }];
            for later in (now..now + pause).step_by(250) {
                let seen = watch.observe(&events, file(1, size, now), at(later));
                prop_assert_eq!(seen, Decision::Wait);
            }
            now += pause;
        }
        prop_assert_eq!(watch.observe(&[Event::Closed], file(1, 99, now), at(now)), Decision::Load);
    }
}

#[test]
fn whoever_reads_unasked_is_told_that_the_writer_may_not_be_done() {
    let now = file(1, 40, 1000).unwrap();
    let renamed = file(2, 40, 1000).unwrap();
    let mut watch = watch();
    // The watch has not seen the change yet.
    assert!(watch.may_be_half_written(now, false, at(1000)));
    assert!(watch.may_be_half_written(now, true, at(1000)));
    assert!(!watch.may_be_half_written(renamed, false, at(1000)));
    assert_eq!(watch.observe(&[Event::Poll], Some(now), at(1000)), Decision::Wait);
    assert!(watch.may_be_half_written(now, false, at(1500)), "it has not been still for long");
    assert!(!watch.may_be_half_written(now, false, at(2200)));
    assert_eq!(watch.observe(&[Event::Written], Some(now), at(2200)), Decision::Wait);
    assert!(watch.may_be_half_written(now, false, at(9000)), "its writer has it open");
    assert_eq!(watch.observe(&[Event::Closed], Some(now), at(9000)), Decision::Load);
    assert!(!watch.may_be_half_written(now, true, at(9000)));
}
