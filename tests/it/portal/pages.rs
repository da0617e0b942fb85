//! What a person does on the pages, without a script.

use std::time::{Duration, Instant};

use serde_json::json;

use super::desk::{Desk, between, secret_of, text};
use crate::harness::Request;

/// Waits until the clock shows another second.
fn wait_a_second() {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1001) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
// Longer than 60 lines: one story from its beginning to its end.
fn key_is_made_used_watched_and_revoked() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let empty = browser.page("/keys");
    assert!(empty.contains("YOUR_API_KEY") && empty.contains("href=\"/keys/new\""), "{empty}");
    let form = browser.page("/keys/new");
    for part in ["name=\"name\"", "tickets:read", "GET /api/v1/tickets", "name=\"session\""] {
        assert!(form.contains(part), "{part}: {form}");
    }
    // What is asked for is shown in a sentence before it is made.
    let fields = [
        ("idempotency", "first"),
        ("name", "CRM integration"),
        ("scope", "tickets:read"),
        ("environment", "live"),
        ("expiry", "90d"),
    ];
    let mut reviewed = fields.to_vec();
    reviewed.push(("review", "1"));
    let review = browser.send("/keys", &reviewed);
    let review = text(&review);
    assert!(review.contains("CRM integration") && review.contains("tickets:read"), "{review}");
    assert!(secret_of(&review).is_none() && browser.page("/keys").contains("YOUR_API_KEY"));

    let made = browser.send("/keys", &fields);
    assert_eq!(made.status(), 200, "{made:?}");
    let page = text(&made);
    let key = secret_of(&page).expect("the key");
    assert!(page.contains("curl -H"), "{page}");
    assert_eq!(desk.tickets(&key), 200);
    let id = between(&page, "href=\"/keys/", "\"").expect("the id");

    // The same form again makes no other key, and shows no key again: not even a second later,
    // when ninety days from now on are others.
    wait_a_second();
    let again = browser.send("/keys", &fields);
    assert_eq!(again.status(), 200);
    let again = text(&again);
    assert!(secret_of(&again).is_none() && !again.contains(&key), "{again}");
    let list = browser.page("/keys");
    assert!(list.contains("CRM integration") && list.contains(&id) && !list.contains(&key));
    assert_eq!(list.matches(&format!("href=\"/keys/{id}\"")).count(), 1, "{list}");

    let one = browser.page(&format!("/keys/{id}"));
    assert!(one.contains("just now") && one.contains("Support Lead"), "{one}");
    // It was used a moment ago, so its name has to be typed.
    let path = format!("/keys/{id}/revoke");
    let asked = browser.page(&path);
    assert!(asked.contains("name=\"confirm\""), "{asked}");
    assert_eq!(browser.send(&path, &[("confirm", "CRM")]).status(), 422);
    assert_eq!(desk.tickets(&key), 200);
    let revoked = browser.send(&path, &[("confirm", "CRM integration"), ("reason", "leaked")]);
    assert_eq!(revoked.status(), 200, "{revoked:?}");
    assert_eq!(desk.tickets(&key), 401);
    assert!(!browser.page("/keys").contains(&id), "it is out of the way");
    assert!(browser.page("/keys?status=revoked").contains(&id));
    let shown = desk.ask("ops", &Request::get(&format!("/v1/keys/{id}"))).json();
    assert_eq!(
        [&shown["created_by"], &shown["revoked_by"], &shown["revoked_because"]],
        [&json!("portal:user_123"), &json!("portal:user_123"), &json!("leaked")]
    );
}

#[test]
fn mistakes_stand_beside_their_fields_and_what_was_typed_is_kept() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let fields = [
        ("idempotency", "a"),
        ("name", ""),
        ("scope", "tickets:write"),
        ("environment", "test"),
        ("expiry", "date"),
        ("expiry_date", "2020-01-01"),
        ("allow_ips", "203.0.113.0/24\nnowhere"),
        ("rate_limit", "many"),
    ];
    let answer = browser.send("/keys", &fields);
    assert_eq!(answer.status(), 422);
    let page = text(&answer);
    for part in [
        "href=\"#name\"",
        "href=\"#expiry\"",
        "href=\"#allow_ips\"",
        "href=\"#rate_limit\"",
        "Line 2: ",
        "nowhere",
        "value=\"many\"",
        "value=\"2020-01-01\"",
        "value=\"tickets:write\" checked",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn key_that_could_call_nothing_is_not_made() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let fields = [("idempotency", "a"), ("name", "a"), ("environment", "test"), ("expiry", "90d")];
    let answer = browser.send("/keys", &fields);
    assert_eq!(answer.status(), 422);
    let page = text(&answer);
    assert!(page.contains("href=\"#access\"") && page.contains("at least one"), "{page}");
}

