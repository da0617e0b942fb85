//! An API's own key endpoints: what was admitted goes over to the control plane, which answers it.

use super::body::ResponseBody;
use super::handler::turn_away;
use super::record::Record;
use super::worker::Worker;
use crate::policy::{Admission, Caller, Fields, Now, Refusal, prepare_response};
use crate::state::{KeyAnswer, KeyCall};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::time::Duration;

/// Bodies of key endpoints are small.
const LARGEST_BODY: usize = 64 * 1024;
/// For the whole of it.
const BODY_TIME: Duration = Duration::from_secs(30);
/// For the answer to it.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// Answers an admitted request to key endpoints.
pub(super) async fn answer(
    worker: &Worker,
    admission: &Admission<'_>,
    request: Request<Incoming>,
    request_id: &HeaderValue,
    grpc: bool,
    now: Now,
    mut record: Record,
) -> Response<ResponseBody> {
    match exchange(worker, admission, request, request_id).await {
        Ok(answer) => {
            record.set_answered(answer.status.as_u16());
            let mut response = Response::new(answer.body);
            *response.status_mut() = answer.status;
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if let Some(content_type) = answer.content_type {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            if let Some(allow) = answer.allow {
                headers.insert(header::ALLOW, HeaderValue::from_static(allow));
            }
            let id = request_id.to_str().unwrap_or_default();
            prepare_response(&Fields::from(&headers), admission, id, now, response.headers_mut());
            response.map(|body| ResponseBody::fixed(body, record))
        }
        Err(refusal) => turn_away(&admission.refused(refusal), request_id, grpc, now, record),
    }
}

async fn exchange(
    worker: &Worker,
    admission: &Admission<'_>,
    request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Result<KeyAnswer, Refusal> {
    let definition = admission.api().definition();
    let Caller::Key { record, environment, .. } = admission.caller() else { return Err(Refusal::KeyOfficeUnavailable) };
    let base = definition.key_api.as_ref().map_or(0, |key_api| key_api.path.len());
    let call = KeyCall {
        api: definition.name.clone(),
        key: record.id().to_owned(),
        environment: environment.and_then(|index| definition.environments.get(index)).map(|environment| environment.name.to_string()),
        method: request.method().clone(),
        path: request.uri().path().get(base..).unwrap_or_default().to_owned(),
        request_id: request_id.to_str().unwrap_or_default().to_owned(),
        body: whole_body(request.into_body()).await?,
    };
    // The store's disk may hang.
    let answer = tokio::time::timeout(ANSWER_TIME, worker.shared().answer(call)).await;
    answer.ok().flatten().ok_or(Refusal::KeyOfficeUnavailable)
}

async fn whole_body(body: Incoming) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_TIME, Limited::new(body, LARGEST_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(Refusal::ClientAborted),
    }
}
