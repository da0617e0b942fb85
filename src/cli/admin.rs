//! The admin API of the running gateway, as the commands call it. They change nothing themselves:
//! the gateway is the only writer.

mod answer;
mod pinned;

pub(super) use answer::Answer;

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{DEFAULT_CONFIG, with_hint};
use crate::config;

// Doc comments on arguments that commands share would take the place of the commands' own in their
// `--help`.

// Which gateway, and who asks.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Where to look for the admin address
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG, help_heading = "Gateway")]
    config: PathBuf,
    #[command(flatten)]
    login: Login,
}

// The same without the file.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// The admin address, such as http://127.0.0.1:9090, instead of the file's; https is checked by
    /// the system's authorities
    #[arg(long, value_name = "URL", help_heading = "Gateway")]
    admin: Option<Uri>,
    /// A file that holds the admin token and nothing else, instead of the variable
    /// KEYGATE_ADMIN_TOKEN
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    token_file: Option<PathBuf>,
}

/// Used where neither the command line nor the file says anything.
const USUAL_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// Reading a file with a million keys takes a while.
const DEADLINE: Duration = Duration::from_secs(60);
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;
const TOKEN_VARIABLE: &str = "KEYGATE_ADMIN_TOKEN";
const TOKEN_HINT: &str = "add an [[admin.token]] with `role = \"manage\"` and the digest that \
    `keygate keys hash` makes of the token";

/// The connection ended, or the time was over, when the request was on its way: the gateway may
/// have done what it says, or not.
#[derive(Debug)]
pub(super) struct Broken;

impl Display for Broken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(
            "the connection broke before the gateway answered, so the change may have \
            been made or not",
        )
    }
}

/// Where a gateway listens for its operators, and the token to show there.
#[derive(Debug)]
pub(super) struct Admin {
    /// Host and port.
    authority: String,
    tls: Option<Arc<ClientConfig>>,
    token: Zeroizing<String>,
    runtime: Runtime,
}

/// The two settings that matter here. The rest of the file may be wrong: that is what the gateway
/// will say.
#[derive(Debug, Deserialize)]
struct File {
    admin: Option<AdminSection>,
}

#[derive(Debug, Deserialize)]
struct AdminSection {
    listen: Option<SocketAddr>,
    tls: Option<TlsSection>,
}

#[derive(Debug, Deserialize)]
struct TlsSection {
    cert: PathBuf,
}

impl Admin {
    /// Finds the address and the token; nothing is sent yet.
    pub(super) fn find(connection: &Connection) -> anyhow::Result<Self> {
        Self::find_in(&connection.config, &connection.login)
    }

    /// The same with this configuration file.
    pub(super) fn find_in(file: &Path, login: &Login) -> anyhow::Result<Self> {
        let token = token(login)?;
        let (authority, tls) = match &login.admin {
            Some(uri) => named(uri)?,
            None => in_file(file)?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        Ok(Self { authority, tls, token, runtime })
    }

    /// Calls `path`, which may have a query.
    ///
    /// # Errors
    /// There is no answer; [`Broken`] is in the chain where the request may have arrived all the
    /// same.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        header: Option<(HeaderName, &str)>,
    ) -> anyhow::Result<Answer> {
        let mut request =
            Request::new(Full::new(Bytes::from(body.map_or_else(String::new, Value::to_string))));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse()?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", *self.token))?;
        bearer.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.parse()?);
        headers.insert(AUTHORIZATION, bearer);
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some((name, value)) = header {
            headers.insert(name, value.parse()?);
        }
        self.runtime.block_on(async {
            let late = || anyhow!("nothing came within {} seconds", DEADLINE.as_secs());
            let stream = match tokio::time::timeout(DEADLINE, self.connect()).await {
                Ok(connected) => connected.map_err(|error| self.unreachable(&error))?,
                Err(_) => return Err(self.unreachable(&late())),
            };
            match tokio::time::timeout(DEADLINE, exchange(stream, request)).await {
                Ok(answer) => answer,
                Err(_) => Err(late()),
            }
            .context(Broken)
        })
    }

    /// Calls `path` and expects success.
    ///
    /// # Errors
    /// There is no answer, or a refusal, told as the gateway tells it.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        self.call(method, path, body, None)?.accepted()
    }

    fn unreachable(&self, error: &anyhow::Error) -> anyhow::Error {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let what =
            format!("the gateway does not answer at {scheme}://{}: {error:#}", self.authority);
        with_hint(what, "is it running, and is this its admin address? --admin names another")
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.authority).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        Ok(Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?))
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Answer> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong on it shows in the exchange.
    tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    let body = body.map_err(|error| anyhow!("the answer broke off: {error}"))?.to_bytes();
    Ok(Answer { status, body })
}

/// A name or an id as one segment of a path, or one value of a query (RFC 3986 §2.3).
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn token(login: &Login) -> anyhow::Result<Zeroizing<String>> {
    let token = match &login.token_file {
        Some(file) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?,
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(token) => token,
            Err(std::env::VarError::NotUnicode(_)) => bail!("{TOKEN_VARIABLE} is no text"),
            Err(std::env::VarError::NotPresent) => {
                let what = format!(
                    "there is no token: set {TOKEN_VARIABLE}, or name a file with --token-file"
                );
                return Err(with_hint(what, TOKEN_HINT));
            }
        },
    };
    let token = Zeroizing::new(token);
    let trimmed = Zeroizing::new(token.trim_ascii().to_owned());
    ensure!(
        !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_graphic()),
        "the token must be one word of visible ASCII characters"
    );
    Ok(trimmed)
}

/// The address that the configuration names.
fn in_file(file: &Path) -> anyhow::Result<(String, Option<Arc<ClientConfig>>)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let section = toml::from_str(&text).ok().and_then(|file: File| file.admin);
    let listen = section.as_ref().and_then(|section| section.listen).unwrap_or(USUAL_ADMIN);
    let folder = file.parent().unwrap_or(Path::new(""));
    let tls = section
        .and_then(|section| section.tls)
        .map(|tls| pinned::client(&folder.join(tls.cert)))
        .transpose()?;
    Ok((reachable(listen).to_string(), tls))
}

/// The address that the command line names.
fn named(uri: &Uri) -> anyhow::Result<(String, Option<Arc<ClientConfig>>)> {
    let wrong =
        || with_hint(format_args!("`{uri}` is no admin address"), "such as http://127.0.0.1:9090");
    let authority = uri.authority().ok_or_else(wrong)?;
    ensure!(
        matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !authority.as_str().contains('@'),
        wrong()
    );
    let (tls, port) = match uri.scheme_str() {
        None | Some("http") => (None, 80),
        Some("https") => {
            let roots =
                config::root_store(None).context("cannot check the admin address's certificate")?;
            (
                Some(Arc::new(
                    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(),
                )),
                443,
            )
        }
        Some(_) => return Err(wrong()),
    };
    Ok((format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(port)), tls))
}

/// Where to call what listens on every address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
