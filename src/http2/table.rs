//! The static table (RFC 7541 Appendix A) and the dynamic table (§2.3.2).

use std::collections::VecDeque;
use std::fmt;

use crate::policy::wipe;

/// The entries of the static table. The first one has index 1.
#[rustfmt::skip]
pub(super) static STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"),
    (":path", "/index.html"), (":scheme", "http"), (":scheme", "https"), (":status", "200"),
    (":status", "204"), (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""), ("allow", ""),
    ("authorization", ""), ("cache-control", ""), ("content-disposition", ""),
    ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""),
    ("date", ""), ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""),
    ("if-match", ""), ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""), ("location", ""),
    ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""),
    ("via", ""), ("www-authenticate", ""),
];

/// Returns the index of a static entry with this name, or 0 if there is none that a response could
/// use.
pub(super) fn static_name(name: &str) -> u8 {
    match (name.len(), name) {
        (3, "age") => 21,
        (3, "via") => 60,
        (4, "date") => 33,
        (4, "etag") => 34,
        (4, "link") => 45,
        (4, "vary") => 59,
        (5, "allow") => 22,
        (6, "server") => 54,
        (7, "expires") => 36,
        (7, "refresh") => 52,
        (8, "location") => 46,
        (10, "set-cookie") => 55,
        (11, "retry-after") => 53,
        (12, "content-type") => 31,
        (13, "accept-ranges") => 18,
        (13, "cache-control") => 24,
        (13, "content-range") => 30,
        (13, "last-modified") => 44,
        (14, "content-length") => 28,
        (16, "content-encoding") => 26,
        (16, "content-language") => 27,
        (16, "content-location") => 29,
        (16, "www-authenticate") => 61,
        (18, "proxy-authenticate") => 48,
        (19, "content-disposition") => 25,
        (25, "strict-transport-security") => 56,
        (27, "access-control-allow-origin") => 20,
        _ => 0,
    }
}

/// The overhead of an entry, in bytes, which counts towards its size (RFC 7541 §4.1).
pub(super) const ENTRY: usize = 32;

/// The indexed entries, the newest first.
#[derive(Debug)]
pub(super) struct DynamicTable {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

struct Entry {
    /// The name followed by the value.
    text: Box<[u8]>,
    name: usize,
}

/// Omits the text, which may contain a key.
impl fmt::Debug for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Erases the text from memory, because it may contain a key.
impl Drop for Entry {
    fn drop(&mut self) {
        wipe(&mut self.text);
    }
}

impl DynamicTable {
    /// Returns an empty table of at most `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { entries: VecDeque::new(), size: 0, most }
    }

    /// Returns the name and the value of an entry. The newest entry has index 0.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(index)?;
        Some(entry.text.split_at(entry.name))
    }

    /// Changes the maximum size, in bytes (RFC 7541 §4.3).
    pub(super) fn resize(&mut self, most: usize) {
        self.most = most;
        self.make_room(0);
    }

    /// Adds an entry. `name`: the length of its name. An entry that is too large empties the table
    /// (RFC 7541 §4.4).
    pub(super) fn add(&mut self, text: &[u8], name: usize) {
        let size = text.len() + ENTRY;
        self.make_room(size);
        if size <= self.most {
            self.size += size;
            self.entries.push_front(Entry { text: text.into(), name });
        }
    }

    fn make_room(&mut self, size: usize) {
        while self.size + size > self.most {
            let Some(last) = self.entries.pop_back() else { return };
            self.size -= last.text.len() + ENTRY;
        }
    }
}
