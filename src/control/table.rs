//! The master copy of what requests are judged by: keys of `gateway.toml` and of the store in one
//! table. What comes out of it is a [`Snapshot`]; putting that in force is [`super::registry`]'s.

mod clash;
mod revoked;
mod trial;

pub(super) use clash::Clash;
pub(super) use trial::Trial;

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};

use super::terms::TermsTable;
use crate::config::{Config, Hold, KeyConfig, Rights, parse_limit, touched_keys};
use crate::keystore::{StoredKey, StoredOrganization};
use crate::policy::{
    Account, AccountState, AddressRange, Closed, Departed, Digest, Edit, KeyDefinition, KeyRecord,
    Keyring, Organization, Pattern, ReferrerPattern, Restrictions, Routes, Secret, Snapshot,
};

/// All keys, and what is needed to change one of them at a time.
#[derive(Debug)]
pub(super) struct Table {
    config: Arc<Config>,
    snapshot: Snapshot,
    /// Every key by its id.
    directory: HashTable<Arc<KeyRecord>>,
    hasher: DefaultHashBuilder,
    terms: TermsTable,
    organizations: HashMap<Box<str>, Arc<Organization>>,
    suspended: HashSet<Box<str>>,
    /// Ids that the store says are revoked for good.
    revoked: HashSet<Box<str>>,
    departed: Departed,
    /// Keys of the store that came after the file had revoked them; the store is to be told.
    untold: Vec<String>,
    /// Keys of the store, until the table is built for the first time.
    loaded: Vec<Arc<KeyRecord>>,
}

impl Table {
    /// With the file's APIs and no keys yet.
    pub(super) fn new(config: &Arc<Config>, routes: Arc<Routes>) -> Self {
        let snapshot = Snapshot {
            routes,
            terms: Arc::new([]),
            keyring: Keyring::default(),
            closed: Arc::default(),
        };
        Self {
            config: config.clone(),
            snapshot,
            directory: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            terms: TermsTable::default(),
            organizations: HashMap::new(),
            suspended: HashSet::new(),
            revoked: HashSet::new(),
            departed: Departed::default(),
            untold: Vec::new(),
            loaded: Vec::new(),
        }
    }

    /// Takes in what the store knows of organisations and of ids that are revoked for good, which
    /// may be those of keys of the file.
    pub(super) fn load_state(
        &mut self,
        revoked: Vec<String>,
        organizations: &[StoredOrganization],
    ) {
        self.revoked = revoked.into_iter().map(Into::into).collect();
        let suspended =
            organizations.iter().filter(|organization| organization.suspended_at.is_some());
        self.suspended = suspended.map(|organization| organization.name.as_str().into()).collect();
    }

    /// Takes in a key of the store, when the process starts.
    pub(super) fn load_key(&mut self, key: &StoredKey) {
        let definition = self.define_stored(key, Arc::default());
        self.loaded.push(Arc::new(KeyRecord::new(definition)));
    }

    /// Builds the table for the first time, when all that the store knows is in.
    ///
    /// # Errors
    /// Keys of the file that cannot stand beside those of the store.
    pub(super) fn build(&mut self) -> Result<(), Vec<Clash>> {
        let loaded = std::mem::take(&mut self.loaded);
        self.snapshot.keyring = Keyring::new(loaded.iter().cloned());
        // At once in its final size, without moving a million entries again and again.
        self.directory.reserve(loaded.len(), |record| self.hasher.hash_one(record.id()));
        loaded.into_iter().for_each(|record| self.register(record));
        let config = self.config.clone();
        let clashes = self.clashes_of(config.keys.iter().map(|key| &**key));
        if !clashes.is_empty() {
            return Err(clashes);
        }
        let records = config.keys.iter().map(|key| {
            let definition = self.define_file(key, Arc::default());
            Arc::new(KeyRecord::new(definition))
        });
        let records = records.collect();
        self.replace(records, &[], 0);
        self.refresh_closed();
        Ok(())
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
        let definition = self.define_stored(key, account);
        let digests = definition.secrets.iter().map(|secret| secret.digest);
        let by_file = self.config.revoked.key(&key.id, digests);
        if by_file.is_some_and(|mark| mark.hold == Hold::Lasting)
            && !self.revoked.contains(&*key.id)
        {
            self.revoked.insert(key.id.as_str().into());
            self.untold.push(key.id.clone());
        }
        self.replace(vec![Arc::new(KeyRecord::new(definition))], &[], 0);
    }

