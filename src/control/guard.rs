//! Guards against accidents: an edit that drops a large part of the file's keys is probably a
//! mistake, such as a truncated file. It is held back until an operator confirms it.

use std::fmt;

use hashbrown::HashMap;

use crate::config::{Config, KeyConfig, touched_keys};

/// As many keys as this may always be dropped. Otherwise small files could hardly be edited.
const ALWAYS_ALLOWED: usize = 9;

/// Why an edit is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Objection {
    /// The number of keys that would be dropped.
    dropped: usize,
    /// The number of keys of the running file.
    of: usize,
    /// The share of the keys that may be dropped, in per cent.
    allowed: u8,
}

impl fmt::Display for Objection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dropped, of, allowed } = self;
        write!(
            out,
            "it would drop {dropped} of {of} keys, which is more than `max_removed_keys` of \
                [reload] allows ({allowed}%)"
        )
    }
}

/// Returns an objection if an edit drops more keys than the running configuration allows. The limit
/// of the new file does not count, so that no edit can drop keys and lift the guard at once. A key
/// that either file revokes does not count as dropped, because its removal is intended.
pub(super) fn objection(running: &Config, new: &Config) -> Option<Objection> {
    let (of, allowed) = (running.keys.len(), running.reload.max_removed_percent);
    let (before, after) = touched_keys(running, new);
    let after: HashMap<&str, &KeyConfig> = after.into_iter().map(|key| (&*key.id, key)).collect();
    let is_dropped = |key: &&&KeyConfig| {
        let remains = after
            .get(&*key.id)
            .is_some_and(|now| now.digests.iter().any(|digest| key.digests.contains(digest)));
        !remains && !running.revokes(key) && !new.revokes(key)
    };
    let dropped = before.iter().filter(is_dropped).count();
    (dropped > ALWAYS_ALLOWED && dropped * 100 > of * usize::from(allowed)).then_some(Objection {
        dropped,
        of,
        allowed,
    })
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::path::Path;

    use super::*;
    use crate::config::parse;
    use crate::policy::Digest;

    fn key(index: usize, secret: &str) -> String {
        let digest = Digest::of(format!("{secret}{index}").as_bytes());
        format!(
            "[[key]]\nid = \"key_{index}\"\norganization = \"org_{}\"\nsha256 = \"{digest}\"\n",
            index % 2
        )
    }

    fn with(settings: &str, keys: &str) -> Config {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{settings}\n[[api]]\nname = \"desk\"\n\
                upstream = \"http://127.0.0.1:3000\"\n{keys}"
        );
        parse(&text, Path::new("gateway.toml")).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn keys(range: Range<usize>) -> Config {
        with("", &range.map(|index| key(index, "a")).collect::<String>())
    }

    #[test]
    fn more_than_the_share_is_held_back() {
        assert_eq!(objection(&keys(0..40), &keys(20..40)), None, "half is allowed");
        assert_eq!(
            objection(&keys(0..40), &keys(21..40)),
            Some(Objection { dropped: 21, of: 40, allowed: 50 })
        );
        assert_eq!(
            objection(&keys(0..40), &keys(40..80)).map(|found| found.dropped),
            Some(40),
            "new keys do not make up for it"
        );
    }

    #[test]
    fn fewer_than_ten_may_always_go() {
        assert_eq!(objection(&keys(0..9), &keys(0..0)), None);
        assert_eq!(objection(&keys(0..10), &keys(0..0)).map(|found| found.dropped), Some(10));
        assert_eq!(objection(&keys(0..0), &keys(0..5)), None);
    }

    #[test]
    fn share_is_that_of_what_runs() {
        let all: String = (0..40).map(|index| key(index, "a")).collect();
        let strict = with("[reload]\nmax_removed_keys = \"20%\"", &all);
        let lax = |keys: &str| with("[reload]\nmax_removed_keys = \"100%\"", keys);
        assert_eq!(objection(&strict, &keys(8..40)), None, "fewer than ten");
        assert!(objection(&strict, &keys(10..40)).is_some());
        assert!(
            objection(&strict, &lax("")).is_some(),
            "the edit cannot lift the guard for itself"
        );
        assert_eq!(objection(&lax(&all), &keys(0..0)), None);
    }

    #[test]
    fn key_whose_secrets_are_all_replaced_is_dropped() {
        let replaced = with("", &(0..40).map(|index| key(index, "b")).collect::<String>());
        assert_eq!(objection(&keys(0..40), &replaced).map(|found| found.dropped), Some(40));
    }

    #[test]
    fn revoked_keys_are_not_dropped() {
        let listed: Vec<String> = (0..40).map(|index| format!("\"key_{index}\"")).collect();
        let revoked = format!("[revoked]\nkeys = [{}]", listed.join(", "));
        assert_eq!(objection(&keys(0..40), &with(&revoked, "")), None);
        assert_eq!(
            objection(&keys(0..40), &with("[revoked]\norganizations = [\"org_0\"]", "")),
            None,
            "twenty of forty remain to be dropped"
        );
        assert_eq!(
            objection(
                &with(&revoked, &(0..40).map(|index| key(index, "a")).collect::<String>()),
                &keys(0..0)
            ),
            None,
            "tidying up"
        );
    }
}
