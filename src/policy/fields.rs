//! A message's head as the decision sees it, and where header fields are written to.
//!
//! Nothing here owns text: fields and target are views of a buffer that was parsed in place, or of
//! an [`http::HeaderMap`]. What the upstream and the client get is written field by field, or in
//! blocks of lines that were prepared before, to a [`Sink`].

pub use super::known::Known;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// One header field.
#[derive(Clone, Copy)]
pub struct Field<'b> {
    /// In lower case.
    pub name: &'b str,
    /// Without white space around it.
    pub value: &'b [u8],
    /// What the name means here.
    pub known: Known,
}

/// Without the value, which may be a key.
impl fmt::Debug for Field<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} bytes", self.name, self.value.len())
    }
}

/// How many fields are kept in place; programs send fewer, browsers about as many.
const IN_PLACE: usize = 16;

/// Header fields in the order in which they came.
///
/// Nothing has to be dropped and the lifetime may shrink, so a buffer can be used again as soon as
/// nobody reads its fields any more.
#[derive(Debug, Clone)]
pub struct Fields<'b> {
    in_place: [Field<'b>; IN_PLACE],
    len: usize,
    /// All of them, once there are more than find place.
    many: Vec<Field<'b>>,
    /// One bit for each [`Known`] that is there: most that are asked for are not.
    present: u32,
    /// The same for those that are there more than once.
    repeated: u32,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'b> Fields<'b> {
    /// No fields.
    #[must_use]
    #[inline]
    pub fn new() -> Self {
        Self {
            in_place: [Field { name: "", value: b"", known: Known::Other }; IN_PLACE],
            len: 0,
            many: Vec::new(),
            present: 0,
            repeated: 0,
        }
    }

    /// Adds a field; `name` is in lower case, and there is no white space around `value`.
    #[inline]
    pub fn push(&mut self, name: &'b str, value: &'b [u8]) {
        let field = Field { name, value, known: Known::of(name) };
        let bit = 1 << field.known as u32;
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

    /// All of them.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Field<'b>> {
        self.as_slice().iter()
    }

    /// Whether there is one of these.
    #[must_use]
    #[inline]
    pub fn has(&self, known: Known) -> bool {
        self.present & 1 << known as u32 != 0
    }

    /// Whether a field stands more than once that may stand once only and says who somebody is: the
    /// upstream could read one, and whoever is before it the other.
    #[must_use]
    #[inline]
    pub(super) fn repeat_who_somebody_is(&self) -> bool {
        self.repeated & ONCE != 0
    }

    /// The value of the first one of these.
    #[must_use]
    #[inline]
    pub fn first(&self, known: Known) -> Option<&'b [u8]> {
        self.all(known).next()
    }

    /// The values of all of these.
    #[inline]
    pub fn all(&self, known: Known) -> impl DoubleEndedIterator<Item = &'b [u8]> {
        let fields = if self.has(known) { self.as_slice() } else { &[] };
        fields.iter().filter(move |field| field.known == known).map(|field| field.value)
    }

    /// Whether the lists in these fields name this token, in any letter case (RFC 9110 §5.6.1).
    #[must_use]
    pub fn lists(&self, known: Known, token: &[u8]) -> bool {
        let mut tokens = self.all(known).flat_map(|value| value.split(|byte| *byte == b','));
        tokens.any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token))
    }

    /// The values of all fields of this name, which is in lower case.
    #[inline]
    pub fn named(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.iter().filter(move |field| field.name == name).map(|field| field.value)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The fields that say who somebody is and are no list (RFC 9110 §10.1.2, §11.6.2 and §11.7.2, RFC
/// 9449 §4.3), a bit for each. `Host` has a check of its own, and `Cookie` goes on as one field.
const ONCE: u32 = 1 << Known::Authorization as u32
    | 1 << Known::ProxyAuthorization as u32
    | 1 << Known::From as u32
    | 1 << Known::Dpop as u32;

impl<'b> From<&'b HeaderMap> for Fields<'b> {
    fn from(headers: &'b HeaderMap) -> Self {
        let mut fields = Self::new();
        for (name, value) in headers {
            fields.push(name.as_str(), value.as_bytes().trim_ascii());
        }
        fields
    }
}

/// The value as text, if it is visible ASCII, spaces and tabs.
#[must_use]
pub fn field_text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    if is_text { std::str::from_utf8(value).ok() } else { None }
}

/// A request target in its parts, as sent.
#[derive(Clone, Copy)]
pub struct Target<'b> {
    /// Of the absolute form, or HTTP/2's `:authority`.
    pub authority: Option<&'b str>,
    /// `*` in the asterisk form.
    pub path: &'b str,
    /// What follows the `?`.
    pub query: Option<&'b str>,
}

/// Without the query, which may hold a key, however wrongly.
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

/// Where header fields are written to. What is written is sound: names are in lower case and values
/// hold no control character but the tab.
pub trait Sink {
    /// One field more.
    fn put(&mut self, name: &str, value: &[u8]);

    /// Several fields more: whole lines, `name: value\r\n`, that were prepared before.
    fn put_lines(&mut self, lines: &[u8]);

    /// The same, with values that no compression may keep (RFC 7541 §7.1.3).
    fn put_secret_lines(&mut self, lines: &[u8]) {
        self.put_lines(lines);
    }
}

/// The lines of an HTTP/1.1 head.
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

/// For HTTP/2. Fields are added, never replaced.
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

/// Names and values of a block of lines.
pub fn split_lines(lines: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = memchr::memchr(b':', line)?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
    })
}

/// A block of one line; nothing if the value cannot stand in a field.
pub(super) fn line(name: &str, value: &[u8]) -> Box<[u8]> {
    let mut lines = Vec::new();
    if HeaderValue::from_bytes(value).is_ok() {
        lines.put(name, value);
    }
    lines.into()
}
