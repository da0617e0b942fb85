//! Lets the gateway prove at its admin address that it knows a token, before a client sends that
//! token in plain text.
//!
//! The client sends a fresh random challenge. The gateway responds with one HMAC-SHA-256 (RFC 2104)
//! for each of its tokens. Each covers a fixed label and the challenge, and is keyed by the token's
//! SHA-256 digest. Random values among them hide the number of tokens. The client checks whether
//! one of the values is the HMAC of its token. Neither the token nor its digest is sent, and a
//! response is valid for one challenge only.

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use crate::policy::Digest;

/// Separates these MACs from any others made with the same key.
const LABEL: &[u8] = b"keygate admin token proof v1\0";
/// The number of proofs in a response is a multiple of this.
const PADDED_TO: usize = 32;

/// A client's challenge: 32 random bytes, in JSON as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Challenge(Digest);

/// The proof for one token and one challenge, in JSON as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proof(Digest);

impl Challenge {
    /// Returns a new random challenge.
    ///
    /// # Errors
    /// Fails if the system returns no random bytes.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        random().map(Self)
    }

    /// Returns the bytes that the MAC authenticates.
    fn message(&self) -> Vec<u8> {
        [LABEL, self.0.as_bytes()].concat()
    }
}

impl Proof {
    /// Returns whether this is the proof for `digest` and `challenge`. Compares in constant time.
    #[must_use]
    pub fn shows(&self, digest: &Digest, challenge: &Challenge) -> bool {
        hmac::verify(&key(digest), &challenge.message(), self.0.as_bytes()).is_ok()
    }
}

/// Returns a proof for each of these digests, padded with random values to a multiple of 32.
///
/// The values are sorted, so their order reveals nothing. Without the digests, proofs cannot be
/// told from random values.
///
/// # Errors
/// Fails if the system returns no random bytes.
pub fn prove<'d>(
    digests: impl Iterator<Item = &'d Digest>,
    challenge: &Challenge,
) -> Result<Vec<Proof>, getrandom::Error> {
    let message = challenge.message();
    let mac = |digest: &Digest| {
        let tag = hmac::sign(&key(digest), &message);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        Digest::from_bytes(bytes)
    };
    let mut proofs: Vec<Digest> = digests.map(mac).collect();
    let count = proofs.len().max(1).next_multiple_of(PADDED_TO);
    while proofs.len() < count {
        proofs.push(random()?);
    }
    proofs.sort_unstable();
    Ok(proofs.into_iter().map(Proof).collect())
}

fn key(digest: &Digest) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, digest.as_bytes())
}

fn random() -> Result<Digest, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Digest::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn digest() -> impl Strategy<Value = Digest> {
        any::<[u8; 32]>().prop_map(Digest::from_bytes)
    }

    proptest! {
        #[test]
        fn proofs_show_every_digest_for_their_challenge_and_nothing_else(
            digests in vec(digest(), 1..80),
            other in digest(),
            challenges in (digest(), digest()),
        ) {
            let (challenge, another) = (Challenge(challenges.0), Challenge(challenges.1));
            let proofs = prove(digests.iter(), &challenge).unwrap();
            prop_assert_eq!(proofs.len() % PADDED_TO, 0);
            let shown = |digest: &Digest, challenge: &Challenge| {
                proofs.iter().any(|proof| proof.shows(digest, challenge))
            };
            prop_assert!(digests.iter().all(|digest| shown(digest, &challenge)));
            prop_assert!(!digests.iter().any(|digest| shown(digest, &another)));
            prop_assert!(!shown(&other, &challenge));
        }
    }

    #[test]
    fn number_of_proofs_does_not_tell_the_number_of_tokens() {
        let challenge = Challenge::fresh().unwrap();
        let count = |tokens: usize| {
            let digests: Vec<_> = (0..tokens).map(|token| Digest::of(&[token as u8])).collect();
            prove(digests.iter(), &challenge).unwrap().len()
        };
        assert_eq!([0, 1, 2, 32, 33, 64, 65].map(count), [32, 32, 32, 32, 64, 64, 96]);
    }
}
