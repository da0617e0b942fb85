//! Over HTTP/2 the stream of an invalid key ends, and the connection persists.

use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, StatusCode};

use super::{Desk, assert_in_time, flood, listen, tick, upstream};
use crate::harness::{Key, PATIENCE};

type Client = SendRequest<Bytes>;

async fn connect(desk: &Desk) -> Client {
    let stream = tokio::net::TcpStream::connect(desk.gateway.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Sends the head of a request. A GET ends with it, and any other request stays open.
async fn ask(
    client: &Client,
    method: &str,
    path: &str,
    key: &Key,
    content_type: &str,
) -> (ResponseFuture, SendStream<Bytes>) {
    let request = Request::builder().method(method).uri(format!("http://desk.example{path}"));
    let request = request
        .header("authorization", format!("Bearer {}", key.text))
        .header("content-type", content_type);
    let mut client = client.clone().ready().await.unwrap();
    client
        .send_request(request.header("te", "trailers").body(()).unwrap(), method == "GET")
        .unwrap()
}

async fn open_stream(client: &Client, path: &str, key: &Key) -> RecvStream {
    let (answer, _) = ask(client, "GET", path, key, "text/plain").await;
    let answer = within(answer).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

/// Reads to the end. Returns the error, or `None` if the end is orderly.
async fn read_on(body: &mut RecvStream, release: bool) -> Option<h2::Error> {
    while let Some(data) = within(body.data()).await {
        match data {
            Ok(data) if release => body.flow_control().release_capacity(data.len()).unwrap(),
            Ok(_) => {}
            Err(error) => return Some(error),
        }
    }
    None
}

fn reason(error: Option<h2::Error>) -> Option<Reason> {
    error.filter(|error| error.is_reset() && error.is_remote())?.reason()
}

#[tokio::test]
async fn stream_is_reset_and_others_of_the_connection_live_on() {
    let (url, closed) = upstream(tick);
    let desk = Desk::open(&url);
    let client = connect(&desk).await;
    let mut leaked = open_stream(&client, "/a", &desk.leaked).await;
    let mut crm = open_stream(&client, "/b", &desk.crm).await;
    let in_force = desk.revoke();
    assert_eq!(reason(read_on(&mut leaked, true).await), Some(Reason::CANCEL));
    assert_in_time(in_force);
    closed.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    for _ in 0..50 {
        let data = within(crm.data()).await.expect("more").expect("no error");
        crm.flow_control().release_capacity(data.len()).unwrap();
    }
    assert!(closed.try_recv().is_err(), "the other's upstream connection stays");
    desk.assert_cut_once("revoked_key", 200);
}

#[tokio::test]
async fn stream_whose_client_lets_nothing_through_is_reset() {
    let (url, closed) = upstream(flood);
    let desk = Desk::open(&url);
    let client = connect(&desk).await;
    let mut leaked = open_stream(&client, "/file", &desk.leaked).await;
    let in_force = desk.revoke();
    assert_eq!(reason(read_on(&mut leaked, false).await), Some(Reason::CANCEL));
    assert_in_time(in_force);
    closed.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    desk.assert_cut_once("revoked_key", 200);
    drop(leaked);
    let mut crm = open_stream(&client, "/file", &desk.crm).await;
    within(crm.data()).await.expect("a file").expect("no error");
}

#[tokio::test]
async fn upload_is_refused_and_its_stream_reset() {
    let (url, heard) = upstream(listen);
    let desk = Desk::open(&url);
    let client = connect(&desk).await;
    let (answer, mut upload) = ask(&client, "POST", "/upload", &desk.leaked, "text/plain").await;
    upload.send_data("hello".into(), false).unwrap();
    // The connection's task must run while the test waits.
    let heard = tokio::task::spawn_blocking(move || heard.recv_timeout(PATIENCE).map(|_| heard));
    let heard = heard.await.unwrap().expect("the request is at the upstream");
    let in_force = desk.revoke();
    assert_eq!(within(answer).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        within(std::future::poll_fn(|cx| upload.poll_reset(cx))).await.unwrap(),
        Reason::NO_ERROR
    );
    assert_in_time(in_force);
    let body = heard.recv_timeout(PATIENCE).expect("the upstream's side is closed");
    assert!(!body.ends_with(b"0\r\n\r\n"), "a part must not look like the whole");
    desk.assert_cut_once("revoked_key", 401);
}

#[tokio::test]
async fn grpc_stream_ends_with_status_16() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let (say, heard) = channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let say = say.clone();
            tokio::spawn(async move {
                let head = http::Response::builder().header("content-type", "application/grpc");
                let mut answer = respond.send_response(head.body(()).unwrap(), false).unwrap();
                let answering = async {
                    while answer.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                let mut body = request.into_body();
                let (ended, ()) = tokio::join!(
                    async {
                        while let Some(Ok(_)) = body.data().await {}
                        body.is_end_stream()
                    },
                    answering
                );
                let _ = say.send(ended);
            });
        }
    });
    let desk = tokio::task::spawn_blocking(move || Desk::open(&url)).await.unwrap();
    let client = connect(&desk).await;
    let (answer, mut calls) =
        ask(&client, "POST", "/desk.Desk/Talk", &desk.leaked, "application/grpc").await;
    calls.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).unwrap();
    let mut body = within(answer).await.unwrap().into_body();
    within(body.data()).await.expect("a message").expect("no error");
    let in_force = desk.revoke();
    assert!(read_on(&mut body, true).await.is_none(), "an orderly end");
    let trailers = within(body.trailers()).await.unwrap().expect("trailers");
    assert_in_time(in_force);
    assert_eq!(trailers["grpc-status"], "16");
    assert_eq!(trailers["grpc-message"], "The API key has been revoked. Ask for a new one.");
    let ended = tokio::task::spawn_blocking(move || heard.recv_timeout(PATIENCE)).await.unwrap();
    assert_eq!(ended, Ok(false), "the upstream's stream was reset in both directions");
    desk.assert_cut_once("revoked_key", 200);
}

#[tokio::test]
async fn grpc_call_that_waits_for_its_answer_ends_with_status_16() {
    let (url, heard) = upstream(listen);
    let desk = Desk::open(&url);
    let client = connect(&desk).await;
    let (answer, _calls) =
        ask(&client, "POST", "/desk.Desk/Talk", &desk.leaked, "application/grpc").await;
    let heard = tokio::task::spawn_blocking(move || heard.recv_timeout(PATIENCE)).await.unwrap();
    heard.expect("the request is at the upstream");
    let in_force = desk.revoke();
    let answer = within(answer).await.unwrap();
    assert_in_time(in_force);
    assert_eq!(
        (answer.status(), &answer.headers()["grpc-status"]),
        (StatusCode::OK, &http::HeaderValue::from_static("16"))
    );
    desk.assert_cut_once("revoked_key", 200);
}
