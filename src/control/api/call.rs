//! Calls that concern one key or one organisation.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::problem::{Answer, Problem};
use super::record::Tagged;
use super::request::{Caller, Name};
use super::state::State;
use crate::control::keys::{self, Actor, KeyOperations};

/// The caller, and the key or organisation that the call concerns. It must be the first argument of
/// a handler. `MANAGE` and `ALL` have the same meaning as for [`Caller`].
#[derive(Debug)]
pub(super) struct Call<const MANAGE: bool, const ALL: bool> {
    pub(super) actor: Actor,
    /// The key's id, or the organisation's name.
    pub(super) name: String,
    pub(super) state: Arc<State>,
}

/// A call that only reads.
pub(super) type ReaderCall = Call<false, false>;
/// A call that changes something, possibly within one organisation only.
pub(super) type ManagerCall = Call<true, false>;
/// A call that changes what concerns all organisations.
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
    /// Makes a change and logs it.
    ///
    /// # Errors
    /// Returns the error of the change.
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
