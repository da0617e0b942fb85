//! The command line reveals its admin token only to a gateway that proves that it knows it.

mod proof;

pub(crate) use proof::proof_of;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cli::{assert_code, stderr, stdout};
use crate::harness::{Certificates, Gateway, Key, Upstream, hex_digest};

const TOKEN: &str = "token-that-no-stranger-sees";
const REVOKE: [&str; 4] = ["keys", "revoke", "key_crm", "--yes"];

/// Returns a command in this folder, with the token in its environment.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.args(arguments).current_dir(folder).env("KEYGATE_ADMIN_TOKEN", TOKEN);
    command.env_remove("KEYGATE_ADMIN").env_remove("SSL_CERT_FILE");
    command
}

fn keygate(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("keygate runs")
}

/// Returns `[[admin.token]]` blocks: the one that the commands use, and `others` further ones.
fn tokens(others: usize) -> String {
    let block = |name: &str, token: &str| {
        let digest = hex_digest(token);
        format!("\n[[admin.token]]\nname = \"{name}\"\nrole = \"manage\"\nsha256 = \"{digest}\"\n")
    };
    let others = (0..others).map(|number| block(&format!("other{number}"), &number.to_string()));
    block("ops", TOKEN) + &others.collect::<String>()
}

/// Starts a gateway with a store, the commands' token, and further lines in its file.
fn gateway(upstream: &Upstream, more: &str) -> Gateway {
    let setup = Gateway::in_front_of(upstream).key(&Key::live("key_crm"));
    setup.more(&tokens(0)).more("\n[store]\npath = \"keygate.db\"\n").more(more).start()
}

/// A server at the gateway's address that is not the gateway. It records everything that it
/// receives.
struct Stranger {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Stranger {
    /// Sends `answer` whenever it has received something.
    fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        Self::at(listener, Some(answer.into()))
    }

    /// Keeps connections open and does not respond.
    fn silent() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").expect("a port"), None)
    }

    fn at(listener: TcpListener, answer: Option<Vec<u8>>) -> Self {
        let address = listener.local_addr().expect("its address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (answer, sink) = (Arc::new(answer), heard.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, sink) = (answer.clone(), sink.clone());
                std::thread::spawn(move || listen_to(stream, answer.as_deref(), &sink));
            }
        });
        Self { address, heard }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn heard(&self) -> Vec<u8> {
        self.heard.lock().expect("what it heard").clone()
    }

    /// Asserts that neither the token nor its digest was received.
    #[track_caller]
    fn has_not_seen_the_token(&self) {
        let heard = String::from_utf8_lossy(&self.heard()).into_owned();
        for secret in [TOKEN, &hex_digest(TOKEN), "uthorization"] {
            assert!(!heard.contains(secret), "{heard}");
        }
    }
}

fn listen_to(mut stream: TcpStream, answer: Option<&[u8]>, heard: &Mutex<Vec<u8>>) {
    let mut part = [0; 4096];
    while let Ok(read) = stream.read(&mut part) {
        if read == 0 {
            return;
        }
        heard.lock().expect("what it heard").extend(&part[..read]);
        if let Some(answer) = answer
            && stream.write_all(answer).is_err()
        {
            return;
        }
    }
}

/// Returns a complete response.
fn http(status: &str, body: &str) -> String {
    let head = "content-type: application/json\r\ncontent-length";
    format!("HTTP/1.1 {status}\r\n{head}: {}\r\n\r\n{body}", body.len())
}

