//! Ends a task whose cancelled request does not end in time.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::time::Sleep;

use crate::proxy::worker::context::Worker;
use crate::proxy::worker::in_flight::CANCEL_GRACE;
use crate::proxy::worker::request_state::RequestState;

/// Wrapper around a task that serves a client: an HTTP/1.1 connection or an HTTP/2 stream.
pub(in crate::proxy) struct Guard {
    worker: Rc<Worker>,
    /// The task's latest request in flight.
    guarded: Option<Rc<RequestState>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Guard {
    pub(in crate::proxy) fn new(worker: &Rc<Worker>) -> Self {
        Self { worker: worker.clone(), guarded: None, deadline: None }
    }

    /// Runs the task. Returns its output, or `None` if its request was cancelled and has not ended
    /// within [`CANCEL_GRACE`]. The caller then drops the task, which closes the connection or
    /// resets the stream.
    pub(in crate::proxy) async fn run<F: Future>(
        &mut self,
        mut task: Pin<&mut F>,
    ) -> Option<F::Output> {
        std::future::poll_fn(|cx| self.poll(task.as_mut(), cx)).await
    }

    /// Polls the task as [`run`](Self::run) does.
    pub(in crate::proxy) fn poll<F: Future>(
        &mut self,
        task: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        let polled = task.poll(cx);
        let entered = self.worker.in_flight().take_entered();
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Some(output));
        }
        if let Some(state) = entered {
            state.wake_when_cancelled(cx);
            self.guarded = Some(state);
        }
        let Some(state) = &self.guarded else { return Poll::Pending };
        if state.cancelled().is_none() {
            if Rc::strong_count(state) == 1 {
                self.guarded = None; // The request has ended.
            }
            return Poll::Pending;
        }
        ready!(
            self.deadline
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(CANCEL_GRACE)))
                .as_mut()
                .poll(cx)
        );
        Poll::Ready(None)
    }
}
