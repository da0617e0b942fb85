use std::sync::Arc;

use super::{API, SERVER, accepted, digest, refused, rejected, warned, with_key};
use crate::config::Config;

fn key(config: &Config) -> &crate::config::KeyConfig {
    &config.keys[0]
}

/// Returns a file with two APIs, `desk` and `shop`, and one key with these settings.
fn with_two_apis(settings: &str) -> String {
    let shop = "[[api]]\nname = \"shop\"\nbase_path = \"/shop\"\nupstream = \"unix:/s\"\n\
        [api.scopes.\"orders:read\"]\nallows = [\"GET /shop/orders\"]\n";
    with_key(settings).replace("[[key]]", &format!("{shop}[[key]]"))
}

#[test]
fn key_needs_an_id_and_a_digest() {
    refused(
        &format!("{SERVER}{API}⟦[[key]]\nsha256 = \"{}\"\n", digest("a")),
        &["[[key]] has no `id`"],
    );
    refused(&format!("{SERVER}{API}⟦[[key]]\nid = \"a\"\n"), &["[[key]] has no `sha256`"]);
    refused(
        &format!("{SERVER}{API}[[key]]\nid = ⟦\"a b\"\nsha256 = \"{}\"\n", digest("a")),
        &["letters, digits"],
    );
}

#[test]
fn names_that_hide_or_turn_around_others_are_refused_and_those_that_languages_need_are_not() {
    for bad in ["\u{202e}", "\u{2067}", "\u{2028}", "\u{200b}", "\u{feff}"] {
        let hint = format!("a{}b", bad.escape_unicode());
        for name in ["name", "organization"] {
            refused(&with_key(&format!("{name} = ⟦\"a{bad}b\"")), &[&hint]);
        }
        // An organisation that already has such a name can still be revoked.
        accepted(&format!("[revoked]\norganizations = [\"a{bad}b\"]\n{}", with_key("")));
    }
    for good in ["\u{646}\u{6cc}\u{200c}\u{62e}", "\u{5e9}\u{5dc}", "a\u{2067}b\u{2069}"] {
        let config = accepted(&with_key(&format!("name = \"{good}\"")));
        assert_eq!(&*key(&config).name, good);
    }
}

#[test]
fn secret_with_a_character_that_cannot_be_seen_is_not_repeated() {
    for secret in ["hunter\u{200b}2hunter2", "abcdefghijk\u{200b}lmnopqrstuvwx"] {
        let text = with_key(&format!("name = \"{secret}\""));
        let shown = super::rejected(&text).to_string();
        assert!(shown.contains("leave out what cannot be seen"), "{shown}");
        assert!(!shown.contains("hunter") && !shown.contains("abcdef"), "{shown}");
    }
}

#[test]
fn duplicate_key_id_is_refused_with_both_places() {
    let other = format!("[[key]]\nid = ⟦\"key_a\"\nsha256 = \"{}\"\n", digest("b"));
    refused(&(with_key("") + &other), &["two keys have the id `key_a`; the first is on line 9"]);
}

#[test]
fn duplicate_digest_is_refused_with_both_places() {
    let other =
        format!("[[key]]\nid = \"key_b\"\nsha256 = [\"{}\", ⟦\"{}\"]\n", digest("b"), digest("a"));
    refused(&(with_key("") + &other), &["this digest stands twice; the first is on line 10"]);
}

#[test]
fn plaintext_key_is_refused_and_never_repeated() {
    let secret = format!("sk_{}_hunter2", "live");
    let text = format!("{SERVER}{API}[[key]]\nid = \"key_a\"\nsha256 = ⟦\"{secret}\"\n");
    refused(
        &text,
        &["hint: put the key's digest here, never the key itself: `keygate keys hash` makes it"],
    );
    assert!(!rejected(&text.replace('⟦', "")).to_string().contains("hunter2"));
}

#[test]
fn upper_case_digest_is_refused() {
    refused(
        &format!(
            "{SERVER}{API}[[key]]\nid = \"key_a\"\nsha256 = ⟦\"{}\"\n",
            digest("a").to_uppercase()
        ),
        &["in lower case"],
    );
}

#[test]
fn key_has_one_digest_or_two() {
    let text =
        |digests: &str| format!("{SERVER}{API}[[key]]\nid = \"key_a\"\nsha256 = {digests}\n");
    let three = format!("⟦[\"{}\", \"{}\", \"{}\"]", digest("a"), digest("b"), digest("c"));
    refused(&text(&three), &["one digest, or two"]);
    refused(&text("⟦[]"), &["one digest, or two"]);
    assert_eq!(
        accepted(&text(&format!("[\"{}\", \"{}\"]", digest("a"), digest("b")))).keys[0]
            .digests
            .len(),
        2
    );
}

#[test]
fn scope_that_no_api_of_the_key_defines_is_refused() {
    refused(
        &with_key("scopes = [\"*\", ⟦\"ticket:read\"]"),
        &["no API of this key defines the scope `ticket:read`; did you mean `tickets:read`?"],
    );
    refused(&with_two_apis("apis = [\"desk\"]\nscopes = [⟦\"orders:read\"]"), &["`orders:read`"]);
    accepted(&with_two_apis(
        "apis = [\"desk\", \"shop\"]\nscopes = [\"orders:read\", \"tickets:read\"]",
    ));
    refused(&with_key("scopes = [\"tickets:read\", ⟦\"tickets:read\"]"), &["stands twice"]);
}

