//! The list of keys.

use askama::Template;

use super::super::{Access, Choice, Frame, KeyState, LastUse, Mark, Moment, Pages, Texts, segment};
use super::super::{grouped, requests, sparkline};

/// `GET /keys`.
#[derive(Debug, Clone, Template)]
#[template(path = "keys.html")]
pub(in crate::control::pages) struct KeysPage {
    /// The common part.
    pub(in crate::control::pages) frame: Frame,
    /// Whether keys can be made here.
    pub(in crate::control::pages) may_create: bool,
    /// What deserves attention; those with 0 can be left out.
    pub(in crate::control::pages) cards: Vec<Card>,
    /// What was searched for.
    pub(in crate::control::pages) filters: KeyFilters,
    /// The keys of this page.
    pub(in crate::control::pages) rows: Vec<KeyRow>,
    /// How many keys match on all pages, where that is known.
    pub(in crate::control::pages) total: Option<u64>,
    /// Neighbours.
    pub(in crate::control::pages) pages: Pages,
    /// Why there are no rows. `None` while there are some.
    pub(in crate::control::pages) empty: Option<Empty>,
}

/// A number on top of the list that leads to its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) struct Card {
    /// Which keys.
    pub(in crate::control::pages) kind: CardKind,
    /// How many.
    pub(in crate::control::pages) count: u64,
    /// Whether the list shows them.
    pub(in crate::control::pages) current: bool,
}

/// The keys that a card counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) enum CardKind {
    /// Not used for 90 days: `unused_for=90d`.
    Unused,
    /// Within 14 days: `expiring=true`.
    Expiring,
    /// `never_expires=true`.
    NeverExpiring,
    /// Many of their requests are refused: `failing=true`.
    Failing,
}

impl CardKind {
    /// The query that lists them.
    pub(in crate::control::pages) fn query(&self) -> &'static str {
        match self {
            CardKind::Unused => "unused_for=90d",
            CardKind::Expiring => "expiring=true",
            CardKind::NeverExpiring => "never_expires=true",
            CardKind::Failing => "failing=true",
        }
    }

    /// What the card says below its number.
    pub(in crate::control::pages) fn label<'t>(&self, texts: &'t Texts) -> &'t str {
        match self {
            CardKind::Unused => &texts.card_unused,
            CardKind::Expiring => &texts.card_expiring,
            CardKind::NeverExpiring => &texts.card_never_expiring,
            CardKind::Failing => &texts.card_failing,
        }
    }

    /// Its class in the style sheet.
    pub(in crate::control::pages) fn class(&self) -> &'static str {
        match self {
            CardKind::Unused | CardKind::NeverExpiring => "idle",
            CardKind::Expiring => "warn",
            CardKind::Failing => "bad",
        }
    }
}

/// What a list was narrowed to. An empty list of choices leaves its field out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct KeyFilters {
    /// Field `name`: a part of the name.
    pub(in crate::control::pages) name: String,
    /// Field `organization`, for operators. "" stands for all.
    pub(in crate::control::pages) organizations: Vec<Choice>,
    /// Field `environment`. The first choice, "", stands for all.
    pub(in crate::control::pages) environments: Vec<Choice>,
    /// Field `scope`. The first choice, "", stands for all.
    pub(in crate::control::pages) scopes: Vec<Choice>,
    /// Field `status`. The first choice, "", stands for all that are not revoked.
    pub(in crate::control::pages) states: Vec<Choice>,
    /// Field `sort`.
    pub(in crate::control::pages) sorts: Vec<Choice>,
    /// Field `unused_for=90d`.
    pub(in crate::control::pages) unused: bool,
    /// Field `never_expires=true`.
    pub(in crate::control::pages) never_expires: bool,
    /// Field `full_access=true`.
    pub(in crate::control::pages) full_access: bool,
    /// Field `expiring=true`.
    pub(in crate::control::pages) expiring: bool,
    /// Field `failing=true`.
    pub(in crate::control::pages) failing: bool,
    /// Whether any of them narrows the list.
    pub(in crate::control::pages) active: bool,
}

impl KeyFilters {
    /// Whether one of the filters that are folded away is in use.
    pub(in crate::control::pages) fn folded(&self) -> bool {
        self.unused || self.never_expires || self.full_access || self.expiring || self.failing
    }
}

/// A row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct KeyRow {
    /// Never changes.
    pub(in crate::control::pages) id: String,
    /// For people.
    pub(in crate::control::pages) name: String,
    /// Shown to operators.
    pub(in crate::control::pages) organization: Option<String>,
    /// Its first characters; "" where they are not known.
    pub(in crate::control::pages) prefix: String,
    /// Its last four characters, where they are known.
    pub(in crate::control::pages) last_four: Option<String>,
    /// Such as `live`.
    pub(in crate::control::pages) environment: Option<String>,
    /// What it may do.
    pub(in crate::control::pages) access: Access,
    /// `None` for keys of the file.
    pub(in crate::control::pages) created: Option<Moment>,
    /// Who made it.
    pub(in crate::control::pages) created_by: Option<String>,
    /// When it was last used.
    pub(in crate::control::pages) last_use: LastUse,
    /// `None`: never.
    pub(in crate::control::pages) expires: Option<Moment>,
    /// Requests of the last 30 days, the oldest first; empty where they are not known.
    pub(in crate::control::pages) month: Vec<u64>,
    /// Whether it is accepted.
    pub(in crate::control::pages) state: KeyState,
    /// What else is to be known.
    pub(in crate::control::pages) marks: Vec<Mark>,
    /// Whether it can be revoked here.
    pub(in crate::control::pages) may_revoke: bool,
}

impl KeyRow {
    /// The path data of its 30 days.
    pub(in crate::control::pages) fn sparkline(&self) -> String {
        sparkline(&self.month)
    }

    /// The requests of its 30 days, such as `1,204 requests`.
    pub(in crate::control::pages) fn requests(&self, texts: &Texts) -> String {
        requests(self.month.iter().fold(0, |sum, count| sum.saturating_add(*count)), texts)
    }

    /// Its id in a path.
    pub(in crate::control::pages) fn segment(&self) -> String {
        segment(&self.id)
    }
}

/// Why a list has no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) enum Empty {
    /// There is no key yet.
    NoKeys {
        /// How the first call looks, with `YOUR_API_KEY` in the key's place.
        curl: String,
    },
    /// There are some, but none that was searched for.
    NoMatch,
}

impl Card {
    /// How many, for people.
    pub(in crate::control::pages) fn shown(&self) -> String {
        grouped(self.count)
    }
}

impl KeysPage {
    /// How many keys match, such as `1,204 keys`.
    pub(in crate::control::pages) fn total_said(&self) -> Option<String> {
        let total = self.total?;
        let texts = self.frame.words();
        let noun = if total == 1 { &texts.key_counted } else { &texts.keys_counted };
        Some(format!("{} {noun}", grouped(total)))
    }

    /// Whether the button for a new key stands beside the heading: on an empty list it is below.
    pub(in crate::control::pages) fn offers_new(&self) -> bool {
        self.may_create && !matches!(self.empty, Some(Empty::NoKeys { .. }))
    }

    /// Whether any row has figures of use.
    pub(in crate::control::pages) fn shows_months(&self) -> bool {
        self.rows.iter().any(|row| !row.month.is_empty())
    }
}
