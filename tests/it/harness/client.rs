//! A client that sends exactly the bytes it is given and reads exactly the bytes that it receives.

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
    /// Creates a request with a default `Host`, which [`Self::host`] replaces.
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

/// A connection.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

impl Client {
    /// Connects without TLS.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self::over(connect(address))
    }

    /// Connects with TLS and sends `name` as the server name (SNI).
    pub(crate) fn tls(address: SocketAddr, certificates: &Certificates, name: &str) -> Self {
        let name = name.to_owned().try_into().expect("a server name");
        let session = rustls::ClientConnection::new(certificates.client_config(), name)
            .expect("a TLS session");
        Self::over(rustls::StreamOwned::new(session, connect(address)))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)) }
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) -> Message {
        self.write(&request.bytes());
        self.read(&request.method)
    }

    /// Sends a request and reads its response. Returns `None` if no complete response arrives
    /// because the peer has closed the connection.
    pub(crate) fn try_send(&mut self, request: &Request) -> Option<Message> {
        self.write(&request.bytes());
        Message::read(&mut self.stream, |answer| answer.status() != 204).ok().flatten()
    }

    /// Sends these bytes. Ignores write errors: the peer may stop reading once it has responded,
    /// and only its response counts.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stream = self.stream.get_mut();
        let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    }

    /// Reads the response to a request with this method. Skips interim responses other than 101.
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

    /// Returns whether the peer has closed the connection, after everything that it sent was read.
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
