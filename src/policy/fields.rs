//! The head of a message as the decision sees it, and the destination of header fields.
//!
//! Nothing here owns text. Fields and target are views of a buffer that was parsed in place, or of
//! an [`http::HeaderMap`]. The heads for the upstream and the client are written to a [`Sink`],
//! field by field or in prepared blocks of lines.

pub use super::header_kind::HeaderKind;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// A header field.
#[derive(Clone, Copy)]
pub struct Field<'b> {
    /// The name in lower case.
    pub name: &'b str,
    /// The value, without surrounding white space.
    pub value: &'b [u8],
    /// The kind of the header field.
    pub kind: HeaderKind,
}

/// Omits the value, which may be a key.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} bytes", self.name, self.value.len())
    }
}

/// How many fields are stored inline. Programs send fewer, browsers about as many.
const IN_PLACE: usize = 16;

/// Header fields in the order in which they were received.
///
/// The type has no destructor that uses the fields, and its lifetime may shrink. A buffer can
/// therefore be reused as soon as its fields are no longer read.
#[derive(Debug, Clone)]
pub struct Fields<'b> {
    in_place: [Field<'b>; IN_PLACE],
    len: usize,
    /// All fields, once there are more than [`IN_PLACE`].
    many: Vec<Field<'b>>,
    /// One bit for each header kind that is present. Most kinds that are asked for are absent.
    present: u32,
    /// One bit for each header kind that is present more than once.
    repeated: u32,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'b> Fields<'b> {
    /// Returns an empty list.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Self {
            in_place: [Field { name: "", value: b"", kind: HeaderKind::Other }; IN_PLACE],
            len: 0,
            many: Vec::new(),
            present: 0,
            repeated: 0,
        }
    }

    /// Adds a field. `name` must be in lower case, and `value` without surrounding white space.
    #[inline]
    pub fn push(&mut self, name: &'b str, value: &'b [u8]) {
        let field = Field { name, value, kind: HeaderKind::of(name) };
        let bit = 1 << field.kind as u32;
        self.repeated |= self.present & bit;
        self.present |= bit;
        match self.in_place.get_mut(self.len) {
            Some(place) => *place = field,
            None => self.push_to_many(field),
        }
        self.len += 1;
    }

    #[cold]
    fn push_to_many(&mut self, field: Field<'b>) {
        if self.many.is_empty() {
            self.many.extend(self.in_place);
        }
        self.many.push(field);
    }

    #[inline]
    fn as_slice(&self) -> &[Field<'b>] {
        self.in_place.get(..self.len).unwrap_or(&self.many)
    }

    /// Returns all fields.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Field<'b>> {
        self.as_slice().iter()
    }

    /// Returns whether a field of this kind is present.
    #[must_use]
    #[inline]
    pub fn has(&self, kind: HeaderKind) -> bool {
        self.present & 1 << kind as u32 != 0
    }

    /// Returns whether a field that identifies the caller, and must not be repeated, is repeated.
    /// The upstream could read one of them, and an intermediary the other.
    #[must_use]
    #[inline]
    pub(super) fn repeat_who_somebody_is(&self) -> bool {
        self.repeated & ONCE != 0
    }

    /// Returns the value of the first field of this kind.
    #[must_use]
    #[inline]
    pub fn first(&self, kind: HeaderKind) -> Option<&'b [u8]> {
        self.all(kind).next()
    }

    /// Returns the values of all fields of this kind.
    #[inline]
    pub fn all(&self, kind: HeaderKind) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        let fields = if self.has(kind) { self.as_slice() } else { &[] };
        fields.iter().filter(move |field| field.kind == kind).map(|field| field.value)
    }

    /// Returns whether the lists in fields of this kind contain the token, in any letter case (RFC
    /// 9110 §5.6.1).
    #[must_use]
    pub fn lists(&self, kind: HeaderKind, token: &[u8]) -> bool {
        let mut tokens = self.all(kind).flat_map(|value| value.split(|byte| *byte == b','));
        tokens.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token))
    }

    /// Returns the values of all fields with this name, which must be in lower case.
    #[inline]
    pub fn named(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.iter().filter(move |field| field.name == name).map(|field| field.value)
    }

    /// Returns the number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The header kinds that identify the caller and are not lists (RFC 9110 §10.1.2, §11.6.2 and
