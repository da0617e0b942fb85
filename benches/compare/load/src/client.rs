//! Connects to the program under test with TLS, or directly to the upstream without.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::Options;

pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// How to connect.
#[derive(Clone)]
pub struct Target {
    port: u16,
    tls: Option<TlsConnector>,
}

impl Target {
    /// Returns the target at `port=`: TLS 1.3 with X25519 that trusts `cert=`, without resumption,
    /// or plain TCP if `cert=` is not set.
    pub fn new(options: &Options) -> Self {
        let port = options.number("port") as u16;
        let tls = options.is_set("cert").then(|| {
            let mut roots = rustls::RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_file(options.text("cert")).expect("a certificate"))
                .expect("a root");
            let provider = rustls::crypto::CryptoProvider {
                kx_groups: vec![aws_lc_rs::kx_group::X25519],
                ..aws_lc_rs::default_provider()
            };
            let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .expect("TLS 1.3")
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.resumption = Resumption::disabled();
            TlsConnector::from(Arc::new(config))
        });
        Self { port, tls }
    }

    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        Ok(match &self.tls {
            Some(tls) => Box::new(tls.connect(name, stream).await?),
            None => Box::new(stream),
        })
    }
}

/// Returns the head of a request with a key.
pub fn head(method: &str, path: &str, key: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
            Accept: application/json\r\nUser-Agent: bench\r\n{more}\r\n"
    )
}

/// Reads a response with a `Content-Length` to its end, after which nothing more may arrive.
/// Returns the status, the length, and the beginning of the body. `buffer` is scratch space.
pub async fn read_answer(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<(u16, usize, String)> {
    buffer.clear();
    let end = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed in the middle of an \
                answer",
            ));
        }
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let (Some(status), Some(length)) = (status, length) else {
        return Err(io::Error::other(format!("an answer without status or length: {text}")));
    };
    let mut read = buffer.len() - end;
    let start = String::from_utf8_lossy(&buffer[end..]).into_owned();
    while read < length {
        buffer.clear();
        match stream.read_buf(buffer).await? {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "closed in the middle of \
                a body",
                ));
            }
            more => read += more,
        }
    }
    Ok((status, length, start))
}
