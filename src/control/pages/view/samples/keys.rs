//! The list of keys, and one key.

use super::portal::{audit, days, hours};
use super::*;

pub(super) fn add(given: &Given, samples: &mut Vec<Sample>) {
    list(given, samples);
    one(given, samples);
}

fn row(id: &str, name: &str) -> KeyRow {
    KeyRow {
        id: id.into(),
        name: name.into(),
        organization: None,
        prefix: "sk_live_".into(),
        last_four: Some("a1b2".into()),
        environment: Some("live".into()),
        access: Access::Scopes(vec!["tickets:read".into(), "tickets:write".into()]),
        created: Some(Moment::new("2026-09-14T10:05:00Z")),
        created_by: Some("Support Lead".into()),
        last_use: used(180),
        expires: Some(Moment::new("2027-09-14T10:05:00Z")),
        month: wave(30, 400),
        state: KeyState::Active,
        marks: Vec::new(),
        may_revoke: true,
    }
}

/// A key of every state, names of every kind.
fn rows(given: &Given) -> Vec<KeyRow> {
    let many = ["tickets:read", "tickets:write", "customers:read", "conversations:read"];
    let long = "Nightly export of all tickets and conversations to the data warehouse in Frankfurt";
    vec![
        KeyRow { created_by: Some(given.name.clone()), ..row("key_2mX8dQvR4t", &given.name) },
        KeyRow {
            marks: vec![Mark::Failing, Mark::ExpiresSoon],
            expires: Some(ago("2026-12-05T00:00:00Z", -604_800)),
            access: Access::Scopes(many.map(String::from).to_vec()),
            ..row("key_9pLw3ZsK7c", long)
        },
        KeyRow {
            environment: Some("test".into()),
            prefix: "sk_test_".into(),
            access: Access::Full,
            expires: None,
            marks: vec![Mark::Rotating],
            last_use: used(3 * 86_400),
            month: wave(30, 9),
            ..row("key_4vTn6BhY1e", "بوابة الدعم الفني")
        },
        KeyRow {
            state: KeyState::Paused,
            last_use: used(40 * 86_400),
            month: [vec![0; 25], vec![3, 0, 1, 0, 0]].concat(),
            ..row("key_8cRf5JmD2x", "Zapier")
        },
        KeyRow {
            state: KeyState::Expired,
            expires: Some(ago("2026-11-01T00:00:00Z", 27 * 86_400)),
            ..row("key_1sGk7NqA6w", "Trial import")
        },
        KeyRow { state: KeyState::Suspended, ..row("key_6yHb2WpE9u", "Partner portal") },
        KeyRow {
            last_use: LastUse::Never,
            month: vec![0; 30],
            marks: vec![Mark::Unused],
            access: Access::NoScopes,
            last_four: None,
            ..row(
                "key_3zUj8VxC5o",
                "aVeryLongNameWithoutAnySpacesThatHasToWrapSomewhereOrItWouldBreak",
            )
        },
        KeyRow {
            prefix: String::new(),
            created: None,
            created_by: None,
            last_use: LastUse::Never,
            month: Vec::new(),
            environment: None,
            marks: vec![Mark::InFile],
            may_revoke: false,
            ..row("mobile-app", "mobile-app")
        },
        KeyRow { state: KeyState::Revoked, may_revoke: false, ..row("key_5aIo4LtF3i", "Old CRM") },
    ]
}

fn filters() -> KeyFilters {
    let choices = |values: &[(&str, &str)]| {
        let choice =
            |(place, (value, label)): (usize, &(&str, &str))| Choice::of(value, label, place == 0);
        values.iter().enumerate().map(choice).collect::<Vec<_>>()
    };
    KeyFilters {
        environments: choices(&[("", "All"), ("live", "live"), ("test", "test")]),
        scopes: choices(&[("", "All"), ("tickets:read", "tickets:read")]),
        states: choices(&[("", "Not revoked"), ("active", "Active"), ("revoked", "Revoked")]),
        sorts: choices(&[("last_used", "Last used"), ("name", "Name"), ("created", "Created")]),
        ..KeyFilters::default()
    }
}

fn list(given: &Given, samples: &mut Vec<Sample>) {
    let card = |kind, count, current| Card { kind, count, current };
    let cards = vec![
        card(CardKind::Unused, 3, false),
        card(CardKind::Expiring, 1, false),
        card(CardKind::NeverExpiring, 12, false),
        card(CardKind::Failing, 1, true),
    ];
    let page = KeysPage {
        frame: given.frame(Some(Place::Keys), "API Keys"),
        may_create: true,
        cards,
        filters: filters(),
        rows: rows(given),
        total: Some(9),
        pages: Pages::default(),
        empty: None,
    };
    super::add(samples, "keys", &page);
    let many = (0..50).map(|place| row(&format!("key_{place:010}"), &format!("Worker {place}")));
    let fifty = KeysPage {
        rows: many.collect(),
        total: Some(1_000),
        pages: Pages { first: Some("/keys".into()), next: Some("/keys?after=key_49".into()) },
        ..page.clone()
    };
    super::add(samples, "keys-50", &fifty);
    let single = KeysPage { rows: vec![row("key_1", "Only one")], total: Some(1), ..page.clone() };
    super::add(samples, "keys-1", &single);
    let filters = KeyFilters { name: given.name.clone(), active: true, unused: true, ..filters() };
    let no_match = KeysPage {
        filters,
        rows: Vec::new(),
        total: None,
        empty: Some(Empty::NoMatch),
        ..page.clone()
    };
    super::add(samples, "keys-no-match", &no_match);
    let curl = "curl -H 'X-Key: YOUR_API_KEY' https://api.example.com/api/v1/tickets";
    let notice = Notice { kind: NoticeKind::Success, text: format!("{} was revoked.", given.name) };
    let none = KeysPage {
        frame: Frame { notice: Some(notice), ..page.frame.clone() },
        cards: Vec::new(),
        rows: Vec::new(),
        total: None,
        empty: Some(Empty::NoKeys { curl: curl.into() }),
        ..page
    };
    super::add(samples, "keys-empty", &none);
}

