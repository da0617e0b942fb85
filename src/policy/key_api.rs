//! An API's own endpoints to list, make and revoke keys.

/// `[api.key_api]`: where they are, and what they look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyApi {
    /// A plain path below the API's base path, never `/`. What lies at and below it is answered by
    /// Keygate.
    pub path: Box<str>,
    /// What bodies look like.
    pub style: KeyApiStyle,
    /// The scope that the calling key must hold, whether or not the API defines it; none: only keys
    /// with full access may call.
    pub scope: Option<Box<str>>,
    /// Whether keys can be made there, and not only listed and revoked.
    pub create: bool,
}

/// What the bodies of key endpoints look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyApiStyle {
    /// Objects and arrays as they are.
    Bare,
    /// `{"success": true, "data": …}`.
    Envelope,
}
