//! Hand-over, messages, finding a key, use and audit.

use super::*;

pub(super) fn add(given: &Given, samples: &mut Vec<Sample>) {
    entry(given, samples);
    find(given, samples);
    lists(given, samples);
}

fn entry(given: &Given, samples: &mut Vec<Sample>) {
    let open = OpenPage {
        frame: given.bare_frame("API Keys"),
        organization: given.name.clone(),
        actor: given.name.clone(),
        code: "not-a-code".into(),
        other: None,
    };
    let other = OtherSession { organization: given.name.clone(), actor: given.name.clone() };
    super::add(samples, "open", &open);
    super::add(samples, "open-other", &OpenPage { other: Some(other), ..open });
    let onward =
        ContinuePage { frame: given.bare_frame("One moment"), path: "/keys?a=1&b=2".into() };
    super::add(samples, "continue", &onward);
    let message = MessagePage {
        frame: Frame { back: None, ..given.bare_frame("Your session has ended") },
        text: "It was not used for 30 minutes. Go back to the product and open this page again."
            .into(),
        link: Some(Link {
            url: "https://desk.example.com/settings".into(),
            label: "Back to Example Desk".into(),
        }),
    };
    super::add(samples, "message", &message);
}

fn find(given: &Given, samples: &mut Vec<Sample>) {
    let frame = given.frame(Some(Place::Find), "Find a leaked key");
    let page = FindPage { frame, pasted: Field::default(), found: None };
    super::add(samples, "find", &page);
    let key = FoundKey {
        id: "key_2mX8dQvR4t".into(),
        name: given.name.clone(),
        organization: Some(given.name.clone()),
        state: KeyState::Active,
        last_use: used(180),
        secret_ends: Some(ago("2026-11-29T07:00:00Z", -86_400)),
        may_rotate: true,
        may_revoke: true,
    };
    super::add(
        samples,
        "find-known",
        &FindPage { found: Some(Found::Key(Box::new(key))), ..page.clone() },
    );
    let unknown = FindPage { found: Some(Found::Unknown), ..page.clone() };
    super::add(samples, "find-unknown", &unknown);
    let pasted = Field { error: Some("Paste a key or its SHA-256.".into()), ..Field::default() };
    super::add(samples, "find-error", &FindPage { pasted, ..page });
}

/// The days before 28 November.
pub(super) fn days(count: u64, height: u64) -> UsageTable {
    let labels = (0..count).map(|place| {
        let day = 29 + place - count.min(29);
        if day <= 30 { format!("{day} Nov") } else { format!("{} Dec", day - 30) }
    });
    UsageTable { period: Period::Day, rows: rows(labels, height) }
}

/// The hours of two days.
pub(super) fn hours(height: u64) -> UsageTable {
    let labels = (0..48_u64).map(|place| format!("{} Nov, {:02}:00", 27 + place / 24, place % 24));
    UsageTable { period: Period::Hour, rows: rows(labels, height) }
}

fn rows(labels: impl Iterator<Item = String>, height: u64) -> Vec<UsageRow> {
    let row = |(place, label): (u64, String)| {
        let base = height / 3 + (place * place * 7 + place * 13) % (height / 2 + 1);
        let counts = Outcomes {
            ok: base,
            client: base / 12,
            limited: if place % 7 == 3 { base / 5 } else { 0 },
            refused: if place % 9 == 5 { base / 6 } else { 0 },
            failed: if place % 11 == 6 { base / 15 } else { 0 },
        };
        UsageRow { label, counts }
    };
    (0..).zip(labels).map(row).collect()
}

fn lists(given: &Given, samples: &mut Vec<Sample>) {
    let key = |place: u64| KeyUseRow {
        id: format!("key_{place}"),
        name: if place == 0 { given.name.clone() } else { format!("Service {place}") },
        counts: Outcomes { ok: 90_000 / (place + 1), refused: 12 * place, ..Outcomes::default() },
    };
    let page = UsePage {
        frame: given.frame(Some(Place::Use), "Use"),
        periods: vec![Choice::of("7", "7 days", false), Choice::of("30", "30 days", true)],
        organizations: Vec::new(),
        table: Some(days(28, 4_000)),
        keys: (0..6).map(key).collect(),
        pages: Pages { first: None, next: Some("/use?days=30&after=key_6".into()) },
    };
    super::add(samples, "use", &page);
    let empty = UsePage { table: None, keys: Vec::new(), pages: Pages::default(), ..page };
    super::add(samples, "use-empty", &empty);
    let page = AuditPage {
        frame: given.frame(Some(Place::Audit), "Audit log"),
        subject: given.name.clone(),
        organizations: Vec::new(),
        table: audit(given, true),
        pages: Pages { first: Some("/audit".into()), next: Some("/audit?before=12".into()) },
    };
    super::add(samples, "audit", &page);
    super::add(samples, "audit-empty", &AuditPage { table: AuditTable::default(), ..page });
}

/// Some entries of the audit log.
pub(super) fn audit(given: &Given, shows_subjects: bool) -> AuditTable {
    let row = |at, seconds, action: &str, detail: &[(&str, &str)]| AuditRow {
        at: ago(at, seconds),
        actor: given.name.clone(),
        action: action.into(),
        subject: given.name.clone(),
        link: Some("/keys/key_2mX8dQvR4t".into()),
        detail: detail.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    };
    let rows = vec![
        row(
            "2026-11-28T05:12:00Z",
            6_480,
            "key.update",
            &[("name", &given.name), ("allow_ips", "203.0.113.0/24, 2001:db8::/48")],
        ),
        row("2026-11-26T16:40:00Z", 138_000, "key.rotate", &[("grace", "24h")]),
        row("2026-11-25T09:00:00Z", 252_000, "key.pause", &[]),
        AuditRow { link: None, ..row("2026-10-02T08:30:00Z", 4_900_000, "key.create", &[]) },
    ];
    AuditTable { rows, shows_subjects }
}
