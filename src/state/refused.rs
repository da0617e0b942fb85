//! Recently refused requests, so that an operator can look up the reason by request id.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::policy::{Digest, KeyRecord, Refusal};
use crate::text::{CUT, push_clipped};

/// Limit of remembered requests with a known key, by worker.
const WITH_KEY: usize = 8192;
/// Limit of those without one. They can be many and carry little information, so they must not
/// evict the others.
const WITHOUT_KEY: usize = 1024;
/// How long a request is remembered, in seconds.
const MEMORY: i64 = 3600;
/// Limits of the texts in bytes: request id, method, host, path and referrer. A longer text is cut
/// and ends with `…`.
const LONGEST: [usize; 5] = [128, 64, 272, 2048, 512];

/// The key of a request that was refused.
#[derive(Debug, Clone)]
pub enum RefusedKey {
    /// A key in memory.
    Known(Arc<KeyRecord>),
    /// A revoked or expired key of the store, by the digest of the presented secret.
    Dead(Digest),
}

/// A refused request. Its texts contain no key.
#[derive(Debug, Clone)]
pub struct RefusedRequest {
    /// When it was refused, in Unix seconds.
    pub at: i64,
    /// Why it was refused.
    pub refusal: Refusal,
    /// Name of the API, or `None` if none was found.
    pub api: Option<Arc<str>>,
    /// The key, or `None` if none was found.
    pub key: Option<RefusedKey>,
    /// The client's address: the connection's peer, or the one that a trusted proxy reports.
    pub address: IpAddr,
    /// The request id, method, host, path and referrer, in one allocation.
    texts: Box<str>,
    ends: [u16; 4],
}

impl RefusedRequest {
    /// Returns a refused request. `texts` are the request id, the method, the host, the path and
    /// the referrer.
    #[must_use]
    pub fn new(
        at: i64,
        refusal: Refusal,
        api: Option<Arc<str>>,
        key: Option<RefusedKey>,
        address: IpAddr,
        texts: [&str; 5],
    ) -> Self {
        let room = |(text, most): (&str, usize)| text.len().min(most + CUT.len_utf8());
        let mut all = String::with_capacity(texts.into_iter().zip(LONGEST).map(room).sum());
        let mut ends = [0; 4];
        for (index, (text, most)) in texts.into_iter().zip(LONGEST).enumerate() {
            push_clipped(&mut all, text, most);
            if let Some(end) = ends.get_mut(index) {
                *end = u16::try_from(all.len()).unwrap_or(u16::MAX);
            }
        }
        Self { at, refusal, api, key, address, texts: all.into(), ends }
    }

    fn text(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| usize::from(self.ends[before]));
        let end = self.ends.get(index).map_or(self.texts.len(), |end| usize::from(*end));
        self.texts.get(start..end).unwrap_or_default()
    }

    /// Returns the request id that the client received.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.text(0)
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text(1)
    }

    /// Returns the requested host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text(2)
    }

    /// Returns the path, without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text(3)
    }

    /// Returns the `Referer` field, or an empty text without one.
    #[must_use]
    pub fn referrer(&self) -> &str {
        self.text(4)
    }
}

/// The requests that one worker recently refused. Only refused requests lock it.
#[derive(Debug, Default)]
pub struct RefusedRequests {
    lists: Mutex<[VecDeque<RefusedRequest>; 2]>,
}

impl RefusedRequests {
    /// Adds a request, and evicts the oldest one if there are too many.
    pub fn add(&self, request: RefusedRequest) {
        let (list, most) = if request.key.is_some() { (0, WITH_KEY) } else { (1, WITHOUT_KEY) };
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if lists[list].len() >= most {
            lists[list].pop_front();
        }
        lists[list].push_back(request);
    }

    /// Returns the latest request of the last hour with this id. `now` is in Unix seconds.
    #[must_use]
    pub fn find(&self, request_id: &str, now: i64) -> Option<RefusedRequest> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |request: &&RefusedRequest| {
            request.request_id() == request_id && now.saturating_sub(request.at) <= MEMORY
        };
        lists.iter().flatten().filter(fresh).max_by_key(|request| request.at).cloned()
    }

    /// Returns the latest requests of the last hour with the key that has this id, at most so many,
    /// the latest first. `now` is in Unix seconds.
    #[must_use]
    pub fn of_key(&self, id: &str, now: i64, most: usize) -> Vec<RefusedRequest> {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |request: &&RefusedRequest| {
            matches!(&request.key, Some(RefusedKey::Known(record)) if record.id() == id)
                && now.saturating_sub(request.at) <= MEMORY
        };
        lists[0].iter().rev().filter(fits).take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, at: i64) -> RefusedRequest {
        let texts = [id, "GET", "desk.example", "/api/v1/tickets", ""];
        RefusedRequest::new(at, Refusal::MissingKey, None, None, [127, 0, 0, 1].into(), texts)
    }

    #[test]
    fn texts_come_back_as_they_were_and_long_ones_are_cut_between_characters() {
        let long = "ü".repeat(LONGEST[3]);
        let refused = RefusedRequest::new(
            1,
            Refusal::UnknownKey,
            None,
            None,
            [127, 0, 0, 1].into(),
            ["id", "GET", "", &long, "https://a/"],
        );
        assert_eq!(
            (refused.request_id(), refused.method(), refused.host(), refused.referrer()),
            ("id", "GET", "", "https://a/")
        );
        assert_eq!(refused.path(), "ü".repeat(LONGEST[3] / 2) + "…");
    }

    #[test]
    fn refused_request_is_found_for_an_hour() {
        let requests = RefusedRequests::default();
        requests.add(request("one", 1000));
        requests.add(request("one", 1010));
        assert_eq!(requests.find("one", 1020).map(|found| found.at), Some(1010));
        assert!(requests.find("two", 1020).is_none());
        assert!(requests.find("one", 1010 + MEMORY).is_some());
        assert!(requests.find("one", 1010 + MEMORY + 1).is_none());
    }

    #[test]
    fn strangers_requests_do_not_grow_without_bound() {
        let requests = RefusedRequests::default();
        (0..3 * WITHOUT_KEY).for_each(|number| requests.add(request(&number.to_string(), 0)));
        assert!(requests.find("0", 0).is_none());
        assert!(requests.find(&(3 * WITHOUT_KEY - 1).to_string(), 0).is_some());
        assert_eq!(requests.lists.lock().unwrap()[1].len(), WITHOUT_KEY);
    }
}
