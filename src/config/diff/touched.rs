//! Which keys an edit touches.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::config::{Config, KeyConfig};

/// Whether indices of APIs mean the same in both.
pub(super) fn same_apis(old: &Config, new: &Config) -> bool {
    let names = |config: &'_ Config| {
        config.apis.iter().map(|api| api.definition.name.clone()).collect::<Vec<_>>()
    };
    names(old) == names(new)
}

/// The keys of `old` that are gone or different in `new`, and the keys of `new` that are new or
/// different, both in file order.
#[must_use]
pub fn touched_keys<'c>(
    old: &'c Config,
    new: &'c Config,
) -> (Vec<&'c KeyConfig>, Vec<&'c KeyConfig>) {
    let (mut before, mut after) = (old.keys.as_slice(), new.keys.as_slice());
    if !same_apis(old, new) {
        return (
            before.iter().map(|key| &**key).collect(),
            after.iter().map(|key| &**key).collect(),
        );
    }
    // What was not read again is the same piece of memory.
    let first = before.iter().zip(after).take_while(|(old, new)| Arc::ptr_eq(old, new)).count();
    (before, after) = (&before[first..], &after[first..]);
    let last = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take_while(|(old, new)| Arc::ptr_eq(old, new))
        .count();
    (before, after) = (&before[..before.len() - last], &after[..after.len() - last]);
    let without = |keys: &'c [Arc<KeyConfig>], others: &[Arc<KeyConfig>]| {
        let others: HashMap<&str, &Arc<KeyConfig>> =
            others.iter().map(|key| (&*key.id, key)).collect();
        let is_touched = |key: &&Arc<KeyConfig>| {
            others.get(&*key.id).is_none_or(|other| !Arc::ptr_eq(key, other) && key != other)
        };
        keys.iter().filter(is_touched).map(|key| &**key).collect()
    };
    (without(before, after), without(after, before))
}
