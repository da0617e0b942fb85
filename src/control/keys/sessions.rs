//! Portal sessions: how they are made, opened, checked at each request, and ended.
//!
//! A session is a narrowed admin token: each request checks that its token still stands in the
//! file. Ending a session is in force before it is committed, like revoking a key.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use super::actor::Actor;
use super::create::random_text;
use super::error::{Conflict, Result, ServiceError};
use super::operations::KeyOperations;
use super::session_checks;
use super::session_model::{
    EndOrder, EndedSessions, MintedSession, NewSession, Person, SessionPage, SessionView,
};
use super::timestamp;
use super::validate::Validation;
use crate::config::{AdminToken, Role, show_duration};
use crate::control::public_origin::public_origin;
use crate::keystore::{
    Change, CommitError, Conflict as StoreConflict, OpenedSession, PortalSession, SessionQuery,
};
use crate::policy::Digest;

/// How long a link opens its session, in seconds.
const CODE_LIFETIME: i64 = 300;
/// After which time without a page a session ends, in seconds.
const IDLE: i64 = 30 * 60;
/// How often the store is told that a page was asked for, in seconds.
const SEEN_INTERVAL: i64 = 60;
/// The pause before a failed attempt to record the end of sessions is repeated.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The number of random characters that a code and a cookie have besides those of a key. Together
/// they are at least 256 bits.
const FURTHER_CHARACTERS: usize = 16;

/// What a cookie stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) enum Standing {
    /// A session that goes on.
    Open(Box<PortalSession>),
    /// A session that has ended, with the page of the product that leads back, if there is one.
    Ended(Option<String>),
    /// Nothing that is known.
    Unknown,
}

/// From where a page was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Visitor {
    /// The network of the address.
    pub(in crate::control) network: String,
    /// The first product of the `User-Agent`.
    pub(in crate::control) agent: String,
}

impl KeyOperations {
    /// Makes a session that the returned URL opens.
    ///
    /// # Errors
    /// Returns [`ServiceError::NoPortal`] if the file has no `[portal]`,
    /// [`Conflict::OrganizationClosed`] if the organisation is suspended or revoked, and the faults
    /// of the request.
    pub(in crate::control) async fn mint_session(
        &self,
        token: &AdminToken,
        new: NewSession,
    ) -> Result<MintedSession> {
        let store = self.store()?;
        let config = self.registry.config();
        let portal = config.portal.as_ref();
        let host = portal.and_then(|portal| portal.hosts.first()).ok_or(ServiceError::NoPortal)?;
        let checked = session_checks::check(&config, &new, token.organization.as_deref())?;
        if self.is_closed(&checked.organization) {
            return Err(ServiceError::Conflict(
                Conflict::OrganizationClosed,
                "The organization is suspended or revoked.".into(),
            ));
        }
        let _lock = self.lock().await?;
        let now = self.now();
        let (code, id) = (new_secret("open_")?, random_text("ps_")?);
        let session = PortalSession {
            id: id.clone(),
            organization: checked.organization,
            actor_id: new.actor.id,
            actor_name: new.actor.name,
            token: token.name.clone(),
            token_digest: token.digest,
            permissions: checked.permissions.iter().map(|one| one.name().to_owned()).collect(),
            apis: new.apis,
            environments: new.environments,
            scopes: new.scopes,
            max_key_lifetime: checked.max_key_lifetime,
            path: checked.path,
            return_url: new.return_url,
            locale: checked.locale,
            created_at: now,
            expires_at: now.saturating_add(checked.lifetime),
            code_expires_at: now.saturating_add(CODE_LIFETIME.min(checked.lifetime)),
            opened: None,
            ended_at: None,
        };
        let minted = MintedSession {
            id: id.clone(),
            url: format!("{}/open?code={code}", public_origin(&config, host)),
            url_expires_at: timestamp::format(session.code_expires_at),
            expires_at: timestamp::format(session.expires_at),
        };
        let organization = session.organization.clone();
        let detail = json!({
            "actor": Person { id: session.actor_id.clone(), name: session.actor_name.clone() },
            "permissions": session.permissions,
        });
        let actor = Actor::of_token(token);
        let entry = self.entry(&actor, "portal_session.create", &id, Some(&organization), detail);
        let code = Digest::of(code.as_bytes());
        store.commit(Change::CreateSession { session: Box::new(session), code }, entry).await?;
        Ok(minted)
    }

    /// Returns the session that this code opens, without opening it. Returns `None` for a code that
    /// is unknown, used or too old.
    ///
    /// # Errors
    /// Fails if the store does.
    pub(in crate::control) async fn session_to_open(
        &self,
        code: &str,
    ) -> Result<Option<PortalSession>> {
        let session = self.store()?.session_by_code(Digest::of(code.as_bytes())).await?;
        let now = self.now();
        Ok(session.filter(|session| session.code_expires_at > now && self.stands(session, now)))
    }

