//! Shared by the modules that read the parts of a file.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use crate::config::document::{Section, Text};
use crate::config::report::Report;
use crate::config::secret::{self, quote};
use crate::config::{BadCertificate, TlsFiles, names};
use crate::policy::{AddressRange, Digest};

/// The context in which the parts of a file are read.
#[derive(Clone, Copy)]
pub(super) struct Context<'t> {
    pub(super) report: &'t Report<'t>,
    /// The directory that relative paths start from.
    pub(super) folder: &'t Path,
    /// Certificates that are currently served.
    pub(super) in_use: &'t [TlsFiles],
}

impl Context<'_> {
    /// Returns the fault of a file that the setting names as `named`. Omits the path if it could be
    /// a secret.
    pub(super) fn of_file(&self, named: &str, bad: &BadCertificate) -> String {
        if secret::could_be(named) { bad.reason.clone() } else { bad.to_string() }
    }
}

/// The range of timeouts.
pub(super) const TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Reads a digest. The text may be a secret, so messages never quote it.
pub(super) fn digest(report: &Report<'_>, text: Text<'_>) -> Option<Digest> {
    let digest = Digest::from_hex(text.value);
    if digest.is_none() {
        if Digest::from_hex(&text.value.to_ascii_lowercase()).is_some() {
            report.error(text.at, "a digest is written in lower case");
        } else {
            let hint =
                "put the key's digest here, never the key itself: `keygate keys hash` makes it";
            report.error_with_hint(
                text.at,
                "this is no SHA-256 digest (64 lower-case hexadecimal digits)",
                hint,
            );
        }
    }
    digest
}

pub(super) fn organization(section: Section<'_>) -> Option<&str> {
    let text = section.text("organization")?;
    if text.value.is_empty() {
        section.report.error_with_hint(text.at, "`organization` is empty", "leave it out");
    }
    Some(names::free_text(section.report, "organization", text))
}

pub(super) fn address_ranges(section: Section<'_>, name: &'static str) -> Vec<AddressRange> {
    let mut ranges = Vec::new();
    for text in section.texts(name) {
        match AddressRange::parse(text.value) {
            Ok(range) => ranges.push(range),
            Err(why) => section.report.error_with_hint(
                text.at,
                format!("{} in `{name}` is not an address range", quote(text.value)),
                why.to_string(),
            ),
        }
    }
    ranges
}
