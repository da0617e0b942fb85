//! The calls of the workers that the control plane answers.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::{mpsc, oneshot};

/// An admitted request to an API's own key endpoints. The control plane handles it.
#[derive(Debug, Clone)]
pub struct KeyCall {
    /// Name of the API.
    pub api: Arc<str>,
    /// Id of the calling key.
    pub key: String,
    /// Name of the environment that the presented secret belongs to.
    pub environment: Option<String>,
    /// The method.
    pub method: Method,
    /// The rest of the path after that of the key endpoints: empty, or starting with `/`.
    pub path: String,
    /// The whole body.
    pub body: Bytes,
    /// The request id that the client receives.
    pub request_id: String,
}

/// A request for the pages of the portal. The control plane hands it to their thread.
#[derive(Debug)]
pub struct PageCall {
    /// The request: method, path and query, the fields that the pages read, and the whole body.
    pub request: http::Request<Bytes>,
    /// The host, with its port if it is not the usual one, as the browser sees it.
    pub authority: String,
    /// Whether the browser uses TLS.
    pub https: bool,
    /// The browser's address.
    pub client: IpAddr,
}

/// The response to a [`KeyCall`].
#[derive(Clone, PartialEq, Eq)]
pub struct KeyAnswer {
    /// The status.
    pub status: StatusCode,
    /// The media type of the body, or `None` without a body.
    pub content_type: Option<Cow<'static, str>>,
    /// The `Allow` field of a 405 (RFC 9110 §15.5.6).
    pub allow: Option<Cow<'static, str>>,
    /// The whole body.
    pub body: Bytes,
}

/// Leaves out the body, which may hold a new key.
impl fmt::Debug for KeyAnswer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("KeyAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A call and the sender for its response. The sender is dropped if there will be none.
pub type CallRequest<C, A> = (C, oneshot::Sender<A>);

/// A [`KeyCall`] and the sender for its response.
pub type KeyRequest = CallRequest<KeyCall, KeyAnswer>;

/// A [`PageCall`] and the sender for its response.
pub type PageRequest = CallRequest<PageCall, http::Response<Bytes>>;

/// The calls of the workers, as the control plane receives them.
#[derive(Debug)]
pub struct CallReceivers {
    /// Requests to the APIs' own key endpoints.
    pub keys: mpsc::Receiver<KeyRequest>,
    /// Requests for the pages.
    pub pages: mpsc::Receiver<PageRequest>,
}

/// Limit of calls of each kind that wait for the control plane. Further ones get a 503.
pub(super) const WAITING_CALLS: usize = 64;

/// Sends a call, and returns its response or `None` if the queue is full or there will be none.
pub(super) async fn ask<C, A>(calls: &mpsc::Sender<CallRequest<C, A>>, call: C) -> Option<A> {
    let (answer, answered) = oneshot::channel();
    calls.try_send((call, answer)).ok()?;
    answered.await.ok()
}
