//! Loads a changed file. Either the new configuration is put in force, or the file's mistakes are
//! reported and nothing changes except the keys that its `[revoked]` newly revokes.

mod cause;
mod refused;
mod report;

pub(super) use cause::Cause;
pub(super) use report::log;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use self::refused::Revocations;
use super::api::{ReloadReport, Settings};
use super::controller::{Controller, Retry};
use super::guard;
use super::load::{Loaded, load};
use super::tls::ListenerTls;
use super::watch::{Identity, Moment};
use crate::config::{
    BadCertificate, Config, Hold, Mistaken, NotAlone, Problem, Reading, Revoked, diff,
};
use crate::state::Runtime;

/// Limit of attempts to read a file that changes during the read, and the pause between them.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// Shortest delay before a file that could not be read is read again.
const RETRY: Duration = Duration::from_secs(1);

/// A file that did not change during the read.
struct Settled {
    identity: Option<Identity>,
    digest: Option<[u8; 32]>,
    reading: Result<Arc<Reading>, Mistaken>,
    /// When it was edited: the later of its modification time and the last time it was seen
    /// unchanged.
    edited: SystemTime,
    /// Whether its writer may not have finished.
    half_written: bool,
}

impl Settled {
    /// Returns the file's identity and digest, or `None` if one of them is missing.
    fn state(&self) -> Option<(Identity, [u8; 32])> {
        self.identity.zip(self.digest)
    }
}

/// Everything whose construction can fail, ready to be put in force.
struct Built {
    runtime: Runtime,
    server_tls: Option<ListenerTls>,
    admin_tls: Option<ListenerTls>,
}

impl Controller {
    /// Loads the file and puts it in force if it is valid. Logs and counts the outcome.
    pub(super) async fn reload(&mut self, cause: Cause) -> ReloadReport {
        // A stage that ends the reload returns the report as an error.
        self.go_through_stages(cause).await.unwrap_or_else(|report| report)
    }

    /// Runs the stages of a reload in order.
    ///
    /// # Errors
    /// Returns the report of the stage that ended the reload.
    async fn go_through_stages(&mut self, cause: Cause) -> Result<ReloadReport, ReloadReport> {
        let started = Instant::now();
        let retried = self.file.retry.take();
        let loaded = self.read(cause).await;
        let file = self.settle(cause, retried, loaded)?;
        self.look_up_revoked(&file).await;
        self.refuse_mistakes(cause, &file, started)?;
        let Ok(reading) = &file.reading else { return Err(nothing_done()) };
        self.same(cause, &file)?;
        self.guard(cause, &file, &reading.config)?;
        self.clashes(cause, &file, reading).await?;
        let built = self
            .build(&reading.config)
            .map_err(|bad| self.refuse_certificate(cause, &file, reading, bad, started))?;
        Ok(self.publish(&file, reading, built, started))
    }

    /// Reads the file. Reads it again if it changed during the read and a caller waits for the
    /// outcome.
    async fn read(&mut self, cause: Cause) -> Loaded {
        let mut loaded = self.read_once().await;
        for _ in 1..ATTEMPTS {
            // The watch finds an edit again when it is complete.
            if cause.is_unasked() || !loaded.is_torn() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            loaded = self.read_once().await;
        }
        loaded
    }

    async fn read_once(&self) -> Loaded {
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
        // A panic there is a bug of Keygate, which must not end the gateway.
        loaded.unwrap_or_else(|_| Loaded {
            identity: super::files::identity(&self.file.path),
            digest: None,
            reading: Err(Mistaken::unreadable(Problem::of_file(
                &self.file.path,
                "reading the file failed unexpectedly",
            ))),
        })
    }

