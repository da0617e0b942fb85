//! Checks the gateway's TLS against Mozilla's guidelines with the scanner sslyze.

use std::time::Duration;

use super::programs::Program;
use crate::harness::{Certificates, Gateway, Upstream};

#[track_caller]
fn passes(profile: &str) {
    // The guidelines also limit the lifetime of a certificate.
    let certificates = Certificates::lasting(&["localhost"], Duration::from_secs(90 * 86_400));
    let setup = Gateway::in_front_of(&Upstream::start()).tls_with(certificates);
    let gateway = setup.tls_settings(&format!("profile = \"{profile}\"")).start();
    let program = Program::sslyze("sslyze_scan.py").env("KEYGATE_PROFILE", profile);
    program.env("KEYGATE_PORT", gateway.address().port().to_string()).run();
}

#[test]
fn sslyze_finds_the_modern_profile_modern() {
    passes("modern");
}

#[test]
fn sslyze_finds_the_intermediate_profile_intermediate() {
    passes("intermediate");
}
