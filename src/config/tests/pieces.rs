//! Parsing a file in pieces gives the same result as parsing it as a whole.

use std::path::Path;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{API, SCOPES, SERVER, accepted, digest};
use crate::config::resolve::{check_pieces, check_whole};
use crate::config::{Problems, Reading, load_while_serving};

/// The names differ so much that none is suggested for another.
const NAMES: [&str; 6] = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"];

/// Lines in unexpected places: headers, and delimiters of strings and arrays.
const HOSTILE: &[&str] = &[
    "[[key]]",
    "  [[key]] # a comment",
    "[[ key ]]",
    "[[\"key\"]]",
    "[key]",
    "[key.more]",
    "key = []",
    "[[key]",
    "[[key]]]",
    "[[key.more]]",
    "# [[key]]",
    "name = \"\"\"",
    "name = '''",
    "\"\"\"",
    "'''",
    "name = \"\"\"[[key]]",
    "scopes = [",
    "]",
    "\"tickets:read\",",
    "[\"tickets:read\"],",
    "[revoked]",
    "[reload]",
    "[api.scopes.\"tickets:write\"]",
    "allows = [\"POST /tickets\"]",
    "keys = [\"alpha\"]",
    "id = \"alpha\"",
    "expires_at = 2020-01-01T00:00:00Z",
    "upstream = \"http://127.0.0.1:3001\"",
    "colour = \"red\"",
    "base_path = \"/tickets\"",
    "base_path = \"/other\"",
    "rate_limit = \"5/s\"",
    "environments = [{ name = \"live\", prefix = \"live_\" }]",
    "\u{feff}[[key]]",
    "\r",
    "",
];

fn path() -> &'static Path {
    Path::new("gateway.toml")
}

fn read(text: &str, before: Option<&Reading>) -> Option<Reading> {
    load_while_serving(Ok(text.as_bytes().to_vec()), path(), &[], before).ok()
}

/// Asserts that all ways to parse a text agree. Returns whether it could be parsed in pieces.
fn assert_same(text: &str, before: Option<&Reading>) -> bool {
    let whole = format!("{:#?}", check_whole(text, path(), &[]));
    let read = load_while_serving(Ok(text.as_bytes().to_vec()), path(), &[], before);
    let read = read
        .map(|reading| Arc::into_inner(reading.config).expect("nobody else has it"))
        .map_err(|mistaken| mistaken.problems);
    assert_eq!(format!("{read:#?}"), whole, "{text}");
    let pieces = check_pieces(text, path(), &[], before).map(|(config, _)| config);
    if let Some(config) = &pieces {
        assert_eq!(format!("{:#?}", Ok::<_, Problems>(config)), whole, "{text}");
    }
    pieces.is_some()
}

fn key(name: &str) -> String {
    format!(
        "[[key]]\nid = \"{name}\"\norganization = \"org_{name}\"\nsha256 = \"{}\"\n",
        digest(name)
    )
}

fn scoped(name: &str) -> String {
    format!("{}scopes = [\"tickets:read\"]\nallow_endpoints = [\"GET /tickets/*\"]\n", key(name))
}

fn block() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(&NAMES[..]);
    prop_oneof![
        6 => name().prop_map(key),
        2 => (name(), name()).prop_map(|(name, text)| format!("{}name = \"\"\"\n\
            {}\"\"\"\n", key(name), key(text))),
        1 => name().prop_map(|name| format!("{}scopes = [\n  \"tickets:read\",\n]\n", key(name))),
        1 => name().prop_map(|name| format!("{}expires_at = 2020-01-01T00:00:00Z\n", key(name))),
        1 => name().prop_map(|name| key(name).replace('\n', "\r\n")),
        1 => name().prop_map(|name| format!("[revoked]\nkeys = [\"{name}\", \"nobody-at-all\"]\n")),
        1 => name().prop_map(|name| format!("[api.scopes.{name}]\ndescription = '''\n{}'''\n\
            allows = [\"GET /{name}\"]\n", key(name))),
        1 => Just("[reload]\nmax_removed_keys = \"20%\"\n".to_owned()),
    ]
}

/// An edit of the lines of a text.
#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, &'static str),
    Remove(Index),
    Swap(Index, Index),
    Repeat(Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => (any::<Index>(), prop::sample::select(HOSTILE))
            .prop_map(|(at, line)| Edit::Insert(at, line)),
        1 => any::<Index>().prop_map(Edit::Remove),
        1 => any::<(Index, Index)>().prop_map(|(left, right)| Edit::Swap(left, right)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Edit::Repeat(from, to)),
    ]
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut lines: Vec<&str> = text.split('\n').collect();
    for edit in edits {
        let count = lines.len();
        match edit {
            Edit::Insert(at, line) => lines.insert(at.index(count), line),
            Edit::Remove(at) if count > 1 => _ = lines.remove(at.index(count)),
            Edit::Remove(_) => {}
            Edit::Swap(left, right) => lines.swap(left.index(count), right.index(count)),
            Edit::Repeat(from, to) => lines.insert(to.index(count), lines[from.index(count)]),
        }
    }
    lines.join("\n")
}

