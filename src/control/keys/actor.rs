//! The callers of the key service.

use super::error::{Result, ServiceError};

/// A caller of the key service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Actor {
    /// Its name in the audit log: `token NAME`, `key ID` or `gateway.toml`.
    pub(in crate::control) name: String,
    /// The only organisation that it may see and change, or `None` for all.
    pub(in crate::control) organization: Option<String>,
}

impl Actor {
    /// Returns whether the actor may see what belongs to this organisation, or to none (`None`).
    pub(super) fn sees(&self, organization: Option<&str>) -> bool {
        self.organization.is_none() || self.organization.as_deref() == organization
    }

    /// Checks that the actor is not restricted to an organisation.
    ///
    /// # Errors
    /// Returns [`ServiceError::Forbidden`] if it is.
    pub(super) fn must_be_operator(&self) -> Result<()> {
        match self.organization {
            None => Ok(()),
            Some(_) => Err(ServiceError::Forbidden(
                "This is for the gateway's operator; the token is narrowed to an organization."
                    .into(),
            )),
        }
    }

    /// Logs a change that was made. After a backup was restored, these events show what was revoked
    /// since the backup.
    pub(in crate::control) fn log_change(&self, action: &str, subject: &str) {
        tracing::info!(by = self.name, action, subject, "changed by request");
    }
}