#[test]
fn command_without_an_admin_address_ends_with_the_reason_and_calls_nobody() {
    // Prometheus's port and the one in our documents. Other processes may be using them.
    let strangers: Vec<Stranger> = [9090, 9190]
        .into_iter()
        .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .map(|listener| Stranger::at(listener, Some(http("200 OK", "{}").into())))
        .collect();
    for (content, reason) in [
        (None, "gateway.toml"),
        (Some("[admin]\nlisten = \"127.0.0.1:9090\"\n[admin"), "is not TOML"),
        (Some("[server]\nlisten = \"127.0.0.1:0\"\n"), "has no [admin]"),
        (Some("[admin]\nhosts = [\"keygate.internal\"]\n"), "has no `listen`"),
        (Some("[admin]\nlisten = \"localhost:9090\"\n"), "not an address"),
        (Some("[admin]\nlisten = 9090\n"), "not an address"),
        (Some("admin = \"127.0.0.1:9090\"\n"), "has no [admin]"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(content) = content {
            std::fs::write(folder.path().join("gateway.toml"), content).expect("gateway.toml");
        }
        let output = keygate(folder.path(), &REVOKE);
        assert_code(&output, 1);
        for part in [reason, "--admin", "KEYGATE_ADMIN"] {
            assert!(stderr(&output).contains(part), "{content:?}: {}", stderr(&output));
        }
    }
    strangers.iter().for_each(Stranger::has_not_seen_the_token);
    assert!(strangers.iter().all(|stranger| stranger.heard().is_empty()), "somebody was called");
}

#[test]
fn mistakes_elsewhere_in_the_file_do_not_stop_a_revocation() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "");
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!(
        "[server]\nlisten = 5\nworkres = 2\n[admin]\nlisten = \"{}\"\nhosts = 7\n[[api]]\n",
        gateway.admin_address()
    );
    std::fs::write(folder.path().join("gateway.toml"), file).expect("gateway.toml");
    assert_code(&keygate(folder.path(), &["check"]), 1);
    let output = keygate(folder.path(), &REVOKE);
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "revoked key_crm\n");
}

#[test]
fn admin_address_is_the_files_unless_the_command_line_names_one_and_else_the_variables() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "");
    let url = format!("http://{}", gateway.admin_address());
    let folder = tempfile::tempdir().expect("a folder");
    let stranger = Stranger::answering(http("200 OK", "{}"));
    let list = |arguments: &[&str], variable: &str| {
        let mut command = command(folder.path(), &[&["keys", "list"], arguments].concat());
        command.env("KEYGATE_ADMIN", variable).output().expect("keygate runs")
    };
    assert_code(&list(&[], &url), 0);
    assert_code(&list(&["--admin", &url], &stranger.url()), 0);
    let file = format!("[admin]\nlisten = \"{}\"\n", gateway.admin_address());
    std::fs::write(folder.path().join("gateway.toml"), file).expect("gateway.toml");
    assert_code(&list(&[], &stranger.url()), 0);
    assert_eq!(stranger.heard(), b"");
    std::fs::remove_file(folder.path().join("gateway.toml")).expect("it is removed");
    let mistaken = list(&[], "not a url");
    assert_code(&mistaken, 1);
    assert!(stderr(&mistaken).contains("KEYGATE_ADMIN"), "{}", stderr(&mistaken));
}

#[test]
fn stranger_at_the_admin_address_never_sees_the_token() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "");
    let replayed = proof::ask(&gateway, &"5a".repeat(32));
    assert_eq!(replayed.status(), 200, "{replayed:?}");
    let digest = hex_digest(TOKEN);
    let cases = [
        Stranger::answering(http("200 OK", "{}")),
        Stranger::answering(http("200 OK", "{\"proofs\": [\"\"]}")),
        Stranger::answering(http("200 OK", &format!("{{\"proofs\": [\"{}\"]}}", "0".repeat(64)))),
        // A server that sends the digest itself, and one that replays the proof of another
        // challenge.
        Stranger::answering(http("200 OK", &format!("{{\"proofs\": [\"{digest}\"]}}"))),
        Stranger::answering(http("200 OK", replayed.text())),
        Stranger::answering(http("404 Not Found", "{\"code\": \"not_found\", \"detail\": \"?\"}")),
        Stranger::answering(http("401 Unauthorized", "{}")),
        Stranger::answering(http("301 Moved", "{}")),
        Stranger::answering(http("500 Fault", "{}")),
        Stranger::answering(http("100 Continue", "") + &http("200 OK", "{}")),
        Stranger::answering("SSH-2.0-OpenSSH_9.2\r\n"),
        Stranger::answering("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"),
        Stranger::answering("HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"[".repeat(3 << 20)),
        Stranger::answering(vec![0; 64]),
        Stranger::answering(""),
        Stranger::silent(),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        for (number, stranger) in cases.iter().enumerate() {
            let folder = folder.path();
            scope.spawn(move || {
                let output =
                    keygate(folder, &[&REVOKE[..], &["--admin", &stranger.url()]].concat());
                assert_code(&output, 1);
                let told = stderr(&output);
                assert!(told.contains("token was not sent"), "{number}: {told}");
                assert!(told.contains("hint: ") && !told.contains(TOKEN), "{number}: {told}");
            });
        }
    });
    for stranger in &cases {
        assert!(!stranger.heard().is_empty(), "it was asked for the proof");
        stranger.has_not_seen_the_token();
    }
}

