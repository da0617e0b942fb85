//! The table of keys: from the digest of what the caller presents to the record behind it.

use super::api::ScopeSet;
use super::forwarding::Identity;
use super::quota::Limit;
use super::restriction::Restrictions;
use super::usage::Usage;
use sha2::Digest as _;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// SHA-256 of a key. Keygate never keeps the key itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a key, exactly as the caller presents it.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(sha2::Sha256::digest(key).into())
    }

    /// Reads 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 || bytes.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
            let digit = |at: usize| (pair[at] as char).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(digest))
    }

    /// Takes its 32 bytes, as the store keeps them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest is uniform already, so its first bytes are the hash and the last ones pick the shard.
    /// Comparing it in variable time tells nothing: a caller who could steer its bytes has the key.
    fn hash(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(first)
    }

    fn shard(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[30], self.0[31]])) % SHARDS
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Digest({self})")
    }
}

/// A `[[key]]` block, checked; what [`Keyring::new`] takes.
#[derive(Debug, Clone)]
pub struct KeyDefinition {
    /// Unique; in logs, metrics and towards the upstream.
    pub id: Arc<str>,
    /// For people.
    pub name: Box<str>,
    /// Whose it is.
    pub organization: Option<Arc<str>>,
    /// One for each secret that is valid now.
    pub digests: Vec<Digest>,
    /// Seconds since the Unix epoch; from then on the key is refused.
    pub expires_at: Option<i64>,
    /// Whether `[revoked]` names it.
    pub revoked: bool,
    /// Where it may be used from, and for what.
    pub restrictions: Restrictions,
    /// The APIs that it opens.
    pub grants: Vec<GrantDefinition>,
}

/// What a key may do in one API.
#[derive(Debug, Clone)]
pub struct GrantDefinition {
    /// Index of the API in the snapshot.
    pub api: usize,
    /// The scopes that it holds.
    pub scopes: ScopeSet,
    /// Whether it holds every scope, and endpoints without a scope too.
    pub everything: bool,
    /// The scopes' names as the upstream is told them.
    pub scope_names: Arc<[Box<str>]>,
    /// Its limits, own or the API's; empty: none.
    pub limits: Arc<[Limit]>,
    /// Its counts, which outlive the record.
    pub usage: Arc<Usage>,
}

/// A key as the table keeps it. It never changes; an edit makes a new one.
#[derive(Debug)]
pub struct KeyRecord {
    pub(super) id: Arc<str>,
    pub(super) name: Box<str>,
    pub(super) organization: Option<Arc<str>>,
    pub(super) expires_at: Option<i64>,
    pub(super) revoked: bool,
    pub(super) restrictions: Option<Box<Restrictions>>,
    pub(super) grants: Box<[Grant]>,
}

impl KeyRecord {
    /// Its id, which is no secret.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }
}

/// A key's grant in one API, with what is worked out on first use.
#[derive(Debug)]
pub struct Grant {
    pub(super) api: usize,
    pub(super) scopes: ScopeSet,
    pub(super) everything: bool,
    pub(super) scope_names: Arc<[Box<str>]>,
    pub(super) limits: Arc<[Limit]>,
    pub(super) usage: Arc<Usage>,
    /// The header values that tell the upstream who calls.
    pub(super) identity: OnceLock<Box<Identity>>,
}

/// Power of two. A change of one key copies one shard, so a shard stays small in a large table.
const SHARDS: usize = 4096;

/// A secret and the record that it belongs to.
#[derive(Debug, Clone)]
struct Slot {
    digest: Digest,
    record: Arc<KeyRecord>,
}

/// An open-addressed table with linear probing, never more than half full. Its slots lie right behind the pointer to it, so
/// that a look-up in a table that is far larger than the caches waits for memory about once.
type Shard = [Option<Slot>];

/// Where the search for a digest begins in a shard with this many slots: the digest's hash, scaled.
fn home(digest: &Digest, slots: usize) -> usize {
    // The product of two 64-bit numbers, shifted by 64, is below the second.
    ((u128::from(digest.hash()) * slots as u128) >> 64) as usize
}

/// Builds a shard; of two equal digests the first stays.
fn shard(entries: Vec<Slot>) -> Arc<Shard> {
    let mut slots: Vec<Option<Slot>> = vec![None; entries.len() * 2];
    for entry in entries {
        let mut at = home(&entry.digest, slots.len());
        while slots[at].as_ref().is_some_and(|slot| slot.digest != entry.digest) {
            at = (at + 1) % slots.len();
        }
        slots[at].get_or_insert(entry);
    }
    slots.into()
}

/// All keys by digest: immutable, in shards that two versions of the table can share.
#[derive(Debug)]
pub struct Keyring {
    shards: Box<[Arc<Shard>]>,
    len: usize,
}

impl Keyring {
    /// Builds the table. Digests are expected to be unique; of two equal ones the first stays.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = KeyDefinition>) -> Self {
        let mut entries: Vec<Vec<Slot>> = vec![Vec::new(); SHARDS];
        for key in keys {
            let digests = key.digests.clone();
            let record = Arc::new(KeyRecord::new(key));
            for digest in digests {
                entries[digest.shard()].push(Slot { digest, record: record.clone() });
            }
        }
        let shards: Box<[Arc<Shard>]> = entries.into_iter().map(shard).collect();
        let len = shards.iter().flat_map(|shard| shard.iter()).flatten().count();
        Self { shards, len }
    }

    /// The record behind a digest.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<&Arc<KeyRecord>> {
        let shard = &self.shards[digest.shard()];
        let home = home(digest, shard.len());
        // Half of the slots are free, so the search ends.
        let (before, from) = shard.split_at_checked(home)?;
        let found = from.iter().chain(before).map_while(Option::as_ref).find(|slot| slot.digest == *digest);
        found.map(|slot| &slot.record)
    }

    /// How many secrets it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl KeyRecord {
    fn new(key: KeyDefinition) -> Self {
        let grants = key.grants.into_iter().map(|grant| Grant {
            api: grant.api,
            scopes: grant.scopes,
            everything: grant.everything,
            scope_names: grant.scope_names,
            limits: grant.limits,
            usage: grant.usage,
            identity: OnceLock::new(),
        });
        Self {
            id: key.id,
            name: key.name,
            organization: key.organization,
            expires_at: key.expires_at,
            revoked: key.revoked,
            restrictions: (!key.restrictions.is_empty()).then(|| Box::new(key.restrictions)),
            grants: grants.collect(),
        }
    }

    /// What it may do in the API at this index.
    pub(super) fn grant(&self, api: usize) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.api == api)
    }
}
