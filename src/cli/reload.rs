//! `keygate reload`.

use super::{DEFAULT_CONFIG, complain, print, with_hint};
use crate::config;
use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

mod pinned;

/// Make the running gateway read its file now, and say what changed or what is wrong
///
/// Saved edits are in force without this; it is for scripts that want to know the outcome, and for files on network mounts. It
/// calls the admin address with the token of an [[admin.token]] block, which it takes from the variable KEYGATE_ADMIN_TOKEN or
/// from --token-file. Ends with 1 if the gateway refuses the file; it then goes on with what it had.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where to look for the admin address
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// The admin address, such as http://127.0.0.1:9090, instead of the file's; https is checked by the system's authorities
    #[arg(long, value_name = "URL")]
    admin: Option<Uri>,
    /// Put the file in force even if it drops more keys than `max_removed_keys` of [reload] allows
    #[arg(long)]
    force: bool,
    /// A file that holds the token and nothing else
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Used where neither the command line nor the file says anything.
const USUAL_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// Reading a file with a million keys takes a while.
const DEADLINE: Duration = Duration::from_secs(60);
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;
const TOKEN_VARIABLE: &str = "KEYGATE_ADMIN_TOKEN";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let token = token(arguments)?;
    let admin = Admin::find(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    let call = async { tokio::time::timeout(DEADLINE, admin.reload(&token, arguments.force)).await };
    let (status, body) = match runtime.block_on(call) {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let error = error.context(format!("the gateway does not answer at {}", admin.shown()));
            return Err(with_hint(error, "is it running, and is this its admin address? --admin names another"));
        }
        Err(_) => bail!("the gateway at {} has not answered within {} seconds", admin.shown(), DEADLINE.as_secs()),
    };
    report(status, &body)
}

/// What `POST /v1/reload` answers with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    changes: Vec<String>,
    needs_restart: Vec<String>,
    warnings: Vec<String>,
    errors: Vec<Mistake>,
}

/// What the gateway does not like about the file.
#[derive(Debug, Deserialize)]
struct Mistake {
    message: String,
}

fn report(status: StatusCode, body: &[u8]) -> anyhow::Result<()> {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    match (status, answer) {
        (StatusCode::OK, Some(answer)) => {
            answer.warnings.iter().for_each(complain);
            let mut lines = answer.changes;
            if lines.is_empty() && answer.needs_restart.is_empty() {
                lines.push("the file is what runs already".to_owned());
            }
            lines.extend(answer.needs_restart.into_iter().map(|change| format!("needs a restart: {change}")));
            print(lines.join("\n"))
        }
        (StatusCode::UNPROCESSABLE_ENTITY, Some(answer)) => {
            answer.errors.iter().for_each(|mistake| complain(&mistake.message));
            bail!("the gateway refused the file and goes on with what it had")
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => {
            Err(with_hint(format_args!("the gateway does not accept this token for reloading ({})", status.as_u16()), TOKEN_HINT))
        }
        _ => bail!("the gateway answered {status}; is this really its admin address?"),
    }
}

const TOKEN_HINT: &str = "add an [[admin.token]] with `role = \"manage\"` and the digest that `keygate keys hash` makes of the token; \
     without one, `kill -HUP` of the process does the same, and it logs the outcome";

fn token(arguments: &Arguments) -> anyhow::Result<Zeroizing<String>> {
    let token = match &arguments.token_file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(token) => token,
            Err(std::env::VarError::NotUnicode(_)) => bail!("{TOKEN_VARIABLE} is no text"),
            Err(std::env::VarError::NotPresent) => {
                return Err(with_hint(
                    format_args!("there is no token: set {TOKEN_VARIABLE}, or name a file with --token-file"),
                    TOKEN_HINT,
                ));
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

/// Where the gateway listens for its operators.
#[derive(Debug)]
struct Admin {
    /// Host and port.
    authority: String,
    tls: Option<Arc<ClientConfig>>,
}

/// The two settings that matter here. The rest of the file may be wrong: that is what the gateway will say.
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
    fn find(arguments: &Arguments) -> anyhow::Result<Self> {
        if let Some(uri) = &arguments.admin {
            return Self::at(uri);
        }
        let text = std::fs::read_to_string(&arguments.config).unwrap_or_default();
        let section = toml::from_str(&text).ok().and_then(|file: File| file.admin);
        let listen = section.as_ref().and_then(|section| section.listen).unwrap_or(USUAL_ADMIN);
        let folder = arguments.config.parent().unwrap_or(Path::new(""));
        let tls = section.and_then(|section| section.tls).map(|tls| pinned::client(&folder.join(tls.cert))).transpose()?;
        Ok(Self { authority: reachable(listen).to_string(), tls })
    }

    fn at(uri: &Uri) -> anyhow::Result<Self> {
        let wrong = || with_hint(format_args!("`{uri}` is no admin address"), "such as http://127.0.0.1:9090");
        let authority = uri.authority().ok_or_else(wrong)?;
        ensure!(matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@'), wrong());
        let (tls, port) = match uri.scheme_str() {
            None | Some("http") => (None, 80),
            Some("https") => {
                let roots = config::root_store(None).context("cannot check the admin address's certificate")?;
                (Some(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())), 443)
            }
            Some(_) => return Err(wrong()),
        };
        Ok(Self { authority: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(port)), tls })
    }

    fn shown(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.authority)
    }

    async fn reload(&self, token: &str, force: bool) -> anyhow::Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(&self.authority).await?;
        let Some(tls) = &self.tls else { return self.exchange(stream, token, force).await };
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        self.exchange(TlsConnector::from(tls.clone()).connect(name, stream).await?, token, force).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        token: &str,
        force: bool,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // What goes wrong on it shows in the exchange.
        tokio::spawn(connection);
        let mut request = Request::new(Full::new(Bytes::from_static(if force { b"{\"force\":true}" } else { b"" })));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/v1/reload");
        if force {
            request.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        }
        let mut bearer = http::HeaderValue::from_str(&format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(header::HOST, self.authority.parse()?);
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), LONGEST_ANSWER).collect().await.map_err(|error| anyhow!("the answer broke off: {error}"))?;
        Ok((status, body.to_bytes()))
    }
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
