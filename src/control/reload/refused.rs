//! What is said of a file that is refused, and what it revokes all the same: that only ever takes
//! access away.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::cause::Cause;
use super::report::log;
use crate::config::{Config, Hold, NotAlone, Problem, Revoked};
use crate::control::Controller;
use crate::control::api::{ReloadReport, Settings};
use crate::control::guard::Objection;

/// What has become of the `[revoked]` of a refused file.
pub(super) enum Revocations {
    /// What it newly revokes is in force; and what there is to say of its values.
    InForce { changes: Vec<String>, warnings: Vec<Problem> },
    /// It could not be read.
    NotInForce(NotAlone),
}

impl fmt::Display for Revocations {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InForce { changes, .. } if changes.is_empty() => {
                out.write_str("in force as before: the file newly revokes no key that there is")
            }
            Self::InForce { changes, .. } => write!(out, "in force: {}", changes.join(", ")),
            Self::NotInForce(why) => {
                write!(out, "not in force: whatever this file newly revokes ({why})")
            }
        }
    }
}

impl Controller {
    /// Puts in force what a refused file newly revokes.
    pub(super) fn revoke_at_once(
        &mut self,
        revoked: &Revoked,
        hold: Hold,
        edited: SystemTime,
    ) -> Revocations {
        let Some(all) = self.file.config.revoked.with(revoked, hold) else {
            let warnings = self.warnings_of(revoked);
            return Revocations::InForce { changes: Vec::new(), warnings };
        };
        let revoking = Arc::new(Config { revoked: all, ..Config::clone(&self.file.config) });
        let difference = self.difference(&revoking);
        let untold = self.registry.follow_revoked(&revoking);
        self.keys.note_revoked_in_file(untold);
        self.note_revocation(&difference, edited);
        // Comparing with all ids takes long, so it comes after what it is about.
        let warnings = self.warnings_of(revoked);
        self.file.config = revoking;
        // What runs is now what no file says, so a file that was in force before has to be read
        // again.
        self.file.digest = None;
        let settings = self.admin.settings.load_full();
        let (admin, tls) = (settings.admin.clone(), settings.tls.clone());
        self.admin.settings.store(Arc::new(Settings { admin, tls, digest: None }));
        Revocations::InForce { changes: difference.changes, warnings }
    }

    /// What is to be said of values that are not in force yet.
    fn warnings_of(&self, revoked: &Revoked) -> Vec<Problem> {
        let config = Config { revoked: revoked.clone(), ..Config::clone(&self.file.config) };
        self.registry.look(|table| {
            crate::control::revoked::with_known(table, |known| {
                config.revoked_warnings(&self.file.path, known)
            })
        })
    }

    /// Refuses a file that drops too many keys. What it no longer revokes stays revoked.
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

    /// Refuses a file; once, if nobody asked and it was refused for the same before.
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

    /// Logs and counts a refusal; returns what whoever asked is lines.
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
                for change in changes {
                    tracing::warn!(change, "in force although the file is refused");
                    lines.push(format!("in force although the file is refused: {change}"));
                }
                warnings.iter().for_each(log);
                lines.extend(warnings.iter().map(ToString::to_string));
            }
            // Most files revoke nothing.
            Revocations::NotInForce(NotAlone::Missing) => {}
            Revocations::NotInForce(_) => lines.push(revocations.to_string()),
        }
        lines
    }
}

/// The first lines that are wrong.
fn lines(problems: &[Problem]) -> String {
    const SHOWN: usize = 20;
    let mut lines: Vec<usize> =
        problems.iter().map(|problem| problem.line).filter(|line| *line > 0).collect();
    lines.dedup();
    let shown: Vec<String> = lines.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if lines.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
