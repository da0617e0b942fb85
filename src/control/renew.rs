//! Puts renewed certificates in force without a reload.

use std::sync::Arc;

use super::api::Settings;
use super::controller::Controller;
use super::metrics::ControlMetrics;
use super::tls::Served;
use crate::config::BadCertificate;

impl Controller {
    /// Reloads the certificates whose files have changed, and leaves everything else as it is.
    /// Returns whether any certificate was renewed.
    pub(super) fn renew_certificates(&mut self) -> bool {
        // Logged only after the certificates are in force.
        let mut outcomes = Vec::new();
        let mut note = |served: &Served, outcome| outcomes.push((served.file(), outcome));
        let mut renewed = false;
        if let Some(tls) = &mut self.tls.server
            && tls.renew(&self.tls.maker, &mut note)
        {
            self.registry.renew(tls.config());
            renewed = true;
        }
        if let Some(tls) = &mut self.tls.admin
            && tls.renew(&self.tls.maker, &mut note)
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
        for (file, outcome) in outcomes {
            note_renewal(&self.metrics.control, &file, outcome);
        }
        renewed
    }
}

fn note_renewal(control: &ControlMetrics, file: &str, outcome: Result<(), BadCertificate>) {
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