#[test]
fn apis_may_be_left_out_only_while_there_is_one() {
    assert_eq!(key(&accepted(&with_key(""))).apis, [0]);
    refused(
        &with_two_apis("").replace("[[key]]", "⟦[[key]]"),
        &["[[key]] has no `apis`, and there are several `[[api]]`"],
    );
    refused(
        &with_two_apis("apis = [⟦\"dsk\"]"),
        &["no `[[api]]` named `dsk`; did you mean `desk`?"],
    );
    refused(&with_two_apis("apis = ⟦[]"), &["`apis` is empty"]);
    refused(&with_two_apis("apis = [\"desk\", ⟦\"desk\"]"), &["stands twice"]);
}

#[test]
fn endpoint_outside_of_all_apis_of_the_key_is_refused() {
    refused(
        &with_two_apis("apis = [\"shop\"]\nallow_endpoints = [\"GET /shop/x\", ⟦\"GET /tickets\"]"),
        &["can never match in an API of this key"],
    );
    refused(
        &with_two_apis("apis = [\"desk\"]\nallow_endpoints = [⟦\"GET /shop/x\"]"),
        &["belongs to `shop`"],
    );
    accepted(&with_two_apis(
        "apis = [\"desk\", \"shop\"]\nallow_endpoints = [\"GET /tickets\", \"GET /shop/x\"]",
    ));
    refused(&with_key("allow_endpoints = [⟦\"/tickets\"]"), &["`METHOD /path`"]);
}

#[test]
fn invalid_cidr_is_refused() {
    refused(
        &with_key("allow_ips = [⟦\"203.0.113.0/33\", ⟦\"203.0.113.7/24\"]"),
        &["CIDR block", "did you mean `203.0.113.0/24`?"],
    );
}

#[test]
fn invalid_referrer_is_refused() {
    refused(
        &with_key("allow_referrers = [⟦\"app.example.com\", ⟦\"https://*.example.com/\"]"),
        &["a referrer pattern is a URL", "only at the end of the path"],
    );
}

#[test]
fn empty_restriction_is_refused() {
    let text = "allow_ips = ⟦[]\nallow_referrers = ⟦[]\nallow_endpoints = ⟦[]";
    refused(
        &with_key(text),
        &[
            "`allow_ips` is an empty list",
            "`allow_referrers` is an empty list",
            "`allow_endpoints` is an empty list",
        ],
    );
}

#[test]
fn expiry_is_a_moment_with_an_offset() {
    let expiry = |text: &str| key(&accepted(&with_key(&format!("expires_at = {text}")))).expires_at;
    assert!(expiry("2099-03-31T23:59:59Z").is_some());
    assert_eq!(expiry("2099-03-31T23:59:59Z"), expiry("2099-04-01T01:59:59+02:00"));
    refused(&with_key("expires_at = ⟦2099-03-31T23:59:59"), &["has no offset"]);
    refused(&with_key("expires_at = ⟦2099-03-31"), &["has no offset"]);
    refused(&with_key("expires_at = ⟦\"2099-03-31T23:59:59Z\""), &["without quotes"]);
    refused(&with_key("expires_at = ⟦4078598399"), &["not a whole number"]);
}

#[test]
fn expired_key_is_a_warning() {
    warned(&with_key("expires_at = ⟦2001-09-09T01:46:40Z"), &["key `key_a` has expired"]);
    assert_eq!(
        key(&accepted(&with_key("expires_at = 2001-09-09T03:46:40+02:00"))).expires_at,
        Some(1_000_000_000)
    );
}

#[test]
fn key_may_have_its_own_limit_or_none() {
    assert_eq!(key(&accepted(&with_key(""))).rate_limit, None);
    assert_eq!(
        key(&accepted(&with_key("rate_limit = \"none\""))).rate_limit.as_deref(),
        Some(&[][..])
    );
    assert_eq!(
        key(&accepted(&with_key("rate_limit = \"5/s\"")))
            .rate_limit
            .as_ref()
            .map(|limits| limits[0].count),
        Some(5)
    );
    refused(&with_key("rate_limit = [\"1/s\", ⟦\"none\"]"), &["it stands alone"]);
}

#[test]
fn names_are_free_but_for_control_characters() {
    assert_eq!(&*key(&accepted(&with_key("name = \"Grüße, 👋\""))).name, "Grüße, 👋");
    assert_eq!(&*key(&accepted(&with_key(""))).name, "key_a");
    refused(
        &with_key("name = ⟦\"a\\nb\"\norganization = ⟦\"\""),
        &["control character", "`organization` is empty"],
    );
}

#[test]
fn equal_scope_lists_are_kept_once() {
    let other = format!(
        "[[key]]\nid = \"key_b\"\nsha256 = \"{}\"\nscopes = [\"tickets:read\"]\n",
        digest("b")
    );
    let config = accepted(&(with_key("scopes = [\"tickets:read\"]") + &other));
    assert!(Arc::ptr_eq(&config.keys[0].scopes, &config.keys[1].scopes));
}

#[test]
fn environment_of_a_key_is_one_of_its_apis() {
    refused(
        &with_key("environment = ⟦\"live\""),
        &["no API of this key has the environment `live`"],
    );
}
