//! The requests of a day by hours, as one blob: for each hour with requests the hour of the day,
//! the counts of its classes and its highest minute. Numbers have a variable length (LEB128), so a
//! usual day takes some hundred bytes.

use crate::policy::{HourCounts, Hours};

/// The hours of a day.
const HOURS: i64 = 24;

/// Returns the blob for these hours of a day, or `None` if there are none.
pub(super) fn write(day: i64, hours: &Hours) -> Option<Vec<u8>> {
    let mut blob = Vec::with_capacity(hours.len() * 12);
    for hour in hours {
        let of_day = i64::from(hour.hour) - day * HOURS;
        let Ok(of_day) = u32::try_from(of_day) else { continue };
        put(&mut blob, of_day);
        hour.counts.iter().for_each(|count| put(&mut blob, *count));
        put(&mut blob, hour.highest_minute);
    }
    (!blob.is_empty()).then_some(blob)
}

/// Reads a blob. Ends at the first part that is malformed.
pub(super) fn read(day: i64, mut blob: &[u8]) -> Hours {
    let mut hours = Hours::new();
    while let Some(hour) = read_hour(day, &mut blob) {
        hours.push(hour);
    }
    hours
}

fn read_hour(day: i64, blob: &mut &[u8]) -> Option<HourCounts> {
    let of_day = i64::from(take(blob)?);
    let hour = u32::try_from(day * HOURS + of_day).ok().filter(|_| of_day < HOURS)?;
    let mut counts = [0; 5];
    for count in &mut counts {
        *count = take(blob)?;
    }
    Some(HourCounts { hour, counts, highest_minute: take(blob)? })
}

fn put(blob: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        blob.push(number as u8 | 0x80);
        number >>= 7;
    }
    blob.push(number as u8);
}

fn take(blob: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u64;
    for place in 0..5 {
        let (byte, rest) = blob.split_first()?;
        *blob = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 20_000;

    proptest! {
        #[test]
        fn hours_are_read_as_they_were_written(
            known in proptest::collection::btree_map(0u32..24, any::<([u32; 5], u32)>(), 0..24),
        ) {
            let hours: Hours = known
                .into_iter()
                .map(|(hour, (counts, highest_minute))| HourCounts {
                    hour: hour + u32::try_from(DAY * HOURS).expect("an hour"),
                    counts,
                    highest_minute,
                })
                .collect();
            let blob = write(DAY, &hours);
            prop_assert_eq!(blob.is_none(), hours.is_empty());
            prop_assert_eq!(read(DAY, &blob.unwrap_or_default()), hours);
        }

        #[test]
        fn any_bytes_are_read(blob: Vec<u8>) {
            prop_assert!(read(DAY, &blob).len() <= blob.len());
        }
    }

    #[test]
    fn usual_day_is_small() {
        let hour = |hour: u32| HourCounts {
            hour: hour + u32::try_from(DAY * HOURS).expect("an hour"),
            counts: [1_200, 14, 0, 3, 1],
            highest_minute: 90,
        };
        let blob = write(DAY, &(9..17).map(hour).collect()).expect("a blob");
        assert!(blob.len() <= 88, "{}", blob.len());
    }
}
