//! Changes of the store.

use super::record::{Idempotency, Revocation, StoredKey, StoredOrganization};
use super::sessions::{OpenedSession, PortalSession};
use crate::policy::Digest;

/// A change, made completely or not at all.
#[derive(Debug, Clone)]
pub enum Change {
    /// Creates a key. Its revocation and last uses are not written.
    Create {
        /// The record of the key.
        key: Box<StoredKey>,
        /// The most keys that are not revoked that its organisation may have. Ignored for a key
        /// without organisation.
        cap: Option<u32>,
        /// The request that asks for the key. `None`: the request has no `Idempotency-Key`.
        idempotency: Option<Idempotency>,
    },
    /// Replaces the record of a key, except its organisation, creation time, creator, parent,
    /// revocation and last uses. The new revision must be the stored one plus 1.
    Update {
        /// The new record.
        key: Box<StoredKey>,
        /// The request that asks for the change. `None`: it has no `Idempotency-Key`.
        idempotency: Option<Idempotency>,
    },
    /// Revokes ids permanently, whether or not keys of the store have them. The revision of a key
    /// that is newly revoked is incremented. An id that was revoked before keeps its first
    /// revocation.
    Revoke {
        /// The ids.
        ids: Vec<String>,
        /// The secrets of those keys that are in the configuration file, each with the id of its
        /// key. No key may ever have them again. The secrets of keys of the store are already
        /// known.
        secrets: Vec<(String, Digest)>,
        /// The revocation, recorded for each id.
        revocation: Revocation,
    },
    /// Writes the settings of an organisation. The new revision must be the stored one plus 1. It
    /// is 1 if no settings are stored.
    Organization(StoredOrganization),
    /// Creates a portal session.
    CreateSession {
        /// The session, not yet opened.
        session: Box<PortalSession>,
        /// The digest of the code that opens it.
        code: Digest,
    },
    /// Opens a portal session, once. Fails if no session is waiting for the code.
    OpenSession {
        /// The digest of the code.
        code: Digest,
        /// The digest of the secret of the session's cookie.
        secret: Digest,
        /// When and by whom it is opened.
        opened: OpenedSession,
    },
    /// Ends the portal sessions with these ids.
    EndSessions(Vec<String>),
}

/// The times before which history is deleted.
#[derive(Debug, Clone, Copy)]
pub struct Prune {
    /// Deletes audit entries from before this time, in seconds since the Unix epoch.
    pub audit_before: i64,
    /// Deletes the counts of days before this one, in days since the Unix epoch.
    pub uses_before_day: i64,
    /// Deletes the hours of days before this one, in days since the Unix epoch.
    pub hours_before_day: i64,
    /// Deletes the idempotency records of creations from before this time, in seconds since the
    /// Unix epoch.
    pub idempotency_before: i64,
    /// Deletes portal sessions that ended before this time, in seconds since the Unix epoch.
    pub sessions_before: i64,
}
