//! Reports a refused file, and puts in force what it revokes: a revocation only ever removes
//! access.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::cause::Cause;
use super::report::log;
use crate::config::{Config, Hold, NotAlone, Problem, Revoked};
use crate::control::Controller;
use crate::control::api::{ReloadReport, Settings};
use crate::control::guard::Objection;

/// The outcome for the `[revoked]` of a refused file.
pub(super) enum Revocations {
    /// Everything that it newly revokes is in force. `warnings` are about its values.
    InForce { changes: Vec<String>, warnings: Vec<Problem> },
    /// It has no values.
    Nothing,
    /// It is not in force, for this reason.
    NotInForce(NotAlone),
}

impl fmt::Display for Revocations {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InForce { changes, .. } if changes.is_empty() => {
                out.write_str("in force as before: the file newly revokes no key that there is")
            }
            Self::InForce { changes, .. } => write!(out, "in force: {}", changes.join(", ")),
            Self::Nothing => out.write_str("in force as before: the file revokes nothing"),
            Self::NotInForce(why) => {
                write!(out, "not in force: whatever this file newly revokes ({why})")
            }
        }
    }
}

impl Controller {
    /// Puts in force what a refused file newly revokes. `hold`: how long that stays in force.
    /// `edited`: when the file was edited.
    pub(super) fn revoke_at_once(
        &mut self,
        revoked: &Revoked,
        hold: Hold,
        edited: SystemTime,
    ) -> Revocations {
        if revoked.is_empty() {
            return Revocations::Nothing;
        }
        let Some(all) = self.file.config.revoked.with(revoked, hold) else {
            let warnings = self.warnings_of(revoked);
            return Revocations::InForce { changes: Vec::new(), warnings };
        };
        let revoking = Arc::new(Config { revoked: all, ..Config::clone(&self.file.config) });
        let difference = self.difference(&revoking);
        let unrecorded = self.registry.follow_revoked(&revoking);
        self.keys.note_revoked_in_file(unrecorded);
        self.note_revocation(&difference, edited);
        // Computed after the revocation is in force, because comparing the values with all ids
        // takes long.
        let warnings = self.warnings_of(revoked);
        self.file.config = revoking;
        // The running configuration now differs from every file. Without a digest, the previous
        // file is loaded again if it is restored.
        self.file.digest = None;
        let settings = self.admin.settings.load_full();
        let (admin, tls) = (settings.admin.clone(), settings.tls.clone());
        self.admin.settings.store(Arc::new(Settings { admin, tls, digest: None }));
        Revocations::InForce { changes: difference.changes, warnings }
    }

    /// Returns the warnings about values that are not in force yet.
    fn warnings_of(&self, revoked: &Revoked) -> Vec<Problem> {
        let config = Config { revoked: revoked.clone(), ..Config::clone(&self.file.config) };
        self.registry.look(|table| {
            crate::control::revoked::with_known(table, |known| {
                config.revoked_warnings(&self.file.path, known)
            })
        })
    }

    /// Refuses a file that drops too many keys. Keys that the file no longer revokes stay revoked.
    pub(super) fn hold_back(
        &mut self,
        file: &Config,
        objection: Objection,
        edited: SystemTime,
    ) -> ReloadReport {
        let problem = Problem {
            hint: Some(
                "if this is meant, put it in force with `keygate reload --force`".to_owned(),
            ),
            ..Problem::of_file(&self.file.path, objection.to_string())
        };
        let revocations = self.revoke_at_once(&file.revoked, Hold::Lasting, edited);
        let mut errors = self.complain(&[problem], &revocations);
        for change in self.difference(file).changes {
            tracing::warn!(change, "not in force");
            errors.push(format!("not in force: {change}"));
        }
        ReloadReport::Refused { errors }
    }

    /// Refuses a file. A retry that found the same problems as before reports nothing.
    pub(super) fn refuse(
        &mut self,
        cause: Cause,
        problems: &[Problem],
        revocations: &Revocations,
    ) -> ReloadReport {
        if cause == Cause::Retry && self.file.reported == problems {
            return ReloadReport::Refused { errors: Vec::new() };
        }
        ReloadReport::Refused { errors: self.complain(problems, revocations) }
    }

    /// Logs and counts a refusal. Returns the lines of the report.
    fn complain(&mut self, problems: &[Problem], revocations: &Revocations) -> Vec<String> {
        self.file.reported = problems.to_vec();
        self.metrics.control.reloads_failed.increment(1);
        self.note_differs(true);
        tracing::error!(
            file = %self.file.path.display(),
            problems = problems.len(),
            lines = lines(problems),
            %revocations,
            "the file is refused; what ran before goes on"
        );
        problems.iter().for_each(log);
        let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        match revocations {
            Revocations::InForce { changes, warnings } => {
                if changes.is_empty() {
                    lines.push(format!("[revoked]: {revocations}"));
                }
                for change in changes {
                    tracing::warn!(change, "in force although the file is refused");
                    lines.push(format!("in force although the file is refused: {change}"));
                }
                warnings.iter().for_each(log);
                lines.extend(warnings.iter().map(ToString::to_string));
            }
            // Most files have no `[revoked]`.
            Revocations::Nothing | Revocations::NotInForce(NotAlone::Missing) => {}
            Revocations::NotInForce(_) => lines.push(revocations.to_string()),
        }
        lines
    }
}

/// Returns the numbers of the first lines with a problem, at most 20.
fn lines(problems: &[Problem]) -> String {
    const SHOWN: usize = 20;
    let mut lines: Vec<usize> =
        problems.iter().map(|problem| problem.line).filter(|line| *line > 0).collect();
    lines.dedup();
    let shown: Vec<String> = lines.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if lines.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
