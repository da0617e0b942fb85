use super::{API, SCOPES, SERVER, accepted, digest};
use crate::config::diff;

fn with_keys(keys: &str) -> String {
    let write = "[api.scopes.\"tickets:write\"]\nallows = [\"POST /tickets\"]\n";
    format!("{SERVER}{API}rate_limit = \"100/min\"\n{SCOPES}{write}{keys}")
}

fn key(id: &str, settings: &str) -> String {
    format!(
        "[[key]]\nid = \"{id}\"\nname = \"CRM Integration\"\nsha256 = \"{}\"\n{settings}\n",
        digest(id)
    )
}

#[track_caller]
fn assert_changes(old: &str, new: &str, expected: &[&str]) {
    let found = diff(&accepted(old), &accepted(new));
    assert_eq!(found.changes, expected);
    assert!(found.needs_restart.is_empty());
}

#[test]
fn equal_files_differ_in_nothing() {
    let text = with_keys(&key("key_crm", ""));
    assert_eq!(
        diff(&accepted(&text), &accepted(&(text.clone() + "# a comment\n"))),
        crate::config::Diff::default()
    );
}

#[test]
fn added_and_removed_keys_are_named() {
    let found = diff(
        &accepted(&with_keys(&key("key_old", ""))),
        &accepted(&with_keys(&key("key_crm", ""))),
    );
    assert_eq!(found.changes, ["- key key_old", "+ key key_crm (CRM Integration)"]);
    assert_eq!(found.revoked, 1);
}

#[test]
fn scopes_are_said_to_be_narrowed_or_widened() {
    let narrow = with_keys(&key("key_crm", "scopes = [\"tickets:read\"]"));
    let wide = with_keys(&key("key_crm", "scopes = [\"tickets:read\", \"tickets:write\"]"));
    let all = with_keys(&key("key_crm", "scopes = [\"*\"]"));
    assert_changes(
        &wide,
        &narrow,
        &["key key_crm: scopes tickets:read, tickets:write → tickets:read (narrowed)"],
    );
    assert_changes(
        &narrow,
        &wide,
        &["key key_crm: scopes tickets:read → tickets:read, tickets:write (widened)"],
    );
    assert_changes(&wide, &all, &["key key_crm: scopes tickets:read, tickets:write → * (widened)"]);
}

#[test]
fn revocation_is_named_first_and_counted_once() {
    let text = with_keys(&key("key_x", ""));
    let revoked = format!("[revoked]\nkeys = [\"key_x\"]\n{text}");
    let found = diff(&accepted(&text), &accepted(&revoked));
    assert_eq!((found.changes.as_slice(), found.revoked), (&["revoked key_x".to_owned()][..], 1));
    let found = diff(&accepted(&revoked), &accepted(&text));
    assert_eq!(
        (found.changes.as_slice(), found.revoked),
        (&["no longer revoked key_x".to_owned()][..], 0)
    );
    let removed_too = format!("[revoked]\nkeys = [\"key_x\"]\n{}", with_keys(""));
    assert_eq!(diff(&accepted(&text), &accepted(&removed_too)).revoked, 1);
    assert_eq!(diff(&accepted(&revoked), &accepted(&removed_too)).revoked, 0);
}

#[test]
fn key_is_named_by_its_id_however_the_file_revokes_it() {
    let text = with_keys(&key("key_x", ""));
    let revoked = |value: &str| format!("[revoked]\nkeys = [\"{value}\"]\n{text}");
    let ways = [digest("key_x"), digest("key_x").to_uppercase(), " the key key_x ".to_owned()];
    for way in &ways {
        assert_changes(&text, &revoked(way), &["revoked key_x"]);
        assert_changes(&revoked(way), &text, &["no longer revoked key_x"]);
        assert_changes(&revoked(way), &revoked("key_x"), &[]);
        assert!(accepted(&revoked(way)).revokes(&accepted(&text).keys[0]));
    }
    assert_changes(&text, &revoked("key_y"), &[]);
    // The key is removed, then added again while it is revoked.
    let without = format!("[revoked]\nkeys = [\"{}\"]\n{}", ways[0], with_keys(""));
    assert_changes(&revoked(&ways[0]), &without, &["- key key_x"]);
    assert_changes(&without, &revoked(&ways[0]), &["+ key key_x (CRM Integration), revoked"]);
    // The leaked secret is removed from the key.
    let other = revoked(&ways[0]).replace(
        &format!("sha256 = \"{}\"", digest("key_x")),
        &format!("sha256 = \"{}\"", digest("other")),
    );
    assert_changes(
        &revoked(&ways[0]),
        &other,
        &["no longer revoked key_x", "key key_x: secret replaced"],
    );
}

