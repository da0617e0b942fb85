//! Keys that expire soon.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Gateway, Key, Request, Upstream, field, wait_for};

fn in_days(days: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
    jiff::Timestamp::from_second(i64::try_from(now).expect("a time before the end") + days * 86_400)
        .expect("a moment")
        .to_string()
}

fn expiring(id: &str, days: i64) -> (Key, String) {
    let end = in_days(days);
    (Key::live(id).scopes(&["*"]).set(&format!("expires_at = {end}")), end)
}

#[test]
fn keys_that_expire_soon_are_counted_logged_and_on_request_told_to_their_callers() {
    let upstream = Upstream::start();
    let ((soon, end), (later, _)) = (expiring("key_soon", 3), expiring("key_later", 9));
    let never = Key::live("key_never").scopes(&["*"]);
    let setup =
        Gateway::in_front_of(&upstream).api("expiry_warning = \"7d\"\nexpiry_header = true");
    let gateway = setup.key(&soon).key(&later).key(&never).start();

    let header = |key: &Key| {
        gateway
            .send(&Request::get("/api/v1/tickets").bearer(key))
            .header("x-keygate-key-expires")
            .map(str::to_owned)
    };
    assert_eq!(header(&soon), Some(end.clone()));
    assert_eq!((header(&later), header(&never)), (None, None));

    let event = wait_for("the log tells of the key", || gateway.events("key expires soon").pop());
    assert_eq!(field(&event, "key").and_then(|key| key.as_str()), Some("key_soon"));
    assert_eq!(field(&event, "expires_at").and_then(|moment| moment.as_str()), Some(end.as_str()));
    wait_for("the metric counts it", || {
        gateway
            .admin("/metrics")
            .text()
            .contains("keygate_keys_expiring_soon{api=\"desk\"} 1\n")
            .then_some(())
    });
    assert_eq!(gateway.events("key expires soon").len(), 1, "told once, and of one key only");
}

#[test]
fn callers_are_not_told_of_their_keys_expiry_unless_the_api_wants_it() {
    let upstream = Upstream::start();
    let (key, _) = expiring("key_soon", 3);
    let gateway = Gateway::in_front_of(&upstream).key(&key).start();
    assert_eq!(gateway.send(&Request::get("/").bearer(&key)).header("x-keygate-key-expires"), None);
}
