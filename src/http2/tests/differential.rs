//! Tests with h2 as the client. Requests and responses must arrive as they were sent.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::LocalOptions;

use super::super::{Block, Connection, Event, HeaderBlock, Limits, request};
use crate::policy::Sink as _;

/// A request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    method: Method,
    /// Authority, path and query.
    target: (String, String, Option<String>),
    fields: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
    answer: (StatusCode, HeaderMap, Vec<u8>, HeaderMap),
}

fn name() -> impl Strategy<Value = HeaderName> {
    let names = prop_oneof![
        "x-[a-z0-9_.-]{1,20}",
        "(accept|cookie|user-agent|authorization|etag|range|via)"
    ];
    names.prop_map(|name| name.parse().expect("a sound name"))
}

fn value() -> impl Strategy<Value = HeaderValue> {
    let texts = prop_oneof![
        4 => Just(String::new()),
        4 => "[!-~]{1,8}",
        8 => "[!-~][ -~]{0,40}[!-~]",
        1 => "[!-~]{200,900}",
        1 => "[\u{e0}-\u{ff}]{1,4}",
    ];
    (texts, any::<bool>()).prop_map(|(text, secret)| {
        let mut value = HeaderValue::from_bytes(text.as_bytes()).expect("a sound value");
        value.set_sensitive(secret);
        value
    })
}

fn fields(most: usize) -> impl Strategy<Value = HeaderMap> {
    proptest::collection::vec((name(), value()), 0..most).prop_map(|fields| {
        let mut map = HeaderMap::new();
        fields.into_iter().for_each(|(name, value)| _ = map.append(name, value));
        map
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 1..200),
        (1usize..100_000).prop_map(|size| vec![7; size])
    ]
}

pub(super) fn exchange() -> impl Strategy<Value = Exchange> {
    let methods = prop_oneof![
        Just(Method::GET),
        Just(Method::POST),
        Just(Method::DELETE),
        Just(Method::from_bytes(b"PURGE").expect("a token"))
    ];
    let target = (
        "[a-z0-9.-]{1,20}[a-z0-9](:[0-9]{1,4})?",
        "(/[A-Za-z0-9._~-]{0,10}){1,4}",
        proptest::option::of("[a-z0-9=&%/?-]{0,30}"),
    );
    let statuses = prop_oneof![Just(200u16), Just(204), Just(404), 201u16..600]
        .prop_map(|code| StatusCode::from_u16(code).expect("in range"));
    let answer = (statuses, fields(8), body(), fields(3));
    (methods, target, fields(12), body(), fields(3), answer).prop_map(
        |(method, target, fields, body, trailers, answer)| Exchange {
            method,
            target,
            fields,
            body,
            trailers,
            answer,
        },
    )
}

/// The requests in the order of their arrival, and all bytes that the client sent.
type Heard = (Vec<(usize, Exchange)>, Vec<u8>);

/// Responds to each request with the response of the exchange that its `x-number` field names.
/// `cut`: the number of bytes to read at once.
// Longer than 60 lines: one loop over the kinds of events.
async fn serve(mut stream: tokio::io::DuplexStream, exchanges: Vec<Exchange>, cut: usize) -> Heard {
    let limits = Limits { streams: 1000, size: 1 << 20, fields: 1000, budget: 10_000 };
    let (mut connection, mut block) = (Connection::<()>::new(limits, 0), Block::default());
    let (mut heard, mut all, mut pending, mut open) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut buffer = vec![0; cut];
    loop {
        // Send as much of the responses as the windows allow.
        open.retain(|(key, number, sent): &(usize, usize, std::cell::Cell<usize>)| {
            let exchange: &Exchange = &exchanges[*number];
            let (_, _, body, trailers) = &exchange.answer;
            let done = connection.with_stream(*key, |sender, ()| {
                let part = sender.room().min(body.len() - sent.get());
                if part > 0 {
                    sender.send_data(&body[sent.get()..sent.get() + part], false);
                    sent.set(sent.get() + part);
                }
                let done = sent.get() == body.len();
                match done {
                    true if trailers.is_empty() => sender.send_data(&[], true),
                    true => sender.send_trailers(trailers),
                    false => {}
                }
                done
            });
            !done.expect("an open stream")
        });
        connection.raise_window();
        let out = std::mem::take(&mut connection.out);
        if stream.write_all(&out).await.is_err() {
            break;
        }
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { break };
        pending.extend_from_slice(&buffer[..read]);
        all.extend_from_slice(&buffer[..read]);
        let mut answer = |connection: &mut Connection<()>, number: usize, key: usize| {
            let mut fields = HeaderBlock::default();
            exchanges[number]
                .answer
                .1
                .iter()
                .for_each(|(name, value)| fields.put(name.as_str(), value.as_bytes()));
            connection.with_stream(key, |sender, ()| {
                sender.send_head(exchanges[number].answer.0, &fields, false);
            });
            open.push((key, number, std::cell::Cell::new(0)));
        };
        loop {
            let Some((read, event)) =
                connection.read(&pending, &mut block, 0).expect("a sound client")
            else {
                break;
            };
            match event {
                Event::Request { key, ended } => {
                    let (number, exchange) = exchange_of(&block);
                    heard.push((key, number, exchange, ended));
                    if ended {
                        answer(&mut connection, number, key);
                    }
                }
                Event::Data { key, data, credit, ended } => {
                    let (_, number, exchange, open) =
                        heard.iter_mut().rev().find(|heard| heard.0 == key).expect("a request");
                    assert!(!*open, "nothing comes behind the end");
                    exchange.body.extend_from_slice(data);
                    *open = ended;
                    let number = *number;
                    credit.pass_on();
                    connection.with_stream(key, |sender, ()| sender.raise_window(0));
                    if ended {
                        answer(&mut connection, number, key);
                    }
                }
                Event::Trailers { key, trailers } => {
                    let (_, number, exchange, ended) =
                        heard.iter_mut().rev().find(|heard| heard.0 == key).expect("a request");
                    (exchange.trailers, *ended) = (trailers, true);
                    let number = *number;
                    answer(&mut connection, number, key);
                }
                Event::Reset { .. } => panic!("nobody resets"),
                Event::Nothing | Event::Window { .. } => {}
            }
            pending.drain(..read);
        }
    }
    (heard.into_iter().map(|(_, number, exchange, _)| (number, exchange)).collect(), all)
}

