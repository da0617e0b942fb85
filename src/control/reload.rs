//! From a changed file to the new configuration in force, or to a list of mistakes and nothing
//! changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::admin::ReloadReport;
use super::api::Settings;
use super::controller::{Controller, Retry};
use super::guard::{self, Objection};
use super::load::{Loaded, load};
use super::metrics::ControlMetrics;
use super::tls::{ListenerTls, Served};
use super::watch::{Identity, Moment};
use crate::config::{BadCertificate, Config, Diff, Problem, Severity, diff};

/// How often and how far apart a file is read that changes while it is read.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// When what could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Why the file is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It changed.
    Edit,
    /// Somebody said so; then the files that it names are read again too.
    Demand,
    /// The same, and it may drop as many keys as it likes.
    Force,
    /// It was refused because something could not be read, which may have passed.
    Retry,
}

impl Controller {
    /// Loads the file and puts it in force if it is good. Everything is logged and counted here.
    pub(super) async fn reload(&mut self, cause: Cause) -> ReloadReport {
        let started = Instant::now();
        let retried = self.file.retry.take();
        let mut loaded = self.read().await;
        for _ in 1..ATTEMPTS {
            // An edit will be found again when it is finished; whoever demands wants an answer.
            if matches!(cause, Cause::Edit | Cause::Retry) || !loaded.is_torn() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            loaded = self.read().await;
        }
        if loaded.is_torn() {
            self.file.watch.failed(self.moment());
            return match cause {
                Cause::Edit | Cause::Retry => ReloadReport::Refused { errors: Vec::new() },
                Cause::Demand | Cause::Force => self.refuse(
                    cause,
                    &[Problem::of_file(&self.file.path, "the file is being written to")],
                ),
            };
        }
        if cause == Cause::Retry
            && retried.is_none_or(|retried| loaded.identity != Some(retried.refused))
        {
            // Another file by now, which may be half-written: the watch decides when that one is
            // read.
            return ReloadReport::Refused { errors: Vec::new() };
        }
        let unchanged_at = self.file.watch.unchanged_at();
        let now = self.moment();
        match loaded.identity {
            Some(identity) => self.file.watch.tried(identity, now),
            None => self.file.watch.failed(now),
        }
        let state = loaded.identity.zip(loaded.digest);
        if cause == Cause::Edit && state.is_some() && state == self.file.refused {
            // Only told of again: the same file has been complained of already.
            return ReloadReport::Refused { errors: Vec::new() };
        }
        self.file.refused = None;
        let reading = match loaded.reading {
            Err(problems) => {
                self.file.refused = state;
                self.try_again_if_it_may_pass(&problems.0, loaded.identity, started);
                return self.refuse(cause, &problems.0);
            }
            Ok(reading) => Arc::new(reading),
        };
        let config = reading.config.clone();
        if matches!(cause, Cause::Edit | Cause::Retry)
            && loaded.digest.is_some()
            && loaded.digest == self.file.digest
        {
            if self.note_differs(false) {
                tracing::info!(file = %self.file.path.display(), "the file is what runs again");
            }
            return ReloadReport::Accepted {
                changes: Vec::new(),
                needs_restart: Vec::new(),
                warnings: Vec::new(),
            };
        }
        let edited =
            loaded.identity.map_or(unchanged_at, |identity| identity.modified).max(unchanged_at);
        if cause != Cause::Force
            && let Some(objection) = guard::objection(&self.file.config, &config)
        {
            self.file.refused = state;
            return self.hold_back(&config, objection, edited);
        }
        let clashes = self.keys.clashes(&config).await;
        if !clashes.is_empty() {
            self.file.refused = state;
            let text = std::fs::read_to_string(&self.file.path).unwrap_or_default();
            let problems: Vec<Problem> =
                clashes.iter().map(|clash| clash.problem(&self.file.path, &text)).collect();
            return self.refuse(cause, &problems);
        }
        let difference = diff(&self.file.config, &config);
        // Against what the process was started with: what was never in force is still waiting.
        let needs_restart = diff(&self.file.started, &without_keys(&config)).needs_restart;
        if let Err(bad) = self.put_in_force(&config, loaded.digest) {
            self.file.refused = state;
            let problems =
                [Problem { may_pass: true, ..Problem::of_file(&self.file.path, bad.to_string()) }];
            self.try_again_if_it_may_pass(&problems, loaded.identity, started);
            return self.refuse(cause, &problems);
        }
        self.note_revocation(&difference, edited);
        let before = (
            std::mem::replace(&mut self.file.config, config),
            std::mem::replace(&mut self.file.reading, reading),
        );
        // Letting go of many keys takes long; requests and revocations must not wait for it.
        drop(tokio::task::spawn_blocking(move || drop(before)));
        self.file.digest = loaded.digest;
        self.metrics.control.load_duration.set(started.elapsed());
        self.metrics.control.reloads.increment(1);
        self.note_loaded();
        self.announce(difference, needs_restart)
    }

