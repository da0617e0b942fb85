//! A small HTTP/1.1 server that records every request exactly and sends scripted responses. It uses
//! sockets directly, so that no library normalises header fields between the gateway and the test.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Message, PATIENCE, wait_for};

/// A response of the upstream.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    bytes: Vec<u8>,
    delay: Duration,
    close: bool,
}

impl Answer {
    /// A response with this status, these fields, this body, and its `Content-Length`.
    pub(crate) fn new(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let fields: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n", body.len());
        Self::raw([head.as_bytes(), body].concat())
    }

    /// A response of exactly these bytes.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), delay: Duration::ZERO, close: false }
    }

    /// Waits before the response is sent.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Closes the connection after the response.
    pub(crate) fn then_close(mut self) -> Self {
        self.close = true;
        self
    }
}

type Script = Box<dyn Fn(&Message) -> Answer + Send + Sync>;

struct Shared {
    requests: Mutex<Vec<Message>>,
    connections: AtomicUsize,
    script: Mutex<Arc<Script>>,
}

/// The server. It runs until the process ends.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Starts a server that responds 200 with the body `{"data":[]}`.
    pub(crate) fn start() -> Self {
        Self::answering(|_| {
            Answer::new("200 OK", &[("content-type", "application/json")], br#"{"data":[]}"#)
        })
    }

    /// Starts a server that responds to each request with what `script` returns.
    pub(crate) fn answering(script: impl Fn(&Message) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let script: Arc<Script> = Arc::new(Box::new(script));
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            script: Mutex::new(script),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let shared = accepting.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// Replaces the script.
    pub(crate) fn answer(&self, script: impl Fn(&Message) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(Box::new(script));
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests received so far.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Removes and returns the requests received since the last call.
    pub(crate) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }

    /// Discards the recorded requests, so that a long test does not accumulate them.
    pub(crate) fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
    }

    /// Returns the latest request. Waits for one if there is none.
    #[track_caller]
    pub(crate) fn last(&self) -> Message {
        wait_for("a request at the upstream", || self.requests().pop())
    }

    /// Returns the number of connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Asserts that no connection was made.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(
            (self.connections(), self.requests()),
            (0, Vec::new()),
            "the upstream was contacted"
        );
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(10 * PATIENCE));
        let _ = stream.set_nodelay(true);
        let Ok(mut out) = stream.try_clone() else { return };
        let mut stream = BufReader::new(stream);
        loop {
            let request = match Message::read(&mut stream, |_| true) {
                Ok(Some(request)) => request,
                // The gateway must never send this. It is recorded, so that a test which checks the
                // requests fails.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                    let start = "something that is no request".to_owned();
                    return self
                        .requests
                        .lock()
                        .unwrap()
                        .push(Message { start, ..Message::default() });
                }
                Ok(None) | Err(_) => return,
            };
            self.requests.lock().unwrap().push(request.clone());
            let script = self.script.lock().unwrap().clone();
            let answer = script(&request);
            std::thread::sleep(answer.delay);
            let is_head = request.start.starts_with("HEAD ");
            let end = answer
                .bytes
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .map_or(0, |at| at + 4);
            let bytes = if is_head { &answer.bytes[..end] } else { &answer.bytes };
            if out.write_all(bytes).is_err() || answer.close {
                return;
            }
        }
    }
}
