//! Fuzzes the configuration file. Nothing may panic, and every refusal must have a reason and a
//! valid line. A reading on top of an earlier one must give the same result as one from scratch.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use keygate::config::{Reading, Severity, load_while_serving, parse};
use libfuzzer_sys::fuzz_target;

static EXAMPLE: &str = include_str!("../../gateway.toml.example");

static BEFORE: LazyLock<Reading> = LazyLock::new(|| {
    let text = EXAMPLE.to_owned() + KEYS;
    load_while_serving(Ok(text.into_bytes()), Path::new("gateway.toml"), &[], None)
        .expect("the example is sound")
});

const KEYS: &str = r#"
[[key]]
id = "key_a"
sha256 = "f571aa6a2e69072f2de07b0723172eebc5f8fdee1f3a0ecc63229830773b58f0"
scopes = ["tickets:read"]

[[key]]
id = "key_b"
sha256 = "9d353fb05f5bcb317f9c50020f4f90e2c5a7f4ed7ae63590dc57aaf3902d550b"
rate_limit = "10/s"
"#;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // File names would test something else, and could name files that never end.
    if ["file:", "env:", "tls", "upstream_ca"].iter().any(|name| text.contains(name)) {
        return;
    }
    // Parses the input alone, and after a valid beginning, where it takes the place of the keys.
    for text in [text.to_owned(), format!("{EXAMPLE}\n{text}")] {
        let path = Path::new("gateway.toml");
        let alone = parse(&text, path);
        if let Err(problems) = &alone {
            assert!(
                problems.0.iter().any(|problem| problem.severity == Severity::Error),
                "refused without a reason"
            );
            let lines = text.split('\n').count();
            for problem in &problems.0 {
                assert!(problem.line <= lines, "{} of {lines} lines", problem.line);
                assert!(!problem.to_string().is_empty());
            }
        }
        let after = load_while_serving(Ok(text.into_bytes()), path, &[], Some(&BEFORE));
        match (&alone, &after) {
            (Ok(alone), Ok(after)) => {
                assert_eq!(format!("{alone:?}"), format!("{:?}", after.config))
            }
            (Err(alone), Err(after)) => assert_eq!(alone.0, after.problems.0),
            _ => panic!("read alone: {}, on top of another: {}", alone.is_ok(), after.is_ok()),
        }
    }
});
