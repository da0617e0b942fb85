//! HTTP/2, written and read byte by byte, so that a test can send what no library would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use crate::harness::{Gateway, PATIENCE};

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
/// The flags of a HEADERS frame that is a complete request without a body.
pub(super) const WHOLE: u8 = END_STREAM | END_HEADERS;
pub(super) const PADDED: u8 = 8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

/// Error codes (RFC 9113 §7).
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const COMPRESSION_ERROR: u32 = 9;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// Encodes a frame. The parts need not be valid.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// Encodes a frame whose payload is one 32-bit number.
pub(super) fn number(kind: u8, stream: u32, number: u32) -> Vec<u8> {
    frame(kind, 0, stream, &number.to_be_bytes())
}

/// Encodes a SETTINGS frame.
pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let values: Vec<u8> = values
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &values)
}

/// Encodes a literal field with a literal name (RFC 7541 §6.2). `form`: the first byte, which says
/// how the field is indexed.
pub(super) fn literal_as(form: u8, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![form], text(name.as_ref()), text(value.as_ref())].concat()
}

/// Encodes a literal field without indexing (RFC 7541 §6.2.2).
pub(super) fn literal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    literal_as(0, name, value)
}

/// Encodes a string without Huffman coding (RFC 7541 §5.2).
pub(super) fn text(text: &[u8]) -> Vec<u8> {
    [integer(0, 7, text.len()), text.to_vec()].concat()
}

/// Encodes an integer (RFC 7541 §5.1).
pub(super) fn integer(form: u8, prefix: u32, mut value: usize) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    if value < most {
        return vec![form | u8::try_from(value).unwrap()];
    }
    value -= most;
    let mut out = vec![form | u8::try_from(most).unwrap()];
    while value >= 0x80 {
        out.push((value % 0x80) as u8 | 0x80);
        value /= 0x80;
    }
    out.push(value as u8);
    out
}

/// Encodes these fields as a header block.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// Returns the pseudo-header fields of a request.
pub(super) fn pseudo<'t>(method: &'t str, path: &'t str) -> [(&'t str, &'t str); 4] {
    [(":method", method), (":scheme", "http"), (":authority", "desk.example"), (":path", path)]
}

/// Encodes the header block of a request. `more`: the fields after the pseudo-header fields.
pub(super) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    [block(&pseudo(method, path)), block(more)].concat()
}

/// Encodes a complete GET request.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", path, &[]))
}

/// Encodes the head of a POST request. Its body is sent separately.
pub(super) fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", path, &[]))
}

