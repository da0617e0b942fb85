//! What all pages have in common: head, navigation, who is signed in, notices.

use std::sync::Arc;

use super::{AssetPaths, Texts};

/// The common part of a page.
#[derive(Debug, Clone)]
pub(in crate::control::pages) struct Frame {
    /// What every path begins with: "" on the portal's host, "/ui" for the operator.
    pub(in crate::control::pages) base: String,
    /// Where the style sheet, the script and the icon are.
    pub(in crate::control::pages) assets: AssetPaths,
    /// The words of this host.
    pub(in crate::control::pages) texts: Arc<Texts>,
    /// The language of the texts, such as `en`.
    pub(in crate::control::pages) language: String,
    /// What the browser's tab says; the name of the organisation is added to it.
    pub(in crate::control::pages) title: String,
    /// The page's `h1`.
    pub(in crate::control::pages) heading: String,
    /// The pages that this session may see. Empty: there is no navigation.
    pub(in crate::control::pages) nav: Vec<NavItem>,
    /// `None` where nobody is signed in.
    pub(in crate::control::pages) viewer: Option<Viewer>,
    /// The session's public id, `ps_…`; empty where there is none. Forms name it.
    pub(in crate::control::pages) session: String,
    /// Leads back to the product that the session came from.
    pub(in crate::control::pages) back: Option<Link>,
    /// What has just happened.
    pub(in crate::control::pages) notice: Option<Notice>,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct Viewer {
    /// The organisation whose keys are managed.
    pub(in crate::control::pages) organization: String,
    /// The name of the person.
    pub(in crate::control::pages) name: String,
}

/// An entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) struct NavItem {
    /// Which page it leads to.
    pub(in crate::control::pages) place: Place,
    /// Whether the page shown belongs to it.
    pub(in crate::control::pages) current: bool,
}

/// A page of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) enum Place {
    /// `/keys`
    Keys,
    /// `/use`
    Use,
    /// `/audit`
    Audit,
    /// `/find`
    Find,
}

impl Place {
    /// Its path after the base.
    pub(in crate::control::pages) fn path(&self) -> &'static str {
        match self {
            Place::Keys => "/keys",
            Place::Use => "/use",
            Place::Audit => "/audit",
            Place::Find => "/find",
        }
    }

    /// What the navigation calls it.
    pub(in crate::control::pages) fn label<'t>(&self, texts: &'t Texts) -> &'t str {
        match self {
            Place::Keys => &texts.keys_title,
            Place::Use => &texts.use_title,
            Place::Audit => &texts.audit_title,
            Place::Find => &texts.find_title,
        }
    }
}

/// A link out of the page. The address is the filler's to check; it is escaped, not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct Link {
    /// Where it leads.
    pub(in crate::control::pages) url: String,
    /// What it says.
    pub(in crate::control::pages) label: String,
}

/// What has just happened, in one or two sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct Notice {
    /// How it is marked.
    pub(in crate::control::pages) kind: NoticeKind,
    /// What it says.
    pub(in crate::control::pages) text: String,
}

/// How a notice is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) enum NoticeKind {
    /// It was done.
    Success,
    /// It was not done, or needs attention.
    Warning,
}

/// Neighbours of a list's page: whole URLs with their query, from the base on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct Pages {
    /// `None`: this is the first one.
    pub(in crate::control::pages) first: Option<String>,
    /// `None`: this is the last one.
    pub(in crate::control::pages) next: Option<String>,
}

impl Pages {
    /// Whether there is anything to choose from.
    pub(in crate::control::pages) fn any(&self) -> bool {
        self.first.is_some() || self.next.is_some()
    }
}

impl Frame {
    /// The words of this host.
    pub(in crate::control::pages) fn words(&self) -> &Texts {
        &self.texts
    }

    /// Whether the notice is a warning.
    pub(in crate::control::pages) fn warns(&self) -> bool {
        self.notice.as_ref().is_some_and(|notice| notice.kind == NoticeKind::Warning)
    }
}
