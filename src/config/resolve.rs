//! From the text of a file to a [`Config`]: every table in turn, then what holds between them.

mod api;
mod credentials;
mod endpoints;
mod key;
mod key_api;
mod server;
mod upstream;

use super::document::{self, ROOT, Section};
use super::report::{Problem, Problems, Report, Severity};
use super::{Config, Log, LogFormat, Reload, TlsFiles};
use std::path::Path;

/// What the parts of a file are read with.
#[derive(Clone, Copy)]
struct Context<'t> {
    report: &'t Report<'t>,
    /// What relative paths start from.
    folder: &'t Path,
    /// Certificates that are being served with.
    in_use: &'t [TlsFiles],
}

/// Reads and checks a file, with the files and environment variables that it names.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_while_serving(std::fs::read(path), path, &[])
}

/// The same with what came of reading the file, for a gateway that serves with the certificates `in_use`: when their files
/// cannot be used just now, that is a warning only. A renewal that is half done must not keep a revocation back.
///
/// # Errors
/// Everything else that is wrong with it, at once.
pub fn load_while_serving(content: std::io::Result<Vec<u8>>, path: &Path, in_use: &[TlsFiles]) -> Result<Config, Problems> {
    let whole =
        |message: String| Problems(vec![Problem { file: path.into(), line: 0, column: 0, severity: Severity::Error, message, hint: None }]);
    let bytes = content.map_err(|error| whole(format!("cannot be read: {error}")))?;
    match String::from_utf8(bytes) {
        Ok(text) => check(&text, path, in_use),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let line = memchr::memchr_iter(b'\n', &error.as_bytes()[..valid]).count() + 1;
            Err(whole(format!("line {line} is not valid UTF-8")))
        }
    }
}

/// Checks the text of a file that is or would be at `path`.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn parse(text: &str, path: &Path) -> Result<Config, Problems> {
    check(text, path, &[])
}

fn check(text: &str, path: &Path, in_use: &[TlsFiles]) -> Result<Config, Problems> {
    let report = Report::new(text, path);
    let tree = document::parse(text, &report);
    let folder = path.parent().unwrap_or(Path::new(""));
    let config = tree.as_ref().map(|tree| {
        let context = Context { report: &report, folder, in_use };
        resolve(context, Section::open(context.report, &ROOT, tree.get_ref(), 0))
    });
    drop(tree);
    let (problems, failed) = report.finish();
    match config {
        Some(config) if !failed => Ok(Config { warnings: problems, ..config }),
        _ => Err(Problems(problems)),
    }
}

fn resolve<'t>(context: Context<'t>, root: Section<'t>) -> Config {
    let (server, tls) = server::server(context, root);
    let admin = server::admin(context, root, &server.listen);
    let apis = api::apis(context, root);
    let revoked = server::revoked(root);
    let keys = key::keys(root, &apis, &revoked);
    Config {
        server,
        tls,
        admin,
        log: log(root),
        store: server::store(context, root),
        reload: reload(root),
        apis: apis.into_iter().map(|api| api.config.into()).collect(),
        keys,
        revoked: revoked.keys.into_keys().map(Into::into).collect(),
        revoked_organizations: revoked.organizations.into_keys().map(Into::into).collect(),
        warnings: Vec::new(),
    }
}

fn log(root: Section<'_>) -> Log {
    let Some(section) = root.section("log", &document::LOG) else { return Log { requests: true, format: LogFormat::Auto } };
    let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];
    Log { requests: section.boolean("requests", true), format: section.choice("format", LogFormat::Auto, &formats) }
}

fn reload(root: Section<'_>) -> Reload {
    let section = root.section("reload", &document::RELOAD);
    Reload { max_removed_percent: section.map_or(50, |section| section.percent("max_removed_keys", 50)) }
}