#[test]
fn stranger_where_the_file_says_never_sees_the_token() {
    let stranger = Stranger::answering(http("200 OK", "{}"));
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("[admin]\nlisten = \"{}\"\n", stranger.address);
    std::fs::write(folder.path().join("gateway.toml"), file).expect("gateway.toml");
    for arguments in [
        &REVOKE[..],
        &["keys", "list"],
        &["keys", "create", "--name", "CRM"],
        &["reload"],
        &["upgrade"],
        &["audit"],
        &["backup", "copy.db"],
        &["organizations", "suspend", "org_acme"],
        &["explain", "GET", "/"],
    ] {
        let output = keygate(folder.path(), arguments);
        assert_code(&output, 1);
        assert!(stderr(&output).contains("token was not sent"), "{}", stderr(&output));
    }
    stranger.has_not_seen_the_token();
}

#[test]
fn gateway_is_believed_by_its_certificate_over_tls_and_nobody_else() {
    let certificates = Certificates::for_names(&["localhost".to_owned()]);
    let folder = tempfile::tempdir().expect("a folder");
    certificates.write(folder.path());
    let toml = |listen: &str| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"{listen}\"\n[admin.tls]\n\
                cert = \"cert.pem\"\nkey = \"key.pem\"\n{}[[api]]\nname = \"desk\"\n\
                upstream = \"http://127.0.0.1:3000\"\ncredentials = [\"bearer\"]\n",
            tokens(0)
        )
    };
    std::fs::write(folder.path().join("gateway.toml"), toml("127.0.0.1:0")).expect("a file");
    let gateway = Gateway::serve_in(folder);
    let address = gateway.admin_address();

    let home = tempfile::tempdir().expect("a folder");
    certificates.write(home.path());
    let file = home.path().join("gateway.toml");
    std::fs::write(&file, toml(&address.to_string())).expect("a file");
    assert_code(&keygate(home.path(), &["keys", "list"]), 0);
    let url = format!("https://localhost:{}", address.port());
    let by_name = |authority: &str| {
        let mut command = command(home.path(), &["keys", "list", "--admin", &url]);
        command.env("SSL_CERT_FILE", home.path().join(authority)).output().expect("it runs")
    };
    assert_code(&by_name("ca.pem"), 0);

    // First a new certificate for the same name, then a file that does not name a certificate.
    Certificates::for_names(&["localhost".to_owned()]).write(home.path());
    assert_code(&by_name("ca.pem"), 1);
    assert_code(&keygate(home.path(), &["keys", "list"]), 1);
    std::fs::write(&file, toml(&address.to_string()).replace("cert =", "crt =")).expect("a file");
    let without = keygate(home.path(), &["keys", "list"]);
    assert_code(&without, 1);
    assert!(stderr(&without).contains("[admin.tls]"), "{}", stderr(&without));

    // A key that was pasted in the place of a file is not repeated.
    let pasted = Key::live("key_pasted").text;
    let text = toml(&address.to_string()).replace("cert.pem", &pasted);
    std::fs::write(&file, text).expect("a file");
    let output = keygate(home.path(), &["keys", "list"]);
    assert_code(&output, 1);
    assert!(!stderr(&output).contains(&pasted), "it is repeated");
}

#[test]
fn token_leaves_this_machine_over_tls_only() {
    let home = tempfile::tempdir().expect("a folder");
    for address in ["http://192.0.2.1:9190", "gateway.example:9190", "http://[2001:db8::1]:9190"] {
        let output = keygate(home.path(), &["keys", "list", "--admin", address]);
        assert_code(&output, 1);
        assert!(stderr(&output).contains("over TLS only"), "{}", stderr(&output));
    }
}

#[test]
fn gateway_that_is_slow_is_waited_for() {
    let upstream = Upstream::start();
    let gateway = gateway(&upstream, "");
    let address = gateway.admin_address();
    // A proxy that delays the gateway's responses.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut server = TcpStream::connect(address).expect("the gateway");
            let (mut requests, mut sink) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut requests, &mut sink));
            std::thread::spawn(move || {
                let mut part = [0; 65536];
                while let Ok(read @ 1..) = server.read(&mut part) {
                    std::thread::sleep(Duration::from_millis(700));
                    let _ = client.write_all(&part[..read]);
                }
            });
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    assert_code(&keygate(folder.path(), &["keys", "list", "--admin", &url]), 0);
}
