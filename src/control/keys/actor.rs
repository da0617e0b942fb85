//! Who asks.

use super::error::{Result, ServiceError};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Actor {
    /// As the audit log names it: `token NAME`, `key ID` or `gateway.toml`.
    pub(in crate::control) name: String,
    /// The only organisation that it sees and touches; nothing: all.
    pub(in crate::control) organization: Option<String>,
}

impl Actor {
    /// Whether it sees what belongs to this organisation, or to none.
    pub(super) fn sees(&self, organization: Option<&str>) -> bool {
        self.organization.is_none() || self.organization.as_deref() == organization
    }

    /// # Errors
    /// It is narrowed to an organisation, and this is not for organisations to do.
    pub(super) fn must_be_operator(&self) -> Result<()> {
        match self.organization {
            None => Ok(()),
            Some(_) => Err(ServiceError::Forbidden(
                "This is for the gateway's operator; the token is narrowed to an organization."
                    .into(),
            )),
        }
    }

    /// One event for each change that was made. Whoever restores a backup learns from these what
    /// was revoked after it.
    pub(in crate::control) fn log_change(&self, action: &str, subject: &str) {
        tracing::info!(by = self.name, action, subject, "changed by request");
    }
}
