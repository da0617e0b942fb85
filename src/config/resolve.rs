//! Converts the text of a file to a [`Config`]: each table separately, then the relations between
//! them.

mod api;
mod context;
mod cors;
mod credentials;
mod endpoints;
mod key;
mod key_api;
mod limits;
mod moment;
mod origin;
mod portal;
mod resolved_api;
mod revoked;
mod server;
mod tls;
mod upstream;

pub use revoked::{NotAlone, revoked_alone};

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use zeroize::Zeroizing;

use self::context::Context;
use self::key::Keys;
use super::document::{self, Section};
use super::kinds::{KEY, LOG, RELOAD, ROOT};
use super::pieces::{self, Pieces};
use super::report::{Problem, Problems, Report};
use super::{Config, KeyConfig, Log, LogFormat, Reload, Revoked, TlsFiles, files};

/// A text and its configuration, kept so that unchanged parts need not be parsed again after an
/// edit.
pub struct Reading {
    /// The configuration.
    pub config: Arc<Config>,
    /// The text, which may contain secrets for upstreams.
    text: Zeroizing<String>,
    /// The range of each key of the configuration. Empty if the text was parsed as a whole.
    keys: Vec<Range<usize>>,
}

impl Reading {
    /// Returns the text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Omits the text.
impl fmt::Debug for Reading {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reading").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A file that cannot be used.
#[derive(Debug)]
pub struct Mistaken {
    /// All problems of the file.
    pub problems: Problems,
    /// The contents of its `[revoked]` table, if that can be read by itself.
    pub revoked: Result<Revoked, NotAlone>,
}

impl Mistaken {
    /// Returns a file that could not be read at all.
    #[must_use]
    pub fn unreadable(problem: Problem) -> Self {
        Self { problems: Problems(vec![problem]), revoked: Err(NotAlone::Unreadable) }
    }
}

/// Reads and validates a file, with the files and environment variables that it names.
///
/// # Errors
/// Returns all problems at once if the file has errors.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let content = files::read(path, files::TOML);
    let text = read_text(content, path).map_err(|mistaken| mistaken.problems)?;
    parse(&text, path)
}

/// Validates the content of a file, like [`load`], for a gateway that already serves the
/// certificates `in_use`. If the files of these certificates cannot be used, that is only a
/// warning, because an incomplete renewal must not delay a revocation. The result is the same with
/// and without an earlier reading in `before`, which makes parsing much faster if most of the text
/// is unchanged.
///
/// # Errors
/// Returns all problems at once if the file has other errors.
pub fn load_while_serving(
    content: std::io::Result<Vec<u8>>,
    path: &Path,
    in_use: &[TlsFiles],
    before: Option<&Reading>,
) -> Result<Reading, Mistaken> {
    let text = read_text(content, path)?;
    let (config, keys) = check(&text, path, in_use, before)
        .map_err(|problems| Mistaken { problems, revoked: revoked_alone(text.as_bytes()) })?;
    Ok(Reading { config: Arc::new(config), text, keys })
}

/// Converts the content to text, in memory that is wiped because it may contain secrets.
///
/// # Errors
/// Returns an error if the file could not be read or is not valid UTF-8.
fn read_text(
    content: std::io::Result<Vec<u8>>,
    path: &Path,
) -> Result<Zeroizing<String>, Mistaken> {
    let whole = |message: String| Problem::of_file(path, message);
    let unreadable =
        |error| Problem { may_pass: true, ..whole(format!("cannot be read: {error}")) };
    let bytes = content.map_err(|error| Mistaken::unreadable(unreadable(error)))?;
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = Zeroizing::new(error.into_bytes());
        let line = memchr::memchr_iter(b'\n', &bytes[..valid]).count() + 1;
        Mistaken {
            problems: Problems(vec![whole(format!("line {line} is not valid UTF-8"))]),
            revoked: revoked_alone(&bytes),
        }
    })
}

/// Validates the text of a file that has, or would have, the path `path`.
///
/// # Errors
/// Returns all problems at once if the text has errors.
pub fn parse(text: &str, path: &Path) -> Result<Config, Problems> {
    check(text, path, &[], None).map(|(config, _)| config)
}

/// Returns the configuration, and the ranges of its keys if they are known.
fn check(
    text: &str,
    path: &Path,
    in_use: &[TlsFiles],
    before: Option<&Reading>,
) -> Result<(Config, Vec<Range<usize>>), Problems> {
    // Errors are found by parsing the whole file.
    match check_pieces(text, path, in_use, before) {
        Some(found) => Ok(found),
        None => check_whole(text, path, in_use).map(|config| (config, Vec::new())),
    }
}

