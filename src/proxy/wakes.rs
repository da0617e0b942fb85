//! Which streams of a connection have something to do. One task serves them all; each has a waker
//! of its own that is made once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// Marks of the streams of one connection, 64 in a word.
pub(super) struct Wakes {
    marks: Box<[AtomicU64]>,
    /// The task that serves them.
    task: Mutex<Waker>,
}

/// Marks one stream and wakes the task.
struct StreamWaker {
    wakes: Arc<Wakes>,
    place: usize,
}

impl Wakes {
    pub(super) fn new(streams: usize) -> Arc<Self> {
        let marks = std::iter::repeat_with(AtomicU64::default).take(streams.div_ceil(64)).collect();
        Arc::new(Self { marks, task: Mutex::new(Waker::noop().clone()) })
    }

    /// The waker of the stream at this place.
    pub(super) fn waker(self: &Arc<Self>, place: usize) -> Waker {
        Arc::new(StreamWaker { wakes: self.clone(), place }).into()
    }

    /// The running task is the one that serves the streams.
    pub(super) fn serve_on(&self, cx: &Context<'_>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.will_wake(cx.waker()) {
            task.clone_from(cx.waker());
        }
    }

    /// Marks a stream; whether none in its word was marked.
    pub(super) fn mark(&self, place: usize) -> bool {
        self.marks
            .get(place / 64)
            .is_some_and(|word| word.fetch_or(1 << (place % 64), Ordering::AcqRel) == 0)
    }

    /// Takes the marks of a word of places.
    pub(super) fn take(&self, word: usize) -> u64 {
        let Some(word) = self.marks.get(word) else { return 0 };
        // A look costs less than an exchange, and mostly there is none.
        if word.load(Ordering::Acquire) == 0 { 0 } else { word.swap(0, Ordering::AcqRel) }
    }

    /// Puts marks back.
    pub(super) fn put_back(&self, word: usize, marks: u64) {
        if let Some(word) = self.marks.get(word) {
            word.fetch_or(marks, Ordering::AcqRel);
        }
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever marked a stream of this word before has woken the task, and it has not looked
        // since.
        if self.wakes.mark(self.place) {
            self.wakes.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}
