//! Rate limits as clients see them: exact under concurrency, and kept over every edit.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, Key, Message, Request, Setup, Upstream, wait_for};

fn desk(upstream: &Upstream) -> Setup {
    Gateway::in_front_of(upstream).scope("tickets:read", &["GET /tickets", "GET /tickets/**"])
}

fn reader(limit: &str) -> Key {
    Key::live("key_reader").scopes(&["tickets:read"]).set(&format!("rate_limit = {limit}"))
}

fn number(answer: &Message, name: &str) -> u64 {
    answer
        .header(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no number {name} in {answer:?}"))
}

#[test]
fn five_hundred_requests_at_once_against_a_hundred_reach_the_upstream_exactly_a_hundred_times() {
    let upstream = Upstream::start();
    let key = reader("\"100/min\"");
    let gateway = desk(&upstream).key(&key).start();
    let gate = Barrier::new(500);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..500)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = gateway.client();
                    gate.wait();
                    client.send(&Request::get("/tickets").bearer(&key)).status()
                })
            })
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("an answer")).collect()
    });
    let count = |status| statuses.iter().filter(|seen| **seen == status).count();
    assert_eq!((count(200), count(429)), (100, 400));
    assert_eq!(upstream.requests().len(), 100);
}

#[test]
fn several_windows_hold_together_and_headers_speak_of_the_tightest() {
    let upstream = Upstream::start();
    let key = reader("[\"3/s\", \"5/min\"]");
    let gateway = desk(&upstream).key(&key).start();
    let mut client = gateway.client();
    let mut send = || client.send(&Request::get("/tickets").bearer(&key));
    let (mut admitted, mut refused_by_second) = (0, 0);
    let last = wait_for("the minute's limit is used up", || {
        let answer = send();
        let (limit, remaining) =
            (number(&answer, "x-ratelimit-limit"), number(&answer, "x-ratelimit-remaining"));
        if answer.status() == 200 {
            admitted += 1;
            // After n requests the minute has 5 - n left. The second has 3 - n left, or more if
            // requests have left its window.
            assert!(remaining <= 5 - admitted, "{admitted} admitted, {answer:?}");
            return None;
        }
        assert_eq!((answer.status(), remaining), (429, 0));
        if limit == 3 {
            refused_by_second += 1;
            assert!(number(&answer, "retry-after") <= 2);
            return None;
        }
        Some(answer)
    });
    assert_eq!(admitted, 5);
    assert!(refused_by_second > 0);
    assert_eq!(number(&last, "x-ratelimit-limit"), 5);
    assert!((50..=61).contains(&number(&last, "retry-after")));
    assert_eq!(upstream.requests().len(), 5);
}

#[test]
fn waiting_as_long_as_retry_after_says_is_enough_and_not_much_too_long() {
    let upstream = Upstream::start();
    let key = reader("\"5/2s\"");
    let gateway = desk(&upstream).key(&key).start();
    let mut client = gateway.client();
    let request = Request::get("/tickets").bearer(&key);
    let first = Instant::now();
    for _ in 0..5 {
        assert_eq!(client.send(&request).status(), 200);
    }
    let refused = client.send(&request);
    assert_eq!(refused.status(), 429);
    let wait = Duration::from_secs(number(&refused, "retry-after"));
    assert!(wait <= Duration::from_secs(3), "{wait:?}");
    // This sleep is the one that `Retry-After` demands, not a guess.
    std::thread::sleep(wait);
    assert_eq!(client.send(&request).status(), 200, "{:?} after the first", first.elapsed());
}

