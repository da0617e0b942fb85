//! Opening a session with the code of a link, and leaving it.

use std::sync::Arc;

use axum::extract::State as Extract;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::answer::{self, Page};
use super::arrival::{Arrival, limited_network};
use super::cookie;
use super::form::{Form, Query};
use super::origin::is_from_elsewhere;
use super::signed::{Signed, failed, message, onward, plain_frame};
use super::state::State;
use super::view::{OpenPage, OtherSession, Place, Texts};
use crate::control::keys::Standing;

/// `GET /open`: shows what the link opens. It consumes nothing, because programs that scan mail
/// follow links.
pub(super) async fn show(
    Extract(state): Extract<Arc<State>>,
    arrival: Arrival,
    headers: HeaderMap,
    uri: Uri,
    Query(query): Query,
) -> Page {
    let texts = state.texts(&arrival.authority);
    if is_from_elsewhere(&headers) {
        // A strict cookie was not sent, so nobody can tell yet whether another session is open.
        return onward(&texts, &uri);
    }
    let code = query.text("code").to_owned();
    let wanted = code.clone();
    let found = state.read(move |keys| async move { keys.session_to_open(&wanted).await }).await;
    let session = match found {
        Ok(Some(session)) => session,
        Ok(None) => return used_up(&texts),
        Err(error) => return failed(&texts, &error),
    };
    let other = other_session(&state, &headers).await;
    let other = other.filter(|(organization, id, _)| {
        *organization != session.organization || *id != session.actor_id
    });
    answer::secret(&OpenPage {
        frame: plain_frame(&texts, &texts.open_title),
        organization: session.organization,
        actor: session.actor_name,
        code,
        other: other.map(|(organization, _, actor)| OtherSession { organization, actor }),
    })
}

/// Returns the organisation, the person's id and the person's name of the session that is open in
/// this browser.
async fn other_session(state: &State, headers: &HeaderMap) -> Option<(String, String, String)> {
    let secret = cookie::secret(headers)?.to_owned();
    let standing = state.read(move |keys| async move { keys.standing(&secret, None).await }).await;
    match standing {
        Ok(Standing::Open(open)) => Some((open.organization, open.actor_id, open.actor_name)),
        _ => None,
    }
}

/// `POST /open`: opens the session, and sets its cookie.
pub(super) async fn open(
    Extract(state): Extract<Arc<State>>,
    arrival: Arrival,
    headers: HeaderMap,
    Form(form): Form,
) -> Page {
    let texts = state.texts(&arrival.authority);
    if !state.admits_opening(limited_network(arrival.client)) {
        return too_often(&texts);
    }
    let (code, visitor) = (form.text("code").to_owned(), arrival.visitor(&headers));
    let opened =
        state.change(move |keys| async move { keys.open_session(&code, visitor).await }).await;
    let (session, secret) = match opened {
        Ok(Some(opened)) => opened,
        Ok(None) => return used_up(&texts),
        Err(error) => return failed(&texts, &error),
    };
    tracing::info!(session = session.id, "a portal session was opened");
    let mut response = answer::see_other(&session.path);
    match cookie::set(&secret) {
        Some(cookie) => _ = response.headers_mut().insert(header::SET_COOKIE, cookie),
        None => return answer::plain(StatusCode::INTERNAL_SERVER_ERROR),
    }
    response
}

/// `POST /sign-out`: ends the session, and removes its cookie.
pub(super) async fn leave(signed: Signed, Form(form): Form) -> Page {
    if let Some(page) = signed.foreign(&form) {
        return page;
    }
    let (actor, id) = (signed.actor.clone(), signed.session.id.clone());
    let ended = signed.state.change(move |keys| async move { keys.end_session(&actor, &id).await });
    if let Err(error) = ended.await {
        return signed.failed(&error);
    }
    signed.actor.log_change("portal_session.end", &signed.session.id);
    let texts = signed.texts();
    let mut frame = plain_frame(texts, &texts.signed_out_title);
    frame.back = signed.frame(Place::Keys, "").back;
    let link = frame.back.take();
    let mut response = message(StatusCode::OK, frame, &texts.signed_out_text, link);
    response.headers_mut().insert(header::SET_COOKIE, cookie::remove());
    response
}

/// Returns the page for a code that is unknown, used or too old. Whoever tries codes learns no
/// more.
fn used_up(texts: &Arc<Texts>) -> Page {
    let frame = plain_frame(texts, &texts.link_used_title);
    message(StatusCode::GONE, frame, &texts.link_used_text, None)
}

fn too_often(texts: &Arc<Texts>) -> Page {
    let frame = plain_frame(texts, &texts.too_often_title);
    let mut response = message(StatusCode::TOO_MANY_REQUESTS, frame, &texts.too_often_text, None);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("6"));
    response
}