pub(super) fn check_whole(
    text: &str,
    path: &Path,
    in_use: &[TlsFiles],
) -> Result<Config, Problems> {
    let report = Report::new(text, path);
    let tree = document::parse(text, &report);
    let folder = path.parent().unwrap_or(Path::new(""));
    let config = tree.as_ref().and_then(|tree| {
        let context = Context { report: &report, folder, in_use };
        let root = Section::open(context.report, &ROOT, tree.get_ref(), 0);
        let sections = root.sections("key", &KEY);
        let count = sections.len();
        resolve(context, root, count, |keys| {
            Some(
                sections
                    .into_iter()
                    .filter_map(|section| keys.key(section).map(Arc::new))
                    .collect(),
            )
        })
    });
    drop(tree);
    let (problems, failed) = report.finish();
    match config {
        Some(config) if !failed => Ok(Config { warnings: problems, ..config }),
        _ => Err(Problems(problems)),
    }
}

/// Validates the text key by key. Returns `None` if it has errors, or if it must be parsed as a
/// whole.
pub(super) fn check_pieces(
    text: &str,
    path: &Path,
    in_use: &[TlsFiles],
    before: Option<&Reading>,
) -> Option<(Config, Vec<Range<usize>>)> {
    let pieces = Pieces::of(text)?;
    let report = Report::new(text, path);
    let tree = pieces.read_rest()?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let config = {
        let context = Context { report: &report, folder, in_use };
        pieces.report_of_rest(&report);
        let root = Section::open(context.report, &ROOT, tree.get_ref(), 0);
        resolve(context, root, pieces.keys.len(), |keys| {
            let found = read_keys(text, &pieces.keys, before, &report, keys)?;
            pieces.report_of_rest(&report);
            Some(found)
        })?
    };
    drop(tree);
    let (warnings, failed) = report.finish();
    (!failed).then_some((Config { warnings, ..config }, pieces.keys))
}

/// Parses the tables in these ranges, except those that an earlier reading contains. Returns `None`
/// if the file must be parsed as a whole.
fn read_keys(
    text: &str,
    places: &[Range<usize>],
    before: Option<&Reading>,
    report: &Report<'_>,
    keys: &mut Keys<'_>,
) -> Option<Vec<Arc<KeyConfig>>> {
    let mut known = before.filter(|before| keys.hold_under(&before.config.apis)).map(Known::new);
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        let block = &text[place.clone()];
        // The position of a warning is not kept.
        let same = known
            .as_mut()
            .and_then(|known| known.find(block))
            .filter(|key| !keys.is_to_be_warned_of(key));
        if let Some(key) = same {
            keys.take_in(key, place.start)?;
            found.push(key.clone());
            continue;
        }
        let tree = pieces::read_block(block)?;
        report.reads(&[(0, place.start)]);
        found.push(Arc::new(keys.key(Section::of(report, &KEY, pieces::key_of(&tree)?)?)?));
    }
    Some(found)
}

/// The `[[key]]` tables of an earlier reading.
struct Known<'r> {
    reading: &'r Reading,
    /// The index after the last table that was found. Most files keep the order of their tables.
    next: usize,
    by_text: OnceCell<HashMap<&'r str, usize>>,
}

impl<'r> Known<'r> {
    fn new(reading: &'r Reading) -> Self {
        Self { reading, next: 0, by_text: OnceCell::new() }
    }

    fn text(&self, index: usize) -> Option<&'r str> {
        self.reading.text.get(self.reading.keys.get(index)?.clone())
    }

    fn find(&mut self, block: &str) -> Option<&'r Arc<KeyConfig>> {
        let index = if self.text(self.next) == Some(block) {
            self.next
        } else {
            let texts = || {
                (0..self.reading.keys.len())
                    .filter_map(|index| Some((self.text(index)?, index)))
                    .collect()
            };
            *self.by_text.get_or_init(texts).get(block)?
        };
        self.next = index + 1;
        self.reading.config.keys.get(index)
    }
}

/// Reads all tables. `read_keys` reads the keys.
fn resolve<'t>(
    context: Context<'t>,
    root: Section<'t>,
    count: usize,
    read_keys: impl FnOnce(&mut Keys<'_>) -> Option<Vec<Arc<KeyConfig>>>,
) -> Option<Config> {
    context.report.keys_begin_with(document::prefixes(root));
    let (server, tls) = server::server(context, root);
    let admin = server::admin(context, root, &server.listen);
    let apis = api::apis(context, root);
    let keys = read_keys(&mut Keys::new(&apis, count))?;
    let portal = portal::portal(root, admin.as_ref(), &apis);
    Some(Config {
        server,
        tls,
        admin,
        portal,
        log: log(root),
        store: server::store(context, root),
        reload: reload(root),
        apis: apis.into_iter().map(|api| api.config.into()).collect(),
        keys,
        revoked: revoked::revoked(root),
        warnings: Vec::new(),
    })
}

fn log(root: Section<'_>) -> Log {
    let Some(section) = root.section("log", &LOG) else {
        return Log { requests: true, format: LogFormat::Auto };
    };
    let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];
    Log {
        requests: section.boolean("requests", true),
        format: section.choice("format", LogFormat::Auto, &formats),
    }
}

fn reload(root: Section<'_>) -> Reload {
    let section = root.section("reload", &RELOAD);
    Reload {
        max_removed_percent: section.map_or(50, |section| section.percent("max_removed_keys", 50)),
    }
}
