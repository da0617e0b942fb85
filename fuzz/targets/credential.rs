//! Fuzzes the places of a key in a request head. An accepted key must be valid and in exactly one
//! place, and what looks like a key in the query must be found.
#![no_main]

use std::sync::LazyLock;

use http::Method;
use keygate::policy::{
    Caller, Digest, Fields, Head, Peer, Refusal, Snapshot, Target, authorise, contains_key,
    field_text, query_holds_key,
};
use keygate_fuzz::{NOW, PREFIX, key};
use libfuzzer_sys::fuzz_target;

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(keygate_fuzz::snapshot);
static PEER: LazyLock<Peer> = LazyLock::new(keygate_fuzz::peer);

fuzz_target!(|data: &[u8]| {
    // The input's lines are the values of `Authorization`, of `X-API-Key` and of `Cookie`, and a
    // query. `$KEY` stands for the key.
    let Ok(text) = std::str::from_utf8(data) else { return };
    let text = text.replace("$KEY", &key());
    let mut lines = text.split('\n');
    let mut fields = Fields::new();
    fields.push("host", b"desk.example");
    let sound =
        |value: &&str| value.bytes().all(|byte| (byte >= b' ' && byte != 0x7f) || byte == b'\t');
    for (name, line) in ["authorization", "x-api-key", "cookie"].into_iter().zip(&mut lines) {
        for value in line.split('\r').filter(sound).filter(|value| !value.is_empty()) {
            fields.push(name, value.trim_matches([' ', '\t']).as_bytes());
        }
    }
    let query = lines
        .next()
        .filter(|query| query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    let target = Target { authority: None, path: "/api/v1/tickets", query };
    let head = Head { method: &Method::GET, target, fields: &fields, peer: &PEER };
    let apis = SNAPSHOT.routes.apis();
    let in_query = query.is_some_and(|query| query_holds_key(&apis[0], query));
    match authorise(&head, &SNAPSHOT, NOW) {
        Ok(permit) => {
            assert!(!in_query, "a key in the query was let pass");
            let Caller::Key { digest, .. } = permit.caller() else {
                panic!("let pass without a key")
            };
            assert_eq!(digest, Digest::of(key().as_bytes()));
            // A key in another scheme than Bearer is not for Keygate.
            let bearer = |value: &[u8]| {
                value.get(..7).is_some_and(|start| {
                    start.eq_ignore_ascii_case(b"bearer ")
                        || start.eq_ignore_ascii_case(b"bearer\t")
                })
            };
            let places = fields.iter().filter(|field| {
                field.name == "x-api-key" || (field.name == "authorization" && bearer(field.value))
            });
            let with_key = places
                .filter(|field| field_text(field.value).is_some_and(|text| text.contains(&key())))
                .count();
            assert_eq!(with_key, 1, "one place has the key");
        }
        Err(refused) => {
            assert!(!matches!(refused.refusal, Refusal::NoScopeAllows | Refusal::RateLimited(_)))
        }
    }
    let known = text.contains(&key());
    assert!(
        !known || contains_key(apis, &text),
        "a text with a key in it is taken for one without: {}",
        PREFIX.len()
    );
});
