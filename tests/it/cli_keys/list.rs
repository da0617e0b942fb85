//! `keygate keys list`.

use serde_json::Value;

use super::Desk;
use crate::cli::{assert_code, stderr, stdout};

#[test]
fn list_fits_the_terminal_and_follows_pages() {
    let desk = Desk::open();
    for number in 0..3 {
        desk.create(
            &format!("Client {number} with a name that goes on and on and on"),
            &["--organization", "organization_of_the_acme_company"],
        );
    }
    let names: Vec<String> = desk.keygate(&["keys", "list"]).lines().map(str::to_owned).collect();
    assert_eq!(names.len(), 5, "a head, a key of the file, three of the store: {names:?}");
    assert!(names[0].starts_with("ID") && names[1].starts_with("key_file"), "{names:?}");
    assert!(
        names[2].contains("goes on and on and on"),
        "whoever reads a pipe gets all of it: {names:?}"
    );
    for columns in [40, 60, 80, 100] {
        let output = desk.typed(&["keys", "list"]).env("COLUMNS", &columns.to_string()).run();
        assert_code(&output, 0);
        let widest = stdout(&output).lines().map(|line| line.chars().count()).max();
        assert!(
            widest.is_some_and(|widest| widest <= columns) && stdout(&output).contains('…'),
            "{columns}: {}",
            stdout(&output)
        );
    }
    let page = desk.typed(&["keys", "list", "--limit", "2"]).run();
    assert_eq!(stdout(&page).lines().count(), 3);
    let after = stderr(&page)
        .split('`')
        .nth(1)
        .and_then(|hint| hint.strip_prefix("--after "))
        .expect("where to go on")
        .to_owned();
    assert_eq!(desk.keygate(&["keys", "list", "--after", &after]).lines().count(), 3);
    let all = desk.json(&["keys", "list", "--all"]);
    assert_eq!((all["keys"].as_array().map(Vec::len), &all["next"]), (Some(4), &Value::Null));
    assert_eq!(desk.json(&["keys", "list", "--source", "file"])["keys"][0]["id"], "key_file");
    assert_eq!(
        desk.json(&["keys", "list", "--status", "revoked"])["keys"].as_array().map(Vec::len),
        Some(0)
    );
    assert_eq!(desk.keygate(&["keys", "list", "--name", "client 1"]).lines().count(), 2);
    assert_code(&desk.typed(&["keys", "list", "--status", "lost"]).run(), 2);
}
