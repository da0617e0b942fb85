//! Reads portal sessions.

use super::error::Unavailable;
use super::sessions::{PortalSession, SessionQuery, many, one};
use super::store::KeyStore;
use crate::policy::Digest;

impl KeyStore {
    /// Returns the session that this code opens, even if it is too late for that.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn session_by_code(
        &self,
        code: Digest,
    ) -> Result<Option<PortalSession>, Unavailable> {
        self.read(move |connection| one(connection, "code", code)).await
    }

    /// Returns the session whose cookie has this secret, even if it has ended.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn session_by_secret(
        &self,
        secret: Digest,
    ) -> Result<Option<PortalSession>, Unavailable> {
        self.read(move |connection| one(connection, "secret", secret)).await
    }

    /// Returns the session with this id, even if it has ended.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn session(&self, id: &str) -> Result<Option<PortalSession>, Unavailable> {
        let id = id.to_owned();
        self.read(move |connection| one(connection, "id", id)).await
    }

    /// Returns a page of sessions.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or the store is closed.
    pub async fn sessions(&self, query: SessionQuery) -> Result<Vec<PortalSession>, Unavailable> {
        self.read(move |connection| many(connection, &query)).await
    }
}
