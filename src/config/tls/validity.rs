//! Reads the validity period of a certificate (RFC 5280 §4.1.2.5). The TLS library checks only that
//! of peers' certificates, and does not expose it. A walk to one field of the DER encoding
//! suffices.

use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the validity period in Unix seconds, or `None` if this is not an X.509 certificate.
pub(super) fn read(der: &[u8]) -> Option<Range<i64>> {
    let (certificate, _) = expect(SEQUENCE, der)?;
    let (mut fields, _) = expect(SEQUENCE, certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Skips the serial number, the signature algorithm and the issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (validity, _) = expect(SEQUENCE, fields)?;
    let (start_tag, start, rest) = element(validity)?;
    let (end_tag, end, _) = element(rest)?;
    Some(time(start_tag, start)?..time(end_tag, end)?)
}

/// Returns the content of the first element and what follows it, or `None` if the element does not
/// have this tag.
fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Returns the tag and content of the first element, and what follows it (X.690 §8.1).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// Reads a `UTCTime` (`YYMMDDHHMMSSZ`, years 1950 to 2049) or a `GeneralizedTime`
/// (`YYYYMMDDHHMMSSZ`).
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    let (year, rest) = digits.split_at_checked(if tag == GENERALIZED_TIME { 4 } else { 2 })?;
    let year = match (tag, number(year)?) {
        (UTC_TIME, year @ 50..) => 1900 + year,
        (UTC_TIME, year) => 2000 + year,
        (GENERALIZED_TIME, year) => year,
        _ => return None,
    };
    let (pairs, []) = rest.as_chunks::<2>() else { return None };
    let [month, day, hour, minute, second] = pairs else { return None };
    let part = |pair: &[u8; 2]| i8::try_from(number(pair)?).ok();
    let moment =
        DateTime::new(year, part(month)?, part(day)?, part(hour)?, part(minute)?, part(second)?, 0)
            .ok()?;
    // A certificate without expiry ends with the last second of the year 9999 (RFC 5280 §4.1.2.5).
    // That is later than `Timestamp::MAX`, which leaves room for time zone offsets.
    Some(
        moment
            .to_zoned(TimeZone::UTC)
            .map_or(Timestamp::MAX, |moment| moment.timestamp())
            .as_second(),
    )
}

fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0_i16, |sum, digit| {
        Some(sum * 10 + i16::from(digit.is_ascii_digit().then(|| digit - b'0')?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        (params.not_before, params.not_after) =
            (date_time_ymd(from, 3, 1), date_time_ymd(until, 12, 31));
        params
            .self_signed(&KeyPair::generate().expect("a key pair"))
            .expect("a certificate")
            .der()
            .to_vec()
    }

    fn seconds(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_second()
    }

    #[test]
    fn both_spellings_of_a_time_are_read() {
        let cases = [
            (1975, 2026, "1975-03-01T00:00:00Z", "2026-12-31T00:00:00Z"),
            (2026, 2049, "2026-03-01T00:00:00Z", "2049-12-31T00:00:00Z"),
            (2049, 2050, "2049-03-01T00:00:00Z", "2050-12-31T00:00:00Z"),
        ];
        for (from, until, start, end) in cases {
            assert_eq!(read(&certificate(from, until)), Some(seconds(start)..seconds(end)));
        }
    }

    #[test]
    fn certificate_without_an_end_has_the_last_one_that_can_be_counted() {
        assert_eq!(time(GENERALIZED_TIME, b"99991231235959Z"), Some(Timestamp::MAX.as_second()));
        for bad in
            [&b"99991231235959"[..], b"9999123123595Z", b"99991331235959Z", b"+9991231235959Z", b""]
        {
            assert_eq!(time(GENERALIZED_TIME, bad), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(cut in 0..2000_usize, at in 0..2000_usize, put: u8) {
            let mut der = certificate(2026, 2027);
            let (at, cut) = (at % der.len(), cut % der.len());
            der[at] = put;
            let _ = read(&der);
            let _ = read(&der[..cut]);
        }
    }
}
