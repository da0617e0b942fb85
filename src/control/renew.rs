//! Renewed certificates, put in force without a reload.

use std::sync::Arc;

use super::Controller;
use super::admin::Settings;
use super::tls::Served;
use crate::config::BadCertificate;
use crate::stats::ControlStats;

impl Controller {
    /// Puts renewed certificates in force, and leaves everything else as it is. Returns whether
    /// there were any.
    pub(super) fn renew_certificates(&mut self) -> bool {
        let figures = self.figures.clone();
        let tell = |served: &Served, outcome| note_renewal(&figures.control, served, outcome);
        let mut renewed = false;
        if let Some(tls) = &mut self.server_tls
            && tls.renew(&self.tls, tell)
        {
            self.registry.renew(tls.config());
            renewed = true;
        }
        if let Some(tls) = &mut self.admin_tls
            && tls.renew(&self.tls, tell)
        {
            let settings = self.settings.load_full();
            let (admin, digest) = (settings.admin.clone(), settings.digest);
            self.settings.store(Arc::new(Settings { admin, tls: Some(tls.config()), digest }));
            renewed = true;
        }
        renewed
    }
}

fn note_renewal(control: &ControlStats, served: &Served, outcome: Result<(), BadCertificate>) {
    let file = served.file();
    match outcome {
        Ok(()) => {
            control.certificates_reloaded.add(1);
            tracing::info!(file, "certificate reloaded");
        }
        Err(error) => {
            control.certificates_failed.add(1);
            tracing::error!(file, %error, "changed certificate cannot be used; the one before \
                goes on");
        }
    }
}
