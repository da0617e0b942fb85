//! One request and its answer, over a connection that is there.

use anyhow::anyhow;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::address::Stream;
use super::answer::Answer;

/// What a request carries.
pub(super) type Content = Full<Bytes>;

/// Begins to speak HTTP/1.1.
pub(super) async fn speak(stream: Box<dyn Stream>) -> anyhow::Result<SendRequest<Content>> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong on it shows in the exchange.
    tokio::spawn(connection);
    Ok(sender)
}

/// Makes a request without credentials.
pub(super) fn request(
    authority: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Request<Content>> {
    let content = body.map_or_else(String::new, Value::to_string);
    let mut request = Request::new(Full::new(Bytes::from(content)));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse()?;
    let headers = request.headers_mut();
    headers.insert(HOST, authority.parse()?);
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(request)
}

/// Sends it, and returns the answer, whose body may have so many bytes.
pub(super) async fn exchange(
    sender: &mut SendRequest<Content>,
    request: Request<Content>,
    longest: usize,
) -> anyhow::Result<Answer> {
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), longest).collect().await;
    let body = body.map_err(|error| anyhow!("the answer broke off: {error}"))?.to_bytes();
    Ok(Answer { status, body })
}