    /// Returns a file that did not change during the read and has not been reported already.
    ///
    /// # Errors
    /// Returns the report if the reload ends here.
    fn settle(
        &mut self,
        cause: Cause,
        retried: Option<Retry>,
        loaded: Loaded,
    ) -> Result<Settled, ReloadReport> {
        if loaded.is_torn() {
            self.file.watch.failed(self.moment());
            if cause.is_unasked() {
                return Err(nothing_done());
            }
            let problem = Problem::of_file(&self.file.path, "the file is being written to");
            let revocations = Revocations::NotInForce(NotAlone::HalfWritten);
            return Err(self.refuse(cause, &[problem], &revocations));
        }
        if cause == Cause::Retry
            && retried.is_none_or(|retried| loaded.identity != Some(retried.refused))
        {
            // The file has been replaced and may be half-written. The watch decides when to read
            // the new one.
            return Err(nothing_done());
        }
        let unchanged_at = self.file.watch.unchanged_at();
        let now = self.moment();
        let half_written = loaded.identity.is_some_and(|identity| {
            self.file.watch.may_be_half_written(identity, cause.is_unasked(), now)
        });
        match loaded.identity {
            Some(identity) => self.file.watch.tried(identity, now),
            None => self.file.watch.failed(now),
        }
        let edited =
            loaded.identity.map_or(unchanged_at, |identity| identity.modified).max(unchanged_at);
        let Loaded { identity, digest, reading } = loaded;
        let reading = reading.map(Arc::new);
        let file = Settled { identity, digest, reading, edited, half_written };
        if cause == Cause::Edit && file.state().is_some() && file.state() == self.file.refused {
            // The same file has already been refused and reported.
            return Err(nothing_done());
        }
        self.file.refused = None;
        Ok(file)
    }

    /// Records which values of `[revoked]` name keys that only the store knows.
    async fn look_up_revoked(&self, file: &Settled) {
        let revoked = match &file.reading {
            Ok(reading) => Some(&reading.config.revoked),
            Err(mistaken) => mistaken.revoked.as_ref().ok().filter(|_| !file.half_written),
        };
        if let Some(revoked) = revoked {
            self.keys.look_up_revoked(revoked).await;
        }
    }

    /// Ends the reload if the file has mistakes. Its `[revoked]` is put in force anyway, if it can
    /// be read separately.
    ///
    /// # Errors
    /// Returns the report if the file has mistakes.
    fn refuse_mistakes(
        &mut self,
        cause: Cause,
        file: &Settled,
        started: Instant,
    ) -> Result<(), ReloadReport> {
        let Err(mistaken) = &file.reading else { return Ok(()) };
        let problems = &mistaken.problems.0;
        let revocations = match &mistaken.revoked {
            _ if file.half_written => {
                // Counts as never tried, so that it is loaded when its writer has finished.
                self.file.watch.failed(self.moment());
                Revocations::NotInForce(NotAlone::HalfWritten)
            }
            Ok(revoked) => {
                self.file.refused = file.state();
                self.revoke_at_once(revoked, Hold::UntilGoodFile, file.edited)
            }
            Err(why) => {
                self.file.refused = file.state();
                Revocations::NotInForce(*why)
            }
        };
        self.try_again_if_it_may_pass(problems, file.identity, started);
        Err(self.refuse(cause, problems, &revocations))
    }

    /// Ends the reload if the file is the running one.
    ///
    /// # Errors
    /// Returns the report if the file is the running one.
    fn same(&mut self, cause: Cause, file: &Settled) -> Result<(), ReloadReport> {
        if !cause.is_unasked() || file.digest.is_none() || file.digest != self.file.digest {
            return Ok(());
        }
        if self.note_differs(false) {
            tracing::info!(file = %self.file.path.display(), "the file is what runs again");
        }
        Err(ReloadReport::Accepted {
            changes: Vec::new(),
            needs_restart: Vec::new(),
            warnings: Vec::new(),
        })
    }

    /// Ends the reload if the file drops too many keys.
    ///
    /// # Errors
    /// Returns the report if the file drops too many keys.
    fn guard(&mut self, cause: Cause, file: &Settled, config: &Config) -> Result<(), ReloadReport> {
        let objection =
            guard::objection(&self.file.config, config).filter(|_| cause != Cause::Force);
        let Some(objection) = objection else { return Ok(()) };
        self.file.refused = file.state();
        Err(self.hold_back(config, objection, file.edited))
    }

    /// Ends the reload if keys of the file conflict with those of the store.
    ///
    /// # Errors
    /// Returns the report if keys conflict.
    async fn clashes(
        &mut self,
        cause: Cause,
        file: &Settled,
        reading: &Reading,
    ) -> Result<(), ReloadReport> {
        let clashes = self.keys.clashes(&reading.config).await;
        if clashes.is_empty() {
            return Ok(());
        }
        self.file.refused = file.state();
        let problems: Vec<Problem> =
            clashes.iter().map(|clash| clash.problem(&self.file.path, reading.text())).collect();
        let revoked = &reading.config.revoked;
        let revocations = self.revoke_at_once(revoked, Hold::UntilGoodFile, file.edited);
        Err(self.refuse(cause, &problems, &revocations))
    }

