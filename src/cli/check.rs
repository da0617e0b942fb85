//! `keygate check`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use super::defaults::DEFAULT_CONFIG;
use super::output::{complain, count, print};
use crate::config::{self, Config, Problem, Problems, Severity};

/// Report everything that is wrong with a file, without running it
///
/// Each mistake comes with its line and column, and usually with a hint. Also checks the files and
/// environment variables that the file names. Exits with 1 if there is a mistake; warnings alone
/// exit with 0.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to check
    #[arg(value_name = "FILE", default_value = DEFAULT_CONFIG)]
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = arguments.file.display();
    match config::load(&arguments.file) {
        Ok(config) => {
            let mut said = config.revoked_warnings_of_file(&arguments.file);
            said.extend(config.warnings.iter().cloned());
            said.sort_by_key(|warning| (warning.line, warning.column));
            said.iter().for_each(complain);
            print(format_args!("{file} is fine{}\n{}", warnings(&said), summary(&config)))
        }
        Err(Problems(problems)) => {
            problems.iter().for_each(complain);
            revocations(&arguments.file).iter().for_each(complain);
            let errors =
                problems.iter().filter(|problem| problem.severity == Severity::Error).count();
            bail!("{file} has {}", count(errors, "mistake"))
        }
    }
}

/// Returns what a running gateway would do with `[revoked]` of a file that has mistakes, or `None`
/// if the file does not mention it.
fn revocations(file: &Path) -> Option<String> {
    match config::revoked_alone(&config::read_file(file, config::MOST_TOML).ok()?) {
        Ok(revoked) if revoked.is_empty() => None,
        Ok(_) => Some("in force in spite of the mistakes: what [revoked] newly revokes".to_owned()),
        Err(config::NotAlone::Missing) => None,
        Err(why) => Some(format!("not in force: whatever this file newly revokes ({why})")),
    }
}

fn warnings(warnings: &[Problem]) -> String {
    if warnings.is_empty() {
        ".".to_owned()
    } else {
        format!(", with {}.", count(warnings.len(), "warning"))
    }
}

fn summary(config: &Config) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let listen: Vec<String> =
        config.server.listen.iter().map(|address| format!("{scheme}://{address}")).collect();
    let mut summary = format!("  listens on {}", listen.join(", "));
    if let Some(admin) = &config.admin {
        let scheme = if admin.tls.is_some() { "https" } else { "http" };
        let _ = write!(
            summary,
            "\n  admin      {scheme}://{}, {}",
            admin.listen,
            count(admin.tokens.len(), "token")
        );
    }
    for (index, api) in config.apis.iter().enumerate() {
        let definition = &api.definition;
        let keys = config.keys.iter().filter(|key| key.apis.contains(&index)).count();
        let hosts = if definition.hosts.is_empty() {
            "any host".to_owned()
        } else {
            definition.hosts.join(", ")
        };
        let scopes = count(definition.scopes.len(), "scope");
        let _ = write!(
            summary,
            "\n  api        {}: {hosts}, path {}, {scopes}, {}",
            definition.name,
            definition.base_path,
            count(keys, "key")
        );
    }
    // What finds no key of this file revokes none, as far as can be told here.
    let revoked = config.keys.iter().filter(|key| config.revokes(key)).count();
    if revoked > 0 {
        let _ = write!(summary, "\n  revoked    {}", count(revoked, "key"));
    }
    summary
}
