//! Reads the TOML tree. Every error is reported with its position, and reading continues.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kinds::{Kind, ROOT};
use super::report::Report;
use super::{secret, units};

/// Settings that contain digests, or into which secrets may be pasted by mistake. Their values are
/// never displayed.
const HIDDEN: [&str; 3] = ["sha256", "keys", "organizations"];
/// The length of the shortest prefix that identifies a key.
const SHORTEST_PREFIX: usize = 3;

/// A string of the file and the byte offset of its position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t> {
    pub(super) value: &'t str,
    pub(super) at: usize,
}

/// One table of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section<'t> {
    pub(super) report: &'t Report<'t>,
    kind: &'static Kind,
    table: &'t DeTable<'t>,
    /// The byte offset at which problems of the whole table are reported.
    pub(super) at: usize,
}

/// Parses TOML. Returns `None` after adding the syntax errors to the report.
pub(super) fn parse<'t>(text: &'t str, report: &Report<'t>) -> Option<Spanned<DeTable<'t>>> {
    let (tree, mut errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(tree);
    }
    let place = |error: &toml::de::Error| error.span().map_or(0, |span| span.start).min(text.len());
    errors.sort_by_key(place);
    for error in errors {
        if error.message() == "duplicate key" {
            let hint = "remove one; a table, too, is written once";
            report.error_with_hint(place(&error), "this name stands twice in the same table", hint);
        } else {
            // The message describes the syntax and never quotes the text, which may be a secret.
            // What follows a syntax error is often misread, so further errors are not reported.
            report.error(place(&error), error.message());
            break;
        }
    }
    None
}

impl<'t> Section<'t> {
    /// Opens a table, and reports settings that its kind does not have.
    pub(super) fn open(
        report: &'t Report<'t>,
        kind: &'static Kind,
        table: &'t DeTable<'t>,
        at: usize,
    ) -> Self {
        for name in table.keys() {
            if !kind.settings.contains(&name.get_ref().as_ref()) {
                report_unknown(report, kind, name.get_ref(), name.span().start);
            }
        }
        Self { report, kind, table, at }
    }

    /// Opens a value, or returns `None` if it is not a table.
    pub(super) fn of(
        report: &'t Report<'t>,
        kind: &'static Kind,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<Self> {
        value
            .get_ref()
            .as_table()
            .map(|table| Section::open(report, kind, table, value.span().start))
    }

    fn value(&self, name: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        debug_assert!(
            self.kind.settings.contains(&name),
            "{name} is not listed for {}",
            self.kind.label
        );
        self.table.get(name)
    }

    /// Returns the byte offset of a setting's value, or of the table if the setting is absent.
    pub(super) fn at(&self, name: &'static str) -> usize {
        self.value(name).map_or(self.at, |value| value.span().start)
    }

    pub(super) fn has(&self, name: &'static str) -> bool {
        self.value(name).is_some()
    }

    /// Returns whether a setting is present, and reports an error if it is not.
    pub(super) fn require(&self, name: &'static str, hint: &str) -> bool {
        if !self.has(name) {
            self.report.error_with_hint(
                self.at,
                format!("{} has no `{name}`", self.kind.label),
                hint,
            );
        }
        self.has(name)
    }

    /// Returns whether a value may be displayed in logs. Reports an error if the value looks like a
    /// key and the setting is not one of [`HIDDEN`].
    fn is_plain(&self, name: &str, text: Text<'_>) -> bool {
        HIDDEN.contains(&name) || self.report.is_plain(text.at, text.value)
    }

    fn wrong_type(&self, name: &str, at: usize, wanted: &str, found: &DeValue<'_>) {
        self.report.error(at, format!("`{name}` must be {wanted}, not {}", type_name(found)));
    }

