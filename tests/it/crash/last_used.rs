//! The recorded use of a key outlives the process, however the process ends.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::key_service::KeyAdmin;
use crate::harness::{Key, Message, Request};

/// The longest that a use may remain unstored.
const PROMISE: Duration = Duration::from_secs(5);

fn unix() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(now.as_secs()).expect("a time before the end")
}

fn record(admin: &KeyAdmin, id: &str) -> Value {
    admin.ask("GET", &format!("/v1/keys/{id}"), &Value::Null).json()
}

#[test]
fn last_use_of_keys_of_store_and_file_is_exact_and_on_the_disk_within_five_seconds() {
    let of_file = Key::live("key_file").scopes(&["tickets:read"]);
    let admin = KeyAdmin::open_with(|setup| setup.key(&of_file));
    let of_store = admin.create("of the store");
    let idle = admin.create("idle");
    let send = |key: &str| -> Message {
        admin.gateway.send(
            &Request::get("/api/v1/tickets").header("Authorization", &format!("Bearer {key}")),
        )
    };
    let before = unix();
    for _ in 0..3 {
        assert_eq!((send(&of_store.text).status(), send(&of_file.text).status()), (200, 200));
    }
    let (after, used) = (unix(), Instant::now());
    // Waits for exactly the promised delay, not for an arbitrary time.
    std::thread::sleep(PROMISE.saturating_sub(used.elapsed()));
    let admin = admin.kill_and_restart();
    for id in [of_store.id.as_str(), "key_file"] {
        let view = record(&admin, id);
        let told: jiff::Timestamp =
            view["last_used_at"].as_str().expect("a last use").parse().expect("a moment");
        assert!((before..=after).contains(&told.as_second()), "{before}..={after}: {view:#}");
        assert_eq!(view["secrets"][0]["last_used_at"], view["last_used_at"]);
        let days = admin.ask("GET", &format!("/v1/keys/{id}/use"), &Value::Null).json();
        let requests: u64 = days["days"]
            .as_array()
            .expect("days")
            .iter()
            .filter_map(|day| day["requests"].as_u64())
            .sum();
        assert_eq!(requests, 3, "{days:#}");
    }
    assert_eq!(record(&admin, &idle.id)["last_used_at"], Value::Null);
}
