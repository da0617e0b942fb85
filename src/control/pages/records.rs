//! The audit log, and finding a leaked key.

use std::collections::HashMap;

use http::Uri;

use super::answer::{self, Page};
use super::facts::{audit_row, last_use, state};
use super::form::{Form, Query};
use super::key::actions;
use super::signed::Signed;
use super::view::{AuditPage, AuditTable, Field, FindPage, Found, FoundKey, Pages, Place};
use crate::control::keys::{AuditFilter, KeyView, Permission, ServiceError};
use crate::policy::Digest;

/// How many entries a page of the audit log has.
const ENTRIES: usize = 50;

/// `GET /audit`
pub(super) async fn audit(signed: Signed, uri: Uri, Query(query): Query) -> Page {
    let (actor, now) = (signed.actor.clone(), signed.state.now());
    let subject = query.text("subject").trim().to_owned();
    let filter = AuditFilter {
        subject: Some(subject.clone()).filter(|subject| !subject.is_empty()),
        ..AuditFilter::default()
    };
    let before = Some(query.text("before").to_owned()).filter(|before| !before.is_empty());
    let read = signed.state.read(move |keys| async move {
        let page = keys.audit(&actor, filter, before.as_deref(), ENTRIES).await?;
        let mut names = HashMap::new();
        for entry in &page.entries {
            if !names.contains_key(&entry.subject)
                && let Ok(key) = keys.key(&actor, &entry.subject).await
            {
                names.insert(entry.subject.clone(), key.name);
            }
        }
        Ok((page, names))
    });
    let (page, names) = match read.await {
        Ok(read) => read,
        Err(error) => return signed.failed(&error),
    };
    let rest = query.query_without("before");
    let link = |before: &String| format!("{}?{rest}&before={before}", uri.path());
    let is_first = query.text("before").is_empty();
    let pages = Pages {
        first: (!is_first).then(|| format!("{}?{rest}", uri.path())),
        next: page.next.as_ref().map(link),
    };
    let rows = page.entries.into_iter();
    let rows = rows.map(|entry| audit_row(entry, now, |id| names.get(id).cloned()));
    answer::ok(&AuditPage {
        frame: signed.frame(Place::Audit, &signed.texts().audit_title),
        subject,
        organizations: Vec::new(),
        table: AuditTable { rows: rows.collect(), shows_subjects: true },
        pages,
    })
}

/// `GET /find`
pub(super) async fn show_find(signed: Signed) -> Page {
    if !signed.actor.may(Permission::ReadKeys) {
        return signed.failed(&ServiceError::Forbidden(String::new()));
    }
    answer::ok(&find_page(&signed, None, None))
}

/// `POST /find`: finds the key that a pasted text is. The text is not kept, logged or shown again.
pub(super) async fn find(signed: Signed, Form(form): Form) -> Page {
    if let Some(page) = signed.foreign(&form) {
        return page;
    }
    let digest = match form.text("sha256") {
        "" => digest_of(form.text("key")),
        digest => Digest::from_hex(digest),
    };
    let Some(digest) = digest else {
        let error = Some(signed.texts().nothing_pasted.to_string());
        return answer::unprocessable(&find_page(&signed, error, None));
    };
    let actor = signed.actor.clone();
    let found =
        signed.state.read(move |keys| async move { keys.find_secret(&actor, digest).await });
    match found.await {
        Ok(key) => answer::ok(&find_page(
            &signed,
            None,
            Some(Found::Key(Box::new(found_key(&signed, key)))),
        )),
        Err(ServiceError::NotFound) => answer::ok(&find_page(&signed, None, Some(Found::Unknown))),
        Err(error) => signed.failed(&error),
    }
}

/// Returns the digest of what was pasted: a key, with a leading `Bearer` or without, or a digest.
fn digest_of(pasted: &str) -> Option<Digest> {
    let text = pasted.trim();
    let text = match text.split_at_checked("Bearer".len()) {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("Bearer")
                && (rest.is_empty() || rest.starts_with(char::is_whitespace)) =>
        {
            rest.trim()
        }
        _ => text,
    };
    let text = text.trim_matches(['"', '\'']);
    if text.is_empty() {
        return None;
    }
    Some(
        Digest::from_hex(&text.to_ascii_lowercase()).unwrap_or_else(|| Digest::of(text.as_bytes())),
    )
}

fn found_key(signed: &Signed, key: KeyView) -> FoundKey {
    let actions = actions(&signed.actor, &key);
    FoundKey {
        organization: None,
        state: state(&key),
        last_use: last_use(&key, signed.state.now()),
        secret_ends: None,
        may_rotate: actions.rotate,
        may_revoke: actions.revoke,
        id: key.id,
        name: key.name,
    }
}

fn find_page(signed: &Signed, error: Option<String>, found: Option<Found>) -> FindPage {
    FindPage {
        frame: signed.frame(Place::Find, &signed.texts().find_title),
        pasted: Field { value: String::new(), error },
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_text_is_read_as_key_header_or_digest() {
        let digest = Digest::of(b"demo_key");
        for pasted in [
            "demo_key",
            "  demo_key\n",
            "Bearer demo_key",
            "bearer  demo_key",
            "\"demo_key\"",
            &digest.to_string(),
            &digest.to_string().to_uppercase(),
        ] {
            assert!(digest_of(pasted) == Some(digest), "{pasted}");
        }
        assert!(digest_of(" ").is_none() && digest_of("Bearer ").is_none());
    }
}