#[test]
fn replaced_secret_is_said_but_not_shown() {
    let old = with_keys(&key("key_x", ""));
    let new = old.replace(&digest("key_x"), &digest("other"));
    let found = diff(&accepted(&old), &accepted(&new));
    assert_eq!(
        (found.changes.as_slice(), found.revoked),
        (&["key key_x: secret replaced".to_owned()][..], 1)
    );
    let two = old.replace(
        &format!("\"{}\"", digest("key_x")),
        &format!("[\"{}\", \"{}\"]", digest("key_x"), digest("other")),
    );
    assert_changes(&old, &two, &["key key_x: secret added"]);
    assert_eq!(diff(&accepted(&old), &accepted(&two)).revoked, 0);
    assert_eq!(diff(&accepted(&two), &accepted(&old)).revoked, 1);
}

#[test]
fn api_settings_are_shown_old_and_new() {
    let old = with_keys("");
    let new = old
        .replace("100/min", "200/min")
        .replace("GET /tickets/**", "GET /tickets/*")
        .replace(":3000", ":3001");
    let expected = [
        "api desk: upstream http://127.0.0.1:3000 → http://127.0.0.1:3001",
        "api desk: rate_limit 100/min → 200/min",
        "api desk: scope tickets:read allows GET /tickets/** → GET /tickets/*",
    ];
    assert_changes(&old, &new, &expected);
    let other =
        format!("{old}[[api]]\nname = \"shop\"\nbase_path = \"/shop\"\nupstream = \"unix:/s\"\n");
    assert_changes(&old, &other, &["+ api shop"]);
    assert_changes(&other, &old, &["- api shop"]);
}

#[test]
fn upstream_header_values_are_not_shown() {
    let text =
        |value: &str| format!("{SERVER}{API}[api.upstream_headers]\nAuthorization = \"{value}\"\n");
    assert_changes(
        &text("hunter2"),
        &text("hunter3"),
        &["api desk: upstream header authorization changed"],
    );
    assert_changes(
        &format!("{SERVER}{API}"),
        &text("hunter3"),
        &["api desk: + upstream header authorization"],
    );
}

#[test]
fn settings_that_need_a_restart_are_apart() {
    let old = format!("{SERVER}{API}");
    let new = format!(
        "[server]\nlisten = \"127.0.0.1:1\"\nworkers = 2\n[admin]\nlisten = \"127.0.0.1:2\"\n\
            [log]\nformat = \"json\"\n{API}"
    );
    let found = diff(&accepted(&old), &accepted(&new));
    assert!(found.changes.is_empty(), "{found:?}");
    let expected = [
        "server.listen 127.0.0.1:0 → 127.0.0.1:1",
        "server.workers auto → 2",
        "admin.listen none → 127.0.0.1:2",
        "log.format auto → json",
    ];
    assert_eq!(found.needs_restart, expected);
}

#[test]
fn apis_in_another_order_change_no_key() {
    let shop = "[[api]]\nname = \"shop\"\nbase_path = \"/shop\"\nupstream = \"unix:/s\"\n";
    let key = key("key_x", "apis = [\"desk\"]");
    assert_changes(&format!("{SERVER}{API}{shop}{key}"), &format!("{SERVER}{shop}{API}{key}"), &[]);
}

#[test]
fn many_keys_are_counted_after_the_first_fifty() {
    let keys: String = (0..80).map(|index| key(&format!("key_{index}"), "")).collect();
    let found = diff(&accepted(&with_keys("")), &accepted(&with_keys(&keys)));
    assert_eq!((found.changes.len(), found.changes[50].as_str()), (51, "and more keys: 30 added"));
}

#[test]
fn hundred_thousand_keys_are_read_and_compared_in_linear_time() {
    let start = std::time::Instant::now();
    let restricted = "scopes = [\"tickets:read\"]\nallow_ips = [\"203.0.113.0/24\"]\n\
        allow_endpoints = [\"GET /tickets/*\"]";
    let keys: String = (0..100_000)
        .map(|index| key(&format!("key_{index}"), if index % 10 == 0 { restricted } else { "" }))
        .collect();
    let text = with_keys(&keys);
    let old = accepted(&text);
    let new = accepted(&format!("[revoked]\nkeys = [\"key_99999x\", \"key_5\"]\n{text}"));
    let found = diff(&old, &new);
    assert_eq!((old.keys.len(), found.revoked), (100_000, 1), "one of the two is nobody's");
    // Measured: one to two seconds, mostly to generate the text. A quadratic step would take
    // minutes.
    let elapsed = start.elapsed();
    assert!(elapsed < std::time::Duration::from_secs(30), "{elapsed:?}");
}
