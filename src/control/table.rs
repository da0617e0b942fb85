//! The master copy of all keys, those of `gateway.toml` and those of the store, in one table. It
//! produces the [`Snapshot`] that requests are judged by. [`super::registry`] puts that in force.

mod clash;
mod define;
mod key_name;
mod loader;
mod named_dead;
mod retire;
mod revoked;
mod trial;

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};

use self::named_dead::NamedDead;
use super::grants::GrantsTable;
use crate::config::{Config, Hold, touched_keys};
use crate::keystore::StoredKey;
use crate::policy::{
    Account, AccountState, Closed, Departed, Digest, Edit, KeyRecord, Keyring, Organization,
    Routes, Snapshot, Tombstones,
};

pub(super) use clash::Clash;
pub(super) use key_name::KeyName;
pub(super) use loader::Loader;
pub(super) use retire::expired_at;
pub(super) use trial::Trial;

/// All keys, and the indexes that are needed to change one of them.
#[derive(Debug)]
pub(super) struct Table {
    config: Arc<Config>,
    snapshot: Snapshot,
    /// Every key by its id, except for the keys of the store of which only tombstones are left.
    directory: HashTable<Arc<KeyRecord>>,
    hasher: DefaultHashBuilder,
    grants: GrantsTable,
    organizations: HashMap<Box<str>, Arc<Organization>>,
    /// The number of organisations that had keys at the last sweep.
    organizations_in_use: usize,
    suspended: HashSet<Box<str>>,
    /// Ids that are revoked although the file does not say so: those of keys of the file that were
    /// revoked by request, and those of keys of the store until the store has recorded it.
    revoked: HashSet<Box<str>>,
    /// Secrets of keys of the file that were revoked by request. They remain revoked under another
    /// id.
    revoked_secrets: HashSet<Digest>,
    /// Revocations by `[revoked]` that the store has yet to be told of: names that match no key in
    /// memory, and keys of the store that were added after `[revoked]` named them.
    unrecorded: Vec<KeyName>,
    /// Keys of the store that `[revoked]` names and of which only tombstones are left.
    named_dead: NamedDead,
    departed: Departed,
}

impl Table {
    /// Creates a table with the APIs of the file and no keys.
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
            unrecorded: Vec::new(),
            named_dead: NamedDead::default(),
            departed: Departed::default(),
        }
    }

    /// Returns the snapshot that requests are judged by.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// Returns the configuration that the table follows.
    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Returns the key with this id.
    pub(super) fn key(&self, id: &str) -> Option<&Arc<KeyRecord>> {
        self.directory.find(self.hasher.hash_one(id), |record| record.id() == id)
    }

    /// Returns the key that has a secret with this digest.
    pub(super) fn key_of(&self, digest: &Digest) -> Option<&Arc<KeyRecord>> {
        self.snapshot.keyring.find(digest)
    }

    /// Adds a key of the store, or replaces the one with the same id.
    pub(super) fn put(&mut self, key: &StoredKey) {
        let account = self.account(&key.id);
        let Some(definition) = self.define_stored(key, account) else { return };
        let digests = key.secrets.iter().map(|secret| secret.digest);
        let by_file = self.config.revoked.key(&key.id, digests);
        if by_file.is_some_and(|mark| mark.hold == Hold::Lasting)
            && self.revoked.insert(key.id.as_str().into())
        {
            self.unrecorded.push(KeyName::Id(key.id.clone()));
        }
        self.replace(vec![Arc::new(KeyRecord::new(definition))], &[], 0);
        self.remove_tombstones(key.secrets.iter().map(|secret| secret.digest));
    }

    /// Revokes keys permanently by their ids, known or not.
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

    /// Applies an edit of the file. `routes` are those of the file. `now` is in monotonic
    /// nanoseconds.
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
        // All other keys whose revocation by `[revoked]` changes, including those of the store.
        let dropped: HashSet<&str> = gone.iter().map(|id| &**id).collect();
        let others = |id: &str| !new.contains(id) && !dropped.contains(id);
        records.extend(self.revoked_otherwise(&before.revoked, others));
        self.replace(records, &gone, now);
        self.note_newly_revoked(&before.revoked);
        self.snapshot.routes = routes;
        self.refresh_grants();
        self.refresh_closed();
    }

    /// Returns the accounts of all keys that were used, including removed ones. `now` is in
    /// monotonic nanoseconds.
    pub(super) fn export(&self, now: u64) -> Vec<(Box<str>, AccountState)> {
        let present = self.directory.iter().map(|record| (record.id(), record.account()));
        let all = present.chain(self.departed.all());
        all.filter_map(|(id, account)| Some((id.into(), account.export(now)?))).collect()
    }

    /// Restores the accounts that another process exported. `now` is in monotonic nanoseconds.
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

    /// Drops the accounts of removed keys whose counts no longer matter. Returns their numbers of
    /// requests.
    pub(super) fn forget(&mut self, now: u64) -> Vec<(Box<str>, u64)> {
        let forgotten = self.departed.forget(now).into_iter();
        forgotten.map(|(id, account)| (id, account.requests())).collect()
    }

    /// Removes and returns the keys that cannot return and whose uses have been collected, with
    /// their numbers of requests.
    pub(super) fn forget_collected(&mut self, now: u64) -> Vec<(Box<str>, u64)> {
        self.departed.forget_collected(now)
    }

    /// Returns the account of a key: that of the known key, or of one that was removed within its
    /// longest window, or else a new one.
    fn account(&mut self, id: &str) -> Arc<Account> {
        let known = self.key(id).map(|record| record.account().clone());
        known.or_else(|| self.departed.take(id)).unwrap_or_default()
    }

    /// Reserves capacity for this many keys.
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
        // All removals precede all additions, because a secret may have moved from one key to
        // another.
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
