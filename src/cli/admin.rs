//! The client of the running gateway's admin API, which the commands share. The commands change
//! nothing themselves: the gateway is the only writer.

mod address;
mod answer;
mod exchange;
mod pinned;
mod proof;

pub(super) use answer::Answer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Method, Uri};
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use zeroize::Zeroizing;

use self::address::Address;
use self::answer::TOKEN_HINT;
use self::exchange::{Content, exchange};
use self::proof::Unproven;
use super::defaults::DEFAULT_CONFIG;
use super::error::with_hint;

// Structs of shared arguments have no doc comments: clap would show them in `--help` in place of
// the command's own.

// Which gateway to call, and with which token.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// Where to find the admin address
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG, help_heading = "Gateway")]
    config: PathBuf,
    #[command(flatten)]
    login: Login,
}

// [`Connection`] without the configuration file.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// The admin address, such as http://127.0.0.1:9190, instead of the file's; https is checked
    /// against the system's authorities. If the file has none either, the variable KEYGATE_ADMIN
    /// is used
    #[arg(long, value_name = "URL", help_heading = "Gateway")]
    admin: Option<Uri>,
    /// A file that contains only the admin token, instead of the variable KEYGATE_ADMIN_TOKEN
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    token_file: Option<PathBuf>,
}

/// Timeout for connecting, and for a call. Reading a file with a million keys takes a while.
const DEADLINE: Duration = Duration::from_secs(60);
/// Timeout for the gateway to prove its identity on a new connection.
const PROOF_DEADLINE: Duration = Duration::from_secs(10);
/// Delay before the next request for a proof.
const PROOF_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;
const TOKEN_VARIABLE: &str = "KEYGATE_ADMIN_TOKEN";

/// The connection failed or timed out after the request was sent. The gateway may have carried out
/// the request.
#[derive(Debug, Error)]
#[error(
    "the connection broke before the gateway answered, so the change may have been made or not"
)]
pub(super) struct Broken;

/// A gateway's admin address, and the token to send to it.
#[derive(Debug)]
pub(super) struct Admin {
    address: Address,
    token: Zeroizing<String>,
    runtime: Runtime,
}

impl Admin {
    /// Finds the address and the token, and sends nothing.
    pub(super) fn find(connection: &Connection) -> anyhow::Result<Self> {
        Self::find_in(&connection.config, &connection.login)
    }

    /// Does the same as [`Self::find`] with this configuration file.
    pub(super) fn find_in(file: &Path, login: &Login) -> anyhow::Result<Self> {
        let token = token(login)?;
        let address = Address::find(file, login.admin.as_ref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        Ok(Self { address, token, runtime })
    }

    /// Sends a request to `path`, which may have a query, and returns the response.
    ///
    /// # Errors
    /// Fails when no response arrives. [`Broken`] is in the error's chain if the gateway may have
    /// received the request.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        header: Option<(HeaderName, &str)>,
    ) -> anyhow::Result<Answer> {
        let mut request = exchange::request(&self.address.authority, method, path, body)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", *self.token))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse()?);
        }
        self.runtime.block_on(async {
            let mut gateway = self.reach().await?;
            match timeout(DEADLINE, exchange(&mut gateway, request, LONGEST_ANSWER)).await {
                Ok(answer) => answer,
                Err(_) => Err(late(DEADLINE)),
            }
            .context(Broken)
        })
    }

    /// Sends a request to `path`, and returns its successful response.
    ///
    /// # Errors
    /// Fails when no response arrives. A response other than success becomes an error with the
    /// gateway's own message.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        self.call(method, path, body, None)?.accepted()
    }

    /// Returns a connection whose peer has proved to be the gateway. The token may be sent on this
    /// connection only.
    async fn reach(&self) -> anyhow::Result<SendRequest<Content>> {
        let deadline = Instant::now() + PROOF_DEADLINE;
        loop {
            let stream = match timeout(DEADLINE, self.address.connect()).await {
                Ok(connected) => connected.map_err(|error| self.unreachable(&error))?,
                Err(_) => return Err(self.unreachable(&late(DEADLINE))),
            };
            let mut sender = exchange::speak(stream).await?;
            if self.address.is_certified() {
                return Ok(sender);
            }
            let proof = proof::demand(&mut sender, &self.address.authority, &self.token);
            let why = match timeout_at(deadline, proof).await {
                Ok(Ok(())) if sender.ready().await.is_ok() => return Ok(sender),
                // This also happens during an upgrade. A proof holds only for the connection it was
                // given on.
                Ok(Ok(())) => Unproven::Closed,
                Ok(Err(why)) => why,
                Err(_) => Unproven::Failed(late(PROOF_DEADLINE)),
            };
            if !why.may_pass() || Instant::now() + PROOF_PAUSE >= deadline {
                return Err(self.unproven(&why));
            }
            sleep(PROOF_PAUSE).await;
        }
    }

    fn unreachable(&self, error: &anyhow::Error) -> anyhow::Error {
        let what = format!("the gateway does not answer at {}: {error:#}", self.address.url());
        with_hint(what, "is it running, and is this its admin address? --admin names another")
    }

    fn unproven(&self, why: &Unproven) -> anyhow::Error {
        let what = format!("the token was not sent to {}: {why}", self.address.url());
        with_hint(what, why.hint())
    }
}

fn late(deadline: Duration) -> anyhow::Error {
    anyhow!("nothing came within {} seconds", deadline.as_secs())
}

/// Percent-encodes a name or an id for one path segment or one query value (RFC 3986 §2.3).
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
