//! An API's own endpoints to list, create and revoke keys.

/// The `[api.key_api]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyApi {
    /// A plain path below the API's base path, never `/`. Keygate answers all requests for this
    /// path and below it.
    pub path: Box<str>,
    /// The format of bodies.
    pub style: KeyApiStyle,
    /// The scope that the calling key must hold, whether or not the API defines it. `None`: only
    /// keys with full access may call.
    pub scope: Option<Box<str>>,
    /// Whether keys can also be created, not only listed and revoked.
    pub create: bool,
}

/// The format of the bodies of key endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyApiStyle {
    /// Plain objects and arrays.
    Bare,
    /// `{"success": true, "data": …}`.
    Envelope,
}
