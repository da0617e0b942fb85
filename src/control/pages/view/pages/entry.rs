//! Pages before and after a session: hand-over, sign-in, messages.

use askama::Template;

use super::super::{Frame, Link};

/// `GET /open`: a person comes with a link. Nothing is consumed yet; the code is, once the form is
/// sent to `POST /open` with the field `code`.
#[derive(Clone, Template)]
#[template(path = "open.html")]
pub(in crate::control::pages) struct OpenPage {
    /// Without navigation.
    pub(in crate::control::pages) frame: Frame,
    /// Whose keys can be managed.
    pub(in crate::control::pages) organization: String,
    /// As whom.
    pub(in crate::control::pages) actor: String,
    /// The code of the link.
    pub(in crate::control::pages) code: String,
    /// The session that is open in this browser and would end. Then the form waits for a click.
    pub(in crate::control::pages) other: Option<OtherSession>,
}

/// A session that is open already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct OtherSession {
    /// Whose keys it manages.
    pub(in crate::control::pages) organization: String,
    /// As whom.
    pub(in crate::control::pages) actor: String,
}

/// Goes on to a path by itself, so that the next request is one of the same site.
#[derive(Debug, Clone, Template)]
#[template(path = "continue.html")]
pub(in crate::control::pages) struct ContinuePage {
    /// Without navigation.
    pub(in crate::control::pages) frame: Frame,
    /// Path and query of the same host: it begins with one slash.
    pub(in crate::control::pages) path: String,
}

/// Says one thing: a session has ended, a link was used, a page does not exist.
#[derive(Debug, Clone, Template)]
#[template(path = "message.html")]
pub(in crate::control::pages) struct MessagePage {
    /// Its heading is the message in brief.
    pub(in crate::control::pages) frame: Frame,
    /// One to three sentences.
    pub(in crate::control::pages) text: String,
    /// The way out.
    pub(in crate::control::pages) link: Option<Link>,
}
