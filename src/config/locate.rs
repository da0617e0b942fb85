//! Where something stands in the file, for answers that name the line behind a verdict.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something that a file can hold. A setting may be a table, too, such as `key_api` of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A table that there is once, such as `[server]`, or one of its settings.
    Table {
        /// `server`, `admin`, `log`, `store`, `reload`, `revoked`.
        name: &'a str,
        /// None: the table itself.
        setting: Option<&'a str>,
    },
    /// An `[[api]]`, or one of its settings.
    Api {
        /// Its name.
        name: &'a str,
        /// None: the block itself.
        setting: Option<&'a str>,
    },
    /// `[api.scopes."…"]`.
    Scope {
        /// The name of its API.
        api: &'a str,
        /// Its own name.
        scope: &'a str,
    },
    /// A `[[key]]`, or one of its settings.
    Key {
        /// Its id.
        id: &'a str,
        /// None: the block itself.
        setting: Option<&'a str>,
    },
}

/// The line where it stands, from 1; nothing if it is not in the file, or if the file is not TOML.
/// Reads the whole text, so it is not for what happens often.
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

/// What a table has under this name.
fn table<'a, 't>(value: &'a Value<'t>, name: &str) -> Option<&'a Value<'t>> {
    value.get_ref().as_table()?.get(name)
}

fn setting_of<'a, 't>(value: &'a Value<'t>, setting: Option<&str>) -> Option<&'a Value<'t>> {
    setting.map_or(Some(value), |name| table(value, name))
}

/// The element of an array of tables that is known by this name.
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
