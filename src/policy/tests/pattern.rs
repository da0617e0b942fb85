//! Tests of endpoint patterns, one at a time and in a table.

use proptest::prelude::*;

use super::*;

fn matches(text: &str, method: &str, path: &str) -> bool {
    pattern(text).matches(&method.parse().expect("a method"), path, false)
}

#[test]
fn star_is_one_segment_and_double_star_the_rest() {
    for (text, path, expected) in [
        ("GET /x", "/x", true),
        ("GET /x", "/x/", false),
        ("GET /x", "/X", false),
        ("GET /x/", "/x/", true),
        ("GET /x/", "/x", false),
        ("GET /x/*", "/x/1", true),
        ("GET /x/*", "/x/", false),
        ("GET /x/*", "/x", false),
        ("GET /x/*", "/x/1/", false),
        ("GET /x/*", "/x/1/2", false),
        ("GET /x/*/y", "/x/1/y", true),
        ("GET /x/**", "/x/", true),
        ("GET /x/**", "/x", false),
        ("GET /x/**", "/x/1/2/", true),
        ("GET /**", "/", true),
        ("GET /**", "/a/b", true),
        ("GET /", "/", true),
        ("GET /", "/a", false),
        ("GET /*", "/", false),
        ("GET /*/**", "/a/", true),
        ("GET /*/**", "/a", false),
    ] {
        assert_eq!(matches(text, "GET", path), expected, "{text} {path}");
    }
}

#[test]
fn get_allows_head_and_no_other_method_allows_another() {
    assert!(matches("GET /x", "HEAD", "/x"));
    assert!(!matches("HEAD /x", "GET", "/x"));
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        assert!(!matches("GET /x", method, "/x"));
        assert!(matches(&format!("{method} /x"), method, "/x"));
    }
}

#[test]
fn patterns_that_can_never_match_are_refused_with_their_reason() {
    for (text, why) in [
        ("", BadPattern::Form),
        ("GET", BadPattern::Form),
        ("/x", BadPattern::Form),
        ("GET x", BadPattern::Form),
        ("GET /x y", BadPattern::Form),
        ("GET  /x", BadPattern::Form),
        ("get /x", BadPattern::Method),
        ("* /x", BadPattern::Method),
        (" /x", BadPattern::Method),
        ("TRACE /x", BadPattern::Method),
        ("CONNECT /x", BadPattern::Method),
        ("GET /x?y=1", BadPattern::Query),
        ("GET /x#y", BadPattern::Query),
        ("GET /a*", BadPattern::Wildcard),
        ("GET /**/x", BadPattern::Wildcard),
        ("GET /***", BadPattern::Wildcard),
        ("GET /x**", BadPattern::Wildcard),
        ("GET /a//b", BadPattern::Path(BadTarget::EmptySegment)),
        ("GET /a/../b", BadPattern::Path(BadTarget::DotSegment)),
        ("GET /%61", BadPattern::Path(BadTarget::Encoded)),
    ] {
        assert_eq!(Pattern::parse(text), Err(why), "{text:?}");
    }
}

fn method() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["GET", "HEAD", "POST"])
}

fn path(wildcards: bool) -> impl Strategy<Value = String> {
    let mut segments = vec!["a", "A", "b", "ab"];
    let mut ends = vec!["", "/"];
    if wildcards {
        segments.extend(["*", "*"]);
        ends.push("/**");
    }
    (prop::collection::vec(prop::sample::select(segments), 0..4), prop::sample::select(ends))
        .prop_map(|(segments, end)| {
            let path: String =
                segments.iter().map(|segment| format!("/{segment}")).collect::<String>() + end;
            if path.is_empty() { "/".into() } else { path }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn table_claims_what_its_patterns_claim_one_by_one(
        texts in prop::collection::vec((method(), path(true), 0..6_usize), 0..12),
        asked in prop::collection::vec((method(), path(false)), 1..12),
        ignore_case in any::<bool>(),
    ) {
        let patterns: Vec<(Pattern, Claims)> = texts
            .iter()
            .map(|(method, path, claim)| {
                let claims = match claim {
                    4 => Claims { public: true, ..Claims::default() },
                    5 => Claims { pass_through: true, ..Claims::default() },
                    scope => {
                        Claims { scopes: ScopeSet::default().with(*scope), ..Claims::default() }
                    }
                };
                (pattern(&format!("{method} {path}")), claims)
            })
            .collect();
        let table = EndpointTable::new(
            patterns.iter().map(|(pattern, claims)| (pattern, *claims)),
            ignore_case,
        );
        for (method, path) in asked {
            let method = method.parse().expect("a method");
            let mut expected = Claims::default();
            for (_, claims) in
                patterns.iter().filter(|(pattern, _)| pattern.matches(&method, &path, ignore_case))
            {
                expected.scopes = expected.scopes.union(claims.scopes);
                expected.public |= claims.public;
                expected.pass_through |= claims.pass_through;
            }
            prop_assert_eq!(table.claims(&method, &path), expected, "{} {}", method, path);
        }
    }

    #[test]
    fn pattern_reads_back_as_itself(method in method(), path in path(true)) {
        let text = format!("{method} {path}");
        prop_assert_eq!(pattern(&text).to_string(), text);
    }
}
