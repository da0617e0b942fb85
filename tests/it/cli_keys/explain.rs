//! `keygate explain`.

use serde_json::Value;

use super::Desk;
use crate::cli::{assert_code, stderr, stdout};
use crate::harness::Request;

#[test]
fn explanation_shows_each_check_and_its_line_and_ends_with_the_verdict() {
    let desk = Desk::open();
    let (key, id) = desk.create("CRM", &[]);
    let allowed = desk.typed(&["explain", "--key", &id, "GET", "/api/v1/tickets"]).run();
    assert_code(&allowed, 0);
    assert!(
        stdout(&allowed).ends_with("\nallowed\n") && !stdout(&allowed).contains('✗'),
        "{}",
        stdout(&allowed)
    );
    let refused = desk
        .typed(&["explain", "--key", &id, "POST", "/api/v1/tickets", "--ip", "203.0.113.7"])
        .run();
    assert_code(&refused, 1);
    let shown = stdout(&refused);
    assert!(
        shown.contains("\n✗ ") && shown.contains("(gateway.toml:") && shown.contains("(store)"),
        "{shown}"
    );
    assert!(
        shown.ends_with("\nrefused with 403 insufficient_scope\n") && stderr(&refused).is_empty(),
        "{shown}{}",
        stderr(&refused)
    );

    // An edit in another file than the one in force.
    let edit = std::fs::read_to_string(desk.gateway.file())
        .expect("the file")
        .replace("POST /api/v1/tickets", "POST /elsewhere");
    let edited = desk.gateway.file().with_file_name("edited.toml");
    std::fs::write(&edited, &edit).expect("the edit");
    let path = edited.to_str().expect("a path");
    let tried =
        desk.typed(&["explain", "--key", &id, "POST", "/api/v1/tickets", "--config", path]).run();
    assert_code(&tried, 1);
    assert!(stdout(&tried).ends_with("no_scope_allows\n"), "{}", stdout(&tried));
    std::fs::write(&edited, edit.replace("upstream =", "upstraem =")).expect("the edit");
    let mistaken =
        desk.typed(&["explain", "--key", &id, "GET", "/api/v1/tickets", "--config", path]).run();
    assert_code(&mistaken, 1);
    assert!(stderr(&mistaken).contains("did you mean `upstream`?"), "{}", stderr(&mistaken));

    let request =
        Request::new("POST", "/api/v1/tickets").header("Authorization", &format!("Bearer {key}"));
    let answer = desk.gateway.send(&request.header("X-Request-Id", "refused-for-the-command-line"));
    assert_eq!(answer.status(), 403);
    let past =
        desk.typed(&["explain", "--request-id", "refused-for-the-command-line", "--json"]).run();
    assert_code(&past, 1);
    assert_eq!(
        serde_json::from_str::<Value>(stdout(&past)).expect("JSON")["refusal"],
        "insufficient_scope"
    );
    let unknown = desk.typed(&["explain", "--request-id", "never-seen"]).run();
    assert_code(&unknown, 1);
    assert!(stderr(&unknown).contains("no request with this id"), "{}", stderr(&unknown));
    assert_code(&desk.typed(&["explain", "--key", &id]).run(), 2);
}
