//! The messages after one process has taken over, until the other has served its last connection.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::message::{ToPredecessor, ToSuccessor};
use crate::control::metrics::Metrics;
use crate::control::registry::Registry;
use crate::handover;
use crate::keystore::UseNote;
use crate::state::{KeyAnswer, KeyRequest, PageRequest, Phase, Shared};

/// What the old process sends to the new one.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) uses: UnboundedReceiver<Vec<UseNote>>,
    pub(super) key_calls: UnboundedReceiver<KeyRequest>,
    pub(super) page_calls: UnboundedReceiver<PageRequest>,
}

/// A call that waits for its response.
enum Waiting {
    Key(oneshot::Sender<KeyAnswer>),
    Page(oneshot::Sender<Response<Bytes>>),
}

/// Runs in the old process: sends key usage and requests to key endpoints and for pages, and
/// applies the new process's changes.
///
/// Stops this process when the new one is gone: no one could then notify it of a revocation.
// Longer than 60 lines: each message once.
pub(super) async fn relieved(
    stream: UnixStream,
    mut outbox: Outbox,
    registry: Arc<Registry>,
    shared: Arc<Shared>,
) {
    let (mut incoming, mut outgoing) = stream.into_split();
    let (said, mut heard) = unbounded_channel();
    // A separate task, because cancelling a receive would lose part of a message.
    let listening = tokio::spawn(async move {
        while let Ok(message) = handover::receive::<ToPredecessor>(&mut incoming).await {
            if said.send(message).is_err() {
                return;
            }
        }
    });
    let mut waiting: HashMap<u64, Waiting> = HashMap::new();
    let mut number = 0;
    let outcome: io::Result<()> = async {
        loop {
            tokio::select! {
                message = heard.recv() => match message {
                    Some(ToPredecessor::Changed(change)) => registry.repeat(&change),
                    Some(ToPredecessor::KeyAnswer(number, answer)) => {
                        let answer = answer.and_then(|answer| answer.read());
                        if let Some((Waiting::Key(waiting), answer)) =
                            waiting.remove(&number).zip(answer)
                        {
                            // The client may have disconnected.
                            let _ = waiting.send(answer);
                        }
                    }
                    Some(ToPredecessor::PageAnswer(number, answer)) => {
                        let answer = answer.and_then(|answer| answer.read());
                        if let Some((Waiting::Page(waiting), answer)) =
                            waiting.remove(&number).zip(answer)
                        {
                            let _ = waiting.send(answer);
                        }
                    }
                    Some(_) => {}
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                },
                uses = outbox.uses.recv() => match uses {
                    Some(uses) => {
                        let uses = uses.into_iter().map(Into::into).collect();
                        handover::send(&mut outgoing, &ToSuccessor::Notes(uses)).await?;
                    }
                    // This process is about to end.
                    None => return Ok(()),
                },
                Some((call, answer)) = outbox.key_calls.recv() => {
                    number += 1;
                    waiting.insert(number, Waiting::Key(answer));
                    let call = ToSuccessor::KeyCall(number, call.into());
                    handover::send(&mut outgoing, &call).await?;
                }
                Some((call, answer)) = outbox.page_calls.recv() => {
                    number += 1;
                    waiting.insert(number, Waiting::Page(answer));
                    let call = ToSuccessor::PageCall(number, call.into());
                    handover::send(&mut outgoing, &call).await?;
                }
            }
        }
    }
    .await;
    listening.abort();
    if outcome.is_err() {
        tracing::warn!("the process that took over is gone; stopping too");
        shared.enter(Phase::Draining);
    }
}

/// Runs in the new process: sends changes to the old one, handles its requests to key endpoints and
/// for pages, and stores its key usage.
pub(in crate::control) async fn follow(
    stream: UnixStream,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
) {
    let (mut incoming, mut outgoing) = stream.into_split();
    let mut changes = registry.follow_changes();
    let (answer, mut answers) = unbounded_channel();
    let shared = metrics.shared.clone();
    let mut listening = tokio::spawn(async move {
        while let Ok(message) = handover::receive::<ToSuccessor>(&mut incoming).await {
            match message {
                ToSuccessor::Uses(uses) => {
                    metrics.pending_usage().add(uses.into_iter().map(Into::into).collect())
                }
                ToSuccessor::Notes(notes) => {
                    metrics.pending_usage().add(notes.into_iter().map(Into::into).collect())
                }
                ToSuccessor::KeyCall(number, call) => {
                    let (metrics, answer) = (metrics.clone(), answer.clone());
                    tokio::spawn(async move {
                        let answered = match call.read() {
                            Some(call) => metrics.shared.answer(call).await,
                            None => None,
                        };
                        let _ =
                            answer.send(ToPredecessor::KeyAnswer(number, answered.map(Into::into)));
                    });
                }
                ToSuccessor::PageCall(number, call) => {
                    let (metrics, answer) = (metrics.clone(), answer.clone());
                    tokio::spawn(async move {
                        let answered = match call.read() {
                            Some(call) => metrics.shared.page(call).await,
                            None => None,
                        };
                        let answered = answered.map(Into::into);
                        let _ = answer.send(ToPredecessor::PageAnswer(number, answered));
                    });
                }
                _ => {}
            }
        }
    });
    loop {
        let sent = tokio::select! {
            Some(change) = changes.recv() => {
                handover::send(&mut outgoing, &ToPredecessor::Changed(change)).await
            }
            Some(answer) = answers.recv() => handover::send(&mut outgoing, &answer).await,
            _ = &mut listening => break,
        };
        if sent.is_err() {
            break;
        }
    }
    listening.abort();
    shared.has_predecessor.send_replace(false);
    tracing::info!("the process before has served its last connection");
}
