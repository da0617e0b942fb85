//! Changes of `[server.tls]` and `[admin.tls]`.

use std::path::Path;

use super::show::setting;
use crate::config::{Tls, TlsFiles, TlsProfile};

/// Appends the changes. `prefix` distinguishes the listeners.
pub(super) fn tls(prefix: &str, old: Option<&Tls>, new: Option<&Tls>, lines: &mut Vec<String>) {
    let path = |tls: Option<&Tls>, pick: fn(&TlsFiles) -> &Path| {
        tls.map_or("none".to_owned(), |tls| pick(&tls.default).display().to_string())
    };
    let mut file = |name: &str, pick: fn(&TlsFiles) -> &Path| {
        setting(
            lines,
            &format!("{prefix}{name}"),
            &path(old, pick),
            &path(new, pick),
            String::clone,
        );
    };
    file("certificate file", |files| &files.cert);
    file("private key file", |files| &files.key);
    let further = |tls: Option<&Tls>| tls.map_or(Vec::new(), |tls| tls.further.clone());
    let (before, after) = (further(old), further(new));
    let mut only_in = |sign: char, these: &[TlsFiles], others: &[TlsFiles]| {
        let only = these.iter().filter(|files| !others.contains(files));
        lines.extend(
            only.map(|files| format!("{sign} {prefix}certificate {}", files.cert.display())),
        );
    };
    only_in('-', &before, &after);
    only_in('+', &after, &before);
    if before.len() == after.len()
        && before != after
        && before.iter().all(|files| after.contains(files))
    {
        lines.push(format!("{prefix}certificates are in another order"));
    }
    let profile = |tls: Option<&Tls>| tls.map(|tls| tls.profile);
    setting(lines, &format!("{prefix}TLS profile"), &profile(old), &profile(new), |profile| {
        match profile {
            None => "none".to_owned(),
            Some(TlsProfile::Intermediate) => "intermediate".to_owned(),
            Some(TlsProfile::Modern) => "modern".to_owned(),
        }
    });
}