fn file(blocks: &[String]) -> String {
    format!("{SERVER}{API}{SCOPES}{}", blocks.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn file_in_pieces_says_what_it_says_as_a_whole(
        blocks in vec(block(), 0..7), edits in vec(edit(), 0..3),
    ) {
        assert_same(&edited(&file(&blocks), &edits), None);
    }

    #[test]
    fn edit_of_a_known_file_says_what_it_says_as_a_whole(
        names in prop::sample::subsequence(&NAMES[..], 1..6),
        others in vec(block(), 0..3),
        places in vec(any::<Index>(), 3),
        edits in vec(edit(), 0..4),
    ) {
        let mut blocks: Vec<String> = names
            .into_iter()
            .enumerate()
            .map(|(index, name)| if index % 2 == 0 { key(name) } else { scoped(name) })
            .collect();
        let before = read(&file(&blocks), None);
        prop_assert!(before.is_some());
        for (block, place) in others.into_iter().zip(places) {
            blocks.insert(place.index(blocks.len() + 1), block);
        }
        // First an edit of a known file, then an edit of the result.
        let text = file(&blocks);
        assert_same(&text, before.as_ref());
        let between = read(&text, before.as_ref());
        let known = between.as_ref().or(before.as_ref());
        assert_same(&edited(&text, &edits), known);
    }
}

#[test]
fn block_within_a_text_or_a_list_is_no_key() {
    let (open, hidden) = (key("alpha"), key("bravo"));
    let cases = [
        format!("{open}name = \"\"\"\n{hidden}\"\"\"\n"),
        format!("{open}name = '''\n{hidden}'''\n"),
        format!("{open}[revoked]\norganizations = [\"\"\"\n{hidden}[[key]]\n\"\"\"]\n"),
        // After a split, every part but the first would be valid TOML.
        format!(
            "[api.scopes.x]\nallows = [\"GET /\"]\ndescription = '''\n{hidden}[api.scopes.'''\n\
                {open}"
        ),
    ];
    for case in cases {
        let text = format!("{SERVER}{API}{case}");
        assert!(!assert_same(&text, None), "cannot be read in pieces: {text}");
        let keys = check_whole(&text, path(), &[]).map(|config| config.keys.len());
        assert!(keys.as_ref().map_or(true, |keys| *keys == 1), "{keys:?} in {text}");
    }
}

#[test]
fn usual_file_is_read_in_pieces() {
    let expired = format!("{}expires_at = 2020-01-01T00:00:00Z\n", key("delta"));
    let listed = format!("{}scopes = [\n  \"tickets:read\",  # [[key]]\n]\n", key("echo"));
    let more = "# the end\n[reload]\nmax_removed_keys = \"20%\"\n";
    let text = format!(
        "{SERVER}{API}{SCOPES}# keys\n\n{}# next\n {}{expired}{listed}",
        key("alpha"),
        key("bravo")
    );
    for text in [
        format!("{text}{more}[revoked]\nkeys = [\"alpha\", \"zulu\"]\n"),
        format!("[revoked]\nkeys = []\n{text}{more}{}", key("foxtrot")),
    ] {
        assert!(assert_same(&text, None), "{text}");
        let before = read(&text, None);
        assert!(assert_same(&text.replace("org_alpha", "org_zulu"), before.as_ref()));
        assert!(
            assert_same(&format!("# one line more\n{text}"), before.as_ref()),
            "warnings have moved"
        );
    }
}

#[test]
fn key_that_an_edit_leaves_alone_is_not_read_again() {
    let text = file(&[key("alpha"), key("bravo"), key("charlie"), key("delta")]);
    let before = read(&text, None).expect("a good file");
    let is_kept = |text: &str| {
        let after = read(text, Some(&before)).expect("a good file");
        let is_known = |key| before.config.keys.iter().any(|known| Arc::ptr_eq(known, key));
        after.config.keys.iter().map(is_known).collect::<Vec<_>>()
    };
    assert_eq!(is_kept(&text.replace("org_bravo", "org_zulu")), [true, false, true, true]);
    assert_eq!(is_kept(&text.replace(&key("alpha"), "")), [true, true, true]);
    assert_eq!(
        is_kept(&text.replace(&key("alpha"), &format!("{}{}", key("echo"), key("alpha")))),
        [false, true, true, true, true]
    );
    assert_eq!(
        is_kept(&file(&[key("delta"), key("alpha"), key("charlie")])),
        [true, true, true],
        "in another order"
    );
    let api = |settings: &str| text.replace(API, &format!("{API}{settings}\n"));
    assert_eq!(
        is_kept(&api("rate_limit = \"5/s\"\nempty_scopes = \"all\"")),
        [true; 4],
        "no key says anything of these"
    );
    assert_eq!(is_kept(&text.replace("GET /tickets", "GET /billets")), [true; 4]);
    assert_eq!(
        is_kept(&api("hosts = [\"api.example.com\"]")),
        [false; 4],
        "keys may be restricted to what lies elsewhere now"
    );
}

#[test]
fn keys_that_an_edit_leaves_alone_are_checked_against_the_new_ones() {
    let text = file(&[key("alpha"), key("bravo")]);
    let before = read(&text, None).expect("a good file");
    let same_id = format!("{text}{}", key("charlie").replace("\"charlie\"", "\"alpha\""));
    let same_digest =
        format!("{text}{}", key("charlie").replace(&digest("charlie"), &digest("bravo")));
    for text in [same_id, same_digest] {
        assert_same(&text, Some(&before));
        assert!(read(&text, Some(&before)).is_none(), "{text}");
    }
}

#[test]
fn scope_that_an_api_no_longer_has_is_missed_in_a_known_key() {
    let text = file(&[scoped("alpha")]);
    let before = read(&text, None).expect("a good file");
    accepted(&text);
    let renamed = text.replace("[api.scopes.\"tickets:read\"]", "[api.scopes.\"tickets:see\"]");
    assert_same(&renamed, Some(&before));
    assert!(read(&renamed, Some(&before)).is_none());
}
