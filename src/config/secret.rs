//! Recognises texts that could be secrets. They are never repeated in messages, nor used as names
//! that logs and metrics would display.

use crate::policy::is_new_key;

/// The minimum length of a key after its prefix, in bytes.
const KEY_BODY: usize = 20;
/// The length in characters from which a word counts as a secret, because nobody writes such words.
const LONG_WORD: usize = 20;
/// The number of characters in words that mix letters and digits, or upper and lower case, from
/// which a text counts as a secret.
const MIXED: usize = 8;

/// Returns whether a text looks like a key or contains one, for example in a path or a URL: a part
/// has the form of a new key, or it begins with one of these key prefixes and continues unlike a
/// name.
pub(super) fn is_like_a_key<'p>(
    text: &str,
    prefixes: impl Iterator<Item = &'p str> + Clone,
) -> bool {
    let goes_on = |rest: &str| {
        rest.len() >= KEY_BODY
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
            && could_be(rest)
    };
    let is_key = |part: &str| {
        is_new_key(part.as_bytes())
            || prefixes.clone().any(|prefix| part.strip_prefix(prefix).is_some_and(goes_on))
    };
    let separates = |char: char| !char.is_ascii_alphanumeric() && !"-._~+".contains(char);
    is_key(text) || text.split(separates).any(is_key)
}

/// Returns whether a text could be a secret: it contains a very long word, or words that mix
/// letters and digits or upper and lower case unlike a name.
pub(super) fn could_be(text: &str) -> bool {
    let mut mixed = 0;
    for word in text.split(|char: char| !char.is_alphanumeric()) {
        let length = word.chars().count();
        if length >= LONG_WORD {
            return true;
        }
        if length >= 4 && is_mixed(word) {
            mixed += length;
        }
    }
    mixed >= MIXED
}

fn is_mixed(word: &str) -> bool {
    let kinds = [char::is_numeric as fn(char) -> bool, char::is_alphabetic];
    let upper_after_lower = word
        .chars()
        .zip(word.chars().skip(1))
        .filter(|(a, b)| a.is_lowercase() && b.is_uppercase());
    kinds.iter().all(|kind| word.chars().any(kind)) || upper_after_lower.count() > 1
}

/// Quotes a text of the file for a message. `…` replaces a text that could be a secret.
pub(super) fn quote(text: &str) -> String {
    if could_be(text) { "`…`".to_owned() } else { format!("`{}`", text.escape_debug()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::new_key;

    #[test]
    fn names_are_quoted_and_what_could_be_a_secret_is_not() {
        for name in [
            "max_connections_per_adress",
            "localhost:80",
            "203.0.113.300/24",
            "GET /api/v1/x/**",
            "key_crm",
            "api.example.com",
            "https://app.example.com/*",
            "X-API-Key",
            "header:X",
            "tls/2026-cert.pem",
            "org_acme",
            "jason",
            "tickets:reed",
            "",
        ] {
            assert_eq!(quote(name), format!("`{name}`"));
        }
        for secret in [
            "hunter2hunter2",
            "550e8400-e29b-41d4-a716-446655440000",
            "dGhpcyBp/cyBu+byBzZWNyZXQ=",
            "abcdefghijklmnopqrstuvwx",
            "0123456789012345678901234",
        ] {
            assert_eq!(quote(secret), "`…`", "{secret}");
        }
    }

    #[test]
    fn ids_of_the_usual_kinds_are_no_keys() {
        let prefixes = || ["sk_live_", "kl_"].into_iter();
        for id in [
            "key_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "550e8400-e29b-41d4-a716-446655440000",
            "org_2NfHqJwTz8kYb4cVxLmPdRsQaWe",
            "sk_live_for-the-help-desk-of-acme",
            "kl_by-hand",
        ] {
            assert!(!is_like_a_key(id, prefixes()), "{id}");
        }
        let digits = "a1".repeat(18);
        assert!(is_like_a_key(&format!("sk_live_{digits}"), prefixes()));
        assert!(!is_like_a_key(&format!("sk_test_{digits}"), prefixes()));
        for around in ["GET /x/{}", "https://desk.example/{}*", "header:{}", "unix:/run/{}.sock"] {
            let text = around.replace("{}", &format!("sk_live_{digits}"));
            assert!(is_like_a_key(&text, prefixes()), "{around}");
        }
    }

    proptest! {
        #[test]
        fn new_key_is_known_whatever_its_prefix(
            prefix in "[a-z_]{0,12}",
            random in any::<[u8; 64]>(),
        ) {
            if let Some(key) = new_key(&prefix, &random) {
                prop_assert!(is_like_a_key(&key, std::iter::empty()));
                prop_assert_eq!(quote(&key), "`…`");
            }
        }

        #[test]
        fn random_secret_is_never_quoted(secret in "[A-Za-z0-9]{20,64}|[0-9a-f]{20,64}") {
            prop_assert_eq!(quote(&secret), "`…`");
        }
    }
}
