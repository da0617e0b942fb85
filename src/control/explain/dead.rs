//! Questions about keys that only the store still knows.

use super::Question;
use crate::control::registry::Registry;
use crate::control::table::KeyName;
use crate::state::{RefusedKey, Shared};

/// Returns the key that a question is about if only the store knows it. Otherwise returns `None`.
pub(in crate::control) fn dead_key(
    question: &Question,
    registry: &Registry,
    shared: &Shared,
) -> Option<KeyName> {
    if let Some(id) = &question.request_id {
        return match shared.refused_request(id)?.key? {
            RefusedKey::Known(_) => None,
            RefusedKey::Dead(digest) => Some(KeyName::Secret(digest)),
        };
    }
    let id = question.key.as_ref().filter(|id| registry.key(id).is_none())?;
    Some(KeyName::Id(id.clone()))
}
