use std::path::PathBuf;
use std::time::Duration;

use super::{API, SERVER, accepted, assert_problems, digest, refused, warned, with_api, with_key};
use crate::config::diff;
use crate::policy::{KeyApi, KeyApiStyle};

const STORE: &str = "[store]\npath = \"keygate.db\"\n";

/// Returns a file with a store and one API that has these settings.
fn with_store(settings: &str) -> String {
    format!("{STORE}{}", with_api(settings))
}

#[test]
fn store_has_a_path_and_defaults() {
    let text = format!("[store]\npath = \"data/k.db\"\n{}", with_api(""));
    let config = crate::config::parse(&text, std::path::Path::new("/etc/keygate/gateway.toml"))
        .expect("a good file");
    let store = config.store.expect("a store");
    assert_eq!(store.path, PathBuf::from("/etc/keygate/data/k.db"));
    assert_eq!(
        (store.audit_retention, store.revoked_retention, store.keys_per_organization),
        (Duration::from_secs(365 * 86_400), Duration::from_secs(90 * 86_400), 1000)
    );
    assert!(config.warnings.is_empty());
    let text = format!(
        "{STORE}audit_retention = \"90d\"\nrevoked_retention = \"7d\"\n\
            keys_per_organization = 5\n{}",
        with_api("")
    );
    let store = accepted(&text).store.expect("a store");
    assert_eq!(
        (store.audit_retention, store.revoked_retention, store.keys_per_organization),
        (Duration::from_secs(90 * 86_400), Duration::from_secs(7 * 86_400), 5)
    );
}

#[test]
fn store_without_a_path_or_out_of_range_is_refused() {
    refused(
        &format!("⟦[store]\n⟦paths = 1\n{}", with_api("")),
        &["[store] has no `path`", "did you mean `path`?"],
    );
    refused(&format!("[store]\npath = ⟦\"\"\n{}", with_api("")), &["not the path of a file"]);
    refused(
        &format!(
            "{STORE}audit_retention = ⟦\"1h\"\nrevoked_retention = ⟦\"0s\"\n\
            keys_per_organization = ⟦0\n{}",
            with_api("")
        ),
        &["must be from 1d to 3650d", "must be from 1d to 3650d", "from 1 to 1000000"],
    );
}

#[test]
fn share_of_removed_keys_is_a_percentage() {
    let percent = |settings: &str| {
        accepted(&format!("{settings}\n{}", with_api(""))).reload.max_removed_percent
    };
    assert_eq!(
        [percent(""), percent("[reload]"), percent("[reload]\nmax_removed_keys = \"100%\"")],
        [50, 50, 100]
    );
    let refused = |value: &str| {
        refused(
            &format!("[reload]\nmax_removed_keys = ⟦{value}\n{}", with_api("")),
            &["from 1 to 100 with its sign"],
        )
    };
    refused("\"0%\"");
    refused("\"50\"");
}

#[test]
fn percentage_that_is_no_text_is_refused() {
    refused(
        &format!("[reload]\nmax_removed_keys = ⟦50\n{}", with_api("")),
        &["hint: a unit belongs to the value"],
    );
}

#[test]
fn revoked_value_that_finds_nothing_is_a_warning_by_its_place() {
    let revoked = "[revoked]\nkeys = [⟦\"key_b\"]\n\
        organizations = [\"org_acme\", ⟦\"org_acne\"]\n";
    let text = format!("{revoked}{}", with_key("organization = \"org_acme\""));
    let said =
        |text: &str| accepted(text).revoked_warnings_of_file(std::path::Path::new("gateway.toml"));
    let warnings = said(&text.replace('⟦', ""));
    assert_problems(
        &warnings.iter().collect::<Vec<_>>(),
        &text,
        &[
            "this value of `[revoked] keys` finds no key; did you mean `key_a`?",
            "belongs to the organization that is named here; did you mean `org_acme`?",
        ],
    );
    let config = accepted(&text.replace('⟦', ""));
    assert!(config.warnings.is_empty(), "only who knows all keys can tell");
    assert!(config.revokes(&config.keys[0]));
    let with_store = said(&format!("{STORE}{}", text.replace('⟦', "")));
    assert_eq!(with_store.len(), 2);
    for warning in with_store {
        assert!(warning.to_string().contains("in this file"), "{warning}");
        assert!(warning.to_string().contains("one of the store's"), "{warning}");
    }
}

#[test]
fn revoked_organization_has_a_name() {
    refused(
        &format!("[revoked]\norganizations = [⟦\"\", ⟦\"a\\nb\"]\n{}", with_api("")),
        &["an organization's name is empty", "control character"],
    );
}

#[test]
fn key_endpoints_are_read() {
    let text = with_store(
        "[api.key_api]\npath = \"/keys\"\nstyle = \"envelope\"\nscope = \"keys:manage\"\n\
            create = false",
    );
    let config = accepted(&text);
    let expected = KeyApi {
        path: "/keys".into(),
        style: KeyApiStyle::Envelope,
        scope: Some("keys:manage".into()),
        create: false,
    };
    assert_eq!(config.apis[0].definition.key_api, Some(expected));
    assert!(config.warnings.is_empty());
    let config = accepted(&with_store("[api.key_api]\npath = \"/keys\"\nstyle = \"bare\""));
    let expected =
        KeyApi { path: "/keys".into(), style: KeyApiStyle::Bare, scope: None, create: true };
    assert_eq!(config.apis[0].definition.key_api, Some(expected));
}

