//! Use of all keys, and the audit log.

use askama::Template;

use super::super::{
    Choice, Frame, LegendItem, Moment, Outcomes, Pages, Texts, UsageTable, grouped, segment,
};

/// `GET /use`.
#[derive(Debug, Clone, Template)]
#[template(path = "use.html")]
pub(in crate::control::pages) struct UsePage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// Field `days` of the form that narrows it: `1`, `7`, `30` and so on.
    pub(in crate::control::pages) periods: Vec<Choice>,
    /// Field `organization`, for operators. Empty: not shown.
    pub(in crate::control::pages) organizations: Vec<Choice>,
    /// Of all keys together. `None`: not known.
    pub(in crate::control::pages) table: Option<UsageTable>,
    /// Each key that was used, the most used first.
    pub(in crate::control::pages) keys: Vec<KeyUseRow>,
    /// Neighbours.
    pub(in crate::control::pages) pages: Pages,
}

/// The use of one key among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct KeyUseRow {
    /// Never changes.
    pub(in crate::control::pages) id: String,
    /// For people.
    pub(in crate::control::pages) name: String,
    /// Its requests.
    pub(in crate::control::pages) counts: Outcomes,
}

impl KeyUseRow {
    /// All its requests.
    pub(in crate::control::pages) fn total(&self) -> String {
        grouped(self.counts.total())
    }

    /// Its requests by outcome.
    pub(in crate::control::pages) fn cells<'t>(&self, texts: &'t Texts) -> Vec<LegendItem<'t>> {
        self.counts.legend(texts)
    }

    /// The id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.id)
    }
}

/// `GET /audit`.
#[derive(Debug, Clone, Template)]
#[template(path = "audit.html")]
pub(in crate::control::pages) struct AuditPage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// Field `subject`: a key's id or an organisation's name.
    pub(in crate::control::pages) subject: String,
    /// Field `organization`, for operators. Empty: not shown.
    pub(in crate::control::pages) organizations: Vec<Choice>,
    /// The entries of this page.
    pub(in crate::control::pages) table: AuditTable,
    /// Neighbours.
    pub(in crate::control::pages) pages: Pages,
}

/// Some entries of the audit log, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct AuditTable {
    /// One each.
    pub(in crate::control::pages) rows: Vec<AuditRow>,
    /// Whether they are about different keys.
    pub(in crate::control::pages) shows_subjects: bool,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct AuditRow {
    /// When.
    pub(in crate::control::pages) at: Moment,
    /// Who, such as `Support Lead` or `token NAME`.
    pub(in crate::control::pages) actor: String,
    /// What, such as `key.create`.
    pub(in crate::control::pages) action: String,
    /// The name of the key where it is known, else its id, else an organisation's name.
    pub(in crate::control::pages) subject: String,
    /// Its page, from the base on. `None`: there is none.
    pub(in crate::control::pages) link: Option<String>,
    /// What changed: names and values.
    pub(in crate::control::pages) detail: Vec<(String, String)>,
}
