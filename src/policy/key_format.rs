//! The format of new keys: `<prefix><30 base62 characters><6 characters of checksum>`.
//!
//! The checksum lets a secret scanner distinguish a leaked key from similar text. Keys that were
//! created elsewhere need not have this format.

/// The base62 digits 0 to 61: digits, then upper-case letters, then lower-case letters.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 178 bits of entropy, which cannot be guessed.
const RANDOM_CHARACTERS: usize = 30;
/// Enough for every 32-bit number: 62⁶ > 2³².
const CHECKSUM_CHARACTERS: usize = 6;
/// The first byte value that is skipped. 256 is not a multiple of 62, so using all values would
/// make the first base62 digits more likely than the others.
const FAIR_BYTES: u8 = 248;

/// Makes a key from random bytes, of which about one in 32 is skipped. Returns `None` if there are
/// too few. 64 bytes suffice except once in 10³⁰ times.
#[must_use]
pub fn new_key(prefix: &str, random: &[u8]) -> Option<String> {
    let mut key = String::with_capacity(prefix.len() + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS);
    key.push_str(prefix);
    let fair = random.iter().filter(|byte| **byte < FAIR_BYTES);
    key.extend(fair.take(RANDOM_CHARACTERS).map(|byte| char::from(BASE62[usize::from(byte % 62)])));
    if key.len() < prefix.len() + RANDOM_CHARACTERS {
        return None;
    }
    let checksum = checksum(key.as_bytes());
    key.extend(checksum.map(char::from));
    Some(key)
}

/// Returns whether a text has the form of a key that was made here.
#[must_use]
pub fn is_new_key(text: &[u8]) -> bool {
    let Some(start) = text.len().checked_sub(RANDOM_CHARACTERS + CHECKSUM_CHARACTERS) else {
        return false;
    };
    let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARACTERS);
    text[start..].iter().all(u8::is_ascii_alphanumeric) && checksum(body) == *sum
}

/// Returns the CRC-32 (ISO-HDLC) of the text in base62, padded with zeros.
fn checksum(text: &[u8]) -> [u8; CHECKSUM_CHARACTERS] {
    let mut rest = crc32fast::hash(text) as usize;
    let mut digits = [b'0'; CHECKSUM_CHARACTERS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Worked out with another implementation: Python's `zlib.crc32`.
    #[test]
    fn keys_are_what_another_implementation_makes_of_the_same_bytes() {
        let vectors: [(&str, &[u8], &str); 4] = [
            ("", &[0; 64], "0000000000000000000000000000002C8GjS"),
            ("demo_", &(0..30).collect::<Vec<u8>>(), "0123456789ABCDEFGHIJKLMNOPQRST4SjTyl"),
            ("sk_test_", &(100..164).collect::<Vec<u8>>(), "cdefghijklmnopqrstuvwxyz0123450gPtqh"),
            (
                "rl_live_",
                &(0..64_u8).map(|i| i.wrapping_mul(37).wrapping_add(11)).collect::<Vec<u8>>(),
                "BmNyZAlEpQ1cDoHsT4fGrKvW7iJuNy4DZCck",
            ),
        ];
        for (prefix, random, rest) in vectors {
            assert_eq!(new_key(prefix, random), Some(format!("{prefix}{rest}")));
        }
    }

    #[test]
    fn small_checksums_are_padded_with_zeros() {
        assert_eq!(checksum(b"pad51"), *b"00P420");
        assert_eq!(checksum(b""), *b"000000");
        assert_eq!(checksum(b"123456789"), *b"3jZRME");
    }

    #[test]
    fn bytes_that_would_favour_some_digits_are_skipped() {
        let mut random = vec![248, 255, 250];
        random.extend(0..30);
        assert_eq!(new_key("k_", &random), new_key("k_", &(0..30).collect::<Vec<_>>()));
    }

    #[test]
    fn too_few_random_bytes_make_no_key() {
        assert_eq!(new_key("k_", &[0; 29]), None);
        assert_eq!(new_key("k_", &[255; 64]), None);
    }

    #[test]
    fn every_digit_comes_from_the_same_number_of_bytes() {
        let mut counts = [0; 62];
        (0..FAIR_BYTES).for_each(|byte| counts[usize::from(byte % 62)] += 1);
        assert_eq!(counts, [4; 62]);
    }

    proptest! {
        #[test]
        fn a_key_has_its_prefix_its_length_and_only_base62_after_it(
            prefix in "[a-z_]{0,12}", random in any::<[u8; 64]>(),
        ) {
            if let Some(key) = new_key(&prefix, &random) {
                let rest = key.strip_prefix(prefix.as_str()).unwrap();
                prop_assert_eq!(rest.len(), 36);
                prop_assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                prop_assert!(is_new_key(key.as_bytes()));
            }
        }

        #[test]
        fn one_changed_character_breaks_the_checksum(
            random in any::<[u8; 64]>(), at in 0_usize..32, other in 0_usize..62,
        ) {
            let Some(key) = new_key("k_", &random) else { return Ok(()) };
            let (body, sum) = key.split_at(32);
            let mut changed = body.as_bytes().to_vec();
            changed[at] = BASE62[other];
            prop_assert_eq!(changed == body.as_bytes(), checksum(&changed) == sum.as_bytes());
        }
    }
}
