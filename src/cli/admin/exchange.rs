//! One request and its response on an open connection.

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

/// The body of a request.
pub(super) type Content = Full<Bytes>;

/// Starts HTTP/1.1 on the stream, and returns the request sender.
pub(super) async fn speak(stream: Box<dyn Stream>) -> anyhow::Result<SendRequest<Content>> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The exchange reports the connection's errors.
    tokio::spawn(connection);
    Ok(sender)
}

/// Returns a request without credentials, with `body` as JSON.
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

/// Sends the request, and returns the response. Its body may have at most `longest` bytes.
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
