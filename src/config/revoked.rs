//! `[revoked]`: what is refused whatever else is said of it. Whoever writes there is in a hurry and
//! may have pasted the leaked key itself, so no value is ever shown.

use std::collections::BTreeMap;

use super::names::is_key_id;
use crate::policy::{Digest, Hidden};

/// All that `[revoked]` names.
#[derive(Debug, Clone, Default)]
pub struct Revoked {
    keys: BTreeMap<Hidden, Mark>,
    /// The same values, read as digests and as keys.
    digests: BTreeMap<Digest, Mark>,
    organizations: BTreeMap<Hidden, Mark>,
}

/// Where a value stands in the file, and how long it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How long it holds.
    pub hold: Hold,
}

/// How long a value of `[revoked]` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// As long as a file names it, and for good in the store: the file that names it is in force,
    /// or only the guard holds it back.
    Lasting,
    /// In memory, until there is a good file: the file that names it has mistakes elsewhere.
    UntilGoodFile,
}

/// A value of `[revoked] keys`. It is an id, a digest or a key: all three are tried.
#[derive(Debug, Clone, Copy)]
pub struct RevokedKey<'r> {
    text: &'r Hidden,
    /// Where it stands.
    pub mark: Mark,
}

/// What a value of `[revoked]` is to the key that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedBy {
    /// Its id, as it should be.
    Id,
    /// The SHA-256 of one of its secrets.
    Digest,
    /// One of its secrets.
    Secret,
}

impl RevokedKey<'_> {
    /// The value as an id, if it can be one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        Some(text(self.text)).filter(|text| is_key_id(text))
    }

    /// The digests that a key would have which the value names by its digest or as it is.
    pub fn digests(&self) -> impl Iterator<Item = (NamedBy, Digest)> + use<> {
        let hex = Digest::from_hex(&text(self.text).to_ascii_lowercase());
        let by_digest = hex.map(|digest| (NamedBy::Digest, digest));
        by_digest.into_iter().chain([(NamedBy::Secret, Digest::of(self.text.show()))])
    }
}

impl Revoked {
    /// Whether it names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.organizations.is_empty()
    }

    /// Adds a value of `keys`, unless it is there already. Space around it is not part of it.
    pub(super) fn add_key(&mut self, value: &str, mark: Mark) {
        let hidden = Hidden::of(&[value.trim().as_bytes()]);
        let mark = *self.keys.entry(hidden.clone()).or_insert(mark);
        for (_, digest) in (RevokedKey { text: &hidden, mark }).digests() {
            self.digests.insert(digest, mark);
        }
    }

    /// Adds a value of `organizations`, unless it is there already.
    pub(super) fn add_organization(&mut self, name: &str, mark: Mark) {
        self.organizations.entry(Hidden::of(&[name.as_bytes()])).or_insert(mark);
    }

    /// Every value of `keys`.
    pub fn keys(&self) -> impl Iterator<Item = RevokedKey<'_>> {
        self.keys.iter().map(|(text, mark)| RevokedKey { text, mark: *mark })
    }

    /// Every value of `organizations`. One that nobody has may be a secret.
    pub fn organizations(&self) -> impl Iterator<Item = (&str, Mark)> {
        self.organizations.iter().map(|(name, mark)| (text(name), *mark))
    }

    /// Where a key is named that has this id or one of these digests.
    pub fn key(&self, id: &str, digests: impl IntoIterator<Item = Digest>) -> Option<Mark> {
        if self.keys.is_empty() {
            return None;
        }
        self.id(id)
            .or_else(|| digests.into_iter().find_map(|digest| self.digests.get(&digest)).copied())
    }

    /// Whether it has the same value.
    #[must_use]
    pub fn has(&self, key: &RevokedKey<'_>) -> bool {
        self.keys.contains_key(key.text)
    }

    /// The values of `keys` that hold for good and did not in `before`.
    pub fn newly_lasting<'r>(&'r self, before: &'r Self) -> impl Iterator<Item = RevokedKey<'r>> {
        let lasting = |mark: &Mark| mark.hold == Hold::Lasting;
        self.keys().filter(move |key| {
            lasting(&key.mark) && !before.keys.get(key.text).is_some_and(lasting)
        })
    }

    /// Where a key with this id is named by it.
    #[must_use]
    pub fn id(&self, id: &str) -> Option<Mark> {
        self.keys.get(id.as_bytes()).copied()
    }

    /// Where an organization is named.
    #[must_use]
    pub fn organization(&self, name: &str) -> Option<Mark> {
        self.organizations.get(name.as_bytes()).copied()
    }

    /// Whether both name the same.
    #[must_use]
    pub fn names_the_same(&self, other: &Self) -> bool {
        self.keys.keys().eq(other.keys.keys())
            && self.organizations.keys().eq(other.organizations.keys())
    }

    /// All this and what another file names, which holds as long as `hold` says; `None` if that is
    /// nothing new.
    #[must_use]
    pub fn with(&self, other: &Self, hold: Hold) -> Option<Self> {
        let mut all = self.clone();
        let mut news = false;
        let mut add = |known: &mut BTreeMap<Hidden, Mark>, more: &BTreeMap<Hidden, Mark>| {
            for (text, mark) in more {
                let mark = Mark { hold, ..*mark };
                let before = known.get(text).map(|mark| mark.hold);
                if before.is_none() || (before != Some(hold) && hold == Hold::Lasting) {
                    known.insert(text.clone(), mark);
                    news = true;
                }
            }
        };
        add(&mut all.keys, &other.keys);
        add(&mut all.organizations, &other.organizations);
        let digests = all.keys().flat_map(|key| key.digests().map(move |(_, it)| (it, key.mark)));
        all.digests = digests.collect::<BTreeMap<Digest, Mark>>();
        news.then_some(all)
    }
}

/// Values come from a text.
fn text(hidden: &Hidden) -> &str {
    std::str::from_utf8(hidden.show()).unwrap_or_default()
}
