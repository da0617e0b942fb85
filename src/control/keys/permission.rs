//! What a caller may do with the keys that it may see.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::Role;

/// Something that a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(in crate::control) enum Permission {
    /// List keys and look at them.
    #[serde(rename = "keys.read")]
    ReadKeys,
    /// Make and import keys.
    #[serde(rename = "keys.create")]
    CreateKeys,
    /// Change, pause and resume keys.
    #[serde(rename = "keys.update")]
    UpdateKeys,
    /// Give keys new secrets.
    #[serde(rename = "keys.rotate")]
    RotateKeys,
    /// Revoke keys for good.
    #[serde(rename = "keys.revoke")]
    RevokeKeys,
    /// See how much keys are used.
    #[serde(rename = "usage.read")]
    ReadUsage,
    /// Read the audit log.
    #[serde(rename = "audit.read")]
    ReadAudit,
}

impl Permission {
    /// All permissions.
    const ALL: [Self; 7] = [
        Self::ReadKeys,
        Self::CreateKeys,
        Self::UpdateKeys,
        Self::RotateKeys,
        Self::RevokeKeys,
        Self::ReadUsage,
        Self::ReadAudit,
    ];

    /// Returns the name in requests and responses.
    pub(in crate::control) fn name(self) -> &'static str {
        match self {
            Self::ReadKeys => "keys.read",
            Self::CreateKeys => "keys.create",
            Self::UpdateKeys => "keys.update",
            Self::RotateKeys => "keys.rotate",
            Self::RevokeKeys => "keys.revoke",
            Self::ReadUsage => "usage.read",
            Self::ReadAudit => "audit.read",
        }
    }

    /// Returns the permission with this name, or `None` if there is none.
    pub(in crate::control) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::control) struct Permissions(u8);

impl Permissions {
    /// Returns all permissions.
    pub(in crate::control) fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// Returns the permissions of an admin token with this role.
    pub(in crate::control) fn of(role: Role) -> Self {
        match role {
            Role::Manage => Self::all(),
            Role::Read => [Permission::ReadKeys, Permission::ReadUsage, Permission::ReadAudit]
                .into_iter()
                .collect(),
            Role::Portal => Self::default(),
        }
    }

    /// Returns whether the set has this permission.
    pub(in crate::control) fn has(self, permission: Permission) -> bool {
        self.0 & Self::bit(permission) != 0
    }

    /// Returns the permissions of the set.
    pub(in crate::control) fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.has(*permission))
    }

    fn bit(permission: Permission) -> u8 {
        1 << permission as u8
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, permission| set | Self::bit(permission)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_has_the_name_that_it_is_sent_under() {
        for permission in Permission::ALL {
            let sent = serde_json::to_string(&permission).expect("a name");
            assert_eq!(sent, format!("\"{}\"", permission.name()));
            assert_eq!(Permission::named(permission.name()), Some(permission));
        }
        assert_eq!(Permissions::all().iter().count(), Permission::ALL.len());
    }

    #[test]
    fn reading_token_changes_nothing_and_portal_token_sees_nothing() {
        let names =
            |role| -> Vec<_> { Permissions::of(role).iter().map(Permission::name).collect() };
        assert_eq!(names(Role::Read), ["keys.read", "usage.read", "audit.read"]);
        assert_eq!(names(Role::Portal), Vec::<&str>::new());
        assert_eq!(Permissions::of(Role::Manage), Permissions::all());
    }
}
