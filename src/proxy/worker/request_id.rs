//! Request ids.

/// Request id: the client's own, or a new one of 32 hexadecimal digits.
pub(in crate::proxy) enum RequestId {
    Sent(Box<str>),
    Made([u8; 32]),
}

impl RequestId {
    /// Creates an id from a worker's random prefix and its counter.
    pub(in crate::proxy) fn new(start: u64, count: u64) -> Self {
        let mut id = [0; 32];
        for (digits, number) in id.chunks_exact_mut(16).zip([start, count]) {
            for (place, digit) in digits.iter_mut().rev().enumerate() {
                *digit = b"0123456789abcdef"[(number >> (4 * place) & 15) as usize];
            }
        }
        Self::Made(id)
    }

    pub(in crate::proxy) fn as_str(&self) -> &str {
        match self {
            Self::Sent(id) => id,
            Self::Made(id) => std::str::from_utf8(id).unwrap_or_default(),
        }
    }
}