    /// Opens a session. Returns it with the secret of its cookie, or `None` for a code that is
    /// unknown, used or too old.
    ///
    /// # Errors
    /// Fails if the store does.
    pub(in crate::control) async fn open_session(
        &self,
        code: &str,
        visitor: Visitor,
    ) -> Result<Option<(PortalSession, String)>> {
        let Some(session) = self.session_to_open(code).await? else { return Ok(None) };
        let secret = new_secret("page_")?;
        let now = self.now();
        let Visitor { network, agent } = visitor;
        let opened = OpenedSession { at: now, last_seen: now, network, agent };
        let detail = json!({ "network": opened.network });
        let actor = Actor::of_session(&session);
        let organization = Some(&*session.organization);
        let entry = self.entry(&actor, "portal_session.open", &session.id, organization, detail);
        let change = Change::OpenSession {
            code: Digest::of(code.as_bytes()),
            secret: Digest::of(secret.as_bytes()),
            opened: opened.clone(),
        };
        match self.store()?.commit(change, entry).await {
            Ok(()) => Ok(Some((PortalSession { opened: Some(opened), ..session }, secret))),
            // Another request was faster.
            Err(CommitError::Conflict(StoreConflict::NotFound)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns what the secret of a cookie stands for. `visitor` is from where a person asked for a
    /// page, or `None` if a script did, which does not extend the session.
    ///
    /// # Errors
    /// Fails if the store does.
    pub(in crate::control) async fn standing(
        &self,
        secret: &str,
        visitor: Option<Visitor>,
    ) -> Result<Standing> {
        let store = self.store()?;
        let Some(session) = store.session_by_secret(Digest::of(secret.as_bytes())).await? else {
            return Ok(Standing::Unknown);
        };
        let now = self.now();
        if !self.stands(&session, now) {
            return Ok(Standing::Ended(session.return_url));
        }
        if let Some((opened, Visitor { network, agent })) = session.opened.clone().zip(visitor)
            && now.saturating_sub(opened.last_seen) >= SEEN_INTERVAL
        {
            let seen = OpenedSession { last_seen: now, network, agent, ..opened };
            store.note_seen(&session.id, seen);
        }
        Ok(Standing::Open(Box::new(session)))
    }

    /// Returns whether a session has not ended for any reason.
    fn stands(&self, session: &PortalSession, now: i64) -> bool {
        let config = self.registry.config();
        let tokens = config.admin.as_ref().map_or(&[][..], |admin| &admin.tokens);
        let token = tokens.iter().find(|token| token.name == session.token);
        let may_have_made_it = |token: &AdminToken| {
            token.digest == session.token_digest
                && matches!(token.role, Role::Manage | Role::Portal)
                && token.organization.as_ref().is_none_or(|own| *own == session.organization)
        };
        let idle = session.opened.as_ref().map_or(0, |opened| now.saturating_sub(opened.last_seen));
        session.ended_at.is_none()
            && session.expires_at > now
            && idle < IDLE
            && config.portal.is_some()
            && token.is_some_and(may_have_made_it)
            && !self.is_closed(&session.organization)
            && !self.ended_sessions().contains(&session.id)
    }

    /// Lists the sessions that have not ended.
    ///
    /// # Errors
    /// Fails if there is no store or it fails.
    pub(in crate::control) async fn list_sessions(
        &self,
        token: &AdminToken,
        filter: EndOrder,
        after: Option<String>,
        limit: usize,
    ) -> Result<SessionPage> {
        let nothing = SessionPage { sessions: Vec::new(), next: None };
        let store = self.store()?;
        let Some(query) = self.query(token, filter) else { return Ok(nothing) };
        let limit = limit.max(1);
        let mut found = store.sessions(SessionQuery { after, limit: limit + 1, ..query }).await?;
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| is_more).map(|last| last.id.clone());
        let now = self.now();
        let open = found.into_iter().filter(|session| self.stands(session, now));
        Ok(SessionPage { sessions: open.map(view).collect(), next })
    }

    /// Ends a session at once.
    ///
    /// # Errors
    /// Returns [`ServiceError::NotFound`] if there is none that the token may see, and
    /// [`ServiceError::Unrecorded`] if it has ended although the store failed.
    pub(in crate::control) async fn end_session(
        self: &Arc<Self>,
        actor: &Actor,
        id: &str,
    ) -> Result<()> {
        let session = self.store()?.session(id).await?;
        let session = session.filter(|session| actor.sees(Some(&session.organization)));
        let session = session.ok_or(ServiceError::NotFound)?;
        if session.ended_at.is_none() {
            self.end(actor, vec![session.id], Some(&session.organization)).await?;
        }
        Ok(())
    }

    /// Ends all sessions of an organisation, of a person, or of a person in an organisation.
    ///
    /// # Errors
    /// Returns [`ServiceError::Invalid`] if the order names neither, and
    /// [`ServiceError::Unrecorded`] if they have ended although the store failed.
    pub(in crate::control) async fn end_sessions(
        self: &Arc<Self>,
        token: &AdminToken,
        order: EndOrder,
    ) -> Result<EndedSessions> {
        if order == EndOrder::default() {
            return Err(ServiceError::invalid("", "name the `organization` or the `actor`"));
        }
        let mut checks = Validation::default();
        if let Some(organization) = &order.organization {
            checks.organization(organization);
        }
        if let Some(actor) = &order.actor {
            checks.text_for_people("actor", actor);
        }
        checks.finish()?;
        let store = self.store()?;
        let organization = order.organization.clone();
        let Some(mut query) = self.query(token, order) else {
            return Ok(EndedSessions { ended: Vec::new() });
        };
        query.limit = usize::MAX;
        // No session may be made between the list and its end.
        let _lock = self.lock().await?;
        let ids: Vec<String> =
            store.sessions(query).await?.into_iter().map(|session| session.id).collect();
        if !ids.is_empty() {
            self.end(&Actor::of_token(token), ids.clone(), organization.as_deref()).await?;
        }
        Ok(EndedSessions { ended: ids })
    }

    /// Ends sessions: first in memory, then in the store.
    async fn end(
        self: &Arc<Self>,
        actor: &Actor,
        ids: Vec<String>,
        organization: Option<&str>,
    ) -> Result<()> {
        self.ended_sessions().extend(ids.iter().cloned());
        let detail = json!({ "sessions": ids });
        let entry = self.entry(actor, "portal_session.end", &ids[0], organization, detail);
        let committed = self.store()?.commit(Change::EndSessions(ids.clone()), entry.clone()).await;
        if committed.is_ok() {
            self.forget_ended(&ids);
            return Ok(());
        }
        let operations = self.clone();
        tokio::spawn(async move {
            while let Some(store) = &operations.store {
                tokio::time::sleep(RETRY_PAUSE).await;
                if store.health().is_healthy()
                    && store.commit(Change::EndSessions(ids.clone()), entry.clone()).await.is_ok()
                {
                    return operations.forget_ended(&ids);
                }
            }
        });
        Err(ServiceError::Unrecorded)
    }

    fn forget_ended(&self, ids: &[String]) {
        let mut ended = self.ended_sessions();
        ids.iter().for_each(|id| _ = ended.remove(id));
    }

    /// A panic cannot leave this half-changed, so a poisoned lock is used as it is.
    fn ended_sessions(&self) -> MutexGuard<'_, HashSet<String>> {
        self.ended_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the query for what a token may see of the sessions that are asked for, or `None` if
    /// that is nothing.
    fn query(&self, token: &AdminToken, wanted: EndOrder) -> Option<SessionQuery> {
        let organization = Actor::of_token(token).narrow(wanted.organization)?;
        Some(SessionQuery {
            organization,
            actor_id: wanted.actor,
            now: self.now(),
            ..SessionQuery::default()
        })
    }
}

/// Returns a secret of at least 256 random bits, with the checksum of keys.
fn new_secret(prefix: &str) -> Result<String> {
    let further = random_text("")?;
    random_text(&format!("{prefix}{}", &further[..FURTHER_CHARACTERS]))
}

fn view(session: PortalSession) -> SessionView {
    let opened = session.opened;
    let lifetime = |seconds: i64| show_duration(Duration::from_secs(seconds.unsigned_abs()));
    SessionView {
        id: session.id,
        organization: session.organization,
        actor: Person { id: session.actor_id, name: session.actor_name },
        permissions: session.permissions,
        apis: session.apis,
        environments: session.environments,
        scopes: session.scopes,
        max_key_lifetime: session.max_key_lifetime.map(lifetime),
        created_by: format!("token {}", session.token),
        created_at: timestamp::format(session.created_at),
        expires_at: timestamp::format(session.expires_at),
        opened_at: opened.as_ref().map(|opened| timestamp::format(opened.at)),
        last_seen_at: opened.as_ref().map(|opened| timestamp::format(opened.last_seen)),
        network: opened.as_ref().map(|opened| opened.network.clone()),
        user_agent: opened.map(|opened| opened.agent),
    }
}
