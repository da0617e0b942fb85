//! Interns the rights of keys: each set of rights has one entry, however many keys have it.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::config::{Config, Rights};
use crate::policy::Grants;

/// How many unused entries may accumulate before a sweep. An entry is small, and a sweep visits
/// every key.
const IDLE: usize = 1024;

/// The grants by index. Records of keys hold the index.
#[derive(Debug, Clone, Default)]
pub(super) struct GrantsTable {
    /// Maps rights to the index of their grants.
    rights: HashMap<Rights, u32>,
    /// The grants of the rights under the current configuration.
    grants: Vec<Grants>,
    /// Free indices.
    free: Vec<u32>,
    /// The number of entries in use at the last sweep.
    in_use: usize,
    /// Whether `grants` has changed since the last call of [`Self::changes`].
    changed: bool,
}

impl GrantsTable {
    /// Returns the index of the grants for these rights. Adds an entry if there is none.
    pub(super) fn index_of(&mut self, rights: Rights, config: &Config) -> u32 {
        let Self { grants, free, changed, .. } = self;
        *self.rights.entry(rights).or_insert_with_key(|rights| {
            *changed = true;
            let new = config.grants(rights);
            if let Some(index) = free.pop() {
                grants[index as usize] = new;
                return index;
            }
            grants.push(new);
            u32::try_from(grants.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Recomputes all grants after a change of the configuration, which can give the same rights a
    /// different meaning.
    pub(super) fn refresh(&mut self, config: &Config) {
        for (rights, index) in &self.rights {
            self.grants[*index as usize] = config.grants(rights);
        }
        self.changed = true;
    }

    /// Returns all grants, or `None` if they have not changed since the last call.
    pub(super) fn changes(&mut self) -> Option<Arc<[Grants]>> {
        std::mem::take(&mut self.changed).then(|| self.grants.as_slice().into())
    }

    /// Removes entries that no key uses, once there are many. Otherwise a key whose limit is
    /// changed again and again would fill the memory. `held` returns the indices that all keys
    /// hold. It is called only if a sweep is due.
    pub(super) fn sweep<I: Iterator<Item = u32>>(&mut self, held: impl FnOnce() -> I) {
        if self.rights.len() < 2 * self.in_use + IDLE {
            return;
        }
        let mut is_held = vec![false; self.grants.len()];
        held().for_each(|index| is_held[index as usize] = true);
        self.rights.retain(|_, index| is_held[*index as usize]);
        self.free.clear();
        for (index, _) in is_held.iter().enumerate().filter(|(_, held)| !**held) {
            self.grants[index] = Arc::default();
            self.free.extend(u32::try_from(index).ok());
        }
        self.in_use = self.rights.len();
        self.changed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Limit;

    fn limited(count: u32) -> Rights {
        let limit = Limit { count, window: 60_000_000_000 };
        Rights { apis: Vec::new(), scopes: Arc::default(), rate_limit: Some([limit].into()) }
    }

    #[test]
    fn rights_that_no_key_has_any_more_make_room_for_others() {
        let file = "[server]\nlisten = \"127.0.0.1:0\"\n[[api]]\nname = \"desk\"\n\
            upstream = \"http://127.0.0.1:1\"\n";
        let config =
            crate::config::parse(file, std::path::Path::new("gateway.toml")).expect("a good file");
        let mut table = GrantsTable::default();
        let kept = table.index_of(limited(1), &config);
        let mut last = kept;
        for count in 2..100_000 {
            last = table.index_of(limited(count), &config);
            assert!(last != kept, "{count}");
            table.sweep(|| [kept, last].into_iter());
        }
        assert!(table.grants.len() < 2 * IDLE, "{}", table.grants.len());
        assert_eq!(table.index_of(limited(1), &config), kept);
        assert_eq!(table.index_of(limited(99_999), &config), last);
        assert_eq!(table.changes().map(|grants| grants.len()), Some(table.grants.len()));
        assert!(table.changes().is_none());
    }
}
