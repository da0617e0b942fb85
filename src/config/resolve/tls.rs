//! Reads `[server.tls]` and `[admin.tls]`. Also reads the files that they name, so that their
//! faults are found immediately.

use std::collections::HashSet;
use std::path::Path;

use super::context::Context;
use crate::config::document::Section;
use crate::config::kinds::Kind;
use crate::config::{Certificate, Tls, TlsFiles, TlsProfile};

/// Reads the table. `kind`: its kind. `of_certificate`: the kind of the tables of further
/// certificates.
pub(super) fn tls<'t>(
    context: Context<'t>,
    parent: Section<'t>,
    kind: &'static Kind,
    of_certificate: &'static Kind,
) -> Option<Tls> {
    let section = parent.section("tls", kind)?;
    let profiles = [("intermediate", TlsProfile::Intermediate), ("modern", TlsProfile::Modern)];
    let profile = section.choice("profile", TlsProfile::default(), &profiles);
    let mut names = HashSet::new();
    let first = files(context, section);
    if let Some((_, Some(certificate))) = &first {
        names.extend(certificate.names.iter().cloned());
    }
    let mut further = Vec::new();
    for section in section.sections("certificate", of_certificate) {
        let Some((files, certificate)) = files(context, section) else { continue };
        if let Some(certificate) = certificate {
            check_names(context, section, &files, &certificate.names, &mut names);
        }
        further.push(files);
    }
    Some(Tls { profile, default: first?.0, further })
}

/// Reports a certificate that no client would receive. `known`: the names of the certificates
/// before it.
fn check_names(
    context: Context<'_>,
    section: Section<'_>,
    files: &TlsFiles,
    names: &[Box<str>],
    known: &mut HashSet<Box<str>>,
) {
    let news = names.iter().filter(|name| known.insert((*name).clone())).count();
    let at = section.at("cert");
    if names.is_empty() {
        let message = "this certificate is for no DNS name, and would never be chosen".to_owned();
        if context.in_use.contains(files) {
            section.report.warn(at, message, None);
        } else {
            section.report.error(at, message);
        }
    } else if news == 0 {
        section.report.warn(
            at,
            "certificates before this one are for all of its names, so that it is never chosen",
            None,
        );
    }
}

/// Returns the files, and their certificate if it can be used.
fn files<'t>(
    context: Context<'t>,
    section: Section<'t>,
) -> Option<(TlsFiles, Option<Certificate>)> {
    let path = |name, hint| {
        section.require(name, hint);
        section.text(name).map(|text| context.folder.join(text.value))
    };
    let cert = path("cert", "the PEM file of the certificate chain");
    let key = path("key", "the PEM file of the private key");
    let files = TlsFiles { cert: cert?, key: key? };
    let certificate = Certificate::read(&files).map_err(|bad| {
        let setting = if bad.file == files.key { "key" } else { "cert" };
        let at = section.at(setting);
        let text = section.text(setting).map_or("", |text| text.value);
        let bad = context.of_file(text, &bad);
        if context.in_use.contains(&files) {
            section.report.warn(at, format!("{bad}; the certificate in use goes on"), None);
        } else {
            section.report.unusable(at, bad);
        }
    });
    if is_world_readable(&files.key) {
        let hint = format!("chmod o-rwx {}", files.key.display());
        section.report.warn(
            section.at("key"),
            "everybody on this machine can read this private key",
            Some(hint),
        );
    }
    Some((files, certificate.ok()))
}

fn is_world_readable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}
