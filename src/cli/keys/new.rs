//! `keygate keys new`.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use toml::Value;
use zeroize::Zeroizing;

use crate::cli::defaults::DEFAULT_CONFIG;
use crate::cli::error::with_hint;
use crate::cli::output::print;
use crate::config::{self, Problems, Severity};
use crate::policy::{ApiDefinition, Digest, EmptyScopes, Environment, new_key};

/// Print a new key once, with the [[key]] block to paste
///
/// Needs no running gateway and changes no file. If there is a gateway.toml, the key fits it: it
/// has the API's prefix, and the block is checked against the file before anything is printed.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The file that the key is for [default: gateway.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which [[api]] it may call; required if several are possible
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    /// Which of the API's environments it belongs to, such as live or test [default: the API's
    /// first]
    #[arg(long, value_name = "NAME", conflicts_with = "prefix")]
    environment: Option<String>,
    /// What the key starts with, instead of the environment's prefix
    #[arg(long)]
    prefix: Option<String>,
    /// Its id, for logs and for revoking it [default: generated]
    #[arg(long)]
    id: Option<String>,
    /// What people call it
    #[arg(long, default_value = "New key")]
    name: String,
    /// The organization that owns it
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// A scope of the key; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Print one JSON object: key, id, sha256, toml
    #[arg(long)]
    json: bool,
}

/// Prefixes by environment, used without a configuration file.
const USUAL_PREFIXES: [(&str, &str); 2] = [("live", "sk_live_"), ("test", "sk_test_")];
/// Prefix for an API that accepts any format of key.
const ANY_PREFIX: &str = "key_";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let target = Target::find(arguments)?;
    let key = generate(&target)?;
    let id = arguments.id.clone().map_or_else(made_up_id, Ok)?;
    let sha256 = Digest::of(key.as_bytes()).to_string();
    let block = block(arguments, &target, &id, &sha256);
    target.check(&block)?;
    if arguments.json {
        let object = serde_json::json!({ "key": *key, "id": id, "sha256": sha256, "toml": block });
        return print(object);
    }
    let file = target.file.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG)).display();
    print(format_args!(
        "A new key, {}:\n\n  {}\n\n\
         Hand it to its holder now: it is not kept anywhere and cannot be shown again.\n\
         To let it in, add this to {file}, which has only its digest:\n\n{block}",
        target.origin, *key
    ))
}

/// The API and environment that the key is made for.
struct Target {
    prefix: String,
    /// Where the prefix comes from, for people.
    origin: String,
    /// The configuration file, or `None` if there is none.
    file: Option<PathBuf>,
    text: String,
    api: Option<ApiDefinition>,
    /// Whether a block has to name its API.
    one_of_several: bool,
}

