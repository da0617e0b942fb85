//! The pages of the portal: their requests go to the control plane, which answers them.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Uri};

use crate::policy::{Head, Refusal, Refused, Sink as _, Visit};
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::request::reply::{ResponseContext, own_response, refusal_response};
use crate::proxy::request::response::{Response, ResponseHeader};
use crate::proxy::request::whole_body::whole;
use crate::proxy::worker::body::ClientBody;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::context::Worker;
use crate::state::PageCall;

/// Largest body of a request for a page, in bytes: a form with a hundred endpoints fits.
const LARGEST_BODY: usize = 16 * 1024;
/// Timeout for the whole request body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Timeout for the answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// The fields that the pages read.
const FIELDS: [&str; 11] = [
    "accept-encoding",
    "content-type",
    "cookie",
    "if-none-match",
    "origin",
    "purpose",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-purpose",
    "user-agent",
];

/// Builds the call for a request, without its body. Returns `None` if its target cannot be one of a
/// page.
pub(in crate::proxy) fn call(head: &Head<'_>, visit: &Visit<'_>) -> Option<PageCall> {
    let target = match head.target.query {
        Some(query) => format!("{}?{query}", head.target.path),
        None => head.target.path.to_owned(),
    };
    let mut request = http::Request::new(Bytes::new());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    for name in FIELDS {
        for value in head.fields.named(name) {
            let value = HeaderValue::from_bytes(value).ok()?;
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    let Visit { authority, https, client } = *visit;
    Some(PageCall { request, authority: authority.to_owned(), https, client })
}

/// Answers a request for a page with the control plane's answer, or with a refusal if there is
/// none.
pub(in crate::proxy) async fn answer(
    worker: &Worker,
    call: PageCall,
    body: Option<Rc<dyn ClientBody>>,
    reply: &ResponseContext<'_>,
    mut entry: LogEntry,
) -> Response {
    let answer = match exchange(worker, call, body).await {
        Ok(answer) => answer,
        Err(refusal) => return refusal_response(&Refused::early(refusal), reply, entry),
    };
    entry.set_answered(answer.status().as_u16());
    let mut head = ResponseHeader::new(reply.http2, answer.status(), Length::Absent);
    // The length is written for the client's protocol.
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != CONTENT_LENGTH) {
        head.put(name.as_str(), value.as_bytes());
    }
    head.put("x-request-id", reply.request_id.as_str().as_bytes());
    own_response(head, answer.into_body(), reply, entry, false)
}

async fn exchange(
    worker: &Worker,
    mut call: PageCall,
    body: Option<Rc<dyn ClientBody>>,
) -> Result<http::Response<Bytes>, Refusal> {
    let read = tokio::time::timeout(BODY_TIME, whole(body, LARGEST_BODY)).await;
    *call.request.body_mut() = read.unwrap_or(Err(Refusal::ClientTimeout))?;
    // The store's disk may hang.
    let answer = tokio::time::timeout(ANSWER_TIME, worker.shared().page(call)).await;
    answer.ok().flatten().ok_or(Refusal::Overloaded)
}