#[test]
fn words_of_a_host_are_its_own() {
    let more = "\n[portal.texts.\"keys.localhost\"]\nnew_key = \"Generate token\"\n";
    let desk = Desk::open_with(more);
    let page = desk.sign_in(json!({})).page("/keys");
    assert!(page.contains("Generate token") && !page.contains("New API key"), "{page}");
}

#[test]
fn key_is_changed_paused_resumed_and_rotated() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let (id, key) = browser.make_key("a");
    let form = browser.page(&format!("/keys/{id}/edit"));
    let revision = between(&form, "name=\"revision\" value=\"", "\"").expect("the revision");
    let fields = [
        ("revision", &*revision),
        ("name", "b"),
        ("scope", "tickets:read"),
        ("scope", "tickets:write"),
        ("expiry", "keep"),
        ("allow_ips", "127.0.0.1\r\n::1\r\n"),
    ];
    let path = format!("/keys/{id}");
    let saved = browser.send(&format!("{path}/edit"), &fields);
    assert_eq!((saved.status(), saved.header("location")), (303, Some(&*path)), "{saved:?}");
    let shown = desk.ask("ops", &Request::get(&format!("/v1{path}"))).json();
    assert_eq!(shown["name"], "b");
    assert_eq!(shown["scopes"], json!(["tickets:read", "tickets:write"]));
    assert_eq!(shown["allow_ips"], json!(["127.0.0.1", "::1"]));
    // The form was filled before this change.
    assert_eq!(browser.send(&format!("{path}/edit"), &fields).status(), 412);

    assert_eq!(browser.send(&format!("{path}/pause"), &[]).status(), 303);
    assert_eq!(desk.tickets(&key), 401);
    assert_eq!(browser.send(&format!("{path}/resume"), &[]).status(), 303);
    assert_eq!(desk.tickets(&key), 200);

    let rotation = [("idempotency", "r"), ("grace", "0s")];
    let rotated = browser.send(&format!("{path}/rotate"), &rotation);
    let new = secret_of(&text(&rotated)).expect("the new key");
    assert_eq!([desk.tickets(&key), desk.tickets(&new)], [401, 200]);
    let again = browser.send(&format!("{path}/rotate"), &rotation);
    assert!(again.status() == 200 && secret_of(&text(&again)).is_none(), "{again:?}");
    assert_eq!(desk.tickets(&new), 200, "a repeat rotates nothing");
}

#[test]
fn leaked_key_is_found_and_never_shown_again() {
    let desk = Desk::open();
    let browser = desk.sign_in(json!({}));
    let (id, key) = browser.make_key("a");
    for pasted in [key.clone(), format!("  Bearer {key}\n")] {
        let found = browser.send("/find", &[("key", &pasted)]);
        let page = text(&found);
        assert!(page.contains(&format!("/keys/{id}/revoke")) && !page.contains(&key), "{page}");
    }
    let digest = crate::harness::hex_digest(&key);
    assert!(text(&browser.send("/find", &[("sha256", &digest)])).contains(&id));
    let other = desk.sign_in(json!({"organization": "org_other"}));
    let foreign = text(&other.send("/find", &[("key", &key)]));
    let unknown = text(&other.send("/find", &[("key", "nothing of that kind")]));
    assert_eq!(foreign, unknown, "a key outside the session is unknown");
    assert_eq!(browser.send("/find", &[("key", " ")]).status(), 422);
    assert!(!desk.gateway.output().contains(&key), "nothing is logged");
}

#[test]
fn session_does_only_what_it_permits() {
    let desk = Desk::open();
    let (id, key) = desk.sign_in(json!({})).make_key("a");
    let reader = desk.sign_in(json!({"permissions": ["keys.read"]}));
    let list = reader.page("/keys");
    assert!(list.contains(&id) && !list.contains("/keys/new"), "{list}");
    let one = reader.page(&format!("/keys/{id}"));
    for action in ["edit", "pause", "rotate", "revoke"] {
        assert!(!one.contains(&format!("/keys/{id}/{action}")), "{action}: {one}");
    }
    let key_form = [
        ("idempotency", "b"),
        ("name", "b"),
        ("environment", "test"),
        ("expiry", "90d"),
        ("grace", "0s"),
        ("confirm", "a"),
        ("revision", "1"),
    ];
    for path in ["/keys".to_owned()].into_iter().chain(
        ["edit", "pause", "resume", "rotate", "revoke"].map(|act| format!("/keys/{id}/{act}")),
    ) {
        assert_eq!(reader.send(&path, &key_form).status(), 403, "{path}");
    }
    for path in ["/keys/new", "/audit"] {
        assert_eq!(reader.get(path).status(), 403, "{path}");
    }
    assert_eq!(desk.tickets(&key), 200);
}