impl Target {
    fn find(arguments: &Arguments) -> anyhow::Result<Self> {
        let file = arguments.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
        match std::fs::read_to_string(file) {
            Ok(text) => Self::in_file(arguments, file, text),
            Err(error) if error.kind() == ErrorKind::NotFound && arguments.config.is_none() => {
                Self::without_file(arguments)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    fn without_file(arguments: &Arguments) -> anyhow::Result<Self> {
        if arguments.api.is_some() {
            return Err(with_hint(
                "there is no gateway.toml here, so there is no API",
                "name the file with --config",
            ));
        }
        let wanted = arguments.environment.as_deref().unwrap_or(USUAL_PREFIXES[0].0);
        let usual = USUAL_PREFIXES.iter().find(|(environment, _)| *environment == wanted);
        let prefix = arguments.prefix.as_deref().or(usual.map(|(_, prefix)| *prefix));
        let prefix = prefix.ok_or_else(|| {
            with_hint(
                "without a gateway.toml, the environment is `live` or `test`",
                "or give the --prefix",
            )
        })?;
        let origin = match arguments.prefix {
            Some(_) => "with the prefix that you gave".to_owned(),
            None => format!(
                "with the usual prefix `{prefix}` as there is no gateway.toml here (--prefix \
                    changes it)"
            ),
        };
        is_prefix(prefix)?;
        Ok(Self {
            prefix: prefix.to_owned(),
            origin,
            file: None,
            text: String::new(),
            api: None,
            one_of_several: false,
        })
    }

    fn in_file(arguments: &Arguments, file: &Path, text: String) -> anyhow::Result<Self> {
        let shown = file.display();
        let config = match config::parse(&text, file) {
            Ok(config) => config,
            // In an emergency, a mistake elsewhere in the file must not prevent making a key.
            Err(_) if arguments.prefix.is_some() && arguments.api.is_none() => {
                let target = Self::without_file(arguments)?;
                return Ok(Self {
                    origin: format!(
                        "{}; {shown} has mistakes and was not looked at",
                        target.origin
                    ),
                    ..target
                });
            }
            Err(problems) => {
                let hint = format!(
                    "`keygate check {shown}` lists them; with --prefix, the file is not needed"
                );
                return Err(with_hint(
                    format_args!(
                        "{shown} has mistakes, the first is:\n  {}",
                        first_error(&problems)
                    ),
                    hint,
                ));
            }
        };
        let apis: Vec<&ApiDefinition> = config.apis.iter().map(|api| &api.definition).collect();
        let api = choose_api(arguments, &apis)?;
        let (prefix, environment) = choose_prefix(arguments, api)?;
        is_prefix(&prefix)?;
        let environment = environment
            .map_or(String::new(), |environment| format!(", environment {}", environment.name));
        let origin = format!("for {}{environment} (by {shown})", api.name);
        Ok(Self {
            prefix,
            origin,
            file: Some(file.to_owned()),
            api: Some(api.clone()),
            one_of_several: apis.len() > 1,
            text,
        })
    }

    /// Checks that the file is still valid with the block appended.
    fn check(&self, block: &str) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let together = format!("{}\n\n{block}", self.text);
        config::parse(&together, file).map(|_| ()).map_err(|problems| {
            let error = anyhow!(
                "this key would not do in {}: {}",
                file.display(),
                first_error(&problems).message
            );
            match &first_error(&problems).hint {
                Some(hint) => with_hint(error, hint),
                None => error,
            }
        })
    }
}

fn first_error(Problems(problems): &Problems) -> &config::Problem {
    let error = problems.iter().find(|problem| problem.severity == Severity::Error);
    error.expect("there is at least one error among the problems of a refused file")
}

/// Returns the API that the arguments name, or the only one that accepts the prefix.
fn choose_api<'a>(
    arguments: &Arguments,
    apis: &[&'a ApiDefinition],
) -> anyhow::Result<&'a ApiDefinition> {
    let names =
        |apis: &[&ApiDefinition]| apis.iter().map(|api| &*api.name).collect::<Vec<_>>().join(", ");
    if let Some(name) = &arguments.api {
        let named = apis.iter().find(|api| *api.name == **name);
        return named.copied().ok_or_else(|| {
            with_hint(
                format_args!("there is no API named `{name}`"),
                format_args!("there is: {}", names(apis)),
            )
        });
    }
    let fits = |api: &&&ApiDefinition| {
        arguments.prefix.as_ref().is_none_or(|prefix| takes_prefix(api, prefix))
    };
    let fitting: Vec<&ApiDefinition> = apis.iter().filter(fits).copied().collect();
    match fitting.as_slice() {
        [api] => Ok(api),
        [] => Err(with_hint(
            "no API takes keys with this prefix",
            "leave out --prefix, and the key gets the API's",
        )),
        several => Err(with_hint(
            "there are several APIs that the key could open",
            format_args!("--api with one of: {}", names(several)),
        )),
    }
}

fn takes_prefix(api: &ApiDefinition, prefix: &str) -> bool {
    api.environments.is_empty() || environment_of(api, prefix).is_some()
}

/// Returns the environment with the longest prefix that the key starts with.
fn environment_of<'a>(api: &'a ApiDefinition, key: &str) -> Option<&'a Environment> {
    api.environments
        .iter()
        .filter(|environment| key.starts_with(&*environment.prefix))
        .max_by_key(|environment| environment.prefix.len())
}

