//! Runs a real gateway in this process, in front of an upstream that ends the run if it receives
//! anything that it never should.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use keygate::http1::{self, Body, Piece};
use keygate::policy::{Digest, Fields, check_path};
use tempfile::TempDir;

use crate::{PREFIX, all, key};

/// The admin token.
pub const TOKEN: &str = "a token of the fuzzer's";

/// How long nothing must arrive until a response is taken to be complete.
const SILENCE: Duration = Duration::from_millis(4);

/// The addresses of the gateway.
pub struct Gateway {
    /// The data address.
    pub data: SocketAddr,
    /// The admin address.
    pub admin: SocketAddr,
    _folder: TempDir,
}

/// Returns the only gateway. Starts it at the first call.
pub fn gateway() -> &'static Gateway {
    static GATEWAY: OnceLock<Gateway> = OnceLock::new();
    GATEWAY.get_or_init(start)
}

// Longer than 60 lines: one configuration, as a text.
fn start() -> Gateway {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    let free = || {
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
    };
    let (data, admin, behind) = (free(), free(), upstream.local_addr().expect("its port"));
    // Uses a file system in memory where there is one, because the store waits for its disk.
    let folder =
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let (digest, token) = (hex(&key()), hex(TOKEN));
    let toml = format!(
        r#"
[server]
listen = "{data}"
workers = 1
[admin]
listen = "{admin}"
[[admin.token]]
name = "fuzz"
sha256 = "{token}"
role = "manage"
[log]
requests = false
[store]
path = "keys.db"
keys_per_organization = 50
[[api]]
name = "desk"
upstream = "http://{behind}"
environments = {{ live = "{PREFIX}" }}
credentials = ["bearer", "header:X-API-Key"]
public = ["GET /status"]
[api.scopes."tickets:read"]
allows = ["GET /api/v1/tickets", "GET /api/v1/tickets/**"]
[api.scopes."tickets:write"]
allows = ["POST /api/v1/tickets", "PUT /api/v1/tickets/*"]
[api.key_api]
path = "/api/v1/keys"
style = "bare"
scope = "keys:manage"
[[key]]
id = "key_7"
sha256 = "{digest}"
organization = "org_acme"
scopes = ["tickets:read", "tickets:write", "keys:manage"]
"#
    );
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, toml).expect("a file");
    std::thread::spawn(move || {
        upstream
            .incoming()
            .flatten()
            .for_each(|stream| _ = std::thread::spawn(move || serve(stream)))
    });
    std::thread::spawn(move || keygate::serve::run(&file, None).expect("the gateway runs"));
    while TcpStream::connect(data).is_err() || TcpStream::connect(admin).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    Gateway { data, admin, _folder: folder }
}

fn hex(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// Parses requests strictly and responds to them.
fn serve(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            match http1::find_end(&bytes, 0, 1 << 20).expect("the gateway sends sound heads") {
                Some(end) => break end,
                None if !more(&mut stream, &mut bytes) => return,
                None => {}
            }
        };
        let rest = bytes.split_off(end);
        let mut fields = Fields::new();
        let head =
            http1::request(&mut bytes, 1000, &mut fields).expect("the gateway sends sound heads");
        check_path(head.target.path).expect("the path rule");
        assert!(
            head.target.authority.is_none() && !matches!(head.method.as_str(), "CONNECT" | "TRACE")
        );
        let auth = all(&fields, "x-keygate-auth").collect::<Vec<_>>();
        assert!(
            auth == [b"key"] || (auth == [b"public"] && head.target.path == "/status"),
            "{auth:?} {}",
            head.target.path
        );
        assert_eq!(all(&fields, "host").count(), 1);
        let body = http1::request_body(head.version, &fields).expect("the gateway frames soundly");
        let to_head = head.method == http::Method::HEAD;
        drop(fields);
        bytes = rest;
        let Some(rest) = read_body(&mut stream, body, bytes) else { return };
        bytes = rest;
        let answer: &[u8] = if to_head {
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        };
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// Reads a body. Returns the bytes that follow it, or `None` if the connection ended within it.
fn read_body(stream: &mut TcpStream, mut body: Body, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    loop {
        let (read, piece) = body.read(&bytes).expect("the gateway frames soundly");
        bytes.drain(..read);
        match piece {
            Piece::End => return Some(bytes),
            Piece::More if !more(stream, &mut bytes) => return None,
            _ => {}
        }
    }
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer) {
        Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
        _ => return false,
    }
    true
}

/// Sends bytes and returns the response. `until_silence`: whether the response ends when nothing
/// arrives for a while. Otherwise it must end with the connection, within five seconds.
pub fn exchange(address: SocketAddr, bytes: &[u8], until_silence: bool) -> Vec<u8> {
    let mut answer = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address) else { return answer };
    let patience = if until_silence { SILENCE } else { Duration::from_secs(5) };
    stream.set_read_timeout(Some(patience)).expect("a time-out");
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a time-out");
    if stream.write_all(bytes).is_err() {
        return answer;
    }
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionReset
            ) =>
        {
            assert!(
                until_silence || error.kind() == ErrorKind::ConnectionReset,
                "no answer in five seconds"
            );
        }
        Err(error) => panic!("{error}"),
    }
    answer
}