#[test]
fn narrowed_session_sees_and_makes_only_what_is_inside() {
    let desk = Desk::open();
    let whole = desk.sign_in(json!({}));
    let fields = [
        ("idempotency", "l"),
        ("name", "l"),
        ("scope", "tickets:write"),
        ("environment", "live"),
        ("expiry", "never"),
    ];
    let made = text(&whole.send("/keys", &fields));
    let live = between(&made, "href=\"/keys/", "\"").expect("an id");
    let (test, _) = whole.make_key("t");
    let narrow = desk.sign_in(json!({
        "environments": ["test"], "scopes": ["tickets:read"], "max_key_lifetime": "30d",
    }));
    let list = narrow.page("/keys");
    assert!(list.contains(&test) && !list.contains(&live), "{list}");
    assert!(!narrow.page("/audit").contains(&live));
    for path in [format!("/keys/{live}"), format!("/keys/{live}/revoke"), "/keys/key_none".into()] {
        assert_eq!(narrow.get(&path).status(), 404, "{path}");
        assert_eq!(narrow.send(&format!("/keys/{live}/revoke"), &[]).status(), 404);
    }
    let status = |changed: &[(&str, &str)]| {
        let mut fields = vec![
            ("idempotency", "n"),
            ("name", "n"),
            ("scope", "tickets:read"),
            ("environment", "test"),
            ("expiry", "30d"),
        ];
        for (name, value) in changed {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        narrow.send("/keys", &fields).status()
    };
    assert_eq!(status(&[("scope", "tickets:write")]), 422);
    assert_eq!(status(&[("full_access", "true")]), 422);
    assert_eq!(status(&[("environment", "live")]), 422);
    assert_eq!(status(&[("expiry", "90d")]), 422);
    assert_eq!(status(&[("expiry", "never")]), 422);
    assert_eq!(status(&[]), 200);
    // The key of ninety days lasts longer than a key made here may.
    assert_eq!(narrow.send(&format!("/keys/{test}/pause"), &[]).status(), 303);
    assert_eq!(narrow.send(&format!("/keys/{test}/resume"), &[]).status(), 422);
    assert_eq!(narrow.send(&format!("/keys/{test}/revoke"), &[]).status(), 200);
}

#[test]
fn list_is_searched_filtered_sorted_and_paged() {
    let desk = Desk::open();
    for number in 0..60 {
        let (scope, environment) =
            if number % 2 == 0 { ("tickets:read", "live") } else { ("tickets:write", "test") };
        let key = json!({
            "name": format!("Key {number:02}"), "organization": "org_acme",
            "scopes": [scope], "environment": environment,
        });
        assert_eq!(desk.post("ops", "/v1/keys", &key).status(), 201);
    }
    let browser = desk.sign_in(json!({}));
    let names = |path: &str| {
        let page = browser.page(path);
        (0..60).filter(|number| page.contains(&format!("Key {number:02}"))).collect::<Vec<_>>()
    };
    assert_eq!(names("/keys?sort=name"), (0..50).collect::<Vec<_>>());
    let page = browser.page("/keys?sort=name");
    let next = between(&page, "href=\"/keys?sort=name&#38;from=", "\"").expect("a next page");
    assert_eq!(names(&format!("/keys?sort=name&from={next}")), (50..60).collect::<Vec<_>>());
    assert_eq!(names("/keys?name=KEY+3"), (30..40).collect::<Vec<_>>());
    assert_eq!(names("/keys?scope=tickets%3Awrite&name=key+1"), [11, 13, 15, 17, 19]);
    assert_eq!(names("/keys?environment=live&name=key+1"), [10, 12, 14, 16, 18]);
    assert_eq!(names("/keys?unused_for=90d"), Vec::<i32>::new());
    assert_eq!(names("/keys?never_expires=true&name=key+00"), [0]);
    assert_eq!(names("/keys?from=18446744073709551615"), Vec::<i32>::new());
}