#[test]
fn mistakes_in_key_endpoints_are_refused() {
    let text = with_store("⟦[api.key_api]\nstyle = ⟦\"bar\"\nscope = ⟦\"a b\"\ncreate = ⟦1");
    refused(
        &text,
        &[
            "has no `path`",
            "did you mean `bare`?",
            "must be the name of a scope",
            "`true` or `false`",
        ],
    );
    for (path, reason) in
        [("/", "cannot be `/`"), ("/a/../b", "not a plain path"), ("/a%2fb", "not a plain path")]
    {
        refused(
            &with_store(&format!("[api.key_api]\npath = ⟦\"{path}\"\nstyle = \"bare\"")),
            &[reason],
        );
    }
}

#[test]
fn key_endpoints_need_a_store() {
    refused(
        &with_api("⟦[api.key_api]\npath = \"/keys\"\nstyle = \"bare\""),
        &["hint: add `[store]` with `path = \"keygate.db\"`"],
    );
}

#[test]
fn key_endpoints_that_belong_to_nobody_or_to_another_api_are_refused() {
    let key_api = "⟦[api.key_api]\npath = \"/v1/keys\"\nstyle = \"bare\"\n";
    refused(
        &with_store(&format!("base_path = \"/v2\"\n{key_api}")),
        &["outside of the `base_path` of `desk`, `/v2`"],
    );
    let other = "[[api]]\nname = \"keys\"\nbase_path = \"/v1/keys\"\nupstream = \"unix:/s\"\n";
    refused(&with_store(&format!("{key_api}{other}")), &["such a path belongs to `keys`"]);
}

#[test]
fn endpoint_where_keygate_itself_answers_is_a_warning() {
    let key_api = "[api.key_api]\npath = \"/v1/keys\"\nstyle = \"bare\"\n";
    let scope = "[api.scopes.all]\n\
        allows = [⟦\"GET /v1/keys\", ⟦\"DELETE /v1/keys/*\", \"GET /v1/**\", \"GET /v1/keyset\"]";
    let reason = "has no effect: Keygate itself answers at `/v1/keys`";
    warned(
        &with_store(&format!("public = [⟦\"GET /v1/keys/**\", \"POST /**\"]\n{key_api}{scope}")),
        &[reason; 3],
    );
}

#[test]
fn key_may_hold_the_scope_of_the_key_endpoints() {
    let key_api = "[api.key_api]\npath = \"/keys\"\nstyle = \"bare\"\nscope = \"keys:manage\"\n";
    accepted(&format!(
        "{STORE}{}",
        with_key("scopes = [\"keys:manage\"]").replace(super::SCOPES, key_api)
    ));
}

#[test]
fn expiry_is_warned_of_two_weeks_before_unless_set() {
    let expiry = |settings: &str| {
        let definition = &accepted(&with_api(settings)).apis[0].definition;
        (definition.expiry_warning, definition.expiry_header)
    };
    assert_eq!(expiry(""), (14 * 86_400, false));
    assert_eq!(expiry("expiry_warning = \"36h\"\nexpiry_header = true"), (36 * 3600, true));
    refused(&with_api("expiry_warning = ⟦\"5000d\""), &["must be from 0ms to 3650d"]);
}

#[test]
fn changes_of_the_office_are_shown() {
    let key_api = "[api.key_api]\npath = \"/keys\"\nstyle = \"bare\"\nscope = \"keys:manage\"\n";
    let key = format!(
        "[[key]]\nid = \"key_a\"\norganization = \"org_acme\"\nsha256 = \"{}\"\n",
        digest("a")
    );
    let old = accepted(&format!("{}{key}", with_store("")));
    let new = format!(
        "{STORE}audit_retention = \"90d\"\nrevoked_retention = \"30d\"\n\
            keys_per_organization = 5\n[reload]\n\
            max_removed_keys = \"20%\"\n[revoked]\norganizations = [\"org_acme\", \
            \"org_b\"]\n{}{key}",
        with_api(&format!("expiry_warning = \"2d\"\nexpiry_header = true\n{key_api}"))
    );
    let found = diff(&old, &accepted(&new));
    let expected = [
        "store.audit_retention 365d → 90d",
        "store.revoked_retention 90d → 30d",
        "store.keys_per_organization 1000 → 5",
        "reload.max_removed_keys 50% → 20%",
        "api desk: key_api none → /keys (bare) for keys:manage",
        "api desk: expiry_warning 14d → 2d",
        "api desk: expiry_header false → true",
        "revoked organization org_acme",
    ];
    assert_eq!(found.changes, expected);
    assert_eq!((found.needs_restart.len(), found.revoked), (0, 1));
    assert_eq!(diff(&accepted(&new), &old).changes[7], "no longer revoked organization org_acme");
}

#[test]
fn key_that_goes_with_its_organization_is_counted_once() {
    let key = |id: &str| {
        format!(
            "[[key]]\nid = \"{id}\"\norganization = \"org_acme\"\nsha256 = \"{}\"\n",
            digest(id)
        )
    };
    let old = accepted(&format!("{SERVER}{API}{}{}", key("a"), key("b")));
    let revoked =
        accepted(&format!("[revoked]\norganizations = [\"org_acme\"]\n{SERVER}{API}{}", key("a")));
    assert_eq!(diff(&old, &revoked).revoked, 1);
    let both_gone = accepted(&format!("[revoked]\norganizations = [\"org_acme\"]\n{SERVER}{API}"));
    assert_eq!(diff(&revoked, &both_gone).revoked, 0, "it had no access before");
}

#[test]
fn store_in_another_place_needs_a_restart() {
    let none = accepted(&with_api(""));
    let store = accepted(&with_store(""));
    let other = accepted(&with_store("").replace("keygate.db", "other.db"));
    assert_eq!(diff(&none, &store).needs_restart, ["store.path none → keygate.db"]);
    assert_eq!(diff(&store, &other).needs_restart, ["store.path keygate.db → other.db"]);
    assert!(diff(&store, &other).changes.is_empty());
}