    /// Refuses a file that drops too many keys. What it revokes is in force all the same, and what
    /// it no longer revokes stays revoked.
    fn hold_back(
        &mut self,
        file: &Config,
        objection: Objection,
        edited: SystemTime,
    ) -> ReloadReport {
        let mut problems = vec![Problem {
            hint: Some(
                "if this is meant, put it in force with `keygate reload --force`".to_owned(),
            ),
            ..Problem::of_file(&self.file.path, objection.to_string())
        }];
        let mut revoking = Config::clone(&self.file.config);
        revoking.revoked.extend(file.revoked.iter().cloned());
        revoking.revoked_organizations.extend(file.revoked_organizations.iter().cloned());
        let revoking = Arc::new(revoking);
        let revocations = diff(&self.file.config, &revoking);
        if !revocations.changes.is_empty() {
            match self.put_in_force(&revoking, None) {
                Ok(()) => {
                    self.note_revocation(&revocations, edited);
                    self.file.config = revoking;
                    // What runs is now what no file says, so a file that was in force before has to
                    // be read again.
                    self.file.digest = None;
                }
                Err(bad) => problems.push(Problem::of_file(&self.file.path, bad.to_string())),
            }
        }
        let mut errors = self.complain(&problems);
        for change in &revocations.changes {
            tracing::warn!(change, "in force although the file is refused");
        }
        for change in diff(&self.file.config, file).changes {
            tracing::warn!(change, "not in force");
            errors.push(format!("not in force: {change}"));
        }
        ReloadReport::Refused { errors }
    }

    fn note_revocation(&self, difference: &Diff, edited: SystemTime) {
        if difference.revoked > 0 {
            let delay = SystemTime::now().duration_since(edited).unwrap_or_default();
            self.metrics.control.revocation.record(delay);
        }
    }

