//! A list whose places are used again, so that adding to it allocates only when it was never so
//! long.

use std::cell::{Ref, RefCell};

pub(super) struct Places<T> {
    entries: RefCell<Vec<Option<T>>>,
    free: RefCell<Vec<usize>>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { entries: RefCell::default(), free: RefCell::default() }
    }
}

impl<T> Places<T> {
    /// Adds an entry; returns its place.
    pub(super) fn add(&self, entry: T) -> usize {
        let mut entries = self.entries.borrow_mut();
        if let Some(place) = self.free.borrow_mut().pop() {
            entries[place] = Some(entry);
            return place;
        }
        entries.push(Some(entry));
        entries.len() - 1
    }

    /// Removes what is at this place.
    pub(super) fn remove(&self, place: usize) {
        self.entries.borrow_mut()[place] = None;
        self.free.borrow_mut().push(place);
    }

    /// All places, empty ones too. Nothing may be added or removed meanwhile.
    pub(super) fn all(&self) -> Ref<'_, [Option<T>]> {
        Ref::map(self.entries.borrow(), Vec::as_slice)
    }
}
