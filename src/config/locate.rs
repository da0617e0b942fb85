//! Finds the position of an entry in the file, for messages that name the line behind a decision.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// An entry of the file. A setting may also be a table, such as `key_api` of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A table that occurs once, such as `[server]`, or one of its settings.
    Table {
        /// `server`, `admin`, `log`, `store`, `reload` or `revoked`.
        name: &'a str,
        /// The setting. `None`: the table itself.
        setting: Option<&'a str>,
    },
    /// An `[[api]]`, or one of its settings.
    Api {
        /// The name of the API.
        name: &'a str,
        /// The setting. `None`: the table itself.
        setting: Option<&'a str>,
    },
    /// `[api.scopes."…"]`.
    Scope {
        /// The name of the API.
        api: &'a str,
        /// The name of the scope.
        scope: &'a str,
    },
    /// A `[[key]]`, or one of its settings.
    Key {
        /// The id of the key.
        id: &'a str,
        /// The setting. `None`: the table itself.
        setting: Option<&'a str>,
    },
}

/// Returns the line of an entry, starting at 1, or `None` if the entry is not in the file or the
/// file is not valid TOML. Parses the whole text, so it is not for frequent use.
#[must_use]
pub fn locate(text: &str, entry: &Entry<'_>) -> Option<usize> {
    let tree = DeTable::parse(text).ok()?;
    let root = tree.get_ref();
    let found = match *entry {
        Entry::Table { name, setting } => setting_of(root.get(name)?, setting),
        Entry::Api { name, setting } => setting_of(block(root, "api", "name", name)?, setting),
        Entry::Scope { api, scope } => table(block(root, "api", "name", api)?, "scopes")
            .and_then(|scopes| table(scopes, scope)),
        Entry::Key { id, setting } => setting_of(block(root, "key", "id", id)?, setting),
    };
    let before = text.as_bytes().get(..found?.span().start)?;
    Some(memchr::memchr_iter(b'\n', before).count() + 1)
}

type Value<'t> = Spanned<DeValue<'t>>;

/// Returns the value of a name in a table.
fn table<'a, 't>(value: &'a Value<'t>, name: &str) -> Option<&'a Value<'t>> {
    value.get_ref().as_table()?.get(name)
}

fn setting_of<'a, 't>(value: &'a Value<'t>, setting: Option<&str>) -> Option<&'a Value<'t>> {
    setting.map_or(Some(value), |name| table(value, name))
}

/// Returns the table of an array whose setting `named_by` is `name`.
fn block<'a, 't>(
    root: &'a DeTable<'t>,
    array: &str,
    named_by: &str,
    name: &str,
) -> Option<&'a Value<'t>> {
    let blocks = root.get(array)?.get_ref().as_array()?;
    blocks.iter().find(|block| {
        table(block, named_by).and_then(|value| value.get_ref().as_str()) == Some(name)
    })
}
