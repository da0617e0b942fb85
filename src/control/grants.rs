//! What keys may do, each set of rights once, however many keys have it.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::config::{Config, Rights};
use crate::policy::Grants;

/// How many rights that no key has any more are kept until they are looked for. They are cheap, and
/// looking means to visit every key.
const IDLE: usize = 1024;

/// Rights by their index, which records of keys hold.
#[derive(Debug, Clone, Default)]
pub(super) struct GrantsTable {
    /// The rights that keys have; the place of their grants.
    rights: HashMap<Rights, u32>,
    /// What they come to under the configuration.
    grants: Vec<Grants>,
    /// Places that are free.
    free: Vec<u32>,
    /// How many rights were in use when that was last looked at.
    in_use: usize,
    /// Whether `grants` has changed since it was last handed out.
    changed: bool,
}

impl GrantsTable {
    /// The index of the grants that these rights come to.
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

    /// Under another configuration, the same rights come to something else.
    pub(super) fn refresh(&mut self, config: &Config) {
        for (rights, index) in &self.rights {
            self.grants[*index as usize] = config.grants(rights);
        }
        self.changed = true;
    }

    /// All grants, if they have changed since this was last asked.
    pub(super) fn changes(&mut self) -> Option<Arc<[Grants]>> {
        std::mem::take(&mut self.changed).then(|| self.grants.as_slice().into())
    }

    /// Forgets rights that no key has any more, once there are many: otherwise a key that is given
    /// one limit after another would fill the memory. `held` are the indices that all keys hold; it
    /// is called only then.
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
