//! How the store is changed.

use super::record::{Idempotency, Revocation, StoredKey, StoredOrganization};
use crate::policy::Digest;

/// A change that is made in whole or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new key. Its revocation and last uses are not written.
    Create {
        /// Its record.
        key: Box<StoredKey>,
        /// How many keys that are not revoked its organisation may have; a key without organisation
        /// is under no cap.
        cap: Option<u32>,
        /// The request that asks for it.
        idempotency: Option<Idempotency>,
    },
    /// A key's record anew, but for what never changes (organisation, maker and parent), its
    /// revocation and its last uses. Its revision must be one more than what is stored.
    Update(Box<StoredKey>),
    /// Refuses ids for good, whether or not they are keys of the store. Keys' revisions rise by
    /// one; what was revoked before stays as it is.
    Revoke {
        /// The ids.
        ids: Vec<String>,
        /// Secrets of those that are keys of the file, each with its key's id: no key may ever have
        /// them again. Those of keys of the store are here already.
        secrets: Vec<(String, Digest)>,
        /// The same for all of them.
        revocation: Revocation,
    },
    /// An organisation's settings. Its revision must be one more than what is stored, which is 0
    /// where nothing is.
    Organization(StoredOrganization),
}

/// How much history goes.
#[derive(Debug, Clone, Copy)]
pub struct Prune {
    /// Audit entries from before this moment (seconds since the Unix epoch).
    pub audit_before: i64,
    /// Counts of days before this one (days since the Unix epoch).
    pub uses_before_day: i64,
    /// Creations from before this moment can no longer be repeated.
    pub idempotency_before: i64,
}
