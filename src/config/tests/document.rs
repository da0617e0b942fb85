use std::path::Path;

use super::{API, SERVER, refused, rejected, with_api, with_key};
use crate::config::load;

#[test]
fn problem_reads_like_a_compilers() {
    let problems = rejected(&format!("{SERVER}{API}hostz = [\"a\"]\npublic = 5\n"));
    let expected = "gateway.toml:6:1: error: unknown setting `hostz` in [[api]]; did you mean \
        `hosts`?\n\
                    gateway.toml:7:10: error: `public` must be a list of texts, such as \
                    `[\"…\"]`, not a whole number";
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn hint_stands_on_a_line_of_its_own() {
    let problems = rejected("[server]\nlisten = \"localhost:80\"\n");
    assert!(problems.to_string().contains(
        "gateway.toml:2:10: error: `localhost:80` is not an address with a port\n  \
                hint: write `127.0.0.1:80`"
    ));
}

#[test]
fn all_errors_come_at_once_in_file_order() {
    let text = "⟦[server]\n⟦worker = 1\nmax_headers = ⟦\"many\"\n[[api]]\nname = ⟦\"a b\"\n\
        upstream = ⟦\"ftp://x\"\n";
    let reasons = [
        "[server] has no `listen`",
        "did you mean `workers`?",
        "must be a whole number",
        "letters, digits",
        "scheme is not known",
    ];
    refused(text, &reasons);
}

#[test]
fn unknown_setting_is_refused_with_the_nearest_name() {
    refused(
        "⟦servr = 1\n[server]\nlisten = \"127.0.0.1:0\"\n[[api]]\nname = \"a\"\n\
            upstream = \"unix:/s\"\n",
        &["at the top of the file; did you mean `server`?"],
    );
    refused(&with_api("⟦rate_limits = \"1/s\""), &["did you mean `rate_limit`?"]);
    refused(&with_api("⟦frobnicate = 1"), &["hint: it may have: name, hosts"]);
    refused(&with_key("⟦scope = []"), &["in [[key]]; did you mean `scopes`?"]);
    refused(
        &with_api("[api.scopes.x]\nallows = [\"GET /\"]\n⟦allow = 1"),
        &["in [api.scopes]; did you mean `allows`?"],
    );
}

#[test]
fn plaintext_under_another_name_is_refused_without_being_repeated() {
    let text = with_key("⟦secret = \"hunter2hunter2\"");
    refused(&text, &["`keygate keys hash` makes it"]);
    assert!(!rejected(&text.replace('⟦', "")).to_string().contains("hunter2"));
}

#[test]
fn settings_of_the_wrong_type_are_refused() {
    refused(&with_api("errors_distinguish = ⟦\"no\""), &["must be `true` or `false`, not a text"]);
    refused(&with_api("base_path = ⟦1"), &["must be a text in quotes, not a whole number"]);
    refused(
        &with_api("public = [⟦1, \"GET /\", ⟦true]"),
        &["not a whole number", "not `true` or `false`"],
    );
    refused(&with_api("environments = ⟦1"), &["must be a table"]);
    refused(&with_api("environments = { live = ⟦1 }"), &["must be a text in quotes"]);
    refused(
        "server = ⟦1\n[[api]]\nname = \"a\"\nupstream = \"unix:/s\"\n",
        &["written `[server]`"],
    );
    refused(&format!("{SERVER}⟦[api]\nname = \"a\"\n"), &["each written `[[api]]`"]);
    refused(&format!("api = [⟦1]\n{SERVER}"), &["each written `[[api]]`"]);
    refused(&with_api("connect_timeout = ⟦5"), &["hint: a unit belongs to the value"]);
    refused(&with_api("connect_timeout = ⟦\"5 s\""), &["hint: write a whole number with its unit"]);
    refused(&with_api("connect_timeout = ⟦\"0s\""), &["must be from 1ms to 1d"]);
}

#[test]
fn syntax_error_is_one_problem_with_its_place() {
    refused("[server]\nlisten = ⟦\n[[api", &["error: "]);
    refused("[server]\nlisten = \"127.0.0.1:0⟦\n", &["error: "]);
}

#[test]
fn name_that_stands_twice_is_refused_each_time() {
    refused(&format!("{SERVER}workers = 1\n⟦workers = 2\n⟦workers = 3\n"), &["twice", "twice"]);
    refused(&format!("{SERVER}[⟦server]\n"), &["a table, too, is written once"]);
}

#[test]
fn column_counts_characters_not_bytes() {
    refused(&with_api("public = [⟦\"GET /ä\", ⟦5]"), &["can never match", "not a whole number"]);
}

#[test]
fn file_without_an_api_is_refused() {
    refused("⟦[server]\nlisten = \"127.0.0.1:0\"\n", &["gateway.toml has no `api`"]);
    refused("api = ⟦[]\n[server]\nlisten = \"127.0.0.1:0\"\n", &["there is no `[[api]]`"]);
}

#[test]
fn missing_file_is_a_problem_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let problems = load(&folder.path().join("none.toml")).map(drop).expect_err("no such file");
    assert!(problems.to_string().contains("none.toml: error: cannot be read: "), "{problems}");
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, b"[server]\n\xff").expect("a written file");
    let problems = load(&binary).map(drop).expect_err("not text");
    assert!(problems.to_string().contains("line 2 is not valid UTF-8"), "{problems}");
}

#[test]
fn flood_of_problems_is_counted() {
    let key = |index: usize| format!("[[key]]\nid = \"key_{index}\"\nsha256 = \"x\"\n");
    let text = with_api("") + &(0..700).map(key).collect::<String>();
    let problems = rejected(&text).0;
    assert_eq!(problems.len(), 501);
    assert_eq!(problems[500].message, "200 more errors and 0 more warnings");
}

#[test]
fn parse_names_the_file_it_was_given() {
    let problems = crate::config::parse("x", Path::new("/etc/keygate/gateway.toml"))
        .map(drop)
        .expect_err("no TOML");
    assert!(problems.to_string().starts_with("/etc/keygate/gateway.toml:1:"), "{problems}");
}