/// A received frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// Returns the error code of a RST_STREAM or GOAWAY frame.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Returns the status that begins the header block of a response. The gateway adds nothing to
    /// the dynamic table, so the block can be read without earlier ones.
    pub(super) fn status(&self) -> u16 {
        match self.payload.strip_prefix(b"\x20").unwrap_or(&self.payload) {
            [indexed @ 0x88..=0x8e, ..] => {
                [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]
            }
            [8, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
            other => panic!("no status: {other:?}"),
        }
    }

    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

trait Bytes: Read + Write + Send {}
impl<B: Read + Write + Send> Bytes for B {}

/// A connection.
pub(super) struct Wire {
    bytes: Box<dyn Bytes>,
    socket: TcpStream,
}

impl Wire {
    /// Connects and sends nothing.
    pub(super) fn connect(gateway: &Gateway) -> Self {
        let socket = dial(gateway);
        Self { bytes: Box::new(socket.try_clone().unwrap()), socket }
    }

    /// Connects with TLS and negotiates `h2`.
    pub(super) fn connect_tls(gateway: &Gateway) -> Self {
        let socket = dial(gateway);
        let mut config = (*gateway.certificates().client_config()).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = gateway.certificates().name().to_owned().try_into().unwrap();
        let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        Self {
            bytes: Box::new(rustls::StreamOwned::new(session, socket.try_clone().unwrap())),
            socket,
        }
    }

    /// Connects and sends the preface and SETTINGS.
    pub(super) fn open(gateway: &Gateway) -> Self {
        Self::open_with(gateway, &[])
    }

    /// Connects and sends the preface and these SETTINGS.
    pub(super) fn open_with(gateway: &Gateway, values: &[(u16, u32)]) -> Self {
        let mut wire = Self::connect(gateway);
        wire.send(&[PREFACE, &settings(values)].concat());
        wire
    }

    /// Sends the bytes. Returns `false` if the peer has stopped reading, which callers may ignore:
    /// only its response counts.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        self.bytes.write_all(bytes).and_then(|()| self.bytes.flush()).is_ok()
    }

    /// Sets the timeout of each read and write.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        self.socket.set_write_timeout(Some(patience)).unwrap();
    }

    /// Returns the next frame, or `None` if the peer has closed the connection.
    ///
    /// # Panics
    /// Panics if no frame arrives within the timeout.
    #[track_caller]
    pub(super) fn read(&mut self) -> Option<Frame> {
        self.try_read().expect("a frame or the end")
    }

    /// Returns the next frame, or `None` if the peer has closed the connection.
    ///
    /// # Errors
    /// Returns the error of the read, such as a timeout.
    pub(super) fn try_read(&mut self) -> std::io::Result<Option<Frame>> {
        let mut head = [0; 9];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        let whole = self.fill(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(whole.then_some(Frame { kind: head[3], flags: head[4], stream, payload }))
    }

    /// Fills the buffer. Returns `false` if the peer closes the connection first.
    fn fill(&mut self, buffer: &mut [u8]) -> std::io::Result<bool> {
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
        match self.bytes.read_exact(buffer) {
            Err(error)
                if matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted) =>
            {
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    }

    /// Reads up to the first frame for which `found` returns `true`, and returns it.
    #[track_caller]
    pub(super) fn read_until(&mut self, mut found: impl FnMut(&Frame) -> bool) -> Frame {
        let mut before = Vec::new();
        while let Some(frame) = self.read() {
            if found(&frame) {
                return frame;
            }
            before.push((frame.kind, frame.flags, frame.stream, frame.payload.len()));
        }
        panic!("the connection was closed behind {before:?}");
    }

    /// Returns the status of the response on a stream.
    #[track_caller]
    pub(super) fn status(&mut self, stream: u32) -> u16 {
        self.read_until(|frame| frame.kind == HEADERS && frame.stream == stream).status()
    }

    /// Waits until the connection ends. Returns the error code of its last GOAWAY.
    #[track_caller]
    pub(super) fn goodbye(&mut self) -> u32 {
        self.end().expect("GOAWAY before the end")
    }

    /// Waits until the connection ends. Returns the error code of its last GOAWAY, or `None` if
    /// none arrived: GOAWAY is lost if the client sent more than the gateway reads after it.
    #[track_caller]
    pub(super) fn end(&mut self) -> Option<u32> {
        std::iter::from_fn(|| self.read())
            .filter(|frame| frame.kind == GOAWAY)
            .last()
            .map(|frame| frame.code())
    }

    /// Shuts down the sending direction and keeps the receiving direction open.
    pub(super) fn end_sending(&self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Waits until the connection ends. Returns the error codes of the GOAWAY frames, and the
    /// result of the last read, which is an error if a TLS connection ends without close_notify.
    pub(super) fn ending(&mut self) -> (Vec<u32>, std::io::Result<()>) {
        let mut codes = Vec::new();
        let mut all = Vec::new();
        let end = self.bytes.read_to_end(&mut all).map(drop);
        let mut rest = &all[..];
        while let [a, b, c, kind, _, _, _, _, _, payload @ ..] = rest {
            let (payload, next) = payload.split_at(u32::from_be_bytes([0, *a, *b, *c]) as usize);
            if *kind == GOAWAY {
                codes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
            rest = next;
        }
        (codes, end)
    }
}

fn dial(gateway: &Gateway) -> TcpStream {
    let socket = TcpStream::connect(gateway.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}
