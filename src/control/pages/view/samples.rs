//! Pages as they may look: for tests, and for looking at.

mod forms;
mod keys;
mod portal;

use std::sync::Arc;

use askama::Template;

use super::*;

/// A page that was rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct Sample {
    /// What it shows, such as `keys-empty`.
    pub(in crate::control::pages) name: &'static str,
    /// The page.
    pub(in crate::control::pages) html: String,
}

/// What samples are made of.
#[derive(Debug, Clone)]
pub(in crate::control::pages) struct Given {
    /// The words.
    pub(in crate::control::pages) texts: Arc<Texts>,
    /// Stands wherever somebody else's text may stand.
    pub(in crate::control::pages) name: String,
}

impl Given {
    /// Plain words and an ordinary name.
    pub(in crate::control::pages) fn ordinary() -> Self {
        Self { texts: Arc::new(Texts::default()), name: "CRM integration".into() }
    }

    fn frame(&self, place: Option<Place>, heading: &str) -> Frame {
        let customers = [Place::Keys, Place::Use, Place::Audit, Place::Find];
        let item = |to| NavItem { place: to, current: Some(to) == place };
        Frame {
            base: String::new(),
            assets: AssetPaths::default(),
            texts: self.texts.clone(),
            language: "en".into(),
            title: heading.into(),
            heading: heading.into(),
            nav: customers.map(item).to_vec(),
            viewer: Some(Viewer { organization: "Acme".into(), name: "Support Lead".into() }),
            session: "ps_7Hq2vK9dXw4TzB1n".into(),
            back: Some(Link {
                url: "https://desk.example.com/settings".into(),
                label: "Back to Example Desk".into(),
            }),
            notice: None,
        }
    }

    /// Without navigation, and with nobody signed in.
    fn bare_frame(&self, heading: &str) -> Frame {
        Frame {
            nav: Vec::new(),
            viewer: None,
            session: String::new(),
            back: None,
            ..self.frame(None, heading)
        }
    }
}

/// All pages, some of them in several states.
pub(in crate::control::pages) fn all(given: &Given) -> Vec<Sample> {
    let mut samples = Vec::new();
    portal::add(given, &mut samples);
    keys::add(given, &mut samples);
    forms::add(given, &mut samples);
    samples
}

fn add(samples: &mut Vec<Sample>, name: &'static str, page: &impl Template) {
    let html = page.render().expect("a page of plain data renders");
    samples.push(Sample { name, html });
}

/// A moment of the past.
fn ago(at: &str, seconds: i64) -> Moment {
    Moment::with_distance(at, seconds)
}

fn used(seconds: i64) -> LastUse {
    LastUse::At {
        when: ago("2026-11-28T06:57:10Z", seconds),
        network: Some("203.0.113.0/24".into()),
        agent: Some("python-requests/2.32.5".into()),
    }
}

/// Numbers that go up and down.
fn wave(length: u64, height: u64) -> Vec<u64> {
    (0..length).map(|place| (place * place * 7 + place * 13) % (height + 1)).collect()
}
