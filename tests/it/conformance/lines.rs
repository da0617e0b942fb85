//! The lines of a head (RFC 9112 §2, §3 and §5).

use super::{Case, SMUGGLED, Stand, forwarded, mixed, post, refused};

fn get(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

#[test]
fn first_line_has_one_form() {
    let mut cases: Vec<Case> = Vec::new();
    for (section, line) in [
        ("9112 §3", "GET  /x HTTP/1.1"),
        ("9112 §3", "GET /x  HTTP/1.1"),
        ("9112 §3", "GET /x HTTP/1.1 "),
        ("9112 §3", " GET /x HTTP/1.1"),
        ("9112 §3", "GET\t/x HTTP/1.1"),
        ("9112 §3", "GET /x\tHTTP/1.1"),
        ("9112 §3", "GET\u{b}/x HTTP/1.1"),
        ("9112 §3", "GET /x HTTP/1.1 HTTP/1.1"),
        ("9112 §3", "GET /x y HTTP/1.1"),
        ("9112 §3", "GET /x"),
        ("9112 §3", "GET"),
        ("9112 §3", "/x HTTP/1.1"),
        ("9112 §3", "GET HTTP/1.1"),
        ("9112 §3.1", "G(T /x HTTP/1.1"),
        ("9112 §3.1", "GET: /x HTTP/1.1"),
        ("9112 §3.1", "G\0T /x HTTP/1.1"),
        ("9112 §3.1", "G\u{e9}T /x HTTP/1.1"),
        ("9112 §2.3", "GET /x http/1.1"),
        ("9112 §2.3", "GET /x Http/1.1"),
        ("9112 §2.3", "GET /x HTTP/2.0"),
        ("9112 §2.3", "GET /x HTTP/2"),
        ("9112 §2.3", "GET /x HTTP/3"),
        ("9112 §2.3", "GET /x HTTP/1.2"),
        ("9112 §2.3", "GET /x HTTP/0.9"),
        ("9112 §2.3", "GET /x HTTP/1.10"),
        ("9112 §2.3", "GET /x HTTP/01.1"),
        ("9112 §2.3", "GET /x HTTP/1"),
        ("9112 §2.3", "GET /x HTTP/1,1"),
        ("9112 §2.3", "GET /x HTTP/ 1.1"),
        ("9112 §2.3", "GET /x HTTPS/1.1"),
        ("9112 §2.3", "GET /x ICY/1.1"),
        ("9112 §2.2", "GET /x HTTP/1.1\r"),
        ("9112 §2.2", "GET /x\rHTTP/1.1"),
        ("9112 §2.2", "GET /x HTTP/1.1\rX: y"),
        ("9112 §2.2", "GET /x HTTP/1.1\nX: y"),
        ("9112 §2.2", "GET /x\n HTTP/1.1"),
        ("9112 §3.2", "GET /x#y HTTP/1.1"),
        ("9112 §3.2", "GET /\0 HTTP/1.1"),
        ("9112 §3.2", "GET /\u{7f} HTTP/1.1"),
        ("9112 §3.2", "GET /\u{e9} HTTP/1.1"),
        ("9112 §3.2", "GET /<x> HTTP/1.1"),
        // A request line without a version would be HTTP/0.9, which has no head. The lines after it
        // would be another request.
        ("9112 §2.3", "GET /x\r\nGET /y HTTP/1.1"),
    ] {
        cases.push(refused(400, section, get(line)));
    }
    cases.push(forwarded("9112 §3", get("GET /x HTTP/1.1"), &["GET /x"]));
    Stand::start().check(&cases);
}

#[test]
fn nothing_stands_before_a_request() {
    let request = get("GET /x HTTP/1.1");
    // RFC 9112 §2.2 lets a server ignore an empty line here. An extra line may be left over from a
    // request that another server framed differently, so it is refused.
    let before = [
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\n\n",
        "\r",
        " \r\n",
        "\0",
        "\u{feff}",
        " ",
        "0\r\n\r\n",
        "x\r\n",
    ];
    let mut cases: Vec<Case> = before
        .iter()
        .map(|before| refused(400, "9112 §2.2", format!("{before}{request}")))
        .collect();
    cases.push(
        mixed("9112 §2.2", format!("{request}\r\n{request}"), &[200, 400], &["GET /x"])
            .then_closed(),
    );
    cases.push(
        mixed("9112 §2.2", post("Content-Length: 5", "hello\r\n"), &[200, 400], &["POST /x hello"])
            .then_closed(),
    );
    Stand::start().check(&cases);
}

#[test]
fn field_lines_have_one_form() {
    let with = |field: &str| format!("GET /x HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
    let mut cases: Vec<Case> = Vec::new();
    for (section, field) in [
        ("9112 §5.1", "X : y"),
        ("9112 §5.1", "X\t: y"),
        ("9112 §5.1", "X y: z"),
        ("9112 §5", "X"),
        ("9112 §5", ": y"),
        ("9112 §5", ":"),
        ("9112 §5", " : y"),
        ("9110 §5.6.2", "(X): y"),
        ("9110 §5.6.2", "\"X\": y"),
        ("9110 §5.6.2", "X,Y: z"),
        ("9110 §5.6.2", "X/Y: z"),
        ("9110 §5.6.2", "X\0Y: z"),
        ("9110 §5.6.2", "X\u{e9}: z"),
        ("9110 §5.6.2", "X\u{7f}: z"),
        ("9112 §5.2", "X: y\r\n z"),
        ("9112 §5.2", "X: y\r\n\tz"),
        ("9112 §5.2", "X: y\r\n "),
        ("9112 §5.2", " X: y"),
        ("9112 §2.2", "X: y\nZ: w"),
        ("9112 §2.2", "X: y\rZ: w"),
        ("9112 §2.2", "X: y\r"),
        ("9112 §2.2", "\rX: y"),
        ("9112 §2.2", "X: y\n\nGET /smuggled HTTP/1.1\r\nHost: a"),
        ("9112 §2.2", "X: y\r\r\nZ: w"),
        ("9110 §5.5", "X: \0"),
        ("9110 §5.5", "X: a\0b"),
        ("9110 §5.5", "X: \u{1}"),
        ("9110 §5.5", "X: \u{8}"),
        ("9110 §5.5", "X: \u{b}y"),
        ("9110 §5.5", "X: y\u{c}"),
        ("9110 §5.5", "X: \u{1b}[2J"),
        ("9110 §5.5", "X: \u{7f}"),
    ] {
        cases.push(refused(400, section, with(field)));
    }
    // obs-text in a value is opaque data (RFC 9110 §5.5) and is forwarded unchanged.
    for (section, field) in [
        ("9110 §5.5", "X: caf\u{e9}"),
        ("9112 §5", "X:"),
        ("9112 §5.1", "X:\t y \t"),
        ("9110 §5.6.2", "!#$%&'*+-.^`|~X: y"),
    ] {
        cases.push(forwarded(section, with(field), &["GET /x"]));
    }
    Stand::start().check(&cases);
}

#[test]
fn heads_end_at_an_empty_line_and_nowhere_else() {
    let head = "GET /x HTTP/1.1\r\nHost: a";
    Stand::start().check(&[
        refused(400, "9112 §2.2", format!("{head}\n\n{SMUGGLED}")),
        refused(400, "9112 §2.2", format!("{head}\r\n\n{SMUGGLED}")),
        refused(400, "9112 §2.2", format!("{head}\n\r\n{SMUGGLED}")),
        refused(400, "9112 §2.2", format!("{head}\r\r{SMUGGLED}")),
        refused(400, "9112 §2.2", format!("{head}\r\n\r\r\n{SMUGGLED}")),
        refused(400, "9112 §2.2", format!("{head}\r\n \r\n{SMUGGLED}")),
        refused(400, "9112 §2.2", format!("{head}\r\n\t\r\n\r\n{SMUGGLED}")),
    ]);
}

#[test]
fn heads_are_bounded() {
    let with = |fields: &str| format!("GET /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    Stand::start().check(&[
        forwarded("9110 §5.4", with(&"X: y\r\n".repeat(99)), &["GET /x"]),
        refused(431, "6585 §5", with(&"X: y\r\n".repeat(100))),
        refused(431, "6585 §5", with(&"X: y\r\n".repeat(3000))),
        refused(431, "6585 §5", with(&format!("X: {}\r\n", "y".repeat(40_000)))),
        refused(431, "6585 §5", with(&format!("{}: y\r\n", "X".repeat(40_000)))),
        refused(431, "9112 §3", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(40_000))),
        refused(431, "9112 §3.1", format!("{} /x HTTP/1.1\r\nHost: a\r\n\r\n", "X".repeat(40_000))),
        forwarded(
            "9110 §4.1",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20_000)),
            &[&format!("GET /{}", "x".repeat(20_000))],
        ),
    ]);
}