    pub(super) fn text(&self, name: &'static str) -> Option<Text<'t>> {
        let value = self.value(name)?;
        let text = as_text(value);
        if text.is_none() {
            self.wrong_type(name, value.span().start, "a text in quotes", value.get_ref());
        }
        text.filter(|text| self.is_plain(name, *text))
    }

    pub(super) fn boolean(&self, name: &'static str, default: bool) -> bool {
        let Some(value) = self.value(name) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(name, value.span().start, "`true` or `false`", value.get_ref());
            default
        })
    }

    /// Returns an integer within `range`, or the default if the setting is absent or invalid.
    pub(super) fn number(
        &self,
        name: &'static str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> usize {
        let Some(value) = self.value(name) else { return default };
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(name, value.span().start, "a whole number", value.get_ref());
            return default;
        };
        match usize::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.report.error(
                    value.span().start,
                    format!("`{name}` must be from {} to {}", range.start(), range.end()),
                );
                default
            }
        }
    }

    /// Returns a duration, which has a unit, or the default if the setting is absent or invalid.
    pub(super) fn duration(
        &self,
        name: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.measure(name, default, units::parse_duration, |duration| {
            (!range.contains(&duration)).then(|| {
                format!(
                    "`{name}` must be from {} to {}",
                    units::show_duration(*range.start()),
                    units::show_duration(*range.end())
                )
            })
        })
    }

    /// Returns a percentage, `1%` to `100%`, or the default if the setting is absent or invalid.
    pub(super) fn percent(&self, name: &'static str, default: u8) -> u8 {
        self.measure(name, default, units::parse_percent, |_| None)
    }

    /// Returns a number of bytes, which has a unit, or the default if the setting is absent or
    /// invalid.
    pub(super) fn size(
        &self,
        name: &'static str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> usize {
        self.measure(name, default, units::parse_size, |size| {
            (!range.contains(&size)).then(|| {
                format!(
                    "`{name}` must be from {} to {}",
                    units::show_size(*range.start()),
                    units::show_size(*range.end())
                )
            })
        })
    }

    fn measure<T: Copy>(
        &self,
        name: &'static str,
        default: T,
        parse: fn(&str) -> Result<T, &'static str>,
        out_of_range: impl Fn(T) -> Option<String>,
    ) -> T {
        let Some(value) = self.value(name) else { return default };
        let parsed = value.get_ref().as_str().ok_or("a unit belongs to the value").and_then(parse);
        match parsed.map(|value| (value, out_of_range(value))) {
            Ok((value, None)) => return value,
            Ok((_, Some(why))) => self.report.error(value.span().start, why),
            Err(hint) => self.report.error_with_hint(
                value.span().start,
                format!("`{name}` cannot be read"),
                hint,
            ),
        }
        default
    }

    /// Returns the value of one of several keywords, or the default if the setting is absent or
    /// invalid.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &'static str,
        default: T,
        choices: &[(&str, T)],
    ) -> T {
        let Some(text) = self.text(name) else { return default };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.value) {
            return *value;
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
        let nearest = self.report.did_you_mean(text.value, choices.iter().map(|(word, _)| *word));
        self.report.error(text.at, format!("`{name}` must be {}{nearest}", words.join(" or ")));
        default
    }

    /// Returns an array of strings. It is empty if the setting is absent.
    pub(super) fn texts(&self, name: &'static str) -> Vec<Text<'t>> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(
                name,
                value.span().start,
                "a list of texts, such as `[\"…\"]`",
                value.get_ref(),
            );
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(array.len());
        for value in array.iter() {
            match as_text(value) {
                Some(text) => texts.extend(Some(text).filter(|text| self.is_plain(name, *text))),
                None => self.wrong_type(
                    name,
                    value.span().start,
                    "a list of texts in quotes",
                    value.get_ref(),
                ),
            }
        }
        texts
    }

    /// Returns whether the setting is present with an empty array.
    pub(super) fn is_empty_list(&self, name: &'static str) -> bool {
        self.value(name)
            .and_then(|value| value.get_ref().as_array())
            .is_some_and(|array| array.is_empty())
    }

    /// Returns one string or an array of strings. The result is empty if the setting is absent.
    pub(super) fn text_or_texts(&self, name: &'static str) -> Vec<Text<'t>> {
        match self.value(name).and_then(as_text) {
            Some(text) => Vec::from_iter(Some(text).filter(|text| self.is_plain(name, *text))),
            None => self.texts(name),
        }
    }

    /// Returns the value itself, for the few settings that accept several types.
    pub(super) fn raw(&self, name: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.value(name)
    }

    /// Returns a table of the given kind, or `None` if it is absent or not a table.
    pub(super) fn section(&self, name: &'static str, kind: &'static Kind) -> Option<Section<'t>> {
        let value = self.value(name)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Section::open(self.report, kind, table, value.span().start)),
            None => {
                let message = format!("`{name}` must be one table, written `{}`", kind.label);
                self.report.error(value.span().start, message);
                None
            }
        }
    }

    /// Returns the tables of an array of tables, in file order.
    pub(super) fn sections(&self, name: &'static str, kind: &'static Kind) -> Vec<Section<'t>> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let wrong = |at| {
            self.report.error(
                at,
                format!("`{name}` must be a list of tables, each written `{}`", kind.label),
            )
        };
        let Some(array) = value.get_ref().as_array() else {
            wrong(value.span().start);
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for value in array.iter() {
            match Section::of(self.report, kind, value) {
                Some(section) => sections.push(section),
                None => wrong(value.span().start),
            }
        }
        sections
    }

    /// Returns the entries of a table with arbitrary names, in file order.
    pub(super) fn entries(&self, name: &'static str) -> Vec<(Text<'t>, &'t Spanned<DeValue<'t>>)> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(name, value.span().start, "a table", value.get_ref());
            return Vec::new();
        };
        let mut entries: Vec<_> = table
            .iter()
            .map(|(name, value)| (Text { value: name.get_ref(), at: name.span().start }, value))
            .filter(|(name, _)| self.report.is_plain(name.at, name.value))
            .collect();
        entries.sort_by_key(|(name, _)| name.at);
        entries
    }
}

