//! The callers of the key service.

use std::sync::Arc;

use super::error::{Result, ServiceError};
use super::narrowing::Narrowing;
use super::permission::{Permission, Permissions};
use crate::config::AdminToken;
use crate::keystore::{PortalSession, StoredKey};

/// A caller of the key service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Actor {
    /// Its name in the audit log: `token NAME`, `key ID`, `portal:ID` or `gateway.toml`.
    pub(in crate::control) name: String,
    /// The only organisation that it may see and change, or `None` for all.
    pub(in crate::control) organization: Option<String>,
    /// What it may do.
    permissions: Permissions,
    /// The portal session, or `None` for other callers.
    session: Option<Arc<Session>>,
}

/// What distinguishes a portal session from a token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    id: String,
    /// The person's name.
    person: String,
    narrowing: Narrowing,
}

impl Actor {
    /// Returns the owner of an admin token.
    pub(in crate::control) fn of_token(token: &AdminToken) -> Self {
        Self {
            organization: token.organization.clone(),
            permissions: Permissions::of(token.role),
            ..Self::unlimited(format!("token {}", token.name))
        }
    }

    /// Returns the person of a portal session.
    pub(in crate::control) fn of_session(session: &PortalSession) -> Self {
        let permissions = session.permissions.iter();
        Self {
            name: format!("portal:{}", session.actor_id),
            organization: Some(session.organization.clone()),
            permissions: permissions.filter_map(|name| Permission::named(name)).collect(),
            session: Some(Arc::new(Session {
                id: session.id.clone(),
                person: session.actor_name.clone(),
                narrowing: Narrowing {
                    apis: session.apis.clone(),
                    environments: session.environments.clone(),
                    scopes: session.scopes.clone(),
                    max_key_lifetime: session.max_key_lifetime,
                },
            })),
        }
    }

    /// Returns the caller of an API's own key endpoints. Other rules than permissions say what it
    /// may do.
    pub(super) fn of_key(id: &str) -> Self {
        Self::unlimited(format!("key {id}"))
    }

    /// Returns whoever has this name in the audit log, for a change that is already decided.
    pub(super) fn named(name: &str) -> Self {
        Self::unlimited(name.to_owned())
    }

    fn unlimited(name: String) -> Self {
        Self { name, organization: None, permissions: Permissions::all(), session: None }
    }

    /// Returns whether the actor has this permission.
    pub(in crate::control) fn may(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// Checks that the actor has this permission.
    ///
    /// # Errors
    /// Returns [`ServiceError::Forbidden`] if it does not.
    pub(super) fn must(&self, permission: Permission) -> Result<()> {
        if self.may(permission) {
            return Ok(());
        }
        let name = permission.name();
        Err(ServiceError::Forbidden(format!("This needs the permission `{name}`.")))
    }

    /// Returns whether the actor may see what belongs to this organisation, or to none (`None`).
    pub(super) fn sees(&self, organization: Option<&str>) -> bool {
        self.organization.is_none() || self.organization.as_deref() == organization
    }

    /// Returns the limits of a session that does not see all keys of its organisation, or `None`.
    pub(super) fn partial_sight(&self) -> Option<&Narrowing> {
        self.narrowing().filter(|narrowing| !narrowing.sees_all())
    }

    /// Returns the limits of the session, or `None` if the actor is not a session.
    pub(in crate::control) fn narrowing(&self) -> Option<&Narrowing> {
        self.session.as_ref().map(|session| &session.narrowing)
    }

    /// Returns whether the actor may see this key.
    pub(super) fn sees_key(&self, key: &StoredKey) -> bool {
        self.sees(key.organization.as_deref())
            && self.partial_sight().is_none_or(|narrowing| narrowing.sees(key))
    }

    /// Returns the id of the session and the name of its person, or `None` if the actor is not a
    /// session.
    pub(super) fn person(&self) -> Option<(&str, &str)> {
        self.session.as_ref().map(|session| (&*session.id, &*session.person))
    }

    /// Returns the owner of `Idempotency-Key`s: different owners may use the same one.
    pub(super) fn idempotency_owner(&self) -> String {
        self.person().map_or_else(|| self.name.clone(), |(session, _)| session.to_owned())
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
