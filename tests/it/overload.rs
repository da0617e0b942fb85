//! Overload: excess connections and requests are refused at once, and those in progress are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Client, Gateway, Key, Message, Request, Upstream, wait_for};

fn assert_shed(answer: &Message) {
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("5")), "{answer:?}");
    assert_eq!(answer.json()["code"], "overloaded");
}

fn figure(gateway: &Gateway, series: &str) -> f64 {
    let page = gateway.admin("/metrics");
    page.text()
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
        .unwrap_or(0.0)
}

/// Blocks the callers of `wait` until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

#[test]
fn connections_beyond_the_cap_are_told_and_those_beyond_that_are_closed() {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    for tls in [false, true] {
        let setup = Gateway::in_front_of(&upstream)
            .server("max_connections = 4\nmax_connections_per_address = 0")
            .key(&key);
        let gateway = if tls { setup.tls(&["localhost"]) } else { setup }.start();
        let request = Request::get("/x").bearer(&key);
        let mut served: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
        assert!(served.iter_mut().all(|client| client.send(&request).status() == 200));

        let mut shed = gateway.client();
        let answer = shed.send(&request);
        assert_shed(&answer);
        assert_eq!(answer.header("connection"), Some("close"));
        drop(shed);
        wait_for("it is gone", || {
            (figure(&gateway, "keygate_connections_open") == 4.0).then_some(())
        });

        // Silent connections occupy the surplus, but not for long.
        let silent: Vec<TcpStream> =
            (0..16).map(|_| TcpStream::connect(gateway.address()).unwrap()).collect();
        wait_for("they are accepted", || {
            (figure(&gateway, "keygate_connections_open") == 20.0).then_some(())
        });
        let mut beyond = TcpStream::connect(gateway.address()).unwrap();
        beyond.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        assert!(matches!(beyond.read(&mut [0]), Ok(0) | Err(_)), "closed without a word");
        wait_for("the surplus is gone", || {
            (figure(&gateway, "keygate_connections_open") == 4.0).then_some(())
        });
        drop(silent);
        assert!(figure(&gateway, "keygate_connections_refused_total{limit=\"total\"}") >= 18.0);

        assert!(
            served.iter_mut().all(|client| client.send(&request).status() == 200),
            "those inside are served all the time"
        );
        served.pop();
        wait_for("room again", || {
            (gateway.client().try_send(&request)?.status() == 200).then_some(())
        });
    }
}

#[tokio::test]
async fn http2_connection_beyond_the_cap_is_told_too() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream)
        .server("max_connections = 1")
        .api("public = [\"GET /**\"]")
        .start();
    let _inside = TcpStream::connect(gateway.address()).unwrap();
    wait_for("it is accepted", || {
        (figure(&gateway, "keygate_connections_open") == 1.0).then_some(())
    });
    let stream = tokio::net::TcpStream::connect(gateway.address()).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{}/", gateway.address())).body(()).unwrap();
    let answer = client.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()),
        (503, "5")
    );
    upstream.assert_untouched();
}

#[test]
fn one_address_cannot_take_all_connections() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream)
        .server("max_connections_per_address = 3")
        .api("public = [\"GET /**\"]")
        .start();
    let mut held: Vec<Client> = (0..3).map(|_| gateway.client()).collect();
    assert!(held.iter_mut().all(|client| client.send(&Request::get("/x")).status() == 200));
    assert!(gateway.client().try_send(&Request::get("/x")).is_none(), "the fourth");
    assert_eq!(figure(&gateway, "keygate_connections_refused_total{limit=\"address\"}"), 1.0);
    // Another address of this machine counts as another client.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.2:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&gateway.address().into()).unwrap();
    let mut other = TcpStream::from(socket);
    other.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(held);
    wait_for("room again", || {
        Some(()).filter(|()| gateway.client().try_send(&Request::get("/x")).is_some())
    });
}

#[test]
fn api_that_hangs_leaves_room_for_the_others_and_spends_no_quota_on_what_is_shed() {
    let gate = Gate::default();
    let (hanging, well) = (gate.clone(), Upstream::start());
    let slow = Upstream::answering(move |_| {
        hanging.wait();
        Answer::new("200 OK", &[], b"at last")
    });
    let key = Key::live("key_crm")
        .scopes(&["*"])
        .set("apis = [\"desk\", \"other\"]")
        .set("rate_limit = \"100/hour\"");
    let other = format!(
        "[[api]]\nname = \"other\"\nbase_path = \"/other\"\nupstream = \"{}\"\n",
        well.url()
    );
    let prefix = format!("environments = {{ live = \"sk_{}_\" }}\n", "live");
    let gateway = Gateway::in_front_of(&slow)
        .api("max_requests = 5")
        .more(&(other + &prefix))
        .key(&key)
        .start();
    let request = Request::get("/x").bearer(&key);
    let waiting = || figure(&gateway, "keygate_api_requests_in_flight{api=\"desk\"}");
    let shed = || {
        figure(
            &gateway,
            "keygate_requests_total{api=\"desk\",outcome=\"overloaded\",status=\"5xx\"}",
        )
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..30).map(|_| scope.spawn(|| gateway.send(&request))).collect();
        wait_for("all wait or are shed", || (waiting() + shed() == 30.0).then_some(()));
        // Each worker counts by itself, so that a few more may be admitted at once.
        let admitted = waiting();
        assert!((5.0..=7.0).contains(&admitted), "{admitted}");
        assert_eq!(
            gateway.send(&Request::get("/other").bearer(&key)).status(),
            200,
            "the other API is served"
        );
        gate.open();
        let answers: Vec<Message> =
            asking.into_iter().map(|asking| asking.join().unwrap()).collect();
        let (served, told): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status() == 200);
        assert_eq!((served.len() as f64, told.len() as f64), (admitted, shed()));
        told.into_iter().for_each(assert_shed);
        wait_for("room again", || (waiting() == 0.0).then_some(()));
        let answer = gateway.send(&request);
        let left = (100.0 - admitted - 1.0).to_string();
        assert_eq!(
            (answer.status(), answer.header("x-ratelimit-remaining")),
            (200, Some(&*left)),
            "what was shed is not counted"
        );
        assert_eq!(slow.requests().len() as f64, admitted + 1.0);
    });
}

#[test]
fn silent_connections_keep_nobody_from_the_figures() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).start();
    let silent: Vec<TcpStream> =
        (0..300).map(|_| TcpStream::connect(gateway.admin_address()).unwrap()).collect();
    for path in ["/healthz", "/readyz", "/metrics"] {
        let begun = Instant::now();
        assert_eq!(gateway.admin(path).status(), 200);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    drop(silent);
}
