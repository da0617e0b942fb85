//! Making, changing, rotating and revoking a key.

use super::*;

pub(super) fn add(given: &Given, samples: &mut Vec<Sample>) {
    new(given, samples);
    shown(given, samples);
    ends(given, samples);
}

fn group(resource: &str, scopes: &[(&str, &str, bool)]) -> ScopeGroup {
    let scope = |(name, description, chosen): &(&str, &str, bool)| ScopeChoice {
        name: format!("{resource}:{name}"),
        description: Some((*description).into()),
        endpoints: vec![
            format!("GET /api/v1/{resource}"),
            format!("GET /api/v1/{resource}/{{id}}"),
        ],
        chosen: *chosen,
    };
    ScopeGroup { resource: resource.into(), scopes: scopes.iter().map(scope).collect() }
}

fn choice(value: &str, label: &str, hint: &str, chosen: bool) -> Choice {
    Choice { hint: Some(hint.into()), ..Choice::of(value, label, chosen) }
}

fn form(given: &Given) -> KeyForm {
    KeyForm {
        name: Field::of(&given.name),
        apis: None,
        environments: Some(vec![
            choice("live", "Live", "Production keys that access live data.", true),
            choice("test", "Test", "For development and testing.", false),
        ]),
        access: AccessField {
            groups: vec![
                group(
                    "tickets",
                    &[("read", "View tickets", true), ("write", "Create and update tickets", true)],
                ),
                group(
                    "customers",
                    &[
                        ("read", "View customers", false),
                        ("write", "Create and update customers", false),
                    ],
                ),
            ],
            ..AccessField::default()
        },
        expiry: ExpiryField {
            choices: vec![
                choice("30d", "30 days", "28 Dec 2026", false),
                choice("90d", "90 days", "26 Feb 2027", true),
                choice("365d", "365 days", "28 Nov 2027", false),
                Choice::of("date", "On a date", false),
                Choice::of("never", "Never", false),
            ],
            earliest: Some("2026-11-29".into()),
            latest: Some("2027-11-28".into()),
            ..ExpiryField::default()
        },
        usual_limit: Some("100/min".into()),
        ..KeyForm::default()
    }
}

fn wrong(value: &str, error: &str) -> Field {
    Field { value: value.into(), error: Some(error.into()) }
}

/// The form with a mistake in every field.
fn wrong_form(given: &Given) -> KeyForm {
    let mut form = form(given);
    form.name = wrong("", "Give the key a name of 1 to 200 characters.");
    form.apis = Some(vec![
        Choice::of("support-desk", "support-desk", true),
        Choice::of("billing", "billing", false),
    ]);
    form.apis_error = Some("Choose at least one API.".into());
    form.environments_error = Some("Choose an environment.".into());
    form.access.full_offered = true;
    form.access.error = Some("Choose at least one permission.".into());
    form.expiry.error = Some("Choose a day from 29 Nov 2026 to 28 Nov 2027.".into());
    form.addresses = wrong(&given.name, "This is not an IP address or network.");
    form.referrers = wrong(&given.name, "A referrer begins with https:// or http://.");
    form.endpoints = wrong(&given.name, "An endpoint is a method and a path.");
    form.limit = wrong(&given.name, "A limit looks like 100/min.");
    form
}

fn new(given: &Given, samples: &mut Vec<Sample>) {
    let idempotency = String::from("kT5vJ2nQ8wXz4LrC");
    let page = NewKeyPage {
        frame: given.frame(Some(Place::Keys), &given.texts.new_key),
        form: form(given),
        idempotency: idempotency.clone(),
    };
    super::add(samples, "new-key", &page);
    let wrong = NewKeyPage {
        frame: given.frame(Some(Place::Keys), &given.texts.new_key),
        form: wrong_form(given),
        ..page.clone()
    };
    super::add(samples, "new-key-errors", &wrong);
    let mut full = form(given);
    full.access = AccessField { full: true, ..AccessField::default() };
    full.environments = None;
    super::add(samples, "new-key-full", &NewKeyPage { form: full, ..page.clone() });
    let mut none = form(given);
    none.access.groups.clear();
    super::add(samples, "new-key-no-scopes", &NewKeyPage { form: none, ..page.clone() });
    let mut asked = form(given);
    asked.addresses = Field::of("203.0.113.0/24\n2001:db8::/48");
    asked.limit = Field::of("20/min");
    let review = ReviewKeyPage { frame: page.frame, form: asked, idempotency };
    super::add(samples, "review-key", &review);
    let mut changed = form(given);
    changed.environments = None;
    let edit = EditKeyPage {
        frame: given.frame(Some(Place::Keys), "Edit key"),
        id: "key_2mX8dQvR4t".into(),
        name: given.name.clone(),
        form: changed,
        revision: 4,
    };
    super::add(samples, "edit-key", &edit);
    let mut form = wrong_form(given);
    (form.apis, form.apis_error) = (None, None);
    (form.environments, form.environments_error) = (None, None);
    super::add(samples, "edit-key-errors", &EditKeyPage { form, ..edit });
}

