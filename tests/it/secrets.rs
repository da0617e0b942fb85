//! A secret that is no longer needed does not remain in the gateway's memory, and a misplaced one
//! is not shown.

mod planted;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use crate::harness::{Gateway, Key, PATIENCE, Request, Upstream, wait_for};

/// Counts how often each of these texts occurs in the gateway's memory.
fn occurrences<const N: usize>(gateway: &Gateway, texts: [&str; N]) -> [usize; N] {
    let maps = fs::read_to_string(format!("/proc/{}/maps", gateway.process()))
        .expect("its memory's parts");
    let memory = File::open(format!("/proc/{}/mem", gateway.process())).expect("its memory");
    let mut found = [0; N];
    let mut content = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').expect("a range");
        let (start, end) = range.split_once('-').expect("a range");
        let bound = |text| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (bound(start), bound(end));
        content.resize(usize::try_from(end - start).expect("it fits"), 0);
        // A mapping may have been removed in the meantime.
        if memory.read_exact_at(&mut content, start).is_ok() {
            for (text, found) in texts.iter().zip(&mut found) {
                *found += memchr::memmem::find_iter(&content, text).count();
            }
        }
    }
    found
}

/// Returns the secret part of a key.
fn body(key: &Key) -> &str {
    &key.text["sk_live_".len()..]
}

#[test]
fn keys_that_were_presented_are_not_left_in_memory() {
    let upstream = Upstream::start();
    let good = Key::live("key_good").scopes(&["*"]);
    let unknown = Key::live("key_unknown");
    let late = Key::live("key_late");
    let gateway = Gateway::in_front_of(&upstream).scope("all", &["GET /**"]).key(&good).start();
    let mut open = gateway.client();
    for _ in 0..50 {
        assert_eq!(open.send(&Request::get("/x").bearer(&good)).status(), 200);
        assert_eq!(gateway.send(&Request::get("/x").bearer(&good)).status(), 200);
        assert_eq!(gateway.send(&Request::get("/x").bearer(&unknown)).status(), 401);
    }
    // A head that arrives in two parts, and one that never ends.
    let head =
        format!("GET /x HTTP/1.1\r\nHost: desk.example\r\nAuthorization: Bearer {}\r\n", good.text);
    open.write(head.as_bytes());
    // Usually long enough for the parts to arrive separately.
    std::thread::sleep(std::time::Duration::from_millis(50));
    open.write(b"\r\n");
    assert_eq!(open.read("GET").status(), 200);
    let mut unfinished = gateway.client();
    unfinished
        .write(format!("GET /x HTTP/1.1\r\nAuthorization: Bearer {}\r\n", late.text).as_bytes());
    drop(unfinished);
    wait_for("what is left is gone", || {
        // Further requests reuse the same buffers.
        assert_eq!(gateway.send(&Request::get("/x")).status(), 401);
        let found = occurrences(&gateway, [body(&good), body(&unknown), body(&late)]);
        println!("{found:?}");
        (found == [0, 0, 0]).then_some(())
    });
}

#[test]
fn secret_for_an_upstream_stands_in_memory_once_and_a_former_one_not_at_all() {
    let upstream = Upstream::start();
    let folder = Gateway::in_front_of(&upstream)
        .api("public = [\"GET /x\"]")
        .table("[api.upstream_headers]\nX-Desk-Auth = \"file:desk.auth\"")
        .write();
    let (first, second) = (Key::live("first").text, Key::live("second").text);
    fs::write(folder.path().join("desk.auth"), &first).expect("a secret");
    let gateway = Gateway::serve_in(folder);
    let mut client = gateway.client();
    let mut sent = || {
        assert_eq!(client.send(&Request::get("/x")).status(), 200);
        upstream.last().header("x-desk-auth").map(str::to_owned)
    };
    for _ in 0..20 {
        assert_eq!(sent().as_ref(), Some(&first));
    }
    let (first_body, second_body) = (&first["sk_live_".len()..], &second["sk_live_".len()..]);
    wait_for("it stands there once", || {
        assert_eq!(gateway.send(&Request::get("/x")).status(), 200);
        let found = occurrences(&gateway, [first_body]);
        println!("{found:?}");
        (found == [1]).then_some(())
    });
    fs::write(gateway.file().with_file_name("desk.auth"), &second).expect("a secret");
    gateway.signal("HUP");
    wait_for("the new one", || (sent().as_ref() == Some(&second)).then_some(()));
    wait_for("only the new one is there", || {
        let _ = gateway.send(&Request::get("/x"));
        let found = occurrences(&gateway, [first_body, second_body]);
        println!("{found:?}");
        (found == [0, 1]).then_some(())
    });
}

/// Sends two identical requests over HTTP/2. The client puts the key into the server's dynamic
/// table. Returns the status of the second one.
async fn ask_over_http2(gateway: &Gateway, key: &Key) -> u16 {
    let stream =
        tokio::net::TcpStream::connect(gateway.address()).await.expect("the gateway accepts");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("a handshake");
    let connection = tokio::spawn(connection);
    let mut status = 0;
    for _ in 0..2 {
        let request = http::Request::get("http://desk.example/x")
            .header("authorization", format!("Bearer {}", key.text));
        let (answer, _) =
            client.send_request(request.body(()).expect("a request"), true).expect("it is sent");
        status = answer.await.expect("an answer").status().as_u16();
    }
    drop(client);
    let _ = connection.await;
    status
}

#[tokio::test]
async fn keys_that_were_presented_over_http2_are_not_left_in_memory_when_the_connection_has_ended()
{
    let upstream = Upstream::start();
    let good = Key::live("key_good").scopes(&["*"]);
    let unknown = Key::live("key_unknown");
    let gateway = Gateway::in_front_of(&upstream).scope("all", &["GET /**"]).key(&good).start();
    for _ in 0..20 {
        assert_eq!(ask_over_http2(&gateway, &good).await, 200);
        assert_eq!(ask_over_http2(&gateway, &unknown).await, 401);
    }
    // The latest computation may remain on a worker's stack until the worker checks another
    // request.
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        assert_eq!(ask_over_http2(&gateway, &Key::live("key_other")).await, 401);
        let found = occurrences(&gateway, [body(&good), body(&unknown)]);
        if found == [0, 0] {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{found:?} copies are left");
    }
}