fn facts(given: &Given) -> KeyFacts {
    KeyFacts {
        id: "key_2mX8dQvR4t".into(),
        name: given.name.clone(),
        organization: Some(given.name.clone()),
        apis: vec!["support-desk".into(), "billing".into()],
        prefix: "sk_live_".into(),
        last_four: Some("a1b2".into()),
        environment: Some("live".into()),
        access: Access::Scopes(vec!["tickets:read".into(), "customers:read".into()]),
        addresses: vec!["203.0.113.0/24".into(), "2001:db8::/48".into()],
        referrers: vec!["https://app.example.com/*".into()],
        endpoints: vec!["GET /api/v1/tickets".into()],
        limits: vec!["100/min".into()],
        own_limits: false,
        state: KeyState::Active,
        marks: vec![Mark::Rotating],
        created: Some(Moment::new("2026-09-14T10:05:00Z")),
        created_by: Some(given.name.clone()),
        expires: Some(Moment::new("2027-09-14T10:05:00Z")),
        revoked: None,
        revoked_by: None,
        revoked_because: None,
    }
}

fn usage() -> KeyUsage {
    KeyUsage {
        last_use: used(180),
        hours: hours(90),
        days: days(28, 1_200),
        highest_minute: Some(HighestMinute {
            requests: 87,
            limit: Some(100),
            when: Moment::new("2026-11-26"),
        }),
    }
}

fn refusals(given: &Given) -> Vec<RefusalRow> {
    let row = |seconds, status, code: &str, path: String| RefusalRow {
        at: ago("2026-11-28T06:40:00Z", seconds),
        method: "POST".into(),
        path,
        status,
        code: code.into(),
        network: Some("203.0.113.0/24".into()),
        explain: Some("/explain?method=POST&path=%2Fapi&key=key_2mX8dQvR4t".into()),
    };
    let long = "/api/v1/conversations/0191f0c4-6a8e-7d7e-9b1d-2f6f3a4b5c6d/replies/drafts";
    vec![
        row(1_200, 403, "insufficient_scope", long.into()),
        row(86_400, 429, "rate_limited", format!("/api/{}", given.name)),
    ]
}

// Longer than 60 lines: one sample after the other.
fn one(given: &Given, samples: &mut Vec<Sample>) {
    let secret = |fingerprint: &str, ends| SecretRow {
        fingerprint: fingerprint.into(),
        created: Some(Moment::new("2026-11-26T16:40:00Z")),
        ends,
        last_used: Some(ago("2026-11-28T06:57:10Z", 180)),
    };
    let ends = Some(ago("2026-11-29T16:40:00Z", -120_000));
    let page = KeyPage {
        frame: given.frame(Some(Place::Keys), &given.name),
        key: facts(given),
        actions: Actions { edit: true, pause: true, resume: false, rotate: true, revoke: true },
        usage: Some(usage()),
        refusals: Some(refusals(given)),
        secrets: vec![
            secret("3f2a9c0b1d4e", None),
            SecretRow { last_used: None, ..secret("a07b5e66c921", ends) },
        ],
        audit: Some(audit(given, false)),
    };
    super::add(samples, "key", &page);
    let unlimited = HighestMinute { requests: 1, limit: None, when: Moment::new("2026-11-26") };
    let quiet = KeyPage {
        key: KeyFacts {
            access: Access::Full,
            prefix: String::new(),
            last_four: None,
            limits: Vec::new(),
            expires: None,
            created: None,
            ..facts(given)
        },
        usage: Some(KeyUsage {
            last_use: LastUse::Never,
            hours: UsageTable { period: Period::Hour, rows: Vec::new() },
            highest_minute: Some(unlimited),
            ..usage()
        }),
        refusals: Some(Vec::new()),
        secrets: Vec::new(),
        audit: Some(AuditTable::default()),
        actions: Actions { resume: true, ..Actions::default() },
        ..page.clone()
    };
    super::add(samples, "key-quiet", &quiet);
    let revoked = KeyPage {
        key: KeyFacts {
            state: KeyState::Revoked,
            marks: Vec::new(),
            revoked: Some(ago("2026-11-27T12:00:00Z", 68_000)),
            revoked_by: Some(given.name.clone()),
            revoked_because: Some(given.name.clone()),
            ..facts(given)
        },
        actions: Actions::default(),
        usage: None,
        refusals: None,
        secrets: Vec::new(),
        ..page
    };
    super::add(samples, "key-revoked", &revoked);
}
