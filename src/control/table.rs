//! The master copy of what requests are judged by: keys of `gateway.toml` and of the store in one
//! table. What comes out of it is a [`Snapshot`]; putting that in force is [`super::registry`]'s.

mod clash;
mod define;
mod loader;
mod named_dead;
mod retire;
mod revoked;
mod trial;

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use named_dead::NamedDead;

use super::grants::GrantsTable;
use crate::config::{Config, Hold, touched_keys};
use crate::keystore::StoredKey;
use crate::policy::{
    Account, AccountState, Closed, Departed, Digest, Edit, KeyRecord, Keyring, Organization,
    Routes, Snapshot, Tombstones,
};

pub(super) use clash::Clash;
pub(super) use loader::Loader;
pub(super) use retire::expired_at;
pub(super) use revoked::KeyName;
pub(super) use trial::Trial;

/// All keys, and what is needed to change one of them at a time.
#[derive(Debug)]
pub(super) struct Table {
    config: Arc<Config>,
    snapshot: Snapshot,
    /// Every key by its id, but for those of the store that are refused for good and of which only
    /// tombstones are left.
    directory: HashTable<Arc<KeyRecord>>,
    hasher: DefaultHashBuilder,
    grants: GrantsTable,
    organizations: HashMap<Box<str>, Arc<Organization>>,
    /// How many organisations had keys when that was last looked at.
    organizations_in_use: usize,
    suspended: HashSet<Box<str>>,
    /// Ids that are refused for good although the file does not say so: those of keys of the file
    /// that were revoked by request, and those of keys of the store until the store has been told.
    revoked: HashSet<Box<str>>,
    /// Secrets of keys of the file that were revoked by request: under another id they stay what
    /// they are.
    revoked_secrets: HashSet<Digest>,
    /// What `[revoked]` names besides keys in memory, and keys of the store that came after it had
    /// named them; the store is to be told.
    untold: Vec<KeyName>,
    /// Keys of the store that `[revoked]` names and of which only tombstones are left.
    named_dead: NamedDead,
    departed: Departed,
}

impl Table {
    /// With the file's APIs and no keys yet.
    pub(super) fn new(config: &Arc<Config>, routes: Arc<Routes>) -> Self {
        let snapshot = Snapshot {
            routes,
            grants: Arc::new([]),
            keyring: Keyring::default(),
            tombstones: Tombstones::default(),
            closed: Arc::default(),
        };
        Self {
            config: config.clone(),
            snapshot,
            directory: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            grants: GrantsTable::default(),
            organizations: HashMap::new(),
            organizations_in_use: 0,
            suspended: HashSet::new(),
            revoked: HashSet::new(),
            revoked_secrets: HashSet::new(),
            untold: Vec::new(),
            named_dead: NamedDead::default(),
            departed: Departed::default(),
        }
    }

    /// What requests are judged by.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// The configuration that it follows.
    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The key with this id.
    pub(super) fn key(&self, id: &str) -> Option<&Arc<KeyRecord>> {
        self.directory.find(self.hasher.hash_one(id), |record| record.id() == id)
    }

    /// The key that has a secret with this digest.
    pub(super) fn key_of(&self, digest: &Digest) -> Option<&Arc<KeyRecord>> {
        self.snapshot.keyring.find(digest)
    }

    /// Puts a key of the store into the table, in the place of the one with the same id.
    pub(super) fn put(&mut self, key: &StoredKey) {
        let account = self.account(&key.id);
        let Some(definition) = self.define_stored(key, account) else { return };
        let digests = key.secrets.iter().map(|secret| secret.digest);
        let by_file = self.config.revoked.key(&key.id, digests);
        if by_file.is_some_and(|mark| mark.hold == Hold::Lasting)
            && self.revoked.insert(key.id.as_str().into())
        {
            self.untold.push(KeyName::Id(key.id.clone()));
        }
        self.replace(vec![Arc::new(KeyRecord::new(definition))], &[], 0);
        self.unearth(key.secrets.iter().map(|secret| secret.digest));
    }

