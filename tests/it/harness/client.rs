//! A client that sends exactly what it is told and reads exactly what comes back.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Certificates, Key, Message, PATIENCE};

/// A request as it is written to the socket.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request with a `Host` of its own, unless [`Self::host`] changes it.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: vec![("Host".into(), "desk.example".into())],
            body: Vec::new(),
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.headers[0].1 = host.into();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn bearer(self, key: &Key) -> Self {
        self.header("Authorization", &format!("Bearer {}", key.text))
    }

    pub(crate) fn body(self, body: &[u8]) -> Self {
        let mut request = self.header("Content-Length", &body.len().to_string());
        request.body = body.to_vec();
        request
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("\r\n");
        [out.as_bytes(), &self.body].concat()
    }
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// One connection.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Connects without TLS.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    /// Connects with TLS, asking for `name`.
    pub(crate) fn tls(address: SocketAddr, certificates: &Certificates, name: &str) -> Self {
        let name = name.to_owned().try_into().expect("a server name");
        let session = rustls::ClientConnection::new(certificates.client_config(), name)
            .expect("a TLS session");
        Self::over(rustls::StreamOwned::new(session, connect(address)))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Sends a request and reads its answer.
    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) -> Message {
        self.write(&request.bytes());
        self.read(&request.method)
    }

    /// Sends a request and reads its answer; nothing where there is no whole one, because the other
    /// side is gone.
    pub(crate) fn try_send(&mut self, request: &Request) -> Option<Message> {
        self.write(&request.bytes());
        Message::read(&mut self.stream, |answer| answer.status() != 204).ok().flatten()
    }

    /// Sends these bytes. What the other side does not take any more is no matter: its answer is
    /// what counts.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stream = self.stream.get_mut();
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    }

    /// Reads the answer to a request with this method, skipping interim ones.
    #[track_caller]
    pub(crate) fn read(&mut self, method: &str) -> Message {
        loop {
            let has_body = |answer: &Message| {
                method != "HEAD" && !matches!(answer.status(), 100..=199 | 204 | 304)
            };
            let answer = Message::read(&mut self.stream, has_body)
                .expect("a whole answer")
                .expect("an answer");
            if !(100..200).contains(&answer.status()) || answer.status() == 101 {
                return answer;
            }
        }
    }

    /// Whether the other side has closed, after everything it sent was read.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the gateway accepts");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(PATIENCE)).expect("a read deadline");
    stream.set_write_timeout(Some(PATIENCE)).expect("a write deadline");
    stream
}
