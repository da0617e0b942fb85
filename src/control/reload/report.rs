//! Logs and counts the outcome of a reload, and builds its report.

use std::time::{Duration, SystemTime};

use crate::config::{Config, Diff, Problem, Severity, diff_beside};
use crate::control::Controller;
use crate::control::api::ReloadReport;
use crate::control::revoked::{self, with_known};

impl Controller {
    /// Returns what a configuration would change, with all keys known.
    pub(super) fn difference(&self, new: &Config) -> Diff {
        self.registry
            .look(|table| with_known(table, |known| diff_beside(&self.file.config, new, known)))
    }

    /// Returns the warnings about the configuration in force, in file order.
    pub(in crate::control) fn warnings(&self) -> Vec<Problem> {
        let mut warnings = self.registry.look(|table| revoked::warnings(table, &self.file.path));
        warnings.extend(self.file.config.warnings.iter().cloned());
        warnings.sort_by_key(|warning| (warning.line, warning.column));
        warnings
    }

    pub(super) fn note_revocation(&self, difference: &Diff, edited: SystemTime) {
        if difference.revoked > 0 {
            let delay = SystemTime::now().duration_since(edited).unwrap_or_default();
            self.metrics.control.revocation.record(delay);
        }
    }

    pub(in crate::control) fn note_loaded(&mut self) {
        let unix = u64::try_from(self.shared.clock.now().unix).unwrap_or_default();
        self.metrics.control.loaded_at.set(Duration::from_secs(unix));
        self.note_differs(false);
    }

    pub(super) fn announce(&self, difference: Diff, needs_restart: Vec<String>) -> ReloadReport {
        tracing::info!(
            file = %self.file.path.display(),
            changes = difference.changes.len(),
            "configuration reloaded"
        );
        for change in &difference.changes {
            tracing::info!(change, "configuration changed");
        }
        for setting in &needs_restart {
            tracing::warn!(setting, "needs a restart");
        }
        let warnings = self.warnings();
        warnings.iter().for_each(log);
        let warnings = warnings.iter().map(ToString::to_string).collect();
        ReloadReport::Accepted { changes: difference.changes, needs_restart, warnings }
    }

    pub(in crate::control) fn note_gone(&mut self) {
        self.note_differs(true);
        tracing::error!(
            file = %self.file.path.display(),
            "the file is gone; what ran before goes on"
        );
    }

    /// Records whether the file differs from the running configuration. Returns whether it did
    /// before.
    pub(super) fn note_differs(&mut self, differs: bool) -> bool {
        self.metrics.control.file_differs.set(u8::from(differs));
        std::mem::replace(&mut self.file.differs, differs)
    }
}

/// Logs a problem as one event.
pub(in crate::control) fn log(problem: &Problem) {
    let (line, column) = (problem.line, problem.column);
    let (file, message) = (problem.file.display(), &problem.message);
    let hint = problem.hint.as_deref().unwrap_or_default();
    match problem.severity {
        Severity::Error => tracing::error!(%file, line, column, hint, "{message}"),
        Severity::Warning => tracing::warn!(%file, line, column, hint, "{message}"),
    }
}