/// §11.7.2, RFC 9449 §4.3), one bit each. `Host` has its own check, and several `Cookie` fields are
/// forwarded as one.
const ONCE: u32 = 1 << HeaderKind::Authorization as u32
    | 1 << HeaderKind::ProxyAuthorization as u32
    | 1 << HeaderKind::From as u32
    | 1 << HeaderKind::Dpop as u32;

impl<'b> From<&'b HeaderMap> for Fields<'b> {
    fn from(headers: &'b HeaderMap) -> Self {
        let mut fields = Self::new();
        for (name, value) in headers {
            fields.push(name.as_str(), value.as_bytes().trim_ascii());
        }
        fields
    }
}

/// Returns the value as text, or `None` if it contains anything but visible ASCII, spaces and tabs.
#[must_use]
pub fn field_text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    if is_text { std::str::from_utf8(value).ok() } else { None }
}

/// The parts of a request target, as sent.
#[derive(Clone, Copy)]
pub struct Target<'b> {
    /// The authority of the absolute form, or HTTP/2's `:authority`.
    pub authority: Option<&'b str>,
    /// The path, or `*` in the asterisk form.
    pub path: &'b str,
    /// The part after the `?`.
    pub query: Option<&'b str>,
}

/// Omits the query, in which a client may have put a key by mistake.
impl fmt::Debug for Target<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Target")
            .field("authority", &self.authority)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<'b> From<&'b Uri> for Target<'b> {
    fn from(uri: &'b Uri) -> Self {
        Self {
            authority: uri.authority().map(http::uri::Authority::as_str),
            path: uri.path(),
            query: uri.query(),
        }
    }
}

/// A destination of header fields. Callers write valid fields only: names are in lower case, and
/// values contain no control character but the tab.
pub trait Sink {
    /// Writes one field.
    fn put(&mut self, name: &str, value: &[u8]);

    /// Writes several prepared fields, as complete lines `name: value\r\n`.
    fn put_lines(&mut self, lines: &[u8]);

    /// Writes fields like [`Sink::put_lines`], whose values must not enter a compression table (RFC
    /// 7541 §7.1.3).
    fn put_secret_lines(&mut self, lines: &[u8]) {
        self.put_lines(lines);
    }
}

/// Writes the lines of an HTTP/1.1 head.
impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, name: &str, value: &[u8]) {
        self.reserve(name.len() + value.len() + 4);
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        self.extend_from_slice(value);
        self.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn put_lines(&mut self, lines: &[u8]) {
        self.extend_from_slice(lines);
    }
}

/// Writes fields for HTTP/2. Appends them, and never replaces any.
impl Sink for HeaderMap {
    fn put(&mut self, name: &str, value: &[u8]) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            self.append(name, value);
        }
    }

    fn put_lines(&mut self, lines: &[u8]) {
        for (name, value) in split_lines(lines) {
            self.put(name, value);
        }
    }

    fn put_secret_lines(&mut self, lines: &[u8]) {
        for (name, value) in split_lines(lines) {
            if let (Ok(name), Ok(mut value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
            {
                value.set_sensitive(true);
                self.append(name, value);
            }
        }
    }
}

/// Returns the names and values of a block of lines.
pub fn split_lines(lines: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = memchr::memchr(b':', line)?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
    })
}

/// Returns a block of one line, or an empty block if a field cannot have this value.
pub(super) fn line(name: &str, value: &[u8]) -> Box<[u8]> {
    let mut lines = Vec::new();
    if HeaderValue::from_bytes(value).is_ok() {
        lines.put(name, value);
    }
    lines.into()
}
