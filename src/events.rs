//! Writes events (start, reload, errors) as lines on stderr: JSON for machines, text for people.
//!
//! A field may hold what a client sent. Characters that could forge a line or control a terminal
//! are therefore escaped.

mod panics;
mod writer;

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use self::writer::EventWriter;
use crate::config::LogFormat;
use crate::text::{clipped, is_plain};

/// Limit of a message, in bytes, and of any other text field. One message lists all mistakes of a
/// file.
const LONGEST_MESSAGE: usize = 16 * 1024;
const LONGEST_TEXT: usize = 4 * 1024;

static WRITER: OnceLock<EventWriter> = OnceLock::new();

/// Writes the events of the whole process, panics included, to stderr. A second call changes
/// nothing.
///
/// # Errors
/// Fails if the writer's thread cannot be started.
pub fn install(format: LogFormat) -> io::Result<()> {
    let writer = EventWriter::start(io::stderr())?;
    if WRITER.set(writer.clone()).is_err() {
        return Ok(());
    }
    let text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_writer(writer)
        .event_format(Lines { text })
        .finish();
    // It fails only if a subscriber is already set.
    let _ = tracing::subscriber::set_global_default(subscriber);
    panics::install();
    Ok(())
}

/// Waits until all events have been written, for at most `timeout`.
pub fn flush(timeout: Duration) {
    if let Some(writer) = WRITER.get() {
        writer.flush(timeout);
    }
}

/// Formats each event as one line.
struct Lines {
    text: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = if self.text { text_line } else { json_line };
        writeln!(out, "{}", line(Timestamp::now(), *event.metadata().level(), &fields))
    }
}

/// The fields of an event, in order.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    rest: Vec<(&'static str, Value)>,
}

impl Fields {
    fn record(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => {
                self.message = clipped(&message, LONGEST_MESSAGE).into_owned();
            }
            (name, Value::String(text)) if text.len() > LONGEST_TEXT => {
                self.rest.push((name, clipped(&text, LONGEST_TEXT).into()));
            }
            (name, value) => self.rest.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}").into());
    }
}

/// Formats a time in UTC with milliseconds (RFC 3339).
fn show_time(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn json_line(time: Timestamp, level: Level, fields: &Fields) -> String {
    let mut line = format!(
        r#"{{"time":"{}","level":"{}","message":{}"#,
        show_time(time),
        level.as_str().to_ascii_lowercase(),
        json(&fields.message.as_str().into())
    );
    for (name, value) in &fields.rest {
        let _ = write!(line, ",{}:{}", json(&(*name).into()), json(value));
    }
    line.push('}');
    line
}

/// Escapes DEL, the C1 controls and characters that change the text's direction. JSON allows them
/// unescaped, but terminals obey them.
fn json(value: &Value) -> String {
    let mut escaped = String::new();
    for character in value.to_string().chars() {
        if is_plain(character) {
            escaped.push(character);
        } else {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().for_each(|unit| {
                let _ = write!(escaped, "\\u{unit:04x}");
            });
        }
    }
    escaped
}

fn text_line(time: Timestamp, level: Level, fields: &Fields) -> String {
    let mut line = format!("{} {level:>5} ", show_time(time));
    for character in fields.message.chars() {
        match character {
            // Indent the further lines of a message, so that they cannot look like another event.
            '\n' => line.push_str("\n    "),
            character if is_plain(character) => line.push(character),
            character => line.extend(character.escape_unicode()),
        }
    }
    for (name, value) in &fields.rest {
        let _ = match value {
            Value::String(text) if is_word(text) => write!(line, " {name}={text}"),
            value => write!(line, " {name}={}", json(value)),
        };
    }
    line
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_ascii_graphic() && !matches!(character, '"' | '\\' | '='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORGED: &str = "a\u{1b}[2J\u{9b}b\u{7f}\u{202e}\n2026-01-01T00:00:00.000Z  INFO ready";

    fn fields(message: &str, value: &str) -> Fields {
        Fields { message: message.to_owned(), rest: vec![("path", value.into()), ("n", 3.into())] }
    }

    fn at_zero(line: fn(Timestamp, Level, &Fields) -> String, fields: &Fields) -> String {
        line(Timestamp::UNIX_EPOCH, Level::INFO, fields)
    }

    #[test]
    fn json_lines_are_flat_and_in_utc() {
        let line = at_zero(json_line, &fields("listening", "/x"));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "time": "1970-01-01T00:00:00.000Z",
                "level": "info",
                "message": "listening",
                "path": "/x",
                "n": 3,
            })
        );
    }

    #[test]
    fn json_keeps_every_value_but_shows_no_control_character() {
        let line = at_zero(json_line, &fields(FORGED, FORGED));
        assert!(
            line.chars().all(|character| character.is_ascii() && !character.is_control()),
            "{line}"
        );
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], FORGED);
        assert_eq!(value["path"], FORGED);
    }

    #[test]
    fn text_lines_are_easy_to_read() {
        let line = at_zero(text_line, &fields("listening", "two words"));
        assert_eq!(line, "1970-01-01T00:00:00.000Z  INFO listening path=\"two words\" n=3");
    }

    #[test]
    fn no_text_can_forge_a_line_or_steer_the_terminal() {
        let line = at_zero(text_line, &fields(FORGED, FORGED));
        assert!(line.lines().skip(1).all(|line| line.starts_with("    ")), "{line}");
        assert!(
            line.chars()
                .all(|character| character == '\n'
                    || (character.is_ascii() && !character.is_control())),
            "{line}"
        );
    }
}
