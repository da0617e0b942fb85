//! Names of fields that a client must not send to the upstream, or that no setting may name.

use http::HeaderName;

use super::definition::{ApiDefinition, CredentialPlace, PassThrough};
use super::header_kind::{HeaderKind, has_twin, hyphened};

/// Returns whether Keygate sets or handles this field itself, so that no setting may name it. A
/// spelling that some servers treat as the same name counts as that name.
#[must_use]
pub fn is_gateway_header(name: &HeaderName) -> bool {
    let kind = HeaderKind::of(&hyphened(name.as_str()));
    kind.is_own()
        || kind.is_hop_by_hop()
        || kind.is_message()
        || matches!(
            kind,
            HeaderKind::XRequestId | HeaderKind::Te | HeaderKind::Expect | HeaderKind::Via
        )
        || name == "forwarded"
}

/// Returns whether this field is removed from a client's request because a reverse proxy or a login
/// proxy could have set it.
#[must_use]
pub fn is_proxy_header(name: &HeaderName) -> bool {
    HeaderKind::of(name.as_str()) == HeaderKind::Override
}

/// The field names that have a meaning in one API, computed once.
#[derive(Debug)]
pub(super) struct Withheld {
    /// One bit for the length of each name in `always` and `with_key`. It rules out nearly all
    /// fields of a request.
    lengths: u64,
    /// Fields that hold keys, and those that Keygate sets itself. They are never forwarded.
    always: Box<[Box<str>]>,
    /// Pass-through credentials. They are not forwarded if the request has a key.
    with_key: Box<[Box<str>]>,
    /// All of these names and the credential locations, as [`hyphened`] returns them.
    hyphened: Box<[Box<str>]>,
    /// Whether `Authorization` can hold a key. Other schemes than Bearer, such as Basic, are no
    /// keys.
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

    /// Returns whether a field with this name is not forwarded. `with_key`: whether the request has
    /// a key.
    pub(super) fn contains(&self, name: &str, with_key: bool) -> bool {
        let among = |names: &[Box<str>]| names.iter().any(|kind| **kind == *name);
        self.lengths & length_bit(name) != 0
            && (among(&self.always) || (with_key && among(&self.with_key)))
    }

    /// Returns whether a server could read the name as another one that has a meaning here. Some
    /// servers read `X_Api_Key` as `X-Api-Key`.
    pub(super) fn is_twin(&self, name: &str) -> bool {
        has_twin(name) && self.is_meant_by(name)
    }

    /// Returns whether a server could read the name as one that has a meaning here, or as one that
    /// describes the message.
    pub(super) fn is_meant_by(&self, name: &str) -> bool {
        let hyphened = hyphened(name);
        let kind = HeaderKind::of(&hyphened);
        kind.is_override()
            || kind.is_hop_by_hop()
            || kind.is_message()
            || matches!(kind, HeaderKind::XRequestId | HeaderKind::Cookie)
            || self.hyphened.iter().any(|kind| **kind == *hyphened)
    }
}

fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}
