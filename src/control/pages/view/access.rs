//! What pages say about a key: what it opens, whether it is accepted, when it was used.

use super::{Moment, Texts};

/// What a key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) enum Access {
    /// Everything.
    Full,
    /// What needs no scope.
    NoScopes,
    /// What these scopes open.
    Scopes(Vec<String>),
}

impl Access {
    /// How many scopes are shown in a list.
    const FEW: usize = 3;

    /// The scopes that are shown in a list.
    pub(in crate::control::pages) fn few(&self) -> &[String] {
        match self {
            Access::Scopes(scopes) => &scopes[..scopes.len().min(Self::FEW)],
            Access::Full | Access::NoScopes => &[],
        }
    }

    /// How many more there are.
    pub(in crate::control::pages) fn more(&self) -> usize {
        match self {
            Access::Scopes(scopes) => scopes.len().saturating_sub(Self::FEW),
            Access::Full | Access::NoScopes => 0,
        }
    }
}

/// Whether a key is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) enum KeyState {
    /// It is.
    Active,
    /// Not until it is resumed.
    Paused,
    /// Its time is over.
    Expired,
    /// Its organisation is suspended or revoked.
    Suspended,
    /// Never again.
    Revoked,
}

impl KeyState {
    /// What pages call it.
    pub(in crate::control::pages) fn label<'t>(&self, texts: &'t Texts) -> &'t str {
        match self {
            KeyState::Active => &texts.state_active,
            KeyState::Paused => &texts.state_paused,
            KeyState::Expired => &texts.state_expired,
            KeyState::Suspended => &texts.state_suspended,
            KeyState::Revoked => &texts.state_revoked,
        }
    }

    /// Its class in the style sheet.
    pub(in crate::control::pages) fn class(&self) -> &'static str {
        match self {
            KeyState::Active => "good",
            KeyState::Paused | KeyState::Suspended => "warn",
            KeyState::Expired => "idle",
            KeyState::Revoked => "bad",
        }
    }
}

/// What else is to be known about a key at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) enum Mark {
    /// It expires within 14 days.
    ExpiresSoon,
    /// Many of its requests are refused.
    Failing,
    /// It was not used for 90 days.
    Unused,
    /// Two of its secrets are accepted.
    Rotating,
    /// It stands in the configuration file and is changed there.
    InFile,
}

impl Mark {
    /// What pages call it.
    pub(in crate::control::pages) fn label<'t>(&self, texts: &'t Texts) -> &'t str {
        match self {
            Mark::ExpiresSoon => &texts.mark_expires_soon,
            Mark::Failing => &texts.mark_failing,
            Mark::Unused => &texts.mark_unused,
            Mark::Rotating => &texts.mark_rotating,
            Mark::InFile => &texts.mark_in_file,
        }
    }

    /// Its class in the style sheet.
    pub(in crate::control::pages) fn class(&self) -> &'static str {
        match self {
            Mark::ExpiresSoon => "warn",
            Mark::Failing => "bad",
            Mark::Unused | Mark::InFile => "idle",
            Mark::Rotating => "info",
        }
    }
}

/// When a key was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) enum LastUse {
    /// Not yet.
    Never,
    /// Then.
    At {
        /// With the distance from now.
        when: Moment,
        /// Such as `203.0.113.0/24`.
        network: Option<String>,
        /// The first product token of the user agent, such as `curl/8.14.1`.
        agent: Option<String>,
    },
}

impl LastUse {
    /// Says it of a key, or `None` where nothing is known.
    pub(in crate::control::pages) fn sentence(&self, texts: &Texts) -> Option<String> {
        let never = &texts.consequence_never_used;
        self.said(never, &texts.consequence_used, &texts.consequence_used_from)
    }

    /// Says it of the secret that is replaced, or `None` where nothing is known.
    pub(in crate::control::pages) fn old_secret(&self, texts: &Texts) -> Option<String> {
        self.said(&texts.rotate_never_used, &texts.rotate_used, &texts.rotate_used_from)
    }

    fn said(&self, never: &str, used: &str, used_from: &str) -> Option<String> {
        match self {
            LastUse::Never => Some(never.to_owned()),
            LastUse::At { when, network: None, .. } => Some(used.replace("{when}", when.shown())),
            LastUse::At { when, network: Some(network), .. } => {
                let text = used_from.replace("{network}", network);
                Some(text.replace("{when}", when.shown()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_few_scopes_and_says_how_many_more_there_are() {
        let scopes = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        let access = Access::Scopes(scopes);
        assert_eq!((access.few().len(), access.more()), (3, 2));
        assert_eq!((Access::Full.few().len(), Access::Full.more()), (0, 0));
    }

    #[test]
    fn the_last_use_is_said_in_one_sentence() {
        let texts = Texts::default();
        let when = Moment::with_distance("2026-11-28T06:57:10Z", 180);
        let network = Some("203.0.113.0/24".to_owned());
        let used = LastUse::At { when, network, agent: None };
        let said = used.old_secret(&texts).expect("it is known");
        assert_eq!(said, "The old secret was last used 3 minutes ago from 203.0.113.0/24.");
        assert_eq!(LastUse::Never.sentence(&texts).as_deref(), Some("Never used."));
    }
}