#[test]
fn counts_survive_every_edit_of_the_file() {
    let upstream = Upstream::start();
    let key = reader("\"10/hour\"");
    let gateway = desk(&upstream).key(&key).start();
    let request = Request::get("/tickets").bearer(&key);
    for left in (5..10).rev() {
        assert_eq!(number(&gateway.send(&request), "x-ratelimit-remaining"), left);
    }
    gateway.edit(|toml| *toml = toml.replace("10/hour", "20/hour"));
    let answer = wait_for("the new limit is in force", || {
        // A request that no scope allows counts as none, but shows the limit.
        let answer = gateway.send(&Request::new("POST", "/tickets").bearer(&key));
        (number(&answer, "x-ratelimit-limit") == 20).then_some(answer)
    });
    assert_eq!(number(&answer, "x-ratelimit-remaining"), 15);

    let block = key.block().replace("10/hour", "20/hour");
    gateway.edit(|toml| {
        assert!(toml.contains(&block));
        *toml = toml.replace(&block, "");
    });
    // This request counts as none as long as the key exists.
    let harmless = Request::new("POST", "/tickets").bearer(&key);
    wait_for("the key is gone", || (gateway.send(&harmless).status() == 401).then_some(()));
    gateway.edit_in_place(|toml| toml.push_str(&block));
    let back = wait_for("the key is back", || {
        Some(gateway.send(&request)).filter(|answer| answer.status() == 200)
    });
    assert_eq!(
        number(&back, "x-ratelimit-remaining"),
        14,
        "its counts were forgotten while it was gone"
    );
}

#[test]
fn count_belongs_to_the_key_whichever_secret_is_used() {
    let upstream = Upstream::start();
    let (first, second) = (Key::live("key_reader"), Key::live("key_reader"));
    let digest = |key: &Key| {
        key.block().split('"').find(|text| text.len() == 64).expect("a digest").to_owned()
    };
    let block = format!(
        "\n[[key]]\nid = \"key_reader\"\nname = \"rotating\"\nscopes = [\"tickets:read\"]\n\
            rate_limit = \"4/min\"\nsha256 = [\"{}\", \"{}\"]\n",
        digest(&first),
        digest(&second)
    );
    let gateway = desk(&upstream).more(&block).start();
    let remaining =
        |key| number(&gateway.send(&Request::get("/tickets").bearer(key)), "x-ratelimit-remaining");
    assert_eq!(
        [remaining(&first), remaining(&second), remaining(&first), remaining(&second)],
        [3, 2, 1, 0]
    );
    assert_eq!(gateway.send(&Request::get("/tickets").bearer(&first)).status(), 429);
}

#[test]
fn key_without_a_limit_gets_no_limit_headers() {
    let upstream = Upstream::start();
    let key = reader("\"none\"");
    let gateway = desk(&upstream).api("rate_limit = \"1/min\"").key(&key).start();
    for _ in 0..3 {
        let answer = gateway.send(&Request::get("/tickets").bearer(&key));
        assert_eq!(answer.status(), 200);
        assert!(
            answer.headers.iter().all(|(name, _)| !name.to_ascii_lowercase().contains("ratelimit")),
            "{answer:?}"
        );
    }
}

#[test]
fn upstream_cannot_overrule_the_limit_headers_of_the_gateway() {
    let upstream = Upstream::answering(|_| {
        crate::harness::Answer::new(
            "200 OK",
            &[("X-RateLimit-Limit", "7"), ("X-RateLimit-Remaining", "7"), ("X-Other", "kept")],
            b"",
        )
    });
    let key = reader("\"10/min\"");
    let gateway = desk(&upstream).key(&key).start();
    let answer = gateway.send(&Request::get("/tickets").bearer(&key));
    assert_eq!(
        (answer.all("x-ratelimit-limit"), answer.all("x-ratelimit-remaining")),
        (vec!["10"], vec!["9"])
    );
    assert_eq!(answer.header("x-other"), Some("kept"));
}

#[test]
fn draft_fields_and_epoch_reset_are_sent_on_request() {
    let upstream = Upstream::start();
    let key = reader("\"10/min\"");
    let gateway = desk(&upstream)
        .api("rate_limit_draft = true\nrate_limit_reset = \"epoch\"")
        .key(&key)
        .start();
    let answer = gateway.send(&Request::get("/tickets").bearer(&key));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"10/min\";q=10;w=60"));
    let state = answer.header("ratelimit").expect("the state of the limit");
    assert!(state.starts_with("\"10/min\";r=9;t="), "{state}");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let reset = number(&answer, "x-ratelimit-reset");
    assert!((now + 55..=now + 62).contains(&reset), "{reset} at {now}");
}
