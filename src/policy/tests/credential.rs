//! Tests of where a key is accepted, and where it is refused.

use Refusal::{
    AmbiguousCredential, KeyInQuery, MalformedCredential, MissingKey, RepeatedHeader, UnknownKey,
};

use super::*;

fn live() -> String {
    key_text("live", "crm")
}

fn bearer_and_header() -> ApiDefinition {
    ApiDefinition {
        credentials: vec![
            CredentialPlace::Bearer,
            CredentialPlace::Header(HeaderName::from_static("x-api-key")),
        ],
        ..definition()
    }
}

fn refusal(headers: &[(&str, String)]) -> Option<Refusal> {
    let snapshot = snapshot(bearer_and_header(), [key(&live())]);
    let call = Call::new("GET", "/api/v1/tickets");
    headers.iter().fold(call, |call, (name, value)| call.header(name, value)).refusal(&snapshot)
}

#[test]
fn bearer_scheme_is_read_in_any_case_and_with_any_spaces_but_no_tab() {
    let key = live();
    for value in [
        "Bearer KEY",
        "bearer KEY",
        "BEARER KEY",
        "bEaReR KEY",
        "Bearer    KEY",
        "  Bearer KEY  ",
        "Bearer KEY\t",
        "\tBearer KEY",
    ] {
        assert_eq!(refusal(&[("authorization", value.replace("KEY", &key))]), None, "{value:?}");
    }
    for value in ["Bearer\tKEY", "Bearer \tKEY", "Bearer\t KEY", "bearer \t KEY", "Bearer\tx y"] {
        let malformed = ("authorization", value.replace("KEY", &key));
        let key = ("x-api-key", key.clone());
        let both = [malformed, key];
        assert_eq!(refusal(&both[..1]), Some(MalformedCredential), "{value:?}");
        assert_eq!(refusal(&both), Some(MalformedCredential), "{value:?}");
    }
}

#[test]
fn other_schemes_and_empty_values_are_no_key() {
    let key = live();
    for value in [
        "Basic KEY",
        "KEY",
        "BearerKEY",
        "Bearer",
        "Bearer ",
        "",
        "Digest KEY",
        "ApiKey KEY",
        "Bearer=KEY",
    ] {
        assert_eq!(
            refusal(&[("authorization", value.replace("KEY", &key))]),
            Some(MissingKey),
            "{value:?}"
        );
    }
    assert_eq!(refusal(&[("x-api-key", String::new())]), Some(MissingKey));
    assert_eq!(refusal(&[("x-api-key", " \t".into())]), Some(MissingKey));
    assert_eq!(refusal(&[]), Some(MissingKey));
}

#[test]
fn key_is_trimmed_around_and_never_inside() {
    let key = live();
    assert_eq!(refusal(&[("x-api-key", format!(" \t{key}  "))]), None);
    let (first, rest) = key.split_at(10);
    assert_eq!(refusal(&[("x-api-key", format!("{first} {rest}"))]), Some(UnknownKey));
    assert_eq!(refusal(&[("authorization", format!("Bearer {first} {rest}"))]), Some(UnknownKey));
    assert_eq!(refusal(&[("authorization", format!("Bearer {key},{key}"))]), Some(UnknownKey));
    assert_eq!(refusal(&[("authorization", format!("Bearer \"{key}\""))]), Some(UnknownKey));
}

#[test]
fn two_places_or_one_twice_are_refused_even_when_equal() {
    let key = live();
    let bearer = ("authorization", format!("Bearer {key}"));
    let header = ("x-api-key", key.clone());
    assert_eq!(refusal(&[bearer.clone(), header.clone()]), Some(AmbiguousCredential));
    assert_eq!(refusal(&[bearer.clone(), bearer.clone()]), Some(RepeatedHeader));
    assert_eq!(refusal(&[header.clone(), header.clone()]), Some(AmbiguousCredential));
    assert_eq!(
        refusal(&[bearer.clone(), ("authorization", "Basic x".into())]),
        Some(RepeatedHeader)
    );
    assert_eq!(refusal(&[bearer, ("x-api-key", String::new())]), None);
    assert_eq!(refusal(&[("authorization", "Basic x".into()), header]), None);
}

