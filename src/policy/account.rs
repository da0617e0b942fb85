//! The usage counts of a key. They are separate from its record, so an edit of the record keeps
//! them.

use std::collections::{HashMap, VecDeque};
use std::iter::successors;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::race::OnceBox;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::outcome::{Ended, Hours, OutcomeClass};
use super::quota::{Allowance, Exhausted, Limit, Quota, WindowCounts};

/// The counts of one key. Requests with other keys do not access it. It allocates nothing before
/// its first use, because many keys are never used.
#[derive(Debug, Default)]
pub struct Account {
    state: OnceBox<State>,
}

#[derive(Debug)]
struct State {
    /// Whether the usage recorder was notified after the last collection.
    noted: AtomicBool,
    requests: AtomicU64,
    /// The number of `requests` already collected. Only the collector accesses it.
    collected: AtomicU64,
    /// The requests that have ended and were not collected yet.
    ended: Mutex<Ended>,
    /// The first API and the first secret, inline because most keys have no others. The others are
    /// in linked lists.
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
    /// In Unix seconds; 0 before the first use.
    last_used: AtomicI64,
    /// The last collected value of `last_used`. Only the collector accesses it.
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
    /// The requests that have ended, by hour. Requests that were refused although the key was found
    /// are among them, and those that are in progress are not.
    pub hours: Hours,
    /// The secrets that were presented, each with the time of its last use in Unix seconds.
    pub secrets: Vec<(Digest, i64)>,
}

/// The exported state of an account, for a successor process with the same clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// The name of each API, with the counts of its windows.
    pub counts: Vec<(String, Vec<WindowCounts>)>,
    /// When each secret was last presented, in Unix seconds; 0 if never.
    pub last_used: Vec<(Digest, i64)>,
}

impl Account {
    /// Records a use of the key, which must be valid. The request itself may still be refused.
    /// Returns whether the caller must notify the usage recorder, once between two collections.
    pub(super) fn note_use(&self, api: &Arc<str>, digest: &Digest, unix: i64) -> bool {
        let state = self.state(api, digest);
        let secret = state.secret.of(digest);
        if secret.last_used.load(Ordering::Relaxed) < unix {
            secret.last_used.fetch_max(unix, Ordering::Relaxed);
        }
        // `collect` uses the same ordering. With a weaker one, a use could be missed by the
        // collection and cause no notification either.
        state.requests.fetch_add(1, Ordering::SeqCst);
        // The load avoids most swaps. A swap would take the cache line from other cores.
        !state.noted.load(Ordering::SeqCst) && !state.noted.swap(true, Ordering::SeqCst)
    }

    /// Counts a request that has ended and began at `unix`, in Unix seconds. The key may have been
    /// invalid. Returns whether the caller must notify the usage recorder, once between two
    /// collections.
    pub fn note_end(
        &self,
        api: &Arc<str>,
        digest: &Digest,
        class: OutcomeClass,
        unix: i64,
    ) -> bool {
        let state = self.state(api, digest);
        state.ended().count(class, unix);
        !state.noted.load(Ordering::SeqCst) && !state.noted.swap(true, Ordering::SeqCst)
    }

    /// Returns the number of requests since the process started, while the key was valid.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.get().map_or(0, |state| state.requests.load(Ordering::Relaxed))
    }

    /// Returns when each secret was last presented, in Unix seconds. Secrets that this process has
    /// not seen are missing.
    pub fn last_used(&self) -> impl Iterator<Item = (Digest, i64)> {
        let secrets = self.state.get().into_iter().flat_map(|state| state.secret.all());
        secrets.map(|secret| (secret.digest, secret.last_used.load(Ordering::Relaxed)))
    }

    /// Returns the usage since the previous call. There must be only one caller.
    pub fn collect(&self) -> Collected {
        let Some(state) = self.state.get() else {
            return Collected { requests: 0, total: 0, hours: Hours::new(), secrets: Vec::new() };
        };
        // Clear the flag first. A use after this line then causes another notification.
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
            hours: state.ended().take(),
            secrets,
        }
    }

    /// Returns the state at `now` (monotonic nanoseconds), or `None` if the key was never used.
    #[must_use]
    pub fn export(&self, now: u64) -> Option<AccountState> {
        let state = self.state.get()?;
        let counts = state
            .usage
            .all()
            .map(|usage| (usage.api.as_ref().to_owned(), usage.lock().counts(now)));
        Some(AccountState { counts: counts.collect(), last_used: self.last_used().collect() })
    }

    /// Restores the exported state of another process. Call it before the first use of the key.
    /// `name` returns the shared copy of an API's name.
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

    /// Counts a request in every window, or in none if a window is exhausted. Returns what remains,
    /// or `None` if there is no limit. `digest`: the digest of the presented secret. `now`:
    /// monotonic nanoseconds.
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

    /// Returns the length of the longest window, in nanoseconds.
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
                ended: Mutex::default(),
                usage: Usage::new(api),
                secret: SecretUse::new(digest),
            })
        })
    }
}

impl State {
    /// Locks the counts. A panic cannot leave them half-changed.
    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usage {
    fn new(api: &Arc<str>) -> Self {
        Self { api: api.clone(), ..Self::default() }
    }

    fn all(&self) -> impl Iterator<Item = &Self> {
        successors(Some(self), |usage| usage.next.get())
    }

    /// Returns the usage in this API. Adds an empty one if there is none.
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

    /// Locks the counts. Ignores poisoning, because a panic cannot leave counts that admit more
    /// requests.
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

/// The accounts of removed keys. A key that returns within its longest window keeps its counts.
#[derive(Debug, Default)]
pub struct Departed {
    /// The accounts of keys that may return, by id, each with the time of its removal in monotonic
    /// nanoseconds.
    accounts: HashMap<Box<str>, (Arc<Account>, u64)>,
    /// The keys that cannot return, until their last uses have been collected: the id, the number
    /// of requests, and the time of removal in monotonic nanoseconds. The earliest removal comes
    /// first.
    for_good: VecDeque<(Box<str>, u64, u64)>,
}

/// The time after which all uses of a removed key have been collected, in nanoseconds.
const COLLECTED: u64 = 5_000_000_000;

impl Departed {
    /// Adds the account of a key that was removed at `now` (monotonic nanoseconds). Does nothing
    /// for a key that was never used.
    pub fn add(&mut self, id: &str, account: Arc<Account>, now: u64) {
        if account.state.get().is_some() {
            self.accounts.insert(id.into(), (account, now));
        }
    }

    /// Adds a key that was removed at `now` (monotonic nanoseconds) and cannot return. Does nothing
    /// for a key that was never used.
    pub fn add_for_good(&mut self, id: &str, account: &Account, now: u64) {
        let requests = account.requests();
        if requests > 0 {
            self.for_good.push_back((id.into(), requests, now));
        }
    }

    /// Removes the account of a key that returns, and returns it.
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

    /// Removes the keys that cannot return and whose uses have been collected. Returns their ids
    /// and numbers of requests. `now`: monotonic nanoseconds.
    pub fn forget_collected(&mut self, now: u64) -> Vec<(Box<str>, u64)> {
        let mut collected = Vec::new();
        let over = |gone: &(_, _, u64)| now.saturating_sub(gone.2) > COLLECTED;
        while self.for_good.front().is_some_and(over) {
            collected.extend(self.for_good.pop_front().map(|(id, requests, _)| (id, requests)));
        }
        collected
    }
}