    /// Refuses these keys for good, known or not.
    pub(super) fn revoke<'i>(&mut self, ids: impl Iterator<Item = &'i str>) {
        let mut records = Vec::new();
        for id in ids {
            self.revoked.insert(id.into());
            let Some(record) = self.key(id) else { continue };
            let revoked = record.revoked();
            if !revoked.is_stored() {
                self.revoked_secrets.extend(revoked.secrets().map(|secret| secret.digest));
            }
            records.push(Arc::new(revoked));
        }
        self.replace(records, &[], 0);
    }

    /// Refuses or admits all keys of an organisation.
    pub(super) fn suspend(&mut self, organization: &str, suspended: bool) {
        if suspended {
            self.suspended.insert(organization.into());
        } else {
            self.suspended.remove(organization);
        }
        self.refresh_closed();
    }

    /// Follows an edit of the file, `now` in monotonic nanoseconds. The routes are the file's.
    pub(super) fn follow(&mut self, config: &Arc<Config>, routes: Arc<Routes>, now: u64) {
        let before = std::mem::replace(&mut self.config, config.clone());
        let (touched, touched_now) = touched_keys(&before, config);
        let new: HashSet<&str> = touched_now.iter().map(|key| &*key.id).collect();

        let mut records = Vec::new();
        for key in touched_now {
            let account = self.account(&key.id);
            let definition = self.define_file(key, account);
            records.push(Arc::new(KeyRecord::new(definition)));
        }
        let gone: Vec<Box<str>> = touched
            .iter()
            .filter(|key| !new.contains(&*key.id))
            .map(|key| (&*key.id).into())
            .collect();
        // All others that `[revoked]` concerns, those of the store too.
        let dropped: HashSet<&str> = gone.iter().map(|id| &**id).collect();
        let others = |id: &str| !new.contains(id) && !dropped.contains(id);
        records.extend(self.revoked_otherwise(&before.revoked, others));
        self.replace(records, &gone, now);
        self.note_newly_revoked(&before.revoked);
        self.snapshot.routes = routes;
        self.refresh_grants();
        self.refresh_closed();
    }

    /// What is known of all keys that were used, `now` in monotonic nanoseconds: those that are
    /// gone too.
    pub(super) fn export(&self, now: u64) -> Vec<(Box<str>, AccountState)> {
        let present = self.directory.iter().map(|record| (record.id(), record.account()));
        let all = present.chain(self.departed.all());
        all.filter_map(|(id, account)| Some((id.into(), account.export(now)?))).collect()
    }

    /// Goes on with what another process knew.
    pub(super) fn import(&mut self, known: &[(Box<str>, AccountState)], now: u64) {
        let apis = &self.config.apis;
        let name = |name: &str| {
            let known = apis.iter().map(|api| &api.definition.name).find(|known| ***known == *name);
            known.map_or_else(|| name.into(), Arc::clone)
        };
        for (id, state) in known {
            let record =
                self.directory.find(self.hasher.hash_one(&**id), |record| record.id() == &**id);
            match record {
                Some(record) => record.account().import(state, name),
                None => {
                    let account = Arc::<Account>::default();
                    account.import(state, name);
                    self.departed.add(id, account, now);
                }
            }
        }
    }

    /// Drops the counts of keys that have been gone for longer than they matter; returns their
    /// requests.
    pub(super) fn forget(&mut self, now: u64) -> Vec<(Box<str>, u64)> {
        let forgotten = self.departed.forget(now).into_iter();
        forgotten.map(|(id, account)| (id, account.requests())).collect()
    }

    /// Keys that cannot come back, once their uses are collected, with their requests.
    pub(super) fn forget_collected(&mut self, now: u64) -> Vec<(Box<str>, u64)> {
        self.departed.forget_collected(now)
    }

    /// The counts of a key that is known, or was within its longest window, or is new.
    fn account(&mut self, id: &str) -> Arc<Account> {
        let known = self.key(id).map(|record| record.account().clone());
        known.or_else(|| self.departed.take(id)).unwrap_or_default()
    }

    /// Makes room for so many keys.
    fn reserve(&mut self, keys: usize) {
        self.directory.reserve(keys, |record| self.hasher.hash_one(record.id()));
    }

    fn remove(&mut self, id: &str) -> Option<Arc<KeyRecord>> {
        let hash = self.hasher.hash_one(id);
        let known = self.directory.find_entry(hash, |record| record.id() == id).ok()?;
        Some(known.remove().0)
    }

    fn register(&mut self, record: Arc<KeyRecord>) {
        let (hasher, hash) = (&self.hasher, self.hasher.hash_one(record.id()));
        match self.directory.entry(
            hash,
            |known| known.id() == record.id(),
            |known| hasher.hash_one(known.id()),
        ) {
            hashbrown::hash_table::Entry::Occupied(mut known) => *known.get_mut() = record,
            hashbrown::hash_table::Entry::Vacant(place) => _ = place.insert(record),
        }
    }

    fn replace(&mut self, records: Vec<Arc<KeyRecord>>, gone: &[Box<str>], now: u64) {
        let mut edits = Vec::new();
        for id in gone {
            let Some(record) = self.remove(id) else { continue };
            edits.extend(Edit::replace(Some(&record), None));
            self.departed.add(id, record.account().clone(), now);
        }
        // All removals before any addition: a secret may have moved from one key to another.
        let mut added = Vec::new();
        for record in records {
            for edit in Edit::replace(self.key(record.id()), Some(&record)) {
                if matches!(edit, Edit::Remove(_)) { edits.push(edit) } else { added.push(edit) }
            }
            self.register(record);
        }
        self.snapshot.keyring = self.snapshot.keyring.with(edits.into_iter().chain(added));
        self.grants.sweep(|| self.directory.iter().map(|record| record.grants()));
        self.publish_grants();
    }

    fn refresh_grants(&mut self) {
        self.grants.refresh(&self.config);
        self.publish_grants();
    }

    fn publish_grants(&mut self) {
        if let Some(grants) = self.grants.changes() {
            self.snapshot.grants = grants;
        }
    }

    fn refresh_closed(&mut self) {
        let suspended = self.suspended.iter().map(|name| (name.clone(), Closed::Suspended));
        let revoked = self.config.revoked.organizations();
        let revoked = revoked.map(|(name, _)| (Box::from(name), Closed::Revoked));
        self.snapshot.closed = Arc::new(suspended.chain(revoked).collect());
    }
}
