//! How much keys are used, in the form of the admin API's JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::OutcomeClass;

/// How long the parts are that use is told by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::control) enum UseBy {
    /// By days only.
    #[default]
    Day,
    /// By hours too, as far as they are kept: 14 days.
    Hour,
}

/// Which time use is told of. Days are in UTC, such as `2026-11-22`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control) struct UseSpan {
    pub(in crate::control) by: UseBy,
    /// The first day. `None`: the first that is known.
    pub(in crate::control) from: Option<String>,
    /// The last day. `None`: today.
    pub(in crate::control) to: Option<String>,
}

/// Requests by how they ended. Each is in one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct UseCounts {
    /// All of them.
    pub(in crate::control) requests: u64,
    /// Answered with a status below 400.
    pub(in crate::control) ok: u64,
    /// Answered with a 4xx by the API, or ended by the client.
    pub(in crate::control) client: u64,
    /// Over the limit.
    pub(in crate::control) limited: u64,
    /// Refused by Keygate for another reason.
    pub(in crate::control) refused: u64,
    /// Answered with a 5xx, or not in time.
    pub(in crate::control) failed: u64,
}

impl UseCounts {
    /// Returns the counts of these classes, in the order of [`OutcomeClass::ALL`].
    pub(super) fn of(counts: [u64; 5]) -> Self {
        let of = |class: OutcomeClass| counts[class as usize];
        Self {
            requests: counts.iter().fold(0, |sum, count| sum.saturating_add(*count)),
            ok: of(OutcomeClass::Ok),
            client: of(OutcomeClass::Client),
            limited: of(OutcomeClass::Limited),
            refused: of(OutcomeClass::Refused),
            failed: of(OutcomeClass::Failed),
        }
    }
}

/// The requests of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct DayUseView {
    /// In UTC, such as `2026-11-22`.
    pub(in crate::control) day: String,
    #[serde(flatten)]
    pub(in crate::control) counts: UseCounts,
    /// The most requests of one key that began within one minute.
    pub(in crate::control) highest_minute: u32,
}

/// The requests of one hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct HourUseView {
    /// When it began, such as `2026-11-22T14:00:00Z`.
    pub(in crate::control) hour: String,
    #[serde(flatten)]
    pub(in crate::control) counts: UseCounts,
    /// The most requests of one key that began within one minute.
    pub(in crate::control) highest_minute: u32,
}

/// A key's use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct KeyUse {
    pub(in crate::control) id: String,
    /// Days without requests are left out; the oldest first.
    pub(in crate::control) days: Vec<DayUseView>,
    /// With `by=hour` only. Hours without requests are left out; the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::control) hours: Option<Vec<HourUseView>>,
}

/// The use of an organisation's keys together, and of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct OrganizationUse {
    pub(in crate::control) name: String,
    /// Days without requests are left out; the oldest first.
    pub(in crate::control) days: Vec<DayUseView>,
    /// With `by=hour` only. Hours without requests are left out; the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::control) hours: Option<Vec<HourUseView>>,
    /// The keys with requests; the most used first.
    pub(in crate::control) keys: Vec<KeySum>,
}

/// The requests of one key in the whole time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::control) struct KeySum {
    pub(in crate::control) id: String,
    pub(in crate::control) name: String,
    #[serde(flatten)]
    pub(in crate::control) counts: UseCounts,
}
