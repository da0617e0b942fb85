//! Worker: one thread with its runtime, connections and counters.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use crate::handover::Link;
use crate::http2::Block;
use crate::policy::{
    Admission, Fields, HeaderKind, KeyRecord, Now, Permit, Refused, Sink, charge, contains_key,
    field_text,
};
use crate::proxy::worker::charge_over::charge_over;
use crate::proxy::worker::current::{Current, Held};
use crate::proxy::worker::in_flight::InFlight;
use crate::proxy::worker::log::{AccessLog, LogWriter, Logged};
use crate::proxy::worker::request_id::RequestId;
use crate::state::{Phase, Published, Reader, RefusedRequest, Shared};
use crate::stats::WorkerStats;

/// State that all requests on one thread share.
pub(in crate::proxy) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    reader: RefCell<(Reader, Current)>,
    in_flight: InFlight,
    log: AccessLog,
    /// A random prefix and a counter, which together make a request id.
    ids: (u64, Cell<u64>),
    /// Number of this worker's open connections.
    open: Cell<usize>,
    /// Notified when the last open connection closes.
    all_closed: Notify,
    /// Keys whose usage is to be collected.
    used_keys: RefCell<Vec<Arc<KeyRecord>>>,
    /// Read buffers for clients and for upstreams. All tasks share them, because none holds one
    /// while it waits.
    buffers: (RefCell<Vec<u8>>, RefCell<Vec<u8>>),
    /// Header block of the HTTP/2 request that was read last.
    block: RefCell<Block>,
    /// Wakers of the tasks that serve clients.
    waiting: RefCell<Slab<Waker>>,
    phase: Cell<Phase>,
    /// Link to the process that counts requests during a handover. `None` if this process counts.
    link: RefCell<Option<Link>>,
    recent: Cell<Now>,
    /// Unix second of the cached `Date` line, and the line (RFC 9110 §6.6.1).
    date: RefCell<(i64, String)>,
}

/// Size of a read buffer in bytes. A large upstream response is read in parts of this size.
const BUFFER: usize = 64 * 1024;

impl Worker {
    /// Creates a worker in [`Phase::Starting`].
    ///
    /// # Errors
    /// Returns an error if the system has no randomness.
    pub(in crate::proxy) fn new(
        index: usize,
        shared: Arc<Shared>,
        log: &LogWriter,
    ) -> io::Result<Self> {
        let mut start = [0; 8];
        getrandom::fill(&mut start).map_err(|error| io::Error::other(error.to_string()))?;
        let mut reader = shared.reader();
        let published = reader.load().clone();
        let runtime = Rc::new(published.runtime.clone());
        let current = Rc::new(Held { published, runtime });
        let now = shared.clock.now();
        Ok(Self {
            index,
            reader: RefCell::new((reader, current)),
            shared,
            in_flight: InFlight::default(),
            log: log.log(),
            ids: (u64::from_le_bytes(start), Cell::new(0)),
            open: Cell::new(0),
            all_closed: Notify::new(),
            used_keys: RefCell::default(),
            buffers: (RefCell::new(vec![0; BUFFER]), RefCell::new(vec![0; BUFFER])),
            block: RefCell::default(),
            waiting: RefCell::default(),
            phase: Cell::new(Phase::Starting),
            link: RefCell::default(),
            recent: Cell::new(now),
            date: RefCell::default(),
        })
    }

    /// Returns the published state that is in force now.
    pub(in crate::proxy) fn current(&self) -> Current {
        let (reader, current) = &mut *self.reader.borrow_mut();
        let published = reader.load();
        if !Arc::ptr_eq(published, &current.published) {
            let same_runtime = Arc::ptr_eq(&published.runtime, &current.runtime);
            let runtime = if same_runtime {
                current.runtime.clone()
            } else {
                Rc::new(published.runtime.clone())
            };
            *current = Rc::new(Held { published: published.clone(), runtime });
        }
        current.clone()
    }

    pub(in crate::proxy) fn index(&self) -> usize {
        self.index
    }

    /// Reads the clock.
    pub(in crate::proxy) fn now(&self) -> Now {
        let now = self.shared.clock.now();
        self.recent.set(now);
        now
    }

    /// Returns the last reading of the clock, without a new one. It is microseconds old while a
    /// request is being served.
    pub(in crate::proxy) fn recent(&self) -> Now {
        self.recent.get()
    }

    /// Returns the instant that is `time` after the last reading of the clock.
    pub(in crate::proxy) fn soon(&self, time: Duration) -> tokio::time::Instant {
        (self.shared.clock.instant(self.recent.get().monotonic) + time).into()
    }

    pub(in crate::proxy) fn stats(&self) -> &WorkerStats {
        &self.shared.workers[self.index]
    }

    pub(in crate::proxy) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Counts a connection as open.
    pub(in crate::proxy) fn opened(&self) {
        self.open.set(self.open.get() + 1);
        self.stats().connections_open.add(1);
    }

