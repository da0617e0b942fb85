//! HTTP/1.1 messages, read exactly: header fields in their order and spelling, and bodies byte for
//! byte.

use std::io::{self, BufRead, Read};

/// A request or a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The request line or status line.
    pub(crate) start: String,
    /// The header fields, in order and as spelled.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub(crate) body: Vec<u8>,
    /// The trailer fields of a chunked body.
    pub(crate) trailers: Vec<(String, String)>,
}

impl Message {
    /// Reads one message. Returns `None` if the stream ends before the message starts. `has_body`:
    /// whether a message with this head can have a body.
    pub(crate) fn read(
        stream: &mut impl BufRead,
        has_body: impl Fn(&Self) -> bool,
    ) -> io::Result<Option<Self>> {
        let Some(mut message) = Self::read_head(stream)? else { return Ok(None) };
        if has_body(&message) {
            message.read_body(stream)?;
        }
        Ok(Some(message))
    }

    /// Reads the start line and the header fields.
    pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = read_line(stream)? else { return Ok(None) };
        Ok(Some(Self { start, headers: read_fields(stream)?, ..Self::default() }))
    }

    fn read_body(&mut self, stream: &mut impl BufRead) -> io::Result<()> {
        if self.header("transfer-encoding").is_some() {
            loop {
                let size = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let size = size.split(';').next().unwrap_or("").trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
                if size == 0 {
                    break;
                }
                stream.take(size).read_to_end(&mut self.body)?;
                read_line(stream)?;
            }
            self.trailers = read_fields(stream)?;
            return Ok(());
        }
        let is_answer = self.start.starts_with("HTTP/");
        match self.header("content-length").map(|length| length.parse::<u64>()) {
            Some(length) => {
                let length = length.map_err(|_| io::ErrorKind::InvalidData)?;
                if (stream.take(length).read_to_end(&mut self.body)? as u64) < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            None if is_answer => drop(stream.read_to_end(&mut self.body)?),
            None => {}
        }
        Ok(())
    }

    /// Returns the value of a field, or `None` if it is absent. Panics if the field is repeated.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "{name} stands more than once: {values:?}");
        values.first().copied()
    }

    /// Returns every value of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// Returns the status code of a response.
    pub(crate) fn status(&self) -> u16 {
        self.start
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status line: {:?}", self.start))
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("{why}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Returns all fields except `Date` and `X-Request-Id`, sorted and with names in lower case, so
    /// that whole heads can be compared.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let mut fields: Vec<_> = self
            .but_date_and_id()
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        fields.sort();
        fields
    }

    /// Returns a copy of the response without `Date` and `X-Request-Id`, which differ from one
    /// response to the next.
    pub(crate) fn but_date_and_id(&self) -> Self {
        let mut same = self.clone();
        same.headers.retain(|(name, _)| {
            !["date", "x-request-id"].contains(&name.to_ascii_lowercase().as_str())
        });
        same
    }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(line.iter().map(|byte| char::from(*byte)).collect()))
}

fn read_fields(stream: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}
