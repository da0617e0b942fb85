//! Requests for pages, and their responses, as one process sends them to the other.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use crate::state::PageCall;

/// A [`PageCall`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WirePage {
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    authority: String,
    https: bool,
    client: IpAddr,
}

impl From<PageCall> for WirePage {
    fn from(call: PageCall) -> Self {
        let PageCall { request, authority, https, client } = call;
        Self {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            fields: fields(request.headers()),
            body: request.into_body().into(),
            authority,
            https,
            client,
        }
    }
}

impl WirePage {
    /// Returns the call, or `None` if the request is invalid.
    pub(super) fn read(self) -> Option<PageCall> {
        let Self { method, target, fields, body, authority, https, client } = self;
        let mut request = Request::new(body.into());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
        *request.uri_mut() = target.parse::<Uri>().ok()?;
        *request.headers_mut() = headers(fields)?;
        Some(PageCall { request, authority, https, client })
    }
}

/// The response to a [`PageCall`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WirePageAnswer {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl From<Response<Bytes>> for WirePageAnswer {
    fn from(response: Response<Bytes>) -> Self {
        Self {
            status: response.status().as_u16(),
            fields: fields(response.headers()),
            body: response.into_body().into(),
        }
    }
}

impl WirePageAnswer {
    /// Returns the response, or `None` if it is invalid.
    pub(super) fn read(self) -> Option<Response<Bytes>> {
        let Self { status, fields, body } = self;
        let mut response = Response::new(body.into());
        *response.status_mut() = StatusCode::from_u16(status).ok()?;
        *response.headers_mut() = headers(fields)?;
        Some(response)
    }
}

fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    headers.iter().map(field).collect()
}

fn headers(fields: Vec<(String, Vec<u8>)>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some(headers)
}
