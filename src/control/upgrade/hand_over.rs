//! The running process, until the new one accepts connections: steps 1 to 4.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as BlockingStream;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::message::{ToPredecessor, ToSuccessor, VERSION};
use super::request::Failed;
use super::state::{GivenUp, HandoverState, SETTLE_TIMEOUT};
use crate::control::admin::FIRST_REQUEST_TIMEOUT;
use crate::control::gate::Gate;
use crate::control::usage_recorder;
use crate::handover::{self, Link};

/// How many keys' counts go in one message.
const PART: usize = 1000;

impl HandoverState {
    /// Performs steps 1 to 4. Records in `given_up` what must be reverted on failure.
    pub(super) async fn hand_over<'e>(
        &'e self,
        stream: BlockingStream,
        waiting: usize,
        given_up: &mut GivenUp<'e>,
    ) -> Result<UnixStream, Failed> {
        stream.set_nonblocking(true).map_err(Failed::Broken)?;
        let mut stream = UnixStream::from_std(stream).map_err(Failed::Broken)?;

        let sockets = self
            .handover
            .sockets
            .iter()
            .map(|(purpose, address, _)| (*purpose, *address))
            .collect();
        let hello =
            ToSuccessor::Hello { version: VERSION, clock: self.shared.clock.zero(), sockets };
        handover::send(&mut stream, &hello).await.map_err(Failed::Broken)?;
        for (_, _, listener) in &self.handover.sockets {
            pass(&stream, listener.as_fd()).await.map_err(Failed::Broken)?;
        }
        expect(&mut stream, |said| matches!(said, ToPredecessor::Checked)).await?;

        self.close_key_service(waiting, given_up).await?;
        let pairs: Vec<_> = (0..self.shared.counting.parties())
            .map(|_| BlockingStream::pair())
            .collect::<Result<_, _>>()
            .map_err(Failed::Broken)?;
        handover::send(&mut stream, &ToSuccessor::Store { links: pairs.len() })
            .await
            .map_err(Failed::Broken)?;
        let mut links = Vec::new();
        for (here, there) in pairs {
            pass(&stream, there.as_fd()).await.map_err(Failed::Broken)?;
            links.push(Link::new(here).map_err(Failed::Broken)?);
        }
        expect(&mut stream, |said| matches!(said, ToPredecessor::Opened)).await?;

        given_up.switched = true;
        let switched = timeout(SETTLE_TIMEOUT, self.shared.counting.switch(links)).await;
        switched.map_err(|_| Failed::WorkerHangs)?;
        let now = self.shared.clock.now().monotonic;
        let mut counts = self.registry.look(|table| table.export(now));
        while !counts.is_empty() {
            let part = counts.split_off(counts.len().saturating_sub(PART));
            handover::send(&mut stream, &ToSuccessor::Counts(part))
                .await
                .map_err(Failed::Broken)?;
        }
        handover::send(&mut stream, &ToSuccessor::Counted).await.map_err(Failed::Broken)?;
        expect(&mut stream, |said| matches!(said, ToPredecessor::Loaded)).await?;

        handover::send(&mut stream, &ToSuccessor::Start).await.map_err(Failed::Broken)?;
        expect(&mut stream, |said| matches!(said, ToPredecessor::Serving)).await?;
        Ok(stream)
    }

    /// Stops all changes by request, stores all that has changed, and closes the store.
    async fn close_key_service<'e>(
        &'e self,
        waiting: usize,
        given_up: &mut GivenUp<'e>,
    ) -> Result<(), Failed> {
        given_up.gate_closed = true;
        // A request that came while the store changes hands would be lost, so first the connections
        // end that could still bring one. A client that does not read must not hold that up.
        self.gate.send_replace(Gate::Closing);
        let mut connections = self.admin_activity.connections.subscribe();
        let ended = connections.wait_for(|connections| *connections <= waiting);
        let _ = timeout(2 * FIRST_REQUEST_TIMEOUT, ended).await;
        self.gate.send_replace(Gate::Closed);
        let mut requests = self.admin_activity.requests.subscribe();
        let answered = requests.wait_for(|requests| *requests <= waiting);
        // The sender lives in `self`, so the timeout is the only error.
        let _ = timeout(SETTLE_TIMEOUT, answered).await.map_err(|_| Failed::AdminCallHangs)?;
        let calls = async { [self.key_calls.close().await, self.page_calls.close().await] };
        let slots = timeout(SETTLE_TIMEOUT, calls).await;
        given_up.calls = Some(slots.map_err(|_| Failed::KeyCallHangs)?);
        let settled = timeout(SETTLE_TIMEOUT, self.keys.recorded()).await;
        settled.map_err(|_| Failed::RevocationsUnstored)?;
        let changes = timeout(SETTLE_TIMEOUT, self.keys.lock_changes()).await;
        given_up.changes = Some(changes.map_err(|_| Failed::StoreHangs)?);
        let destination = timeout(SETTLE_TIMEOUT, self.destination.clone().lock_owned()).await;
        let destination = destination.map_err(|_| Failed::StoreHangs)?;
        if let Some((store, _)) = &self.store {
            timeout(SETTLE_TIMEOUT, usage_recorder::write_down(&self.metrics, &destination))
                .await
                .map_err(|_| Failed::StoreHangs)?;
            given_up.store_closed = true;
            store.release().await.map_err(Failed::Store)?;
        }
        given_up.destination = Some(destination);
        Ok(())
    }
}

/// Waits for the expected message of the new process.
async fn expect(
    stream: &mut UnixStream,
    is_expected: impl FnOnce(&ToPredecessor) -> bool,
) -> Result<(), Failed> {
    match handover::receive(stream).await {
        Ok(said) if is_expected(&said) => Ok(()),
        Ok(ToPredecessor::Failed(why)) => Err(Failed::Told(why)),
        Ok(_) => Err(Failed::OutOfTurn),
        Err(_) => Err(Failed::Ended),
    }
}

async fn pass(stream: &UnixStream, descriptor: BorrowedFd<'_>) -> std::io::Result<()> {
    stream.async_io(Interest::WRITABLE, || handover::pass(stream, descriptor)).await
}
