//! WebSocket frames (RFC 6455 §5.2) with payloads of at most 125 bytes: a client, and an upstream
//! that echoes.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Certificates, Key, Message, PATIENCE};

/// The upstream's response to an opening handshake.
pub(crate) const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: x\r\n\r\n";

/// Echoes each frame, until a Close frame or the end of the connection.
pub(crate) fn echo_frames(stream: &mut BufReader<TcpStream>) -> Option<()> {
    loop {
        let mut head = [0; 6];
        stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; usize::from(head[1] & 0x7f)];
        stream.read_exact(&mut payload).ok()?;
        payload.iter_mut().zip(head[2..].iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        let frame = [&[head[0], head[1] & 0x7f][..], &payload].concat();
        stream.get_mut().write_all(&frame).ok()?;
        if head[0] == 0x88 {
            return None;
        }
    }
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A client of the echoing upstream.
pub(crate) struct WebSocket {
    stream: BufReader<Box<dyn Stream>>,
}

impl WebSocket {
    #[track_caller]
    pub(crate) fn open(address: SocketAddr, tls: Option<&Certificates>, key: &Key) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(certificates) => {
                let name = certificates.name().to_owned().try_into().unwrap();
                let session =
                    rustls::ClientConnection::new(certificates.client_config(), name).unwrap();
                Box::new(rustls::StreamOwned::new(session, stream))
            }
        };
        let mut stream = BufReader::new(stream);
        let head = format!(
            "GET /live HTTP/1.1\r\nHost: desk.example\r\nAuthorization: Bearer {}\r\n\
                Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            key.text
        );
        stream.get_mut().write_all(head.as_bytes()).unwrap();
        assert_eq!(Message::read_head(&mut stream).unwrap().unwrap().status(), 101);
        Self { stream }
    }

    fn send(&mut self, kind: u8, payload: &[u8]) -> bool {
        let mask = [1, 2, 3, 4];
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let mut frame = vec![kind, 0x80 | u8::try_from(payload.len()).unwrap()];
        frame.extend(mask);
        frame.extend(masked);
        self.stream.get_mut().write_all(&frame).and_then(|()| self.stream.get_mut().flush()).is_ok()
    }

    fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; usize::from(head[1])];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }

    /// Sends a text message. Returns whether it was echoed.
    pub(crate) fn echo(&mut self, text: &[u8]) -> bool {
        self.send(0x81, text) && self.receive() == Some((0x81, text.to_vec()))
    }

    /// Returns the status code of the Close frame that the peer sends, or `None` if there is none.
    pub(crate) fn closed_with(mut self) -> Option<u16> {
        let (kind, payload) = self.receive()?;
        assert_eq!(kind, 0x88);
        Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]))
    }

    pub(crate) fn close(mut self) {
        assert!(self.send(0x88, &1000u16.to_be_bytes()));
        assert_eq!(self.receive().map(|(kind, _)| kind), Some(0x88));
    }
}
