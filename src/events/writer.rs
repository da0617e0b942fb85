//! Writes events on a thread of its own. Stderr may be a pipe that nobody reads. The threads that
//! report events must not wait for that, above all the one that puts revocations in force.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::stats::EVENTS_LOST;

/// Limit of events that wait to be written.
const QUEUE: usize = 4096;

enum Message {
    Line(Vec<u8>),
    /// Dropped when everything before it has been written.
    Flush(#[expect(dead_code, reason = "dropping it is what counts")] SyncSender<()>),
}

/// Queues events for the writing thread. Drops and counts them while the queue is full.
#[derive(Clone)]
pub(super) struct EventWriter(SyncSender<Message>);

impl EventWriter {
    /// Starts the thread that writes to `sink`. Ignores its errors, because there is no other place
    /// to report them.
    ///
    /// # Errors
    /// Fails if the thread cannot be started.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || write_all(&receiver, sink))?;
        Ok(Self(sender))
    }

    /// Waits until all events have been written, for at most `timeout`.
    pub(super) fn flush(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let (sender, receiver) = sync_channel(0);
        let mut message = Message::Flush(sender);
        while let Err(TrySendError::Full(unsent)) = self.0.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = unsent;
            thread::sleep(Duration::from_millis(5));
        }
        let _ = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn write_all(messages: &Receiver<Message>, mut sink: impl Write) {
    for message in messages {
        if let Message::Line(line) = message {
            let _ = sink.write_all(&line).and_then(|()| sink.flush());
        }
    }
}

/// Each call of `write` queues one whole event.
impl Write for EventWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.0.try_send(Message::Line(line.to_vec())) {
            EVENTS_LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for EventWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Blocked(Arc<Mutex<Vec<u8>>>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn sink_that_takes_nothing_holds_nobody_up_and_what_is_lost_is_counted() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut writer = EventWriter::start(Blocked(written.clone())).unwrap();
        let lost = EVENTS_LOST.load(Ordering::Relaxed);
        {
            let _blocked = written.lock().unwrap();
            for _ in 0..QUEUE + 10 {
                writer.write_all(b"event\n").unwrap();
            }
            EventWriter::flush(&writer, Duration::from_millis(1));
        }
        // The thread may have taken one event off the queue.
        assert!((9..=10).contains(&(EVENTS_LOST.load(Ordering::Relaxed) - lost)));
        EventWriter::flush(&writer, Duration::from_secs(20));
        assert!(written.lock().unwrap().len() >= QUEUE * b"event\n".len());
    }
}
