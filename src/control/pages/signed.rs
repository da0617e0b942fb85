//! Who is signed in, and the frame of their pages.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Method, StatusCode, Uri};

use super::answer::{self, Page};
use super::arrival::Arrival;
use super::cookie;
use super::form::Fields;
use super::origin::{is_by_a_person, is_from_elsewhere};
use super::state::State;
use super::view::{
    AssetPaths, ContinuePage, Frame, Link, MessagePage, NavItem, Place, Texts, Viewer,
};
use crate::control::keys::{Actor, Permission, ServiceError, Standing};
use crate::keystore::PortalSession;

/// A person who is signed in.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) actor: Actor,
    pub(super) session: PortalSession,
    pub(super) state: Arc<State>,
    pub(super) arrival: Arrival,
    texts: Arc<Texts>,
}

impl FromRequestParts<Arc<State>> for Signed {
    type Rejection = Page;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Page> {
        let Ok(arrival) = Arrival::from_request_parts(parts, state).await else {
            return Err(answer::plain(StatusCode::INTERNAL_SERVER_ERROR));
        };
        let texts = state.texts(&arrival.authority);
        let Some(secret) = cookie::secret(&parts.headers).map(str::to_owned) else {
            return Err(without_cookie(parts, &texts));
        };
        let visitor = is_by_a_person(&parts.headers).then(|| arrival.visitor(&parts.headers));
        let standing =
            state.read(move |keys| async move { keys.standing(&secret, visitor).await }).await;
        match standing {
            Ok(Standing::Open(session)) => {
                let actor = Actor::of_session(&session);
                Ok(Self { actor, session: *session, state: state.clone(), arrival, texts })
            }
            Ok(Standing::Ended(back)) => Err(ended(&texts, back)),
            Ok(Standing::Unknown) => Err(ended(&texts, None)),
            Err(error) => Err(failed(&texts, &error)),
        }
    }
}

/// Returns the page for a browser that sent no cookie. A strict cookie is not sent with a link of
/// another site, but with the same request from a page of this one.
fn without_cookie(parts: &Parts, texts: &Arc<Texts>) -> Page {
    if parts.method == Method::GET && is_from_elsewhere(&parts.headers) {
        return onward(texts, &parts.uri);
    }
    ended(texts, None)
}

/// Returns a page that asks for the same path again by itself, from this host.
pub(super) fn onward(texts: &Arc<Texts>, uri: &Uri) -> Page {
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let frame = plain_frame(texts, &texts.continue_title);
    answer::ok(&ContinuePage { frame, path })
}

/// Returns the page for a session that has ended, which leads back if that is possible.
fn ended(texts: &Arc<Texts>, back: Option<String>) -> Page {
    let link = back.map(|url| Link { url, label: texts.back.to_string() });
    let frame = plain_frame(texts, &texts.ended_title);
    message(StatusCode::UNAUTHORIZED, frame, &texts.ended_text, link)
}

/// Returns the page for an operation that failed as a whole.
pub(super) fn failed(texts: &Arc<Texts>, error: &ServiceError) -> Page {
    let (title, text) = match error {
        ServiceError::NotFound => (&texts.not_found_page_title, &texts.not_found_page_text),
        ServiceError::Forbidden(_) => (&texts.forbidden_title, &texts.forbidden_text),
        _ => (&texts.failed_title, &texts.failed_text),
    };
    message(error.status(), plain_frame(texts, title), text, None)
}

/// Returns a page that says one thing.
pub(super) fn message(status: StatusCode, frame: Frame, text: &str, link: Option<Link>) -> Page {
    answer::page(status, &MessagePage { frame, text: text.to_owned(), link })
}

/// Returns the frame of a page for whoever it is.
pub(super) fn plain_frame(texts: &Arc<Texts>, title: &str) -> Frame {
    Frame {
        base: String::new(),
        assets: AssetPaths::default(),
        texts: texts.clone(),
        language: "en".to_owned(),
        title: title.to_owned(),
        heading: title.to_owned(),
        nav: Vec::new(),
        viewer: None,
        session: String::new(),
        back: None,
        notice: None,
    }
}

impl Signed {
    /// Returns the words of the pages.
    pub(super) fn texts(&self) -> &Arc<Texts> {
        &self.texts
    }

    /// Returns the frame of a page that belongs to this place of the navigation.
    pub(super) fn frame(&self, place: Place, title: &str) -> Frame {
        let places = [
            (Place::Keys, Permission::ReadKeys),
            (Place::Use, Permission::ReadUsage),
            (Place::Audit, Permission::ReadAudit),
            (Place::Find, Permission::ReadKeys),
        ];
        let permitted = places.into_iter().filter(|(_, needed)| self.actor.may(*needed));
        let nav = permitted.map(|(known, _)| NavItem { place: known, current: known == place });
        let back = self.session.return_url.clone();
        Frame {
            nav: nav.collect(),
            viewer: Some(Viewer {
                organization: self.session.organization.clone(),
                name: self.session.actor_name.clone(),
            }),
            session: self.session.id.clone(),
            back: back.map(|url| Link { url, label: self.texts().back.to_string() }),
            ..plain_frame(&self.texts, title)
        }
    }

    /// Returns the page for a form that was made for another session, or `None` if it was made for
    /// this one. Another session may have been opened in the same browser since.
    pub(super) fn foreign(&self, form: &Fields) -> Option<Page> {
        if form.text("session") == self.session.id {
            return None;
        }
        let texts = self.texts();
        let frame = self.frame(Place::Keys, &texts.other_session_title);
        Some(message(StatusCode::CONFLICT, frame, &texts.other_session_text, None))
    }

    /// Returns the page for an operation that failed as a whole.
    pub(super) fn failed(&self, error: &ServiceError) -> Page {
        let texts = self.texts();
        let (title, text) = match error {
            ServiceError::NotFound => {
                (&texts.not_found_page_title, texts.not_found_page_text.to_string())
            }
            ServiceError::Forbidden(_) => {
                (&texts.forbidden_title, texts.forbidden_text.to_string())
            }
            ServiceError::Stale => (&texts.stale_title, texts.stale_text.to_string()),
            error => (&texts.failed_title, error.detail()),
        };
        message(error.status(), self.frame(Place::Keys, title), &text, None)
    }
}
