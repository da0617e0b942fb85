use crate::config::{Entry, locate};

const TEXT: &str = r#"# A file.
[server]
listen = "127.0.0.1:0"
trusted_proxies = [
    "10.0.0.0/8",
]

[revoked]
keys = [
    "key_old",
    "key_older",
]
organizations = ["org_gone", "org_ä"]

[[api]]
name = "desk"
upstream = "http://127.0.0.1:3000"
[api.scopes."tickets:read"]
allows = ["GET /tickets"]
[api.scopes]
all = { allows = ["GET /**"] }

[[api]]
rate_limit = "1/s"
name = "shop"
[api.key_api]
path = "/shop/keys"

[[key]]
id = "key_a"
scopes = ["all"]
[[key]]
scopes = ["*"]
id = "key_b"
expires_at = 2027-03-31T23:59:59Z
"#;

#[track_caller]
fn assert_line(entry: Entry<'_>, line: &str) {
    let found = locate(TEXT, &entry).and_then(|number| TEXT.lines().nth(number - 1));
    assert_eq!(found, Some(line), "{entry:?}");
}

#[test]
fn blocks_and_their_settings_are_found() {
    assert_line(
        Entry::Api { name: "desk", setting: Some("upstream") },
        "upstream = \"http://127.0.0.1:3000\"",
    );
    assert_line(Entry::Api { name: "shop", setting: Some("rate_limit") }, "rate_limit = \"1/s\"");
    assert_line(Entry::Api { name: "shop", setting: Some("key_api") }, "[api.key_api]");
    assert_line(Entry::Key { id: "key_a", setting: Some("scopes") }, "scopes = [\"all\"]");
    assert_line(
        Entry::Key { id: "key_b", setting: Some("expires_at") },
        "expires_at = 2027-03-31T23:59:59Z",
    );
    assert_eq!(locate(TEXT, &Entry::Api { name: "shop", setting: None }), Some(23));
    assert_eq!(locate(TEXT, &Entry::Key { id: "key_b", setting: None }), Some(32));
}

#[test]
fn scopes_are_found_however_they_are_written() {
    assert_line(
        Entry::Scope { api: "desk", scope: "tickets:read" },
        "[api.scopes.\"tickets:read\"]",
    );
    assert_line(Entry::Scope { api: "desk", scope: "all" }, "all = { allows = [\"GET /**\"] }");
}

#[test]
fn tables_and_their_settings_are_found() {
    assert_line(Entry::Table { name: "server", setting: None }, "[server]");
    assert_line(
        Entry::Table { name: "server", setting: Some("trusted_proxies") },
        "trusted_proxies = [",
    );
}

#[test]
fn what_is_not_in_the_file_has_no_line() {
    let entries = [
        Entry::Api { name: "other", setting: None },
        Entry::Api { name: "desk", setting: Some("rate_limit") },
        Entry::Scope { api: "shop", scope: "all" },
        Entry::Key { id: "key_c", setting: None },
        Entry::Table { name: "store", setting: Some("path") },
    ];
    for entry in entries {
        assert_eq!(locate(TEXT, &entry), None, "{entry:?}");
    }
    assert_eq!(locate("[server", &Entry::Table { name: "server", setting: None }), None);
    assert_eq!(
        locate("server = 1\nkey = 2", &Entry::Table { name: "server", setting: Some("listen") }),
        None
    );
}