fn choose_prefix<'a>(
    arguments: &Arguments,
    api: &'a ApiDefinition,
) -> anyhow::Result<(String, Option<&'a Environment>)> {
    let listed = |what: fn(&Environment) -> &str| {
        api.environments.iter().map(what).collect::<Vec<_>>().join(", ")
    };
    if let Some(prefix) = &arguments.prefix {
        if !takes_prefix(api, prefix) {
            let error = format!("{} takes no keys with this prefix", api.name);
            return Err(with_hint(
                error,
                format_args!("its keys start with: {}", listed(|environment| &environment.prefix)),
            ));
        }
        return Ok((prefix.clone(), environment_of(api, prefix)));
    }
    let environment = match &arguments.environment {
        None => api.environments.first(),
        Some(name) => {
            let found = api.environments.iter().find(|environment| *environment.name == **name);
            if found.is_none() {
                let hint = if api.environments.is_empty() {
                    "it has none"
                } else {
                    &format!("it has: {}", listed(|environment| &environment.name))
                };
                return Err(with_hint(
                    format_args!("{} has no environment named `{name}`", api.name),
                    hint,
                ));
            }
            found
        }
    };
    Ok((environment.map_or(ANY_PREFIX, |environment| &environment.prefix).to_owned(), environment))
}

/// Checks that the prefix can be sent as part of a bearer token (RFC 6750 §2.1).
fn is_prefix(prefix: &str) -> anyhow::Result<()> {
    let good = prefix.len() <= 64
        && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
    if good {
        Ok(())
    } else {
        Err(anyhow!("a prefix has up to 64 of letters, digits and `-._~+/`"))
    }
}

/// Generates a key of the target's environment. If one environment's prefix extends another's,
/// random characters after the shorter prefix could complete the longer one.
fn generate(target: &Target) -> anyhow::Result<Zeroizing<String>> {
    let environment = |key: &str| {
        target
            .api
            .as_ref()
            .and_then(|api| environment_of(api, key))
            .map(|environment| environment.name.clone())
    };
    for _ in 0..1000 {
        let random = Zeroizing::new(random_bytes()?);
        if let Some(key) = new_key(&target.prefix, &*random).map(Zeroizing::new)
            && environment(&key) == environment(&target.prefix)
        {
            return Ok(key);
        }
    }
    Err(anyhow!(
        "no key can start with `{}` alone: the prefixes of other environments take them all",
        target.prefix
    ))
}

fn random_bytes() -> anyhow::Result<[u8; 64]> {
    let mut random = [0; 64];
    getrandom::fill(&mut random).context("the system gives no random bytes")?;
    Ok(random)
}

fn made_up_id() -> anyhow::Result<String> {
    let random = new_key("", &random_bytes()?).context("too few random bytes")?;
    Ok(format!("key_{}", &random[..12]))
}

fn block(arguments: &Arguments, target: &Target, id: &str, sha256: &str) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let mut block = format!("[[key]]\nid = {}\nname = {}\n", text(id), text(&arguments.name));
    if let Some(organization) = &arguments.organization {
        let _ = writeln!(block, "organization = {}", text(organization));
    }
    if let Some(api) = &target.api
        && target.one_of_several
    {
        let _ = writeln!(block, "apis = [{}]", text(&api.name));
    }
    if let Some(api) = target.api.as_ref().filter(|api| api.environments.len() > 1)
        && let Some(environment) = environment_of(api, &target.prefix)
    {
        let _ = writeln!(block, "environment = {}", text(&environment.name));
    }
    let scopes: Vec<String> = arguments.scopes.iter().map(|scope| text(scope)).collect();
    let _ = write!(block, "sha256 = {}\nscopes = [{}]", text(sha256), scopes.join(", "));
    if scopes.is_empty() {
        block.push_str(&about_empty_scopes(target.api.as_ref()));
    }
    block
}

/// Returns a comment about the empty scope list, whose meaning differs between APIs.
fn about_empty_scopes(api: Option<&ApiDefinition>) -> String {
    let Some(api) = api else {
        return "  # what the key may do, by the names in [api.scopes]".to_owned();
    };
    let names: Vec<&str> = api.scopes.iter().map(|scope| &*scope.name).collect();
    let known = if names.is_empty() {
        String::new()
    } else {
        format!("; to choose from: {}", names.join(", "))
    };
    match api.empty_scopes {
        EmptyScopes::None => format!("  # so it may do nothing yet{known}"),
        EmptyScopes::All => format!("  # so it may do everything{known}"),
    }
}
