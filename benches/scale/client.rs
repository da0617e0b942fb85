//! An HTTP/1.1 client with one persistent connection.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway::{Gateway, TOKEN};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects to the data address.
    pub(crate) async fn data(gateway: &Gateway) -> Self {
        let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
        let connector = tokio_rustls::TlsConnector::from(gateway.tls.clone());
        let stream =
            connector.connect(name, connect(gateway.data).await).await.expect("a handshake");
        Self { stream: Box::new(stream), buffer: Vec::with_capacity(8192) }
    }

    /// Connects to the admin address.
    pub(crate) async fn admin(gateway: &Gateway) -> Self {
        Self { stream: Box::new(connect(gateway.admin).await), buffer: Vec::with_capacity(8192) }
    }

    /// Sends a request. Returns the status and the body of the whole response.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> (u16, &[u8]) {
        self.try_exchange(request).await.expect("the gateway closed the connection")
    }

    /// Does the same as [`Self::exchange`]. Returns `None` if the connection ended before the
    /// response did.
    async fn try_exchange(&mut self, request: &[u8]) -> Option<(u16, &[u8])> {
        self.stream.write_all(request).await.ok()?;
        self.buffer.clear();
        let body = loop {
            if let Some(body) = body_of_whole(&self.buffer) {
                break body;
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        };
        let status =
            std::str::from_utf8(&self.buffer[9..12]).ok().and_then(|status| status.parse().ok());
        Some((status.expect("a status"), &self.buffer[body..]))
    }

    /// Sends a request with this key. Returns the status.
    pub(crate) async fn tickets(&mut self, secret: &str) -> u16 {
        self.exchange(&tickets(secret)).await.0
    }

    /// Returns whether this key, which may be revoked at any moment, is refused. A request in
    /// progress at that moment is cut off, as promised. The next one is judged anew.
    pub(crate) async fn is_refused(&mut self, gateway: &Gateway, secret: &str) -> bool {
        loop {
            match self.try_exchange(&tickets(secret)).await {
                Some((status, _)) => return status == 401,
                None => *self = Self::data(gateway).await,
            }
        }
    }

    /// Posts to the admin API.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> (u16, serde_json::Value) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\
                Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (status, body) = self.exchange(request.as_bytes()).await;
        (status, serde_json::from_slice(body).unwrap_or_default())
    }

    /// Creates a key. Returns its id and the key itself.
    pub(crate) async fn create(&mut self, name: &str) -> (String, String) {
        let body = format!(
            r#"{{"name": "{name}", "organization": "org_000001", "scopes": ["tickets:read"]}}"#
        );
        let (status, answer) = self.post("/v1/keys", &body).await;
        assert_eq!(status, 201, "{answer}");
        let text = |member: &str| answer[member].as_str().expect("a text").to_owned();
        (text("id"), text("key"))
    }

    /// Revokes a key.
    pub(crate) async fn revoke(&mut self, id: &str) {
        let (status, answer) = self.post(&format!("/v1/keys/{id}/revoke"), "{}").await;
        assert_eq!(status, 200, "{answer}");
    }
}

async fn connect(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// Returns a request for tickets with this key.
pub(crate) fn tickets(secret: &str) -> Vec<u8> {
    format!(
        "GET /api/v1/tickets HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
        Accept: application/json\r\nUser-Agent: bench\r\n\r\n"
    )
    .into_bytes()
}

/// Returns the offset of the body of a response with a `Content-Length`, or `None` if the response
/// is incomplete.
fn body_of_whole(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    (answer.len() >= head + 4 + length.unwrap_or(0)).then_some(head + 4)
}
