//! Key endpoints of an API: admitted requests go to the control plane, which answers them.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::policy::{Admission, Caller, Fields, Head, Refusal, prepare_response};
use crate::proxy::request::log_entry::LogEntry;
use crate::proxy::request::reply::{ResponseContext, own_response, refusal_response};
use crate::proxy::request::response::{Response, ResponseHeader};
use crate::proxy::request::whole_body::whole;
use crate::proxy::worker::body::ClientBody;
use crate::proxy::worker::body::Length;
use crate::proxy::worker::context::Worker;
use crate::state::{KeyAnswer, KeyCall};

/// Largest body of a request to a key endpoint, in bytes.
const LARGEST_BODY: usize = 64 * 1024;
/// Timeout for the whole request body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Timeout for the control plane's answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Builds the call for an admitted request to a key endpoint, without its body.
pub(in crate::proxy) fn call(
    admission: &Admission<'_>,
    head: &Head<'_>,
    request_id: &str,
) -> KeyCall {
    let definition = admission.api().definition();
    let base = definition.key_api.as_ref().map_or(0, |key_api| key_api.path.len());
    let (key, environment) = match admission.caller() {
        Caller::Key { record, environment, .. } => (record.id(), environment),
        Caller::PassThrough | Caller::Public => ("", None),
    };
    KeyCall {
        api: definition.name.clone(),
        key: key.to_owned(),
        environment: environment
            .and_then(|index| definition.environments.get(index))
            .map(|environment| environment.name.to_string()),
        method: head.method.clone(),
        path: head.target.path.get(base..).unwrap_or_default().to_owned(),
        request_id: request_id.to_owned(),
        body: Bytes::new(),
    }
}

/// Answers an admitted request to a key endpoint with the control plane's answer, or with a refusal
/// if there is none.
pub(in crate::proxy) async fn answer(
    worker: &Worker,
    admission: &Admission<'_>,
    call: KeyCall,
    body: Option<Rc<dyn ClientBody>>,
    reply: &ResponseContext<'_>,
    mut entry: LogEntry,
) -> Response {
    let answer = match exchange(worker, call, body).await {
        Ok(answer) => answer,
        Err(refusal) => return refusal_response(&admission.refused(refusal), reply, entry),
    };
    entry.set_answered(answer.status.as_u16());
    let mut fields = Fields::new();
    fields.push("cache-control", b"no-store");
    if let Some(content_type) = &answer.content_type {
        fields.push("content-type", content_type.as_bytes());
    }
    if let Some(allow) = &answer.allow {
        fields.push("allow", allow.as_bytes());
    }
    let mut head = ResponseHeader::new(reply.http2, answer.status, Length::Absent);
    prepare_response(
        &fields,
        admission,
        reply.request_id.as_str(),
        reply.now,
        reply.cors,
        &mut head,
    );
    own_response(head, answer.body, reply, entry, false)
}

async fn exchange(
    worker: &Worker,
    mut call: KeyCall,
    body: Option<Rc<dyn ClientBody>>,
) -> Result<KeyAnswer, Refusal> {
    let read = tokio::time::timeout(BODY_TIME, whole(body, LARGEST_BODY)).await;
    call.body = read.unwrap_or(Err(Refusal::ClientTimeout))?;
    // The store's disk may hang.
    let answer = tokio::time::timeout(ANSWER_TIME, worker.shared().answer(call)).await;
    answer.ok().flatten().ok_or(Refusal::KeyServiceUnavailable)
}