    /// Counts a connection as closed.
    pub(in crate::proxy) fn closed(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.all_closed.notify_one();
        }
        self.stats().connections_open.sub(1);
    }

    /// Returns the requests in flight, which can be cancelled.
    pub(in crate::proxy) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Marks the key's usage for collection.
    pub(in crate::proxy) fn add_used_key(&self, key: &Arc<KeyRecord>) {
        self.used_keys.borrow_mut().push(key.clone());
    }

    /// Hands buffered log lines to the log thread, and used keys to the control plane.
    pub(in crate::proxy) fn hand_over(&self) {
        self.stats().log_lines_lost.add(self.log.flush());
        let mut keys = self.used_keys.borrow_mut();
        if !keys.is_empty() {
            self.shared.add_used_keys(&mut keys);
        }
    }

    /// Keeps a refused request for later inspection.
    pub(in crate::proxy) fn remember_refused(&self, request: RefusedRequest) {
        self.shared.refused[self.index].add(request);
    }

    /// Writes a log line. Returns the number of lines lost.
    pub(in crate::proxy) fn log(&self, line: &Logged<'_>) -> u64 {
        self.log.write(line)
    }

    /// Borrows the read buffer for clients. Do not hold it across an await point.
    pub(in crate::proxy) fn client_buffer(&self) -> RefMut<'_, Vec<u8>> {
        self.buffers.0.borrow_mut()
    }

    /// Borrows the read buffer for upstreams. Do not hold it across an await point.
    pub(in crate::proxy) fn upstream_buffer(&self) -> RefMut<'_, Vec<u8>> {
        self.buffers.1.borrow_mut()
    }

    /// Borrows the header block for HTTP/2 requests. Do not hold it across an await point.
    pub(in crate::proxy) fn block(&self) -> RefMut<'_, Block> {
        self.block.borrow_mut()
    }

    /// Resolves when this worker has no open connection.
    pub(in crate::proxy) async fn all_closed(&self) {
        while self.open.get() > 0 {
            self.all_closed.notified().await;
        }
    }

    /// Enters a phase and wakes the tasks that serve clients.
    pub(in crate::proxy) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.waiting.borrow().iter().for_each(|(_, task)| task.wake_by_ref());
    }

    /// Takes the link that requests are counted through from now on, or `None` for this process.
    pub(in crate::proxy) fn switch_counting(&self) {
        *self.link.borrow_mut() = self.shared.counting.take(self.index);
    }

    /// Returns whether clients should send their next requests on other connections.
    pub(in crate::proxy) fn is_draining(&self) -> bool {
        self.phase.get() >= Phase::Relieved
    }

    /// Returns whether no more requests are accepted.
    pub(in crate::proxy) fn is_stopping(&self) -> bool {
        self.phase.get() >= Phase::Draining
    }

    /// Charges an authorised request to its limits, in this process or, during a handover, in the
    /// other.
    ///
    /// # Errors
    /// Returns the refusal if a limit is exhausted.
    pub(in crate::proxy) fn charge<'s>(
        &self,
        permit: Permit<'s>,
        now: Now,
    ) -> Result<Admission<'s>, Refused<'s>> {
        let link = &mut *self.link.borrow_mut();
        if link.is_none() { charge(permit, now) } else { charge_over(link, permit, now) }
    }

    /// Wakes the calling task at every change of phase until the returned guard is dropped.
    pub(in crate::proxy) async fn wake_when_draining(self: &Rc<Self>) -> impl Drop + use<> {
        struct Waiting(Rc<Worker>, usize);
        impl Drop for Waiting {
            fn drop(&mut self) {
                self.0.waiting.borrow_mut().try_remove(self.1);
            }
        }
        let task = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        Waiting(self.clone(), self.waiting.borrow_mut().insert(task))
    }

    /// Writes the `Date` field (RFC 9110 §6.6.1).
    pub(in crate::proxy) fn write_date(&self, sink: &mut impl Sink) {
        let now = self.recent().unix;
        let (second, line) = &mut *self.date.borrow_mut();
        if *second != now || line.is_empty() {
            let moment =
                std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(now).unwrap_or_default());
            (*second, *line) = (now, format!("date: {}\r\n", httpdate::fmt_http_date(moment)));
        }
        sink.put_lines(line.as_bytes());
    }

    /// Returns the client's `X-Request-Id` if it is valid and holds no API key, or else a new id. A
    /// valid one has 1 to 128 ASCII letters, digits, `.`, `_` or `-`.
    pub(in crate::proxy) fn request_id(
        &self,
        fields: &Fields<'_>,
        current: &Published,
    ) -> RequestId {
        let mut sent = fields.all(HeaderKind::XRequestId);
        if let (Some(id), None) = (sent.next(), sent.next()) {
            let sound =
                |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            let text = field_text(id).unwrap_or_default();
            if (1..=128).contains(&text.len())
                && text.as_bytes().iter().all(sound)
                && !contains_key(current.snapshot.routes.apis(), text)
            {
                return RequestId::Sent(text.into());
            }
        }
        let (start, count) = &self.ids;
        count.set(count.get() + 1);
        RequestId::new(*start, count.get())
    }
}
