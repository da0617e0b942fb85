//! Clients of every kind that send requests without a break and check every response.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use super::{STORE, rounds, token};
use crate::harness::{
    Certificates, Client, Gateway, Key, PATIENCE, Request, SWITCH, WebSocket, echo_frames, wait_for,
};

/// An upstream that answers each request with its target and echoes WebSocket frames.
pub(super) struct World {
    address: SocketAddr,
}

impl World {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        spawn(move || {
            for stream in listener.incoming().flatten() {
                spawn(move || serve(stream));
            }
        });
        Self { address }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let target = head.split(' ').nth(1)?;
        if target == "/live" {
            stream.get_mut().write_all(SWITCH).ok()?;
            return echo_frames(&mut stream);
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len());
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
    }
}

/// Counts of what the clients have seen.
#[derive(Default)]
struct Tally {
    http1: AtomicUsize,
    http2: AtomicUsize,
    frames: AtomicUsize,
    connections: AtomicUsize,
    admitted: AtomicUsize,
    over: AtomicUsize,
    refused: AtomicUsize,
    wrong: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Tally {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn complain(&self, what: impl Into<String>) {
        self.wrong.lock().unwrap().push(what.into());
    }
}

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// The number of requests that the limited key is allowed.
const LIMIT: usize = 2000;

/// A gateway with TLS, and its clients.
pub(super) struct Load {
    pub(super) gateway: Gateway,
    clients: Vec<JoinHandle<()>>,
    tally: Arc<Tally>,
}

impl Load {
    pub(super) fn start() -> Self {
        let world = World::start();
        let key = Key::live("key_crm").scopes(&["*"]);
        let limited =
            Key::live("key_limited").scopes(&["*"]).set(&format!("rate_limit = \"{LIMIT}/day\""));
        let revoked = Key::live("key_revoked").scopes(&["*"]);
        let setup = Gateway::in_front_of_url(&world.url())
            .tls(&["localhost"])
            .key(&key)
            .key(&limited)
            .key(&revoked);
        let gateway = setup
            .more(&token())
            .more(STORE)
            .more("[log]\nrequests = false\n[revoked]\nkeys = [\"key_revoked\"]\n")
            .start();
        let address = gateway.address();
        let certificates = Arc::new(gateway.certificates().with_same_authority());
        let tally = Arc::<Tally>::default();
        let mut clients = Vec::new();
        let pause = Duration::from_millis(rounds("KEYGATE_LOAD_PAUSE_MS", 3) as u64);
        for number in 0..3 {
            let (key, certificates, tally) = (key.clone(), certificates.clone(), tally.clone());
            clients.push(spawn(move || http1(address, &certificates, &key, &tally, number, pause)));
        }
        for key in [&limited, &revoked] {
            let (key, certificates, tally) = (key.clone(), certificates.clone(), tally.clone());
            clients.push(spawn(move || judged(address, &certificates, &key, &tally, pause)));
        }
        for _ in 0..2 {
            let (key, certificates, tally) = (key.clone(), certificates.clone(), tally.clone());
            clients.push(spawn(move || http2(address, &certificates, &key, &tally, pause)));
        }
        for number in 0..2 {
            let (key, certificates, tally) = (key.clone(), certificates.clone(), tally.clone());
            clients.push(spawn(move || {
                websocket(address, &certificates, &key, &tally, number, pause)
            }));
        }
        Self { gateway, clients, tally }
    }

    /// Lets the clients run for a while. Asserts that every kind makes progress and that nothing
    /// has gone wrong.
    pub(super) fn run_for(&self, time: Duration) {
        let counts = || {
            [&self.tally.http1, &self.tally.http2, &self.tally.frames]
                .map(|count| count.load(Ordering::SeqCst))
        };
        let (before, end) = (counts(), Instant::now() + time);
        wait_for("every kind of client goes on", || {
            let now = counts();
            assert!(
                self.tally.wrong.lock().unwrap().is_empty(),
                "{:?}",
                self.tally.wrong.lock().unwrap()
            );
            (Instant::now() >= end && now.iter().zip(before).all(|(now, before)| *now > before))
                .then_some(())
        });
    }

    /// Makes a semantic change to the file that affects no client.
    pub(super) fn edit(&self, round: usize) {
        self.gateway.edit(|toml| {
            let end = toml.find("\n# round").unwrap_or(toml.len());
            toml.truncate(end);
            toml.push_str(&format!(
                "\n# round {round}\n{}",
                Key::live(&format!("key_round_{round}")).scopes(&["*"]).block()
            ));
        });
    }

    /// Replaces the certificate by another one of the same authority.
    pub(super) fn swap_certificate(&self) {
        let folder = self.gateway.file().parent().unwrap().to_owned();
        self.gateway.certificates().renew(&folder);
    }

    /// Returns a value of `/metrics`.
    pub(super) fn figure(&self, series: &str) -> usize {
        let page = self.gateway.admin("/metrics").text().to_owned();
        let figure = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        figure.unwrap_or_else(|| panic!("no {series} in {page}"))
    }

    #[track_caller]
    pub(super) fn wait_for_figure(&self, series: &str, figure: usize) {
        wait_for(series, || (self.figure(series) == figure).then_some(()));
    }

    pub(super) fn figures(&self) -> String {
        let tally = &self.tally;
        let [http1, http2, frames, connections, admitted, over, refused] = [
            &tally.http1,
            &tally.http2,
            &tally.frames,
            &tally.connections,
            &tally.admitted,
            &tally.over,
            &tally.refused,
        ]
        .map(|count| count.load(Ordering::SeqCst));
        let wrong = tally.wrong.lock().unwrap().len();
        format!(
            "{http1} HTTP/1.1, {http2} HTTP/2, {frames} WebSocket messages, {connections} \
                connections; of the limited key {admitted} \
             admitted and {over} refused; {refused} of the revoked key refused; {wrong} lost or \
             wrong"
        )
    }

