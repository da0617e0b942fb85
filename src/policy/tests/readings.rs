//! Tests that a request needs the same rights however a server reads its path.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::target::decode;
use super::*;

/// Changes that lenient servers make to a path before they use it.
const NORMALISERS: [fn(&str) -> String; 9] = [
    |path| String::from_utf8_lossy(&decode(path.as_bytes())).into_owned(),
    |path| path.replace('\\', "/"),
    |path| path.replace("//", "/"),
    |path| {
        path.split('/')
            .map(|segment| segment.split(';').next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join("/")
    },
    |path| path.split(['?', '#']).next().unwrap_or_default().to_owned(),
    |path| path.split('\0').next().unwrap_or_default().to_owned(),
    |path| path.replace("/./", "/"),
    without_dot_segments,
    // Writes percent-encodings in the other letter case.
    |path| path.replace("%c", "%C").replace("%e", "%E"),
];

/// Removes dot segments (RFC 3986 §5.2.4).
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (at, segment) in segments.iter().enumerate() {
        let last = at + 1 == segments.len();
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Generates paths from segments of endpoints and from characters that servers read differently.
fn tricky_path() -> impl proptest::strategy::Strategy<Value = String> {
    let pieces = [
        "/",
        "/",
        "/",
        "tickets",
        "tickets",
        "admin",
        "Admin",
        "public",
        "1",
        "a",
        ".",
        "..",
        ";",
        ";x=1",
        "%3b",
        "%2e",
        "%2E%2e",
        "%2f",
        "%252e",
        "%252f",
        "%5c",
        "\\",
        "%25",
        "%00",
        "%c0%ae",
        "%20",
        "%C3%A9",
        "+",
        "~",
        "*",
        "%61",
        "%74ickets",
        "?",
        "#",
        "//",
        "%2",
        "\u{e9}",
        "-",
        "_",
        "@",
        ":",
        ",",
        "%2B",
        "%40",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..8)
        .prop_map(|parts| format!("/{}", parts.concat()))
}

/// Returns three APIs, two of them below the first, with all kinds of rules.
fn three_apis(ignore_case: bool) -> Snapshot {
    let scope = |name: &str, allows: &str| Scope {
        name: name.into(),
        description: "".into(),
        allows: vec![pattern(allows)],
    };
    let api = |base: &str| ApiDefinition {
        name: base.into(),
        base_path: base.into(),
        scopes: vec![
            scope("one", "GET /tickets/*"),
            scope("below", "GET /tickets/**"),
            scope("exact", "GET /tickets"),
            scope("deep", "GET /tickets/*/a"),
            scope("admin", "GET /admin/**"),
            scope("slash", "GET /tickets/*/"),
        ],
        public: vec![pattern("GET /public/*"), pattern("GET /admin/public")],
        case_insensitive_paths: ignore_case,
        ..definition()
    };
    snapshot_of(vec![api("/"), api("/admin"), api("/tickets/1")], [])
}

/// Returns the index of the API that a path belongs to, and what its rules allow there.
fn verdict(snapshot: &Snapshot, path: &str) -> Option<(usize, Claims)> {
    let peer = Peer::new([127, 0, 0, 1].into(), false, None);
    let (index, api) =
        snapshot.routes.find_api(Host { name: "a", authority: "a" }, path, &peer).ok()?;
    Some((index, api.endpoints.claims(&Method::GET, path)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// If a path is allowed as sent, it is allowed in the same API as any server may read it. This
    /// suffices, because rules only allow and never deny.
    #[test]
    fn whatever_a_server_makes_of_an_accepted_path_is_allowed_by_the_same_rules(
        path in tricky_path(),
        steps in proptest::collection::vec(0..NORMALISERS.len(), 1..6),
        ignore_case in any::<bool>(),
    ) {
        static SNAPSHOTS: LazyLock<[Snapshot; 2]> =
            LazyLock::new(|| [three_apis(false), three_apis(true)]);
        let snapshot = &SNAPSHOTS[usize::from(ignore_case)];
        if check_path(&path).is_ok()
            && let Some((index, claims)) = verdict(snapshot, &path)
        {
            let mut read = path.clone();
            for step in steps {
                read = NORMALISERS[step](&read);
            }
            if ignore_case {
                read.make_ascii_lowercase();
            }
            let (other, allowed) = verdict(snapshot, &read).expect("an API for any path");
            prop_assert_eq!(index, other, "{} is read as {}", path, read);
            prop_assert_eq!(
                claims.scopes.union(allowed.scopes),
                allowed.scopes,
                "{} is read as {}",
                path,
                read
            );
            prop_assert!(!claims.public || allowed.public, "{} is read as {}", path, read);
        }
    }
}
