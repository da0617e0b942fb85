//! Tests that no client can forge the headers that the upstream relies on.

use proptest::prelude::*;

use super::*;

const OURS: [&str; 13] = [
    "x-keygate-auth",
    "x-keygate-key-id",
    "x-keygate-key-name",
    "x-keygate-scopes",
    "x-keygate-environment",
    "x-keygate-organization",
    "x-keygate-other",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-user",
    "x-request-id",
    "x-desk-auth",
];

/// Generates field names: known ones, in spellings that servers may confuse, and others.
fn hostile_name() -> impl Strategy<Value = String> {
    let known: Vec<&str> = OURS
        .into_iter()
        .chain([
            "x-api-key",
            "authorization",
            "desktoken",
            "cookie",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "te",
            "x-innocent",
        ])
        .chain([
            "cf-connecting-ip",
            "remote-user",
            "x-remote-user",
            "x-auth-request-email",
            "x-http-method-override",
            "ssl-client-cert",
        ])
        .chain([
            "x-original-forwarded-for",
            "x-client-ip",
            "client-cert",
            "x-envoy-internal",
            "x-middleware-subrequest",
            "proxy",
        ])
        .collect();
    (prop::sample::select(known), any::<u64>()).prop_map(|(name, twist)| {
        let twisted = |at: usize| ['-', '_', '-', '.'][(twist >> (2 * at % 64) & 3) as usize];
        name.char_indices()
            .map(|(at, letter)| if letter == '-' { twisted(at) } else { letter })
            .collect()
    })
}

fn hostile_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        Just("Basic x".to_owned()),
        Just("sso=1; a=b".to_owned()),
        Just("trailers".to_owned()),
        Just("sk".to_owned())
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_client_sets_keeps_or_deletes_what_the_upstream_relies_on_and_no_key_remains(
        fields in prop::collection::vec((hostile_name(), hostile_value()), 0..10),
        nominated in prop::collection::vec(hostile_name(), 0..6),
        with_key in any::<bool>(), trusted in any::<bool>(),
    ) {
        let snapshot = snapshot(api(), [key(&good())]);
        let plain = if with_key { by_key() } else { Call::new("GET", "/status").bearer(&good()) };
        let mut call = plain.clone();
        for (name, value) in &fields {
            // Another value in a credential location would change who calls, so these are left out.
            let believed = trusted && name.starts_with("x-forwarded-");
            // A repeated `desktoken` would be refused.
            let again = name == "desktoken" && call.headers.contains_key(name);
            if !believed && !again && !["authorization", "x-api-key"].contains(&name.as_str()) {
                call = call.header(name, value);
            }
        }
        if !nominated.is_empty() {
            call = call.header("connection", nominated.join(", "));
        }
        // Send the key in confusable spellings of its header, too.
        call = call.header("x_api_key", good()).header("x_api-key", good());
        let range = [AddressRange::parse("198.51.100.0/24").expect("a range")];
        let trusted = if trusted { &range[..] } else { &[] };
        let (expected, headers) =
            (prepare(&plain, &snapshot, trusted), prepare(&call, &snapshot, trusted));
        for name in OURS {
            prop_assert_eq!(values(&headers, name), values(&expected, name), "{}", name);
        }
        for (name, value) in &headers {
            let read_as = crate::policy::hyphened(name.as_str());
            let ours = OURS.contains(&read_as.as_str()) || HeaderKind::of(&read_as).is_override();
            prop_assert!(!ours || name.as_str() == read_as, "{name} is left");
            prop_assert!(
                read_as != "x-api-key" && HeaderKind::of(&read_as) != HeaderKind::Override,
                "{name} is left"
            );
            prop_assert!(
                !String::from_utf8_lossy(value.as_bytes()).contains(&good()),
                "the key is left in {name}"
            );
            prop_assert!(!with_key || read_as != "desktoken", "{name} is left");
            let session =
                name == "cookie" && String::from_utf8_lossy(value.as_bytes()).contains("sso=");
            prop_assert!(!with_key || !session, "the session is left");
        }
        prop_assert!(!headers.contains_key("authorization"));
    }
}
