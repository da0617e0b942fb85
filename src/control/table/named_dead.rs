//! Keys that `[revoked]` names and that are no longer in memory.

use hashbrown::{HashMap, HashSet};

use crate::config::Revoked;
use crate::policy::Digest;

/// Keys of the store that `[revoked]` names and of which only tombstones are left. Tombstones do
/// not hold ids.
#[derive(Debug, Default)]
pub(super) struct NamedDead {
    ids: HashSet<Box<str>>,
    /// Their known secrets, each with its key's id.
    secrets: HashMap<Digest, Box<str>>,
    organizations: HashSet<Box<str>>,
}

impl NamedDead {
    pub(super) fn add(&mut self, id: &str, digests: impl Iterator<Item = Digest>) {
        self.ids.insert(id.into());
        self.secrets.extend(digests.map(|digest| (digest, id.into())));
    }

    /// Removes what `revoked` no longer names.
    pub(super) fn keep(&mut self, revoked: &Revoked) {
        let secrets = self.secrets.iter();
        let of_named = secrets.filter(|(digest, id)| revoked.key(id, [**digest]).is_some());
        let named: HashSet<Box<str>> = of_named.map(|(_, id)| id.clone()).collect();
        self.ids.retain(|id| named.contains(id) || revoked.id(id).is_some());
        self.secrets.retain(|_, id| self.ids.contains(id));
        self.organizations.retain(|name| revoked.organization(name).is_some());
    }

    pub(super) fn add_organization(&mut self, name: &str) {
        self.organizations.insert(name.into());
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Returns the id of the key that has this secret.
    pub(super) fn owner(&self, digest: &Digest) -> Option<&str> {
        self.secrets.get(digest).map(|id| &**id)
    }

    pub(super) fn has_organization(&self, name: &str) -> bool {
        self.organizations.contains(name)
    }
}
