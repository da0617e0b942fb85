//! Names of fields that a client's request must not bring to the upstream, or that no setting may
//! name.

use http::HeaderName;

use super::definition::{ApiDefinition, CredentialPlace, PassThrough};
use super::known::{Known, has_twin, hyphened};

/// Whether Keygate says or handles this field itself, so that no setting may name it. Another
/// spelling that servers take for the field counts as the field.
#[must_use]
pub fn is_gateway_header(name: &HeaderName) -> bool {
    let known = Known::of(&hyphened(name.as_str()));
    known.is_own()
        || known.is_hop_by_hop()
        || known.is_message()
        || matches!(known, Known::XRequestId | Known::Te | Known::Expect | Known::Via)
        || name == "forwarded"
}

/// Whether this field of a client is dropped because a proxy or a login in front could have said
/// it.
#[must_use]
pub fn is_proxy_header(name: &HeaderName) -> bool {
    Known::of(name.as_str()) == Known::Override
}

/// The names that mean something to one API, worked out once.
#[derive(Debug)]
pub(super) struct Withheld {
    /// A bit for the length of each name below: nearly all fields of a request are told apart by
    /// it.
    lengths: u64,
    /// Where keys stand, and what Keygate sets itself: never passed on.
    always: Box<[Box<str>]>,
    /// Credentials that the upstream checks itself, which a key takes the place of.
    with_key: Box<[Box<str>]>,
    /// All of these names, and `authorization` where it can hold a key, as [`hyphened`] makes them.
    hyphened: Box<[Box<str>]>,
    /// Whether `Authorization` can hold a key. Another scheme than Bearer, such as Basic, is none.
    pub(super) bearer: bool,
}

impl Withheld {
    pub(super) fn new(api: &ApiDefinition) -> Self {
        let text = |name: &HeaderName| Box::from(name.as_str());
        let credentials = api.credentials.iter().filter_map(|place| match place {
            CredentialPlace::Header(name) => Some(text(name)),
            CredentialPlace::Bearer => None,
        });
        let always: Box<[Box<str>]> =
            credentials.chain(api.upstream_headers.iter().map(|(name, _)| text(name))).collect();
        let with_key: Box<[Box<str>]> = api
            .pass_through
            .iter()
            .filter_map(|place| match place {
                PassThrough::Header(name) => Some(text(name)),
                PassThrough::Cookie(_) => None,
            })
            .collect();
        let names = || always.iter().chain(&with_key);
        let places = api.credentials.iter().map(|place| place.header().as_str());
        Self {
            lengths: names().fold(0, |lengths, name| lengths | length_bit(name)),
            hyphened: names()
                .map(|name| &**name)
                .chain(places)
                .map(|name| hyphened(name).into())
                .collect(),
            bearer: api.credentials.contains(&CredentialPlace::Bearer),
            always,
            with_key,
        }
    }

    /// Whether a field of this name stays behind.
    pub(super) fn contains(&self, name: &str, with_key: bool) -> bool {
        let among = |names: &[Box<str>]| names.iter().any(|known| **known == *name);
        self.lengths & length_bit(name) != 0
            && (among(&self.always) || (with_key && among(&self.with_key)))
    }

    /// Some servers read `X_Api_Key` as `X-Api-Key`; so another spelling of any name that has a
    /// meaning here is as good as the name itself.
    pub(super) fn is_twin(&self, name: &str) -> bool {
        has_twin(name) && self.is_meant_by(name)
    }

    /// Whether a field of this name could be read as one of these, or as one that says what the
    /// message is.
    pub(super) fn is_meant_by(&self, name: &str) -> bool {
        let hyphened = hyphened(name);
        let known = Known::of(&hyphened);
        known.is_override()
            || known.is_hop_by_hop()
            || known.is_message()
            || matches!(known, Known::XRequestId | Known::Cookie)
            || self.hyphened.iter().any(|known| **known == *hyphened)
    }
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}
