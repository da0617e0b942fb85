//! Pipelined requests, and requests to upgrade to another protocol.

use super::{Stand, declined, forwarded, mixed, post, refused};

fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

#[test]
// Longer than 60 lines: one table of cases.
fn pipelined_requests_are_served_in_turn_and_each_on_its_own_merits() {
    let [one, two, three] = ["/1", "/2", "/3"].map(|path| get(path, ""));
    let length = post("Content-Length: 5", "hello");
    let chunked = post("Transfer-Encoding: chunked", HELLO);
    Stand::start().check(&[
        forwarded("9112 §9.3.2", format!("{one}{two}{three}"), &["GET /1", "GET /2", "GET /3"]),
        forwarded(
            "9112 §9.3.2",
            format!("{one}{length}{two}{chunked}{three}"),
            &["GET /1", "POST /x hello", "GET /2", "POST /x hello", "GET /3"],
        ),
        // Refused for its path: the requests around it are served.
        mixed(
            "9112 §9.3.2",
            format!("{one}{}{three}", get("/a/../2", "")),
            &[200, 400, 200],
            &["GET /1", "GET /3"],
        ),
        mixed(
            "9112 §9.3.2",
            format!("{one}{}{three}", length.replace("/x", "/%2e")),
            &[200, 400, 200],
            &["GET /1", "GET /3"],
        ),
        mixed(
            "9112 §9.3.2",
            format!("{one}{}{three}", chunked.replace("/x", "//")),
            &[200, 400, 200],
            &["GET /1", "GET /3"],
        ),
        mixed(
            "9112 §9.3.2",
            format!("{one}{}{three}", two.replace("Host: a", "Host: a,b")),
            &[200, 400, 200],
            &["GET /1", "GET /3"],
        ),
        mixed(
            "9112 §9.3.2",
            format!("{one}{}{three}", two.replace("GET", "TRACE")),
            &[200, 405, 200],
            &["GET /1", "GET /3"],
        ),
        mixed(
            "9112 §9.3.2",
            format!("{one}{}{three}", two.replace("GET", "DELETE")),
            &[200, 401, 200],
            &["GET /1", "GET /3"],
        ),
        // Refused because its end is ambiguous: everything after it is ignored.
        mixed(
            "9112 §6.3",
            format!("{one}{}{three}", post("Content-Length: 5\r\nContent-Length: 5", "hello")),
            &[200, 400],
            &["GET /1"],
        )
        .then_closed(),
        mixed("9112 §2.2", format!("{one}\r\n{three}"), &[200, 400], &["GET /1"]).then_closed(),
        mixed(
            "9112 §7.1",
            format!("{one}{}{three}", chunked.replace("5\r", "5 \r")),
            &[200, 400],
            &["GET /1"],
        )
        .then_closed(),
        mixed("9112 §3", format!("{one}nonsense\r\n\r\n{three}"), &[200, 400], &["GET /1"])
            .then_closed(),
        // A refused request's body is skipped, not read as the next request.
        mixed(
            "9112 §9.3.2",
            post("Content-Length: 35", &get("/smuggled", "")).replace("/x", "/x/."),
            &[400],
            &[],
        ),
        mixed(
            "9112 §9.6",
            format!("{}{two}", get("/1", "Connection: close\r\n")),
            &[200],
            &["GET /1"],
        )
        .then_closed(),
        mixed(
            "9112 §9.6",
            format!("{}{two}", get("/1", "Connection: x, CLOSE\r\n")),
            &[200],
            &["GET /1"],
        )
        .then_closed(),
    ]);
}

#[test]
fn many_pipelined_requests_arrive_once_each_and_in_order() {
    let paths: Vec<String> = (0..300).map(|number| format!("/{number}")).collect();
    let sent: String = paths.iter().map(|path| get(path, "")).collect();
    let arrives: Vec<String> = paths.iter().map(|path| format!("GET {path}")).collect();
    let arrives: Vec<&str> = arrives.iter().map(String::as_str).collect();
    Stand::start().check(&[forwarded("9112 §9.3.2", sent, &arrives)]);
}

#[test]
fn protocol_switch_that_the_upstream_declines_leaves_a_connection_of_requests() {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let asking = get("/x", upgrade);
    Stand::start().check(&[
        forwarded("9110 §7.8", &asking, &["GET /x and an upgrade"]),
        // What follows is the next request. It is checked like any other and never tunnelled.
        forwarded(
            "9110 §7.8",
            format!("{asking}{}", get("/2", "")),
            &["GET /x and an upgrade", "GET /2"],
        ),
        mixed(
            "9110 §7.8",
            format!("{asking}{}", get("/a/../2", "")),
            &[200, 400],
            &["GET /x and an upgrade"],
        ),
        mixed(
            "9110 §7.8",
            format!("{asking}\u{81}\u{5}hello\r\n\r\n"),
            &[200, 400],
            &["GET /x and an upgrade"],
        )
        .then_closed(),
        // With a body, the start of the new protocol is ambiguous. The request is forwarded without
        // the upgrade.
        forwarded(
            "9110 §7.8",
            format!("{}hello", get("/x", &format!("{upgrade}Content-Length: 5\r\n"))),
            &["GET /x hello"],
        ),
        forwarded(
            "9110 §7.8",
            format!("{}{HELLO}", get("/x", &format!("{upgrade}Transfer-Encoding: chunked\r\n"))),
            &["GET /x hello"],
        ),
        // An upgrade requires GET, HTTP/1.1 and both fields.
        forwarded("6455 §4.1", asking.replace("GET", "POST"), &["POST /x"]),
        mixed(
            "9110 §7.8",
            asking.replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost"),
            &[200],
            &["GET /x"],
        )
        .then_closed(),
        forwarded("9110 §7.8", get("/x", "Upgrade: websocket\r\n"), &["GET /x"]),
        forwarded("9110 §7.8", get("/x", "Connection: Upgrade\r\n"), &["GET /x"]),
    ]);
}

#[test]
fn only_websockets_are_switched_to() {
    Stand::start().check(&[
        forwarded(
            "7540 §3.2",
            get(
                "/x",
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            &["GET /x"],
        ),
        forwarded("7540 §3.2", get("/x", "Connection: Upgrade\r\nUpgrade: h2c\r\n"), &["GET /x"]),
        forwarded(
            "7540 §3.2",
            get(
                "/x",
                "Connection: HTTP2-Settings\r\n\
            HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            &["GET /x"],
        ),
        forwarded("2817 §3", get("/x", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n"), &["GET /x"]),
        forwarded(
            "9110 §7.8",
            get(
                "/x",
                "Connection: Upgrade\r\n\
            Upgrade: xwebsocket\r\n",
            ),
            &["GET /x"],
        ),
        forwarded(
            "9110 §7.8",
            get(
                "/x",
                "Connection: Upgrade\r\n\
            Upgrade: h2c, websocket/13\r\n",
            ),
            &["GET /x"],
        ),
        declined(405, "9110 §9.3.6", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        declined(405, "9110 §9.3.8", "TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        declined(405, "9110 §9.1", "trace /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        declined(405, "9110 §9.1", "Connect a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        // Prior knowledge is recognised only in the first bytes of a connection (RFC 9113 §3.3).
        mixed(
            "9113 §3.3",
            format!(
                "{}PRI * HTTP/2.0\r\n\r\n\
            SM\r\n\r\n",
                get("/x", "")
            ),
            &[200, 400],
            &["GET /x"],
        )
        .then_closed(),
        refused(400, "9113 §3.3", "PRI * HTTP/1.2\r\n\r\n"),
    ]);
}
