use std::time::Duration;

use crate::config::units::{
    parse_duration, parse_limit, parse_percent, parse_size, show_duration, show_size,
};

#[test]
fn durations_have_a_whole_number_and_a_unit() {
    assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(parse_duration("5min"), Ok(Duration::from_secs(300)));
    assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
    assert_eq!(parse_duration("14d"), Ok(Duration::from_secs(14 * 86_400)));
    for text in ["0ms", "250ms", "90s", "5min", "1h", "36h", "14d"] {
        assert_eq!(parse_duration(text).map(show_duration), Ok(text.to_owned()));
    }
    for text in [
        "",
        "10",
        "s",
        "1.5s",
        "-1s",
        "10 s",
        "10S",
        "99999999999999999999s",
        "18446744073709551615h",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_have_a_whole_number_and_a_unit() {
    assert_eq!(parse_size("512B"), Ok(512));
    assert_eq!(parse_size("32KiB"), Ok(32 << 10));
    assert_eq!(parse_size("1MiB"), Ok(1 << 20));
    assert_eq!(parse_size("2GiB"), Ok(2 << 30));
    for text in ["", "10", "KiB", "1KB", "18446744073709551615MiB", "18446744073709551615GiB"] {
        assert!(parse_size(text).is_err(), "{text}");
    }
    let shown = [0, 512, 8 << 10, 1 << 20, 1 << 30, 1 << 31].map(show_size);
    assert_eq!(shown, ["0B", "512B", "8KiB", "1MiB", "1GiB", "2GiB"]);
}

#[test]
fn shares_are_whole_percents() {
    assert_eq!(
        [parse_percent("1%"), parse_percent("50%"), parse_percent("100%")],
        [Ok(1), Ok(50), Ok(100)]
    );
    for text in ["", "%", "50", "0%", "101%", "-1%", "1.5%", "50 %", "300%"] {
        assert!(parse_percent(text).is_err(), "{text}");
    }
}

#[test]
fn limits_read_as_they_are_shown() {
    for text in ["1/s", "100/min", "7/hour", "1000000/day", "5/10s"] {
        assert_eq!(parse_limit(text).map(|limit| limit.to_string()), Ok(text.to_owned()));
    }
    assert_eq!(parse_limit("1/31day").map(|limit| limit.window), Ok(31 * 86_400 * 1_000_000_000));
    for text in [
        "",
        "/s",
        "10",
        "0/s",
        "1000001/s",
        "1/0s",
        "1/32day",
        "1/ms",
        "1/s ",
        "-1/s",
        "1/18446744073709551615day",
    ] {
        assert!(parse_limit(text).is_err(), "{text}");
    }
}
