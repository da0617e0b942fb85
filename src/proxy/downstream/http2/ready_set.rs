//! Set of the streams of a connection that are ready to be served. One task serves them all. Each
//! stream has its own waker, which is created once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// One bit for each stream of a connection, 64 in a word.
pub(in crate::proxy) struct ReadySet {
    words: Box<[AtomicU64]>,
    /// Waker of the task that serves the streams.
    task: Mutex<Waker>,
}

/// Waker of one stream: adds it to the set and wakes the task.
struct StreamWaker {
    ready: Arc<ReadySet>,
    key: usize,
}

impl ReadySet {
    /// Creates an empty set for slab keys below `streams`.
    pub(in crate::proxy) fn new(streams: usize) -> Arc<Self> {
        let words = std::iter::repeat_with(AtomicU64::default).take(streams.div_ceil(64)).collect();
        Arc::new(Self { words, task: Mutex::new(Waker::noop().clone()) })
    }

    /// Returns a new waker for the stream with this slab key.
    pub(in crate::proxy) fn waker(self: &Arc<Self>, key: usize) -> Waker {
        Arc::new(StreamWaker { ready: self.clone(), key }).into()
    }

    /// Registers the running task as the one that serves the streams.
    pub(in crate::proxy) fn serve_on(&self, cx: &Context<'_>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.will_wake(cx.waker()) {
            task.clone_from(cx.waker());
        }
    }

    /// Adds a stream. Returns whether its word was empty.
    pub(in crate::proxy) fn add(&self, key: usize) -> bool {
        self.words
            .get(key / 64)
            .is_some_and(|word| word.fetch_or(1 << (key % 64), Ordering::AcqRel) == 0)
    }

    /// Takes all streams of a word, as bits.
    pub(in crate::proxy) fn take(&self, word: usize) -> u64 {
        let Some(word) = self.words.get(word) else { return 0 };
        // A load costs less than a swap, and most words are empty.
        if word.load(Ordering::Acquire) == 0 { 0 } else { word.swap(0, Ordering::AcqRel) }
    }

    /// Puts back streams of a word.
    pub(in crate::proxy) fn put_back(&self, word: usize, streams: u64) {
        if let Some(word) = self.words.get(word) {
            word.fetch_or(streams, Ordering::AcqRel);
        }
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // If the word was not empty, the task has been woken and has not taken the word since.
        if self.ready.add(self.key) {
            self.ready.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}
