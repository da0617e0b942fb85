//! The usage counts of a key. They change while its record does not, and outlive every edit of it.

use std::collections::{HashMap, VecDeque};
use std::iter::successors;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::race::OnceBox;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::quota::{Allowance, Exhausted, Limit, Quota, WindowCounts};

/// The counts of one key. Only requests with this key access it. It is empty until first use, so
/// that an idle key costs next to nothing.
#[derive(Debug, Default)]
pub struct Account {
    state: OnceBox<State>,
}

#[derive(Debug)]
struct State {
    /// Whether the usage recorder has been notified since the last collection.
    noted: AtomicBool,
    requests: AtomicU64,
    /// How many of `requests` were collected. Only the collector accesses it.
    collected: AtomicU64,
    /// Most keys have one API and one secret. Any others are linked from the first.
    usage: Usage,
    secret: SecretUse,
}

/// The counts of a key in one API.
#[derive(Debug, Default)]
pub(super) struct Usage {
    api: Arc<str>,
    quota: Mutex<Quota>,
    next: OnceBox<Usage>,
}

#[derive(Debug)]
struct SecretUse {
    digest: Digest,
    /// Unix seconds, 0 before the first use.
    last_used: AtomicI64,
    /// The value of `last_used` that was collected last. Only the collector accesses it.
    collected: AtomicI64,
    next: OnceBox<SecretUse>,
}

/// The usage of a key since the previous collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// The number of requests.
    pub requests: u64,
    /// The number of requests since the process started, including these.
    pub total: u64,
    /// The secrets that were presented, each with the time of its last use in Unix seconds.
    pub secrets: Vec<(Digest, i64)>,
}

/// The exported state of an account, for a successor process with the same clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// The counts of each API, by its name.
    pub counts: Vec<(String, Vec<WindowCounts>)>,
    /// When each secret was last presented, in Unix seconds; 0 if never.
    pub last_used: Vec<(Digest, i64)>,
}

impl Account {
    /// Records a use of the key, which was found valid. Returns whether the usage recorder must be
    /// notified, which is once between two collections.
    pub(super) fn note_use(&self, api: &Arc<str>, digest: &Digest, unix: i64) -> bool {
        let state = self.state(api, digest);
        let secret = state.secret.of(digest);
        if secret.last_used.load(Ordering::Relaxed) < unix {
            secret.last_used.fetch_max(unix, Ordering::Relaxed);
        }
        // Sequentially consistent with `collect`. Otherwise a use could be neither collected nor
        // cause another notification.
        state.requests.fetch_add(1, Ordering::SeqCst);
        // The load comes first: the cache line stays shared between cores while nothing changes.
        !state.noted.load(Ordering::SeqCst) && !state.noted.swap(true, Ordering::SeqCst)
    }

    /// Returns the number of requests with this key that were found valid since the process
    /// started.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.get().map_or(0, |state| state.requests.load(Ordering::Relaxed))
    }

    /// Returns when each secret was last presented, in Unix seconds, as far as this process has
    /// seen it.
    pub fn last_used(&self) -> impl Iterator<Item = (Digest, i64)> {
        let secrets = self.state.get().into_iter().flat_map(|state| state.secret.all());
        secrets.map(|secret| (secret.digest, secret.last_used.load(Ordering::Relaxed)))
    }

    /// Returns the usage since the last call. There must be only one caller.
    pub fn collect(&self) -> Collected {
        let Some(state) = self.state.get() else {
            return Collected { requests: 0, total: 0, secrets: Vec::new() };
        };
        // Cleared before the counts are read, so that a use in between causes another notification.
        state.noted.store(false, Ordering::SeqCst);
        let requests = state.requests.load(Ordering::SeqCst);
        let secrets = state.secret.all().filter_map(|secret| {
            let last_used = secret.last_used.load(Ordering::Relaxed);
            (secret.collected.swap(last_used, Ordering::Relaxed) != last_used)
                .then_some((secret.digest, last_used))
        });
        let secrets = secrets.collect();
        Collected {
            requests: requests - state.collected.swap(requests, Ordering::Relaxed),
            total: requests,
            secrets,
        }
    }

    /// Returns the state at `now`, in monotonic nanoseconds, or `None` if the key was never used.
    #[must_use]
    pub fn export(&self, now: u64) -> Option<AccountState> {
        let state = self.state.get()?;
        let counts = state
            .usage
            .all()
            .map(|usage| (usage.api.as_ref().to_owned(), usage.lock().counts(now)));
        Some(AccountState { counts: counts.collect(), last_used: self.last_used().collect() })
    }

    /// Restores the state of another process, for a key that this process has not seen used yet.
    /// `name` returns an API's name as requests refer to it.
    pub fn import(&self, known: &AccountState, name: impl Fn(&str) -> Arc<str>) {
        let (Some((first, _)), Some((digest, _))) = (known.counts.first(), known.last_used.first())
        else {
            return;
        };
        let state = self.state(&name(first), digest);
        for (api, counts) in &known.counts {
            state.usage.of(&name(api)).lock().restore(counts);
        }
        for (digest, last_used) in &known.last_used {
            let secret = state.secret.of(digest);
            secret.last_used.fetch_max(*last_used, Ordering::Relaxed);
            // The other process has already collected this use.
            secret.collected.fetch_max(*last_used, Ordering::Relaxed);
        }
    }

    /// Counts one request of the secret with this digest in every window, or in no window if one is
    /// exhausted. `now`: monotonic nanoseconds. Returns what remains, or `None` if there is no
    /// limit.
    ///
    /// # Errors
    /// Returns [`Exhausted`] if a window is exhausted.
    pub fn charge(
        &self,
        api: &Arc<str>,
        digest: &Digest,
        limits: &[Limit],
        now: u64,
    ) -> Result<Option<Allowance>, Exhausted> {
        if limits.is_empty() {
            return Ok(None);
        }
        self.state(api, digest).usage.of(api).charge(limits, now)
    }

    pub(super) fn peek(&self, api: &Arc<str>, limits: &[Limit], now: u64) -> Option<Allowance> {
        if limits.is_empty() {
            return None;
        }
        match self.state.get() {
            Some(state) => state.usage.of(api).peek(limits, now),
            None => Quota::default().peek(limits, now),
        }
    }

    /// Returns how long the counts matter after the last use, in nanoseconds.
    fn memory(&self) -> u64 {
        let usages = self.state.get().into_iter().flat_map(|state| state.usage.all());
        usages.map(|usage| usage.lock().memory()).max().unwrap_or(0)
    }

    fn state(&self, api: &Arc<str>, digest: &Digest) -> &State {
        self.state.get_or_init(|| {
            Box::new(State {
                noted: AtomicBool::new(false),
                requests: AtomicU64::new(0),
                collected: AtomicU64::new(0),
                usage: Usage::new(api),
                secret: SecretUse::new(digest),
            })
        })
    }
}

