//! What changes about a key while its record does not: its counts, carried over every edit.

use std::collections::{HashMap, VecDeque};
use std::iter::successors;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::race::OnceBox;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::quota::{Allowance, Exhausted, Limit, Quota, WindowCounts};

/// The state of one key. Only requests with this key touch it. Empty until first use, so that an
/// idle key costs next to nothing.
#[derive(Debug, Default)]
pub struct Account {
    state: OnceBox<State>,
}

#[derive(Debug)]
struct State {
    /// Whether somebody has been told that there is something to collect.
    noted: AtomicBool,
    requests: AtomicU64,
    /// What of `requests` has been collected; only the collector touches it.
    collected: AtomicU64,
    /// Most keys have one API and one secret; others hang behind the first.
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
    /// Unix seconds.
    last_used: AtomicI64,
    /// What of it has been collected; only the collector touches it.
    collected: AtomicI64,
    next: OnceBox<SecretUse>,
}

/// What happened to a key since it was last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Requests.
    pub requests: u64,
    /// Requests since the process started, these included.
    pub total: u64,
    /// Secrets that were presented, and when they last were, in Unix seconds.
    pub secrets: Vec<(Digest, i64)>,
}

/// What an account knows, for a process that goes on with it by the same clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// By the API's name.
    pub counts: Vec<(String, Vec<WindowCounts>)>,
    /// When each secret was last presented, in Unix seconds; 0: it was not.
    pub last_used: Vec<(Digest, i64)>,
}

impl Account {
    /// Notes that the key was presented and found valid. Returns whether the account should be told
    /// to whoever collects: once between two collections.
    pub(super) fn note_use(&self, api: &Arc<str>, digest: &Digest, unix: i64) -> bool {
        let state = self.state(api, digest);
        let secret = state.secret.of(digest);
        if secret.last_used.load(Ordering::Relaxed) < unix {
            secret.last_used.fetch_max(unix, Ordering::Relaxed);
        }
        // In one order with what `collect` does, or a use could be neither collected nor noted
        // again.
        state.requests.fetch_add(1, Ordering::SeqCst);
        // A read first: the line stays shared between cores while nothing changes.
        !state.noted.load(Ordering::SeqCst) && !state.noted.swap(true, Ordering::SeqCst)
    }

    /// Requests with this key that were found valid, since the process started.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.get().map_or(0, |state| state.requests.load(Ordering::Relaxed))
    }

    /// When each secret was last presented, in Unix seconds, as far as this process has seen it.
    pub fn last_used(&self) -> impl Iterator<Item = (Digest, i64)> {
        let secrets = self.state.get().into_iter().flat_map(|state| state.secret.all());
        secrets.map(|secret| (secret.digest, secret.last_used.load(Ordering::Relaxed)))
    }

    /// What is new since the last call. There must be one caller only.
    pub fn collect(&self) -> Collected {
        let Some(state) = self.state.get() else {
            return Collected { requests: 0, total: 0, secrets: Vec::new() };
        };
        // Before the reading, so that what comes in between is told again.
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

    /// What is known at `now`, in monotonic nanoseconds. Nothing: the key was never used.
    #[must_use]
    pub fn export(&self, now: u64) -> Option<AccountState> {
        let state = self.state.get()?;
        let counts = state
            .usage
            .all()
            .map(|usage| (usage.api.as_ref().to_owned(), usage.lock().counts(now)));
        Some(AccountState { counts: counts.collect(), last_used: self.last_used().collect() })
    }

    /// Goes on with what another process knew of a key that this one has not seen used yet. `name`
    /// gives the API's name as requests have it.
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
            // It has been collected where it was noted.
            secret.collected.fetch_max(*last_used, Ordering::Relaxed);
        }
    }

    /// Counts one request of the secret with this digest in every window, or, if one is used up, in
    /// none. `now` in monotonic nanoseconds.
    ///
    /// # Errors
    /// A window is used up.
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

    /// How long the counts matter once nobody uses the key any more, in nanoseconds.
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

    /// The one of this API.
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

    /// A panic cannot leave the counts half-changed in a way that admits more, so a poisoned lock
    /// is good.
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

/// Accounts of keys that are gone.
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
    /// Remembers the account of a key that is gone since `now` (monotonic nanoseconds).
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

    /// The account of a key that comes back.
    pub fn take(&mut self, id: &str) -> Option<Arc<Account>> {
        self.accounts.remove(id).map(|(account, _)| account)
    }

    /// Those of keys that may come back, with their ids.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Arc<Account>)> {
        self.accounts.iter().map(|(id, (account, _))| (&**id, account))
    }

    /// Drops those whose counts do not matter any more, and returns them with their ids.
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