#[test]
fn place_that_the_api_does_not_list_carries_no_key() {
    let snapshot = snapshot(definition(), [key(&live())]);
    assert_eq!(
        Call::new("GET", "/api/v1/tickets").header("x-api-key", live()).refusal(&snapshot),
        Some(MissingKey)
    );
}

#[test]
fn prefix_that_the_api_does_not_list_is_an_unknown_key() {
    let other = "other_prefix_crm";
    let snapshot = snapshot(definition(), [key(other)]);
    assert_eq!(
        Call::new("GET", "/api/v1/tickets").bearer(other).refusal(&snapshot),
        Some(UnknownKey)
    );
}

#[test]
fn environment_is_read_off_the_longest_prefix_that_fits() {
    let mut api = definition();
    let prefix = key_text("live", "eu_");
    api.environments.push(Environment { name: "eu".into(), prefix: prefix.clone().into() });
    let text = format!("{prefix}crm");
    let snapshot = snapshot(api, [key(&text), key(&live())]);
    for (text, expected) in [(text, 2), (live(), 0)] {
        let admission = Call::new("GET", "/api/v1/tickets")
            .bearer(&text)
            .judge(&snapshot, NOON)
            .expect("a good key");
        let Caller::Key { environment, .. } = admission.caller() else { panic!("a key calls") };
        assert_eq!(environment, Some(expected));
    }
}

#[test]
fn key_in_the_query_is_refused_in_every_spelling() {
    let api = Api::new(definition());
    let key = live();
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let test = key_text("test", "x");
    for query in [
        format!("key={key}"),
        format!("x={test}"),
        key.clone(),
        format!("a=1&b={key}"),
        format!("a=1;b={key}"),
        format!("k={encoded}"),
        format!("k=sk%5F{}", &key[3..]),
        format!("k=%73{}", &key[1..]),
        format!("k=+{key}"),
        format!("k=%20{key}"),
        format!("k=Bearer%20{key}"),
        format!("k=bearer+{key}"),
        format!("{key}=1"),
    ] {
        assert!(query_holds_key(&api, &query), "{query}");
        let snapshot = snapshot(definition(), [super::key(&key)]);
        let refusal =
            Call::new("GET", &format!("/api/v1/tickets?{query}")).bearer(&key).refusal(&snapshot);
        assert_eq!(refusal, Some(KeyInQuery), "{query}");
    }
    for query in ["", "a=1&b=2", "page=2", "q=sk", "q=sk_live", "api_key=", "key=%"] {
        assert!(!query_holds_key(&api, query), "{query}");
    }
    assert!(
        !query_holds_key(&api, &format!("q={}", key_text("live", ""))),
        "a prefix alone is no key"
    );
}

#[test]
fn where_keys_have_no_prefix_the_parameter_name_tells() {
    let api = Api::new(ApiDefinition {
        environments: Vec::new(),
        credentials: vec![CredentialPlace::Header(HeaderName::from_static("x-desk-key"))],
        ..definition()
    });
    for query in [
        "access_token=x",
        "api_key=x",
        "API_KEY=x",
        "ApiKey=x",
        "api-key=x",
        "x-api-key=x",
        "X-Desk-Key=x",
        "a=b&api%5Fkey=x",
    ] {
        assert!(query_holds_key(&api, query), "{query}");
    }
    for query in ["api_key=", "key=x", "my_api_key=x", "q=api_key"] {
        assert!(!query_holds_key(&api, query), "{query}");
    }
}

#[test]
fn texts_that_hold_a_key_are_known_before_they_are_logged() {
    let apis = [Api::new(definition())];
    assert!(contains_key(&apis, &format!("/x/{}", live())));
    assert!(!contains_key(&apis, "/x/skate_live"));
    // Escapes within escapes.
    for prefix in ["sk%5Flive_", "sk%255Flive%255F", "s%256b_live_", "%2573k_live_"] {
        let text = live().replacen("sk_live_", prefix, 1);
        assert!(contains_key(&apis, &format!("/x/{text}")), "{prefix}");
    }
}