impl Usage {
    fn new(api: &Arc<str>) -> Self {
        Self { api: api.clone(), ..Self::default() }
    }

    fn all(&self) -> impl Iterator<Item = &Self> {
        successors(Some(self), |usage| usage.next.get())
    }

    /// Returns the usage in this API.
    fn of(&self, api: &Arc<str>) -> &Self {
        let mut usage = self;
        while !Arc::ptr_eq(&usage.api, api) && usage.api != *api {
            usage = usage.next.get_or_init(|| Box::new(Self::new(api)));
        }
        usage
    }

    pub(super) fn charge(
        &self,
        limits: &[Limit],
        now: u64,
    ) -> Result<Option<Allowance>, Exhausted> {
        self.lock().charge(limits, now)
    }

    pub(super) fn peek(&self, limits: &[Limit], now: u64) -> Option<Allowance> {
        self.lock().peek(limits, now)
    }

    /// A panic cannot leave counts that admit more requests, so a poisoned lock is safe to use.
    fn lock(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecretUse {
    fn new(digest: &Digest) -> Self {
        Self {
            digest: *digest,
            last_used: AtomicI64::new(0),
            collected: AtomicI64::new(0),
            next: OnceBox::new(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Self> {
        successors(Some(self), |secret| secret.next.get())
    }

    fn of(&self, digest: &Digest) -> &Self {
        let mut secret = self;
        while secret.digest != *digest {
            secret = secret.next.get_or_init(|| Box::new(Self::new(digest)));
        }
        secret
    }
}

/// Accounts of removed keys, by id. A key that returns within its window keeps its counts.
#[derive(Debug, Default)]
pub struct Departed {
    /// Of those that may come back within their windows, by id, with the moment (monotonic
    /// nanoseconds) since which they are gone: they keep their counts.
    accounts: HashMap<Box<str>, (Arc<Account>, u64)>,
    /// Ids of those that cannot, with their requests and the moment, the earliest first: their last
    /// uses are yet to be collected.
    for_good: VecDeque<(Box<str>, u64, u64)>,
}

/// After which the last uses of a key have been collected, in nanoseconds.
const COLLECTED: u64 = 5_000_000_000;

impl Departed {
    /// Adds the account of a key that was removed at `now` (monotonic nanoseconds).
    pub fn add(&mut self, id: &str, account: Arc<Account>, now: u64) {
        if account.state.get().is_some() {
            self.accounts.insert(id.into(), (account, now));
        }
    }

    /// Remembers for a moment that a key that was used is gone since `now` and cannot come back.
    pub fn add_for_good(&mut self, id: &str, account: &Account, now: u64) {
        let requests = account.requests();
        if requests > 0 {
            self.for_good.push_back((id.into(), requests, now));
        }
    }

    /// Removes and returns the account of a key that returns.
    pub fn take(&mut self, id: &str) -> Option<Arc<Account>> {
        self.accounts.remove(id).map(|(account, _)| account)
    }

    /// Returns the accounts of keys that may return, with their ids.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Arc<Account>)> {
        self.accounts.iter().map(|(id, (account, _))| (&**id, account))
    }

    /// Removes the accounts whose counts no longer matter at `now` (monotonic nanoseconds). Returns
    /// them with their ids.
    pub fn forget(&mut self, now: u64) -> Vec<(Box<str>, Arc<Account>)> {
        let over = |account: &Account, gone: u64| {
            let memory = account.memory();
            now.saturating_sub(gone) > memory + memory / 60
        };
        self.accounts
            .extract_if(|_, (account, gone)| over(account, *gone))
            .map(|(id, (account, _))| (id, account))
            .collect()
    }

    /// Ids of keys that cannot come back and whose uses have been collected, with their requests.
    pub fn forget_collected(&mut self, now: u64) -> Vec<(Box<str>, u64)> {
        let mut collected = Vec::new();
        let over = |gone: &(_, _, u64)| now.saturating_sub(gone.2) > COLLECTED;
        while self.for_good.front().is_some_and(over) {
            collected.extend(self.for_good.pop_front().map(|(id, requests, _)| (id, requests)));
        }
        collected
    }
}
