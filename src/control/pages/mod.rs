//! The pages "Settings → API Keys", on a thread of their own: rendering delays neither the workers
//! nor the control plane.
//!
//! A worker recognises a request by its host and hands it over. The key service, which the admin
//! API calls too, does what is asked for, on the control thread.
//!
//! | file | content |
//! |---|---|
//! | `router.rs` | the routes, and what applies to every page |
//! | `arrival.rs`, `origin.rs`, `cookie.rs` | how a request came, whether it may change something |
//! | `signed.rs` | who is signed in |
//! | `form.rs` | forms as they are sent |
//! | `answer.rs` | responses |
//! | `enter.rs` | opening and leaving a session |
//! | `list.rs`, `key.rs`, `facts.rs`, `first_call.rs` | looking at keys |
//! | `key_form.rs`, `create.rs`, `edit.rs`, `end.rs` | changing keys |
//! | `usage.rs` | how much keys are used |
//! | `records.rs` | the audit log, and finding a leaked key |
//! | `view/` | the templates and their data |

mod answer;
mod arrival;
mod cookie;
mod create;
mod edit;
mod end;
mod enter;
mod facts;
mod first_call;
mod form;
mod key;
mod key_form;
mod list;
mod origin;
mod records;
mod router;
mod signed;
mod state;
mod usage;
mod view;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use self::state::State;
use super::keys::KeyService;
use crate::state::{PageCall, PageRequest, Shared};

/// How much lower the priority of the thread is than that of the workers (`nice`).
const NICENESS: i32 = 10;

/// The pages. Their thread starts with the first request, and ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    keys: KeyService,
    shared: Arc<Shared>,
    thread: Arc<OnceLock<Option<mpsc::UnboundedSender<PageRequest>>>>,
}

impl Pages {
    /// Creates the pages. Nothing is started yet.
    pub(super) fn new(keys: KeyService, shared: Arc<Shared>) -> Self {
        Self { keys, shared, thread: Arc::default() }
    }

    /// Answers a request. To be called on the control thread.
    pub(super) async fn answer(&self, call: PageCall) -> Response<Bytes> {
        let (answer, answered) = oneshot::channel();
        let thread = self.thread.get_or_init(|| self.start());
        if let Some(thread) = thread
            && thread.send((call, answer)).is_ok()
            && let Ok(response) = answered.await
        {
            return response;
        }
        // The thread could not be started, or a page panicked, which is a defect of ours.
        let mut response = Response::new(Bytes::from_static(b"The page failed. Try it again.\n"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }

    /// Starts the thread. Returns `None` if the system does not allow it.
    fn start(&self) -> Option<mpsc::UnboundedSender<PageRequest>> {
        let (sender, requests) = mpsc::unbounded_channel();
        let state = State::new(self.keys.clone(), self.shared.clone(), Handle::current());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime
            .inspect_err(|error| tracing::error!(%error, "the pages cannot be served"))
            .ok()?;
        let run = move || {
            // On Linux, this concerns the calling thread only. Without it, pages are as urgent as
            // requests, which is no reason not to serve them.
            let _ = rustix::process::setpriority_process(None, NICENESS);
            runtime.block_on(serve(Arc::new(state), requests));
        };
        let started = std::thread::Builder::new().name("pages".to_owned()).spawn(run);
        started.inspect_err(|error| tracing::error!(%error, "the pages cannot be served")).ok()?;
        Some(sender)
    }
}

/// Answers requests until there are no more.
async fn serve(state: Arc<State>, mut requests: mpsc::UnboundedReceiver<PageRequest>) {
    let router = router::router(state);
    while let Some((call, answer)) = requests.recv().await {
        let router = router.clone();
        tokio::spawn(async move {
            // Whoever asked may have left.
            let _ = answer.send(router::answer(router, call).await);
        });
    }
}
