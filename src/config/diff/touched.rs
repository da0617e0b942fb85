//! Finds the keys that an edit changes.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::config::{Config, KeyConfig};

/// Returns whether indices of APIs have the same meaning in both configurations.
pub(super) fn same_apis(old: &Config, new: &Config) -> bool {
    let names = |config: &'_ Config| {
        config.apis.iter().map(|api| api.definition.name.clone()).collect::<Vec<_>>()
    };
    names(old) == names(new)
}

/// Returns the keys of `old` that are absent or different in `new`, and the keys of `new` that are
/// absent or different in `old`, both in file order. If the list of APIs changed, returns all keys.
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
    // Keys that were not read again share their allocation.
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