    async fn read(&self) -> Loaded {
        let path = self.file.path.clone();
        let admin = self.file.config.admin.as_ref().and_then(|admin| admin.tls.clone());
        let in_use: Vec<_> = self
            .file
            .config
            .tls
            .iter()
            .cloned()
            .chain(admin)
            .flat_map(|tls| tls.certificates().cloned().collect::<Vec<_>>())
            .collect();
        let before = self.file.reading.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&path, &in_use, Some(&before))).await;
        // A panic in there is a mistake of ours, which must not end the gateway.
        loaded.unwrap_or_else(|_| Loaded {
            identity: super::files::identity(&self.file.path),
            digest: None,
            reading: Err(crate::config::Problems(vec![Problem::of_file(
                &self.file.path,
                "reading the file failed unexpectedly",
            )])),
        })
    }

    /// Builds all that can fail, then publishes once.
    fn put_in_force(
        &mut self,
        config: &Arc<Config>,
        digest: Option<[u8; 32]>,
    ) -> Result<(), BadCertificate> {
        let tls = config
            .tls
            .as_ref()
            .map(|settings| self.tls.maker.data(settings, self.tls.server.as_ref()))
            .transpose()?;
        let admin_tls = match &config.admin {
            Some(admin) => admin
                .tls
                .as_ref()
                .map(|settings| self.tls.maker.admin(settings, self.tls.admin.as_ref()))
                .transpose()?,
            // Only a restart closes the address; until then it stays encrypted.
            None => self.tls.admin.clone(),
        };
        let running = self.registry.site();
        let handshakes = tls.as_ref().map(ListenerTls::config);
        let site =
            self.builder.build(config, Arc::new(config.routes()), handshakes, Some(&running))?;
        drop(running);
        let revoked = self.registry.follow(config, site);
        self.keys.note_revoked_in_file(revoked);
        let handshakes = admin_tls.as_ref().map(ListenerTls::config);
        self.admin.settings.store(Arc::new(Settings {
            admin: config.admin.clone(),
            tls: handshakes,
            digest,
        }));
        (self.tls.server, self.tls.admin) = (tls, admin_tls);
        self.look_at_certificates();
        Ok(())
    }

    pub(super) fn note_loaded(&mut self) {
        let unix = u64::try_from(self.shared.clock.now().unix).unwrap_or_default();
        self.metrics.control.loaded_at.set(Duration::from_secs(unix));
        self.note_differs(false);
    }

    fn announce(&self, difference: Diff, needs_restart: Vec<String>) -> ReloadReport {
        tracing::info!(file = %self.file.path.display(), changes = difference.changes.len(), "configuration reloaded");
        for change in &difference.changes {
            tracing::info!(change, "configuration changed");
        }
        for setting in &needs_restart {
            tracing::warn!(setting, "needs a restart");
        }
        for warning in &self.file.config.warnings {
            log(warning);
        }
        let warnings = self.file.config.warnings.iter().map(ToString::to_string).collect();
        ReloadReport::Accepted { changes: difference.changes, needs_restart, warnings }
    }

    /// A file that could not be read, for lack of descriptors perhaps, is no mistake that waits for
    /// an edit: what it revokes must not be forgotten. Looking again costs a twentieth of a core at
    /// most.
    fn try_again_if_it_may_pass(
        &mut self,
        problems: &[Problem],
        refused: Option<Identity>,
        started: Instant,
    ) {
        let at = Instant::now() + RETRY.max(started.elapsed() * 20);
        self.file.retry = refused
            .filter(|_| problems.iter().any(|problem| problem.may_pass))
            .map(|refused| Retry { at, refused });
    }

    /// Does so when it is time. To be called every second.
    pub(super) async fn retry(&mut self) {
        if self.file.retry.is_some_and(|retry| retry.at <= Instant::now()) {
            self.reload(Cause::Retry).await;
        }
    }

    fn refuse(&mut self, cause: Cause, problems: &[Problem]) -> ReloadReport {
        if cause == Cause::Retry && self.file.reported == problems {
            return ReloadReport::Refused { errors: Vec::new() };
        }
        ReloadReport::Refused { errors: self.complain(problems) }
    }

    fn complain(&mut self, problems: &[Problem]) -> Vec<String> {
        self.file.reported = problems.to_vec();
        self.metrics.control.reloads_failed.increment(1);
        self.note_differs(true);
        tracing::error!(file = %self.file.path.display(), problems = problems.len(), "the file is refused; what ran before goes on");
        problems.iter().for_each(log);
        problems.iter().map(ToString::to_string).collect()
    }

    pub(super) fn note_gone(&mut self) {
        self.note_differs(true);
        tracing::error!(file = %self.file.path.display(), "the file is gone; what ran before goes on");
    }

    /// Notes whether the file is not what runs; returns whether it was not before.
    fn note_differs(&mut self, differs: bool) -> bool {
        self.metrics.control.file_differs.set(u8::from(differs));
        std::mem::replace(&mut self.file.differs, differs)
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            monotonic: Duration::from_nanos(self.shared.clock.now().monotonic),
            wall: SystemTime::now(),
        }
    }

    /// Puts renewed certificates in force, and leaves everything else as it is. Returns whether
    /// there were any.
    pub(super) fn renew_certificates(&mut self) -> bool {
        let metrics = self.metrics.clone();
        let tell = |served: &Served, outcome| note_renewal(&metrics.control, served, outcome);
        let mut renewed = false;
        if let Some(tls) = &mut self.tls.server
            && tls.renew(&self.tls.maker, tell)
        {
            self.registry.renew(tls.config());
            renewed = true;
        }
        if let Some(tls) = &mut self.tls.admin
            && tls.renew(&self.tls.maker, tell)
        {
            let settings = self.admin.settings.load_full();
            let (admin, digest) = (settings.admin.clone(), settings.digest);
            self.admin.settings.store(Arc::new(Settings {
                admin,
                tls: Some(tls.config()),
                digest,
            }));
            renewed = true;
        }
        renewed
    }
}

fn note_renewal(control: &ControlMetrics, served: &Served, outcome: Result<(), BadCertificate>) {
    let file = served.file();
    match outcome {
        Ok(()) => {
            control.certificates_reloaded.increment(1);
            tracing::info!(file, "certificate reloaded");
        }
        Err(error) => {
            control.certificates_failed.increment(1);
            tracing::error!(file, %error, "changed certificate cannot be used; the one before \
                goes on");
        }
    }
}

/// What is kept of the first configuration, to compare what needs a restart.
pub(super) fn without_keys(config: &Config) -> Config {
    Config {
        server: config.server.clone(),
        tls: config.tls.clone(),
        admin: config.admin.clone(),
        log: config.log,
        store: config.store.clone(),
        reload: config.reload,
        apis: Vec::new(),
        keys: Vec::new(),
        revoked: BTreeSet::new(),
        revoked_organizations: BTreeSet::new(),
        warnings: Vec::new(),
    }
}

/// One problem as one event.
pub(super) fn log(problem: &Problem) {
    let (line, column) = (problem.line, problem.column);
    let (file, message) = (problem.file.display(), &problem.message);
    let hint = problem.hint.as_deref().unwrap_or_default();
    match problem.severity {
        Severity::Error => tracing::error!(%file, line, column, hint, "{message}"),
        Severity::Warning => tracing::warn!(%file, line, column, hint, "{message}"),
    }
}