    /// Refuses these keys for good, known or not.
    pub(super) fn revoke<'i>(&mut self, ids: impl Iterator<Item = &'i str>) {
        let ids: Vec<&str> = ids.collect();
        self.revoked.extend(ids.iter().map(|id| Box::from(*id)));
        let records = ids
            .iter()
            .filter_map(|id| self.key(id))
            .map(|record| Arc::new(record.revoked()))
            .collect();
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
        self.snapshot.routes = routes;
        self.refresh_terms();
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
        self.departed
            .forget(now)
            .into_iter()
            .map(|(id, account)| (id, account.requests()))
            .collect()
    }

    /// The counts of a key that is known, or was within its longest window, or is new.
    fn account(&mut self, id: &str) -> Arc<Account> {
        let known = self.key(id).map(|record| record.account().clone());
        known.or_else(|| self.departed.take(id)).unwrap_or_default()
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
            let Ok(known) = self
                .directory
                .find_entry(self.hasher.hash_one(&**id), |record| record.id() == &**id)
            else {
                continue;
            };
            let (record, _) = known.remove();
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
        self.terms.sweep(|| self.directory.iter().map(|record| record.terms()));
        self.publish_terms();
    }

    fn refresh_terms(&mut self) {
        self.terms.refresh(&self.config);
        self.publish_terms();
    }

    fn publish_terms(&mut self) {
        if let Some(terms) = self.terms.changes() {
            self.snapshot.terms = terms;
        }
    }

    fn refresh_closed(&mut self) {
        let suspended = self.suspended.iter().map(|name| (name.clone(), Closed::Suspended));
        let revoked = self.config.revoked.organizations();
        let revoked = revoked.map(|(name, _)| (Box::from(name), Closed::Revoked));
        self.snapshot.closed = Arc::new(suspended.chain(revoked).collect());
    }

    fn organization(&mut self, name: &str) -> Arc<Organization> {
        if let Some(known) = self.organizations.get(name) {
            return known.clone();
        }
        self.organizations.entry(name.into()).or_insert_with(|| Organization::new(name)).clone()
    }

    fn define_file(&mut self, key: &KeyConfig, account: Arc<Account>) -> KeyDefinition {
        let apis =
            key.apis.iter().map(|index| self.config.apis[*index].definition.name.clone()).collect();
        let rights =
            Rights { apis, scopes: key.scopes.clone(), rate_limit: key.rate_limit.clone() };
        KeyDefinition {
            id: (&*key.id).into(),
            name: key.name.clone(),
            organization: key.organization.as_deref().map(|name| self.organization(name)),
            secrets: key
                .digests
                .iter()
                .map(|digest| Secret { digest: *digest, ends_at: None })
                .collect(),
            expires_at: key.expires_at,
            revoked: self.refuses(&key.id, key.digests.iter().copied()),
            paused: false,
            stored: false,
            restrictions: key.restrictions.clone(),
            terms: self.terms.index_of(rights, &self.config),
            account,
        }
    }

    /// A record that says what this version does not understand is not admitted.
    fn define_stored(&mut self, key: &StoredKey, account: Arc<Account>) -> KeyDefinition {
        let restrictions = restrictions(key);
        let limits = key.rate_limit.as_ref().map(|texts| {
            texts.iter().map(|text| parse_limit(text).ok()).collect::<Option<Arc<[_]>>>()
        });
        let understood = restrictions.is_some() && !matches!(limits, Some(None));
        if !understood {
            tracing::error!(
                key = key.id,
                "the store's record of this key has a restriction or limit that cannot be read; \
                    it is refused"
            );
        }
        let rights = Rights {
            apis: key.apis.iter().map(|name| name.as_str().into()).collect(),
            scopes: key.scopes.iter().map(|name| name.as_str().into()).collect(),
            rate_limit: limits.flatten(),
        };
        KeyDefinition {
            id: key.id.as_str().into(),
            name: key.name.as_str().into(),
            organization: key.organization.as_deref().map(|name| self.organization(name)),
            secrets: key
                .secrets
                .iter()
                .map(|secret| Secret { digest: secret.digest, ends_at: secret.ends_at })
                .collect(),
            expires_at: key.expires_at,
            revoked: key.revocation.is_some()
                || self.refuses(&key.id, key.secrets.iter().map(|secret| secret.digest)),
            paused: key.paused || !understood,
            stored: true,
            restrictions: restrictions.unwrap_or_default(),
            terms: self.terms.index_of(rights, &self.config),
            account,
        }
    }
}

fn restrictions(key: &StoredKey) -> Option<Restrictions> {
    Some(Restrictions {
        addresses: key
            .allow_ips
            .iter()
            .map(|text| AddressRange::parse(text).ok())
            .collect::<Option<_>>()?,
        referrers: key
            .allow_referrers
            .iter()
            .map(|text| ReferrerPattern::parse(text).ok())
            .collect::<Option<_>>()?,
        endpoints: key
            .allow_endpoints
            .iter()
            .map(|text| Pattern::parse(text).ok())
            .collect::<Option<_>>()?,
    })
}