    /// Stops the clients. Asserts that no response was lost or wrong.
    pub(super) fn finish(mut self) {
        // Waits until the limit is used up, but no longer than `PATIENCE`.
        let end = Instant::now() + PATIENCE;
        while self.tally.over.load(Ordering::SeqCst) == 0 && Instant::now() < end {
            sleep(Duration::from_millis(20));
        }
        self.tally.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().expect("a client that ends well");
        }
        eprintln!("in all: {}", self.figures());
        assert_eq!(*self.tally.wrong.lock().unwrap(), Vec::<String>::new());
        let admitted = self.tally.admitted.load(Ordering::SeqCst);
        assert!(
            admitted == LIMIT || (admitted < LIMIT && self.tally.over.load(Ordering::SeqCst) == 0),
            "{admitted} of {LIMIT}"
        );
    }
}

/// Sends one request after the other, on the same connection for as long as it persists.
fn http1(
    address: SocketAddr,
    certificates: &Certificates,
    key: &Key,
    tally: &Tally,
    number: usize,
    pause: Duration,
) {
    let mut client = None;
    for round in 0.. {
        if !tally.goes_on() {
            return;
        }
        let connection = client.get_or_insert_with(|| {
            add(&tally.connections);
            Client::tls(address, certificates, certificates.name())
        });
        let target = format!("/{number}/{round}");
        match connection.try_send(&Request::get(&target).bearer(key)) {
            Some(answer) if answer.status() == 200 && answer.text() == target => {
                add(&tally.http1);
                if answer.header("connection") == Some("close") {
                    client = None;
                }
            }
            Some(answer) => {
                tally.complain(format!("HTTP/1.1: {} {}", answer.status(), answer.text()))
            }
            None => {
                tally.complain("HTTP/1.1: no answer");
                client = None;
            }
        }
        sleep(pause);
    }
}

/// Sends requests with a key that is limited or revoked.
fn judged(
    address: SocketAddr,
    certificates: &Certificates,
    key: &Key,
    tally: &Tally,
    pause: Duration,
) {
    let mut client = None;
    while tally.goes_on() {
        let connection =
            client.get_or_insert_with(|| Client::tls(address, certificates, certificates.name()));
        let Some(answer) = connection.try_send(&Request::get("/judged").bearer(key)) else {
            tally.complain("judged: no answer");
            client = None;
            continue;
        };
        match answer.status() {
            200 => add(&tally.admitted),
            429 => add(&tally.over),
            401 => add(&tally.refused),
            status => tally.complain(format!("judged: {status}")),
        }
        if answer.header("connection") == Some("close") {
            client = None;
        }
        sleep(pause / 3);
    }
}

/// Sends ten requests at a time, on the same connection for as long as it persists.
// Longer than 60 lines: one client's loop, with each fault that it may see.
fn http2(
    address: SocketAddr,
    certificates: &Certificates,
    key: &Key,
    tally: &Tally,
    pause: Duration,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut tls = (*certificates.client_config()).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    runtime.block_on(async {
        while tally.goes_on() {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
            let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            add(&tally.connections);
            // The client is no longer ready once it has received GOAWAY.
            while tally.goes_on() && std::future::poll_fn(|cx| client.poll_ready(cx)).await.is_ok()
            {
                let mut answers = Vec::new();
                for _ in 0..10 {
                    let request = http::Request::get("https://localhost/many");
                    let request = request
                        .header("authorization", format!("Bearer {}", key.text))
                        .body(())
                        .unwrap();
                    match client.send_request(request, true) {
                        Ok((answer, _)) => answers.push(answer),
                        // GOAWAY has arrived in the meantime. This request was not sent.
                        Err(_) => break,
                    }
                }
                for answer in answers {
                    match tokio::time::timeout(PATIENCE, answer).await {
                        Ok(Ok(answer)) if answer.status() == 200 => {
                            let mut body = answer.into_body();
                            let mut whole = Vec::new();
                            while let Some(data) = body.data().await {
                                match data {
                                    Ok(data) => whole.extend(data),
                                    Err(error) => tally.complain(format!("HTTP/2: {error}")),
                                }
                            }
                            if whole == b"/many" {
                                add(&tally.http2)
                            } else {
                                tally.complain("HTTP/2: another body")
                            }
                        }
                        Ok(Ok(answer)) => tally.complain(format!("HTTP/2: {}", answer.status())),
                        Ok(Err(error)) => tally.complain(format!("HTTP/2: {error}")),
                        Err(_) => tally.complain("HTTP/2: no answer"),
                    }
                }
                tokio::time::sleep(pause * 3).await;
            }
        }
    });
}

/// Echoes messages on connections that outlive one or more upgrades.
fn websocket(
    address: SocketAddr,
    certificates: &Certificates,
    key: &Key,
    tally: &Tally,
    number: usize,
    pause: Duration,
) {
    while tally.goes_on() {
        let mut socket = WebSocket::open(address, Some(certificates), key);
        add(&tally.connections);
        let end = Instant::now() + Duration::from_millis(1500 + 1000 * number as u64);
        while tally.goes_on() && Instant::now() < end {
            if !socket.echo(b"are you there?") {
                tally.complain("WebSocket: no echo");
                break;
            }
            add(&tally.frames);
            sleep(pause);
        }
        socket.close();
    }
}
