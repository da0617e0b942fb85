//! Calls that concern one key or one organization.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::problem::{Answer, Problem};
use super::record::Tagged;
use super::request::{Caller, Name};
use super::state::State;
use crate::control::keys::{self, Actor, KeyOperations};

/// Who asks for what, of whom. It comes first among a handler's arguments; what the caller may do
/// is as with [`Caller`].
#[derive(Debug)]
pub(super) struct Call<const MANAGE: bool, const ALL: bool> {
    pub(super) actor: Actor,
    /// The key's id, or the organization's name.
    pub(super) name: String,
    pub(super) state: Arc<State>,
}

/// Looks.
pub(super) type ReaderCall = Call<false, false>;
/// Changes something, perhaps of one organization only.
pub(super) type ManagerCall = Call<true, false>;
/// Changes what concerns all.
pub(super) type OperatorCall = Call<true, true>;

impl<const MANAGE: bool, const ALL: bool> FromRequestParts<Arc<State>> for Call<MANAGE, ALL> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        let Caller(actor) = Caller::<MANAGE, ALL>::from_request_parts(parts, state).await?;
        let Name(name) = Name::from_request_parts(parts, state).await?;
        Ok(Self { actor, name, state: state.clone() })
    }
}

impl<const MANAGE: bool, const ALL: bool> Call<MANAGE, ALL> {
    /// Has a change made, and logs it.
    ///
    /// # Errors
    /// Those of the change.
    pub(super) async fn change<T, C>(
        self,
        action: &str,
        change: impl FnOnce(Arc<KeyOperations>, Actor, String) -> C,
    ) -> Answer<Tagged<T>>
    where
        T: Send + 'static,
        C: Future<Output = keys::Result<T>> + Send + 'static,
    {
        let Self { actor, name, state } = self;
        let record = state.keys.change(|keys| change(keys, actor.clone(), name.clone())).await?;
        actor.log_change(action, &name);
        Ok(Tagged(record))
    }
}
