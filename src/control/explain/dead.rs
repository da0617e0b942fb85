//! Keys that only the store knows any more.

use super::Question;
use crate::control::keys::DeadKey;
use crate::control::registry::Registry;
use crate::state::{RefusedKey, Shared};

/// The key that a question is about, if it is one that only the store knows.
pub(in crate::control) fn dead_key(
    question: &Question,
    registry: &Registry,
    shared: &Shared,
) -> Option<DeadKey> {
    if let Some(id) = &question.request_id {
        return match shared.refused_request(id)?.key? {
            RefusedKey::Known(_) => None,
            RefusedKey::Dead(digest) => Some(DeadKey::Secret(digest)),
        };
    }
    let id = question.key.as_ref().filter(|id| registry.key(id).is_none())?;
    Some(DeadKey::Id(id.clone()))
}
