//! Reads `[api.key_api]`.

use super::context::Context;
use super::endpoints;
use super::resolved_api::ResolvedApi;
use crate::config::document::Section;
use crate::config::kinds::KEY_API;
use crate::config::names;
use crate::config::secret::quote;
use crate::policy::{ApiDefinition, KeyApi, KeyApiStyle};

pub(super) fn key_api(root: Section<'_>, api: Section<'_>) -> Option<KeyApi> {
    let section = api.section("key_api", &KEY_API)?;
    let report = section.report;
    if !root.has("store") {
        let hint = "add `[store]` with `path = \"keygate.db\"`";
        report.error_with_hint(
            section.at,
            "[api.key_api] needs a `[store]`, where keys that are made or revoked there are kept",
            hint,
        );
    }
    section.require("path", "`path = \"/v1/api-keys\"` says where the key endpoints are");
    section.require("style", "`style = \"bare\"` or `\"envelope\"`");
    let styles = [("bare", KeyApiStyle::Bare), ("envelope", KeyApiStyle::Envelope)];
    let style = section.choice("style", KeyApiStyle::Bare, &styles);
    let create = section.boolean("create", true);
    let scope = section.text("scope");
    if let Some(scope) = scope
        && (scope.value == "*" || !names::is_scope_name(scope.value))
    {
        report.error(scope.at, "`scope` must be the name of a scope");
    }
    let text = section.text("path")?;
    let path = names::base_path(report, "path", text)?;
    if &*path == "/" {
        report.error(text.at, "`path` cannot be `/`: nothing would be left for the upstream");
    }
    Some(KeyApi { path, style, scope: scope.map(|scope| scope.value.into()), create })
}

/// Checks the paths of key endpoints, which requires all APIs.
pub(super) fn check(context: Context<'_>, apis: &[ResolvedApi<'_>]) {
    let definitions: Vec<&ApiDefinition> = apis.iter().map(|api| &api.config.definition).collect();
    for (index, api) in apis.iter().enumerate() {
        let definition = definitions[index];
        let Some(key_api) = &definition.key_api else { continue };
        let path = &*key_api.path;
        let ignore_case = definition.case_insensitive_paths;
        if let Err(why) = endpoints::reach(&format!("GET {path}"), index, &definitions) {
            let hint = endpoints::explain(why, index, &definitions);
            context.report.error_with_hint(
                api.key_api_at,
                format!("the key endpoints at `{path}` can never be reached"),
                hint,
            );
        }
        for endpoint in &api.endpoints {
            if endpoints::always_lies_under(endpoint.text.value, path, ignore_case) {
                let message = format!(
                    "{} has no effect: Keygate itself answers at `{path}`",
                    quote(endpoint.text.value)
                );
                let hint = "which keys may do so is said by `scope` of [api.key_api]";
                context.report.warn(endpoint.text.at, message, Some(hint.to_owned()));
            }
        }
    }
}
