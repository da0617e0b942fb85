//! Names with characters that are invisible or reorder text.

use super::Desk;
use crate::cli::{assert_code, stderr};

#[test]
fn names_show_what_is_invisible_in_them_and_new_ones_cannot_turn_a_line_around() {
    let desk = Desk::open();
    for (what, name) in [
        ("an override", "a\u{202e}b"),
        ("an isolate without an end", "a\u{2067}b"),
        ("an isolate that ends twice", "a\u{2067}b\u{2069}\u{2069}"),
        ("a line separator", "a\u{2028}b"),
        ("a paragraph separator", "a\u{2029}b"),
        ("a space without width", "a\u{200b}b"),
        ("a byte order mark", "a\u{feff}b"),
    ] {
        for option in
            [["--name", name, "--organization", "acme"], ["--name", "a", "--organization", name]]
        {
            let arguments = [&["keys", "create", "--scope", "tickets:read"], &option[..]].concat();
            let output = desk.typed(&arguments).run();
            assert_code(&output, 1);
            let told = stderr(&output);
            assert!(told.contains("cannot be seen"), "{what}: {told}");
        }
    }
    // Persian and Hindi words need joiners, Hebrew is written from right to left, and a terminated
    // isolate reorders only its own content.
    for name in [
        "\u{646}\u{645}\u{6cc}\u{200c}\u{62e}",
        "\u{915}\u{94d}\u{200d}\u{937}",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "a\u{2067}b\u{2069}",
    ] {
        let (_, id) = desk.create(name, &[]);
        assert_eq!(desk.json(&["keys", "show", &id])["name"], name);
        let joiners = ['\u{200c}', '\u{200d}', '\u{2067}', '\u{2069}'];
        for shown in [desk.keygate(&["keys", "show", &id]), desk.keygate(&["keys", "list"])] {
            assert!(!shown.contains(joiners), "{shown:?}");
            let letters = |character: &char| !joiners.contains(character);
            assert!(name.chars().filter(letters).all(|letter| shown.contains(letter)), "{shown:?}");
        }
    }
}