/// Returns the key prefixes of the file's APIs that are long enough to identify a key.
pub(super) fn prefixes(root: Section<'_>) -> Vec<String> {
    let apis = root.table.get("api").and_then(|apis| apis.get_ref().as_array());
    let environments = apis
        .into_iter()
        .flat_map(|apis| apis.iter())
        .filter_map(|api| api.get_ref().as_table()?.get("environments")?.get_ref().as_table());
    let prefixes = environments.flat_map(|environments| environments.values());
    prefixes
        .filter_map(|prefix| prefix.get_ref().as_str())
        .filter(|prefix| prefix.len() >= SHORTEST_PREFIX)
        .map(str::to_owned)
        .collect()
}

/// Returns the value as a string, or `None` if it has another type.
pub(super) fn as_text<'t>(value: &'t Spanned<DeValue<'t>>) -> Option<Text<'t>> {
    value.get_ref().as_str().map(|text| Text { value: text, at: value.span().start })
}

/// Returns the name of a type, for values of the wrong type. The value itself may be a secret.
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn report_unknown(report: &Report<'_>, kind: &'static Kind, name: &str, at: usize) {
    let place = if kind.label == ROOT.label { "at the top of the file" } else { kind.label };
    let preposition = if kind.label == ROOT.label { "" } else { "in " };
    let nearest = report.did_you_mean(name, kind.settings.iter().copied());
    let message = format!("unknown setting {} {preposition}{place}{nearest}", secret::quote(name));
    let holds_secret = kind.settings.contains(&"sha256")
        && ["key", "secret", "token", "value", "password", "hash", "digest"].contains(&name);
    if holds_secret {
        report.error_with_hint(
            at,
            message,
            "only the digest of a secret stands in the file, as \
            `sha256`; `keygate keys hash` makes it",
        );
    } else if nearest.is_empty() {
        report.error_with_hint(at, message, format!("it may have: {}", kind.settings.join(", ")));
    } else {
        report.error(at, message);
    }
}
