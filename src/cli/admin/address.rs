//! The gateway's admin address, and how its identity is checked.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pinned;
use crate::cli::error::with_hint;
use crate::cli::reachable::reachable;
use crate::config;

const VARIABLE: &str = "KEYGATE_ADMIN";
const HINT: &str = "name the file with --config, or the address with --admin or KEYGATE_ADMIN, \
    such as http://127.0.0.1:9190";

/// An admin address.
#[derive(Debug)]
pub(super) struct Address {
    /// Host and port.
    pub(super) authority: String,
    /// The TLS settings that check the certificate, or `None` for plain text.
    tls: Option<Arc<ClientConfig>>,
}

/// Why a file does not yield the address.
#[derive(Debug, Error)]
enum NoAddress {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("is not TOML from line {0} on")]
    NotToml(usize),
    #[error("has no [admin]")]
    NoAdmin,
    #[error("has no `listen` in [admin]")]
    NoListen,
    #[error("has a `listen` in [admin] that is not an address with a port")]
    NotAnAddress,
}

/// The only part of the file that is read here. The rest may be invalid: a running gateway keeps
/// its previous configuration.
#[derive(Debug, Deserialize)]
struct File {
    admin: Option<toml::Value>,
}

impl Address {
    /// Returns the address that the command line names, else the file's, else the environment's.
    /// There is no default address.
    pub(super) fn find(file: &Path, named: Option<&Uri>) -> anyhow::Result<Self> {
        if let Some(uri) = named {
            return Self::from_uri(uri);
        }
        let why = match section(file) {
            Ok((listen, admin)) => return Self::from_section(file, listen, &admin),
            Err(why) => why,
        };
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => text
                .parse()
                .map_err(|_| wrong(&text))
                .and_then(|uri| Self::from_uri(&uri))
                .context(VARIABLE),
            Err(std::env::VarError::NotUnicode(_)) => bail!("{VARIABLE} is no text"),
            _ => {
                let what = format!(
                    "there is no admin address: {} {why}, and nothing else names one",
                    file.display()
                );
                Err(with_hint(what, HINT))
            }
        }
    }

    fn from_section(file: &Path, listen: SocketAddr, admin: &toml::Value) -> anyhow::Result<Self> {
        let tls = match admin.get("tls") {
            None => None,
            Some(tls) => {
                let cert = tls.get("cert").and_then(toml::Value::as_str).with_context(|| {
                    format!(
                        "[admin.tls] of {} has no `cert` to know the gateway by",
                        file.display()
                    )
                })?;
                let folder = file.parent().unwrap_or(Path::new(""));
                Some(pinned::client(&folder.join(PathBuf::from(cert)))?)
            }
        };
        let address = reachable(listen);
        if tls.is_none() {
            ensure_loopback(&address.ip().to_string())?;
        }
        Ok(Self { authority: address.to_string(), tls })
    }

    fn from_uri(uri: &Uri) -> anyhow::Result<Self> {
        let authority = uri.authority().ok_or_else(|| wrong(uri))?;
        ensure!(
            matches!(uri.path(), "" | "/")
                && uri.query().is_none()
                && !authority.as_str().contains('@'),
            wrong(uri)
        );
        let (tls, port) = match uri.scheme_str() {
            None | Some("http") => {
                ensure_loopback(authority.host())?;
                (None, 80)
            }
            Some("https") => {
                let roots = config::root_store(None)
                    .context("cannot check the admin address's certificate")?;
                let builder = ClientConfig::builder().with_root_certificates(roots);
                (Some(Arc::new(builder.with_no_client_auth())), 443)
            }
            Some(_) => return Err(wrong(uri)),
        };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self { authority: format!("{}:{port}", authority.host()), tls })
    }

    /// Returns whether a TLS certificate proves the gateway's identity.
    pub(super) fn is_certified(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the address as a URL.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", if self.is_certified() { "https" } else { "http" }, self.authority)
    }

    /// Connects, and checks the certificate if the address uses TLS.
    pub(super) async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.authority).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        Ok(Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?))
    }
}

/// A connection, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Reads `[admin]` of the file, and the `listen` in it.
fn section(file: &Path) -> Result<(SocketAddr, toml::Value), NoAddress> {
    let text = std::fs::read_to_string(file)?;
    // The parser's error quotes the line, which may contain a secret.
    let file: File = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        NoAddress::NotToml(text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1)
    })?;
    let admin = file.admin.filter(toml::Value::is_table).ok_or(NoAddress::NoAdmin)?;
    let listen = admin.get("listen").ok_or(NoAddress::NoListen)?;
    let listen = listen.as_str().and_then(|listen| listen.parse().ok());
    Ok((listen.ok_or(NoAddress::NotAnAddress)?, admin))
}

/// Fails for a host that is not this machine: without TLS, the token could be read on the way.
fn ensure_loopback(host: &str) -> anyhow::Result<()> {
    let bare = host.trim_matches(['[', ']']);
    let is_loopback = match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => bare == "localhost" || bare.ends_with(".localhost"),
    };
    if is_loopback {
        return Ok(());
    }
    Err(with_hint(
        format_args!("`{host}` is not this machine, so the token is sent over TLS only"),
        "call it by https",
    ))
}

fn wrong(text: impl std::fmt::Display) -> anyhow::Error {
    with_hint(format_args!("`{text}` is no admin address"), "such as http://127.0.0.1:9190")
}
