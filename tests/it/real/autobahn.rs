//! WebSockets under the Autobahn test suite: every case has the same result through Keygate as
//! without it.

use std::process::Command;

use super::super::harness::Gateway;
use super::programs::{Server, file, tool};

/// The longest that the suite may run, in seconds: by default, and with the cases of
/// `KEYGATE_AUTOBAHN`.
const DEADLINES: [&str; 2] = ["170", "7200"];

#[test]
fn autobahn_sees_the_same_websockets_with_and_without_keygate() {
    let cases = std::env::var("KEYGATE_AUTOBAHN").ok();
    let server = Server::python("websocket_echo.py");
    let gateway = Gateway::in_front_of_url(&format!("http://127.0.0.1:{}", server.port))
        .api("public = [\"GET /**\"]")
        .start();
    let mut command = Command::new("timeout");
    command
        .arg(DEADLINES[usize::from(cases.is_some())])
        .arg(tool("python/bin/python"))
        .arg(file("tests/real/autobahn.py"));
    command.arg(tool("autobahn/python2")).arg(tool("autobahn/lib"));
    command
        .arg(format!("ws://127.0.0.1:{}", server.port))
        .arg(format!("ws://{}", gateway.address()));
    command.args(cases);
    let output = command.output().expect("the suite starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(
        output.status.success() && said.contains("ok "),
        "{}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(gateway.events("a task panicked").is_empty());
}