fn shown(given: &Given, samples: &mut Vec<Sample>) {
    let key = format!("sk_live_{}", "EXAMPLE".repeat(5));
    let curl = format!(
        "curl -H \"Authorization: Bearer {key}\" \\\n  https://api.example.com/api/v1/tickets"
    );
    let page = KeyShownPage {
        frame: given.frame(Some(Place::Keys), &format!("{} is ready", given.name)),
        id: "key_2mX8dQvR4t".into(),
        key,
        curl,
        rotated: false,
        old_until: None,
    };
    super::add(samples, "key-shown", &page);
    let stopped = KeyShownPage { rotated: true, ..page.clone() };
    super::add(samples, "key-rotated-at-once", &stopped);
    let old_until = Some(ago("2026-11-29T07:00:00Z", -86_400));
    super::add(samples, "key-rotated", &KeyShownPage { rotated: true, old_until, ..page });
    let again = AlreadyShownPage {
        frame: given.frame(Some(Place::Keys), "This key was made already"),
        id: "key_2mX8dQvR4t".into(),
        name: given.name.clone(),
        may_rotate: true,
        may_revoke: true,
    };
    super::add(samples, "already-shown", &again);
}

fn ends(given: &Given, samples: &mut Vec<Sample>) {
    let rotate = RotatePage {
        frame: given.frame(Some(Place::Keys), "Rotate key"),
        id: "key_2mX8dQvR4t".into(),
        name: given.name.clone(),
        last_use: used(180),
        grace: vec![
            choice("0s", "At once", "For a key that has leaked.", false),
            Choice::of("1h", "In 1 hour", false),
            Choice::of("24h", "In 24 hours", true),
            Choice::of("7d", "In 7 days", false),
        ],
        error: None,
        idempotency: "kT5vJ2nQ8wXz4LrC".into(),
    };
    super::add(samples, "rotate", &rotate);
    let error = Some("Choose one of these.".into());
    let last_use = LastUse::Never;
    super::add(samples, "rotate-error", &RotatePage { error, last_use, ..rotate.clone() });
    let when = ago("2026-11-28T06:57:10Z", 180);
    let last_use = LastUse::At { when, network: None, agent: None };
    super::add(samples, "rotate-no-network", &RotatePage { last_use, ..rotate });
    let revoke = RevokePage {
        frame: given.frame(Some(Place::Keys), "Revoke key"),
        id: "key_2mX8dQvR4t".into(),
        name: given.name.clone(),
        last_use: used(180),
        confirm_name: Some(given.name.clone()),
        confirm: Field::default(),
        reason: Field::of(&given.name),
        descendants: 2,
    };
    super::add(samples, "revoke", &revoke);
    let error = wrong(&given.name, "This is not the name of the key.");
    super::add(samples, "revoke-error", &RevokePage { confirm: error, ..revoke.clone() });
    let when = ago("2026-11-28T06:57:10Z", 180);
    let unused = RevokePage {
        last_use: LastUse::At { when, network: None, agent: None },
        confirm_name: None,
        descendants: 0,
        reason: Field::default(),
        ..revoke.clone()
    };
    super::add(samples, "revoke-no-network", &unused);
    super::add(samples, "revoke-unused", &RevokePage { last_use: LastUse::Never, ..unused });
}