    /// Builds everything whose construction can fail.
    ///
    /// # Errors
    /// Fails if a certificate or certificate authorities cannot be used.
    fn build(&mut self, config: &Config) -> Result<Built, BadCertificate> {
        let server_tls = config
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
            // Only a restart closes the address. Until then it remains encrypted.
            None => self.tls.admin.clone(),
        };
        let running = self.registry.runtime();
        let handshakes = server_tls.as_ref().map(ListenerTls::config);
        let runtime =
            self.builder.build(config, Arc::new(config.routes()), handshakes, Some(&running))?;
        Ok(Built { runtime, server_tls, admin_tls })
    }

    fn refuse_certificate(
        &mut self,
        cause: Cause,
        file: &Settled,
        reading: &Reading,
        bad: BadCertificate,
        started: Instant,
    ) -> ReloadReport {
        self.file.refused = file.state();
        let problems =
            [Problem { may_pass: true, ..Problem::of_file(&self.file.path, bad.to_string()) }];
        self.try_again_if_it_may_pass(&problems, file.identity, started);
        let revoked = &reading.config.revoked;
        let revocations = self.revoke_at_once(revoked, Hold::UntilGoodFile, file.edited);
        self.refuse(cause, &problems, &revocations)
    }

    /// Puts a valid file in force. Returns the report.
    fn publish(
        &mut self,
        file: &Settled,
        reading: &Arc<Reading>,
        built: Built,
        started: Instant,
    ) -> ReloadReport {
        let config = &reading.config;
        let difference = self.difference(config);
        // Compare with the configuration at the start: a setting that needs a restart stays pending
        // until then.
        let needs_restart = diff(&self.file.started, &without_keys(config)).needs_restart;
        let Built { runtime, server_tls, admin_tls } = built;
        let revoked = self.registry.follow(config, runtime);
        self.keys.note_revoked_in_file(revoked);
        self.admin.settings.store(Arc::new(Settings {
            admin: config.admin.clone(),
            tls: admin_tls.as_ref().map(ListenerTls::config),
            digest: file.digest,
        }));
        (self.tls.server, self.tls.admin) = (server_tls, admin_tls);
        self.look_at_certificates();
        self.note_revocation(&difference, file.edited);
        let before = (
            std::mem::replace(&mut self.file.config, config.clone()),
            std::mem::replace(&mut self.file.reading, reading.clone()),
        );
        // Freeing many keys takes long. Requests and revocations must not wait for it.
        drop(tokio::task::spawn_blocking(move || drop(before)));
        self.file.digest = file.digest;
        self.metrics.control.load_duration.set(started.elapsed());
        self.metrics.control.reloads.increment(1);
        self.note_loaded();
        self.announce(difference, needs_restart)
    }

    /// Schedules a retry if one of the problems may pass by itself, such as a lack of file
    /// descriptors. Without an edit the file would not be read again, and its revocations would be
    /// lost. The retries take at most a twentieth of a core.
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

    /// Reads a refused file again if its retry is due. To be called every second.
    pub(super) async fn retry(&mut self) {
        if self.file.retry.is_some_and(|retry| retry.at <= Instant::now()) {
            self.reload(Cause::Retry).await;
        }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment {
            monotonic: Duration::from_nanos(self.shared.clock.now().monotonic),
            wall: SystemTime::now(),
        }
    }
}

/// Returns the report of a reload that did nothing and has nothing to report.
fn nothing_done() -> ReloadReport {
    ReloadReport::Refused { errors: Vec::new() }
}

/// Returns the part of the first configuration that is kept, to find settings that need a restart.
pub(super) fn without_keys(config: &Config) -> Config {
    Config {
        server: config.server.clone(),
        tls: config.tls.clone(),
        admin: config.admin.clone(),
        portal: config.portal.clone(),
        log: config.log,
        store: config.store.clone(),
        reload: config.reload,
        apis: Vec::new(),
        keys: Vec::new(),
        revoked: Revoked::default(),
        warnings: Vec::new(),
    }
}
