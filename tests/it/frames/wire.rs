//! HTTP/2 written and read byte by byte, so that a test can send what no library would.

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
/// Of a request without a body that fits into one frame.
pub(super) const WHOLE: u8 = END_STREAM | END_HEADERS;
pub(super) const PADDED: u8 = 8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

/// The codes of RFC 9113 §7.
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const COMPRESSION_ERROR: u32 = 9;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame of these parts, whatever they say.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// A frame whose payload is one number.
pub(super) fn number(kind: u8, stream: u32, number: u32) -> Vec<u8> {
    frame(kind, 0, stream, &number.to_be_bytes())
}

/// A SETTINGS frame.
pub(super) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let values: Vec<u8> = values
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &values)
}

/// A field that no table holds: `form` says how it is to be kept (RFC 7541 §6.2).
pub(super) fn literal_as(form: u8, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![form], text(name.as_ref()), text(value.as_ref())].concat()
}

/// The same, not to be kept.
pub(super) fn literal(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    literal_as(0, name, value)
}

/// A string as it is (RFC 7541 §5.2).
pub(super) fn text(text: &[u8]) -> Vec<u8> {
    [integer(0, 7, text.len()), text.to_vec()].concat()
}

/// RFC 7541 §5.1.
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

/// A header block of these fields.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// The pseudo-header fields of a request.
pub(super) fn pseudo<'t>(method: &'t str, path: &'t str) -> [(&'t str, &'t str); 4] {
    [(":method", method), (":scheme", "http"), (":authority", "desk.example"), (":path", path)]
}

/// The header block of a request with more fields.
pub(super) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    [block(&pseudo(method, path)), block(more)].concat()
}

/// A whole GET.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, WHOLE, stream, &request("GET", path, &[]))
}

/// A POST whose body is to follow.
pub(super) fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request("POST", path, &[]))
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The code of a RST_STREAM or a GOAWAY.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status that an answer's header block begins with. The gateway keeps nothing in tables,
    /// so the block says it alone.
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
    /// Connects and says nothing.
    pub(super) fn connect(gateway: &Gateway) -> Self {
        let socket = dial(gateway);
        Self { bytes: Box::new(socket.try_clone().unwrap()), socket }
    }

    /// Connects with TLS and agrees on `h2`.
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

    /// The same with these settings.
    pub(super) fn open_with(gateway: &Gateway, values: &[(u16, u32)]) -> Self {
        let mut wire = Self::connect(gateway);
        wire.send(&[PREFACE, &settings(values)].concat());
        wire
    }

    /// Sends all of it, or what the other side takes of it: its answer is what counts.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        self.bytes.write_all(bytes).and_then(|()| self.bytes.flush()).is_ok()
    }

    /// How long reading and writing may take from now on.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        self.socket.set_write_timeout(Some(patience)).unwrap();
    }

    /// The next frame; nothing once the other side has closed.
    ///
    /// # Panics
    /// Nothing comes for too long.
    #[track_caller]
    pub(super) fn read(&mut self) -> Option<Frame> {
        self.try_read().expect("a frame or the end")
    }

    /// The same, where it is no surprise that nothing comes.
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

    /// Reads so many bytes; false where the other side has closed before.
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

    /// Reads up to the first frame that is looked for.
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

    /// The status of the answer on a stream.
    #[track_caller]
    pub(super) fn status(&mut self, stream: u32) -> u16 {
        self.read_until(|frame| frame.kind == HEADERS && frame.stream == stream).status()
    }

    /// The code of the GOAWAY that the connection ends with.
    #[track_caller]
    pub(super) fn goodbye(&mut self) -> u32 {
        self.end().expect("GOAWAY before the end")
    }

    /// Waits for the end; the code of the GOAWAY before it. That one is lost where more was sent
    /// than the gateway reads behind it.
    #[track_caller]
    pub(super) fn end(&mut self) -> Option<u32> {
        std::iter::from_fn(|| self.read())
            .filter(|frame| frame.kind == GOAWAY)
            .last()
            .map(|frame| frame.code())
    }

    /// Closes this side and goes on listening, as far as the other side can tell.
    pub(super) fn end_sending(&self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Waits for the end: the codes of the GOAWAY frames before it, and what is wrong with it, as
    /// a client sees it that asks for close_notify.
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
