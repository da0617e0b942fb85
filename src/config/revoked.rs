//! `[revoked]`: keys and organisations that are refused regardless of other settings. In a hurry,
//! an operator may paste the leaked key itself, so values are never displayed.

use std::collections::BTreeMap;

use super::names::is_key_id;
use crate::policy::{Digest, Hidden};

/// The contents of `[revoked]`.
#[derive(Debug, Clone, Default)]
pub struct Revoked {
    keys: BTreeMap<Hidden, Mark>,
    /// The values of `keys` as digests: each value read as a digest, and the digest of each value.
    digests: BTreeMap<Digest, Mark>,
    organizations: BTreeMap<Hidden, Mark>,
}

/// The position of a value in the file, and how long it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The line, starting at 1.
    pub line: usize,
    /// The column in characters, starting at 1.
    pub column: usize,
    /// How long the value applies.
    pub hold: Hold,
}

/// How long a value of `[revoked]` applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// As long as a file contains the value, and permanently for keys of the store. The file that
    /// contains it is in force, or only the guard of `[reload]` prevents that.
    Lasting,
    /// In memory, until a valid file is read. The file that contains the value has errors
    /// elsewhere.
    UntilGoodFile,
}

/// A value of `[revoked] keys`. It may be an id, a digest or a key, so all three are tried.
#[derive(Debug, Clone, Copy)]
pub struct RevokedKey<'r> {
    text: &'r Hidden,
    /// The position of the value.
    pub mark: Mark,
}

/// How a value of `[revoked]` denotes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedBy {
    /// By its id, as intended.
    Id,
    /// By the SHA-256 digest of one of its secrets.
    Digest,
    /// By one of its secrets.
    Secret,
}

impl RevokedKey<'_> {
    /// Returns the value as an id, or `None` if it cannot be one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        Some(text(self.text)).filter(|text| is_key_id(text))
    }

    /// Returns the digests of the secrets that the value may denote: the value read as a digest,
    /// and the digest of the value read as a secret.
    pub fn digests(&self) -> impl Iterator<Item = (NamedBy, Digest)> + use<> {
        let hex = Digest::from_hex(&text(self.text).to_ascii_lowercase());
        let by_digest = hex.map(|digest| (NamedBy::Digest, digest));
        by_digest.into_iter().chain([(NamedBy::Secret, Digest::of(self.text.show()))])
    }
}

impl Revoked {
    /// Returns whether `[revoked]` has no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.organizations.is_empty()
    }

    /// Adds a value of `keys`, unless it is present. Surrounding whitespace is removed.
    pub(super) fn add_key(&mut self, value: &str, mark: Mark) {
        let hidden = Hidden::of(&[value.trim().as_bytes()]);
        let mark = *self.keys.entry(hidden.clone()).or_insert(mark);
        for (_, digest) in (RevokedKey { text: &hidden, mark }).digests() {
            self.digests.insert(digest, mark);
        }
    }

    /// Adds a value of `organizations`, unless it is present.
    pub(super) fn add_organization(&mut self, name: &str, mark: Mark) {
        self.organizations.entry(Hidden::of(&[name.as_bytes()])).or_insert(mark);
    }

    /// Returns every value of `keys`.
    pub fn keys(&self) -> impl Iterator<Item = RevokedKey<'_>> {
        self.keys.iter().map(|(text, mark)| RevokedKey { text, mark: *mark })
    }

    /// Returns every value of `organizations`. A value that is not the name of an organisation may
    /// be a secret.
    pub fn organizations(&self) -> impl Iterator<Item = (&str, Mark)> {
        self.organizations.iter().map(|(name, mark)| (text(name), *mark))
    }

    /// Returns the value that denotes a key with this id or one of these digests, or `None` if none
    /// does.
    pub fn key(&self, id: &str, digests: impl IntoIterator<Item = Digest>) -> Option<Mark> {
        if self.keys.is_empty() {
            return None;
        }
        self.id(id)
            .or_else(|| digests.into_iter().find_map(|digest| self.digests.get(&digest)).copied())
    }

    /// Returns whether `keys` contains the same value.
    #[must_use]
    pub fn has(&self, key: &RevokedKey<'_>) -> bool {
        self.keys.contains_key(key.text)
    }

    /// Returns the values of `keys` that are [`Hold::Lasting`] here but not in `before`.
    pub fn newly_lasting<'r>(&'r self, before: &'r Self) -> impl Iterator<Item = RevokedKey<'r>> {
        let lasting = |mark: &Mark| mark.hold == Hold::Lasting;
        self.keys().filter(move |key| {
            lasting(&key.mark) && !before.keys.get(key.text).is_some_and(lasting)
        })
    }

    /// Returns the value of `keys` that is this id, or `None` if there is none.
    #[must_use]
    pub fn id(&self, id: &str) -> Option<Mark> {
        self.keys.get(id.as_bytes()).copied()
    }

    /// Returns the value that names an organisation, or `None` if there is none.
    #[must_use]
    pub fn organization(&self, name: &str) -> Option<Mark> {
        self.organizations.get(name.as_bytes()).copied()
    }

    /// Returns whether both have the same values.
    #[must_use]
    pub fn names_the_same(&self, other: &Self) -> bool {
        self.keys.keys().eq(other.keys.keys())
            && self.organizations.keys().eq(other.organizations.keys())
    }

    /// Returns the values of both files, or `None` if the other one adds nothing. The added values
    /// apply as long as `hold` says. [`Hold::Lasting`] also replaces the hold of a value that is
    /// present.
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

/// Returns a value as text. It was made from a string.
fn text(hidden: &Hidden) -> &str {
    std::str::from_utf8(hidden.show()).unwrap_or_default()
}