fn exchange_of(block: &Block) -> (usize, Exchange) {
    let head = request(block).expect("a sound request");
    let mut fields = HeaderMap::new();
    for field in head.fields.iter() {
        fields.append(
            HeaderName::from_bytes(field.name.as_bytes()).expect("a name"),
            HeaderValue::from_bytes(field.value).expect("a value"),
        );
    }
    let number = fields
        .remove("x-number")
        .and_then(|number| number.to_str().ok()?.parse().ok())
        .expect("its number");
    let target = (
        head.target.authority.unwrap_or_default().to_owned(),
        head.target.path.to_owned(),
        head.target.query.map(str::to_owned),
    );
    let answer = (StatusCode::OK, HeaderMap::new(), Vec::new(), HeaderMap::new());
    (
        number,
        Exchange {
            method: head.method,
            target,
            fields,
            body: Vec::new(),
            trailers: HeaderMap::new(),
            answer,
        },
    )
}

/// Sends one request. Returns the response.
async fn ask(
    client: h2::client::SendRequest<Bytes>,
    number: usize,
    exchange: Exchange,
) -> Answered {
    let (authority, path, query) = &exchange.target;
    let query = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = Request::new(());
    *request.method_mut() = exchange.method.clone();
    *request.uri_mut() = format!("http://{authority}{path}{query}").parse().expect("a URI");
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = exchange.fields.clone();
    request.headers_mut().insert("x-number", number.into());
    let ended = exchange.body.is_empty() && exchange.trailers.is_empty();
    let (answer, mut upload) =
        client.ready().await.expect("ready").send_request(request, ended).expect("sent");
    let sending = async {
        let mut rest = Bytes::from(exchange.body.clone());
        while !rest.is_empty() {
            upload.reserve_capacity(rest.len());
            let Some(Ok(room)) = std::future::poll_fn(|cx| upload.poll_capacity(cx)).await else {
                return;
            };
            let last = room >= rest.len() && exchange.trailers.is_empty();
            upload.send_data(rest.split_to(room.min(rest.len())), last).expect("sent");
        }
        if !exchange.trailers.is_empty() {
            upload.send_trailers(exchange.trailers.clone()).expect("sent");
        }
    };
    let receiving = async {
        let (head, mut stream) = answer.await.expect("an answer").into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.expect("data");
            stream.flow_control().release_capacity(data.len()).expect("released");
            body.extend_from_slice(&data);
        }
        (
            head.status,
            head.headers,
            body,
            stream.trailers().await.expect("trailers").unwrap_or_default(),
        )
    };
    tokio::join!(receiving, sending).0
}

/// A response as h2 received it: status, fields, body and trailers.
type Answered = (StatusCode, HeaderMap, Vec<u8>, HeaderMap);

/// Sends all requests with h2 at once.
pub(super) fn converse(exchanges: &[Exchange], cut: usize) -> (Heard, Vec<Answered>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build_local(LocalOptions::default())
        .expect("a runtime");
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(10_000);
        let server = tokio::task::spawn_local(serve(far, exchanges.to_vec(), cut));
        let (client, connection) = h2::client::handshake(near).await.expect("a handshake");
        let connection = tokio::spawn(connection);
        let asking = exchanges
            .iter()
            .enumerate()
            .map(|(number, exchange)| tokio::spawn(ask(client.clone(), number, exchange.clone())));
        let mut answers = Vec::new();
        for asked in asking.collect::<Vec<_>>() {
            answers.push(asked.await.expect("it ends"));
        }
        drop(client);
        connection.await.expect("it ends").expect("a sound server");
        (server.await.expect("it ends"), answers)
    })
}

proptest! {
    #![proptest_config(super::cases(150))]
    #[test]
    fn requests_and_answers_arrive_as_another_implementation_has_them(
        exchanges in proptest::collection::vec(exchange(), 1..12),
        cut in prop_oneof![1usize..40, Just(9), Just(4096)],
    ) {
        let ((mut heard, _), answers) = converse(&exchanges, cut);
        heard.sort_by_key(|(number, _)| *number);
        prop_assert_eq!(heard.len(), exchanges.len());
        for ((number, heard), answer) in heard.into_iter().zip(answers) {
            let asked = &exchanges[number];
            prop_assert_eq!(&Exchange { answer: asked.answer.clone(), ..heard }, asked);
            prop_assert_eq!(&answer, &asked.answer);
        }
    }
}
