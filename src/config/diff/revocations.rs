//! Changes of `[revoked]`. Keys are listed by id, however the file names them. A value that matches
//! no key is not reported as revoked.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use super::show::Lines;
use crate::config::{Config, Found, KeyConfig, Known, Revoked};

/// Lists what is newly revoked and what is no longer revoked. Returns the number of keys and
/// organisations that lose access. `touched`: the keys of the old file and of the new one that are
/// absent or different in the other.
pub(super) fn revocations(
    old: &Config,
    new: &Config,
    known: &Known<'_>,
    touched: (&[&KeyConfig], &[&KeyConfig]),
    lines: &mut Lines,
) -> usize {
    let (before, after) = keys(old, new, known, touched);
    let news: Vec<&str> = after.difference(&before).map(|id| &**id).collect();
    for id in &news {
        lines.push("revoked", || format!("revoked {id}"));
    }
    for id in before.difference(&after) {
        lines.push("no longer revoked", || format!("no longer revoked {id}"));
    }
    if old.revoked.names_the_same(&new.revoked) {
        return news.len();
    }
    let here: HashSet<&str> =
        old.keys.iter().chain(&new.keys).filter_map(|key| key.organization.as_deref()).collect();
    let is_there = |name: &str| here.contains(name) || (known.organization)(name);
    let organizations = |revoked: &Revoked| -> BTreeSet<Box<str>> {
        // A name that no organisation has may be a secret.
        let names = revoked.organizations().map(|(name, _)| name);
        names.filter(|name| is_there(name)).map(Box::from).collect()
    };
    let (before, after) = (organizations(&old.revoked), organizations(&new.revoked));
    let closed: Vec<&str> = after.difference(&before).map(|name| &**name).collect();
    for name in &closed {
        lines.push("organizations revoked", || format!("revoked organization {name}"));
    }
    for name in before.difference(&after) {
        lines.push("organizations no longer revoked", || {
            format!("no longer revoked organization {name}")
        });
    }
    news.len() + closed.len()
}

/// Returns the ids of the keys that the old file revokes, and of those that the new file revokes. A
/// key that is in only one of the files is compared with itself, so that its addition or removal
/// does not count as a revocation.
fn keys(
    old: &Config,
    new: &Config,
    known: &Known<'_>,
    (touched, touched_now): (&[&KeyConfig], &[&KeyConfig]),
) -> (BTreeSet<Box<str>>, BTreeSet<Box<str>>) {
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    let names = |revoked: &Revoked, key: &KeyConfig| {
        revoked.key(&key.id, key.digests.iter().copied()).is_some()
    };
    let mut compare = |was: &KeyConfig, is: &KeyConfig| {
        before.extend(names(&old.revoked, was).then(|| Box::from(&*was.id)));
        after.extend(names(&new.revoked, is).then(|| Box::from(&*is.id)));
    };
    let was: HashMap<&str, &KeyConfig> = touched.iter().map(|key| (&*key.id, *key)).collect();
    let is: HashSet<&str> = touched_now.iter().map(|key| &*key.id).collect();
    let same_values = old.revoked.names_the_same(&new.revoked);
    let all = new.keys.iter().map(|key| &**key).filter(|_| !same_values);
    for key in all.chain(touched_now.iter().copied()) {
        compare(was.get(&*key.id).copied().unwrap_or(key), key);
    }
    for key in touched.iter().filter(|key| !is.contains(&*key.id)) {
        compare(key, key);
    }
    if !same_values {
        let stored = |revoked: &Revoked| -> Vec<Found> {
            revoked.keys().flat_map(|key| (known.keys)(&key)).filter(|key| key.stored).collect()
        };
        before.extend(stored(&old.revoked).into_iter().map(|key| key.id));
        after.extend(stored(&new.revoked).into_iter().map(|key| key.id));
    }
    (before, after)
}
