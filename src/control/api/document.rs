//! The OpenAPI document: what the handlers declare, and what holds for many of them.

use super::{gateway, guarded_routes, problem};
use serde_json::{Value, json};
use std::sync::LazyLock;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keygate admin API",
        description = "Keys, organizations and the gateway itself, for operators and for the admins of organizations. It is served on the \
            admin address. A token is an `[[admin.token]]` of gateway.toml; one with the role `read` may only look, and one with an \
            `organization` sees and touches only that one's keys. Every error is `application/problem+json` with a `code` that never changes.",
    ),
    components(schemas(problem::Body, problem::Mistake)),
    security(("token" = [])),
    tags(
        (name = "keys", description = "Keys: those of the store can be changed, those of gateway.toml can be looked at and revoked."),
        (name = "organizations", description = "Organizations, and the log of who changed what."),
        (name = "gateway", description = "The gateway as a whole."),
    )
)]
struct Base;

/// Refusals that many calls have in common: name, status, when.
const REFUSALS: [(&str, &str, &str); 12] = [
    ("Unreadable", "400", "What is sent cannot be read: a parameter, a header field or the syntax of the body."),
    ("Unauthorized", "401", "There is no admin token, or one that nobody listed."),
    ("Forbidden", "403", "The token may not do this, or a foreign web page asks."),
    ("NotFound", "404", "There is nothing of this name that the token may see, or gateway.toml has no admin token at all."),
    ("Slow", "408", "The body did not arrive in time."),
    ("Conflict", "409", "It contradicts what is there; or gateway.toml has no `[store]`."),
    ("Stale", "412", "It was changed since it had the ETag of `If-Match`."),
    ("TooLarge", "413", "The body is larger than 64 KiB."),
    ("NotJson", "415", "The body is not `application/json`."),
    ("Invalid", "422", "What is sent can be read, and `errors` says which parts of it do not fit."),
    ("Fault", "500", "A mistake of the gateway's."),
    ("Unavailable", "503", "The store does not answer, so nothing was acknowledged; or the gateway is stopping."),
];

/// What can follow: operation and status, name of the link, the operation that follows, its parameter and where its value is.
const LINKS: [(&str, &str, &str, &str, &str, &str); 12] = [
    ("create_key", "201", "show", "show_key", "id", "$response.body#/id"),
    ("create_key", "201", "update", "update_key", "id", "$response.body#/id"),
    ("create_key", "201", "pause", "pause_key", "id", "$response.body#/id"),
    ("create_key", "201", "resume", "resume_key", "id", "$response.body#/id"),
    ("create_key", "201", "rotate", "rotate_key", "id", "$response.body#/id"),
    ("create_key", "201", "revoke", "revoke_key", "id", "$response.body#/id"),
    ("create_key", "201", "use", "key_use", "id", "$response.body#/id"),
    ("import_key", "201", "show", "show_key", "id", "$response.body#/id"),
    ("list_keys", "200", "next", "list_keys", "after", "$response.body#/next"),
    ("list_organizations", "200", "first", "show_organization", "name", "$response.body#/organizations/0/name"),
    ("list_organizations", "200", "next", "list_organizations", "after", "$response.body#/next"),
    ("audit_log", "200", "next", "audit_log", "before", "$response.body#/next"),
];

const METHODS: [&str; 3] = ["get", "post", "patch"];

/// The document, as `/openapi.json` serves it.
pub(super) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| serde_json::to_string_pretty(&document()).unwrap_or_default() + "\n");
    &TEXT
}

fn document() -> Value {
    let mut api = Base::openapi();
    api.merge(gateway::open_routes().split_for_parts().1);
    api.merge(guarded_routes().split_for_parts().1);
    let mut document = serde_json::to_value(&api).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({"token": {"type": "http", "scheme": "bearer"}});
    for (name, status, description) in REFUSALS {
        let mut refusal = json!({
            "description": description,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        });
        if status == "401" {
            refusal["headers"] =
                json!({"WWW-Authenticate": {"required": true, "schema": {"type": "string"}, "description": "RFC 6750 §3."}});
        }
        document["components"]["responses"][name] = refusal;
    }
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                complete(operation, path, method);
            }
        }
    }
    document
}

/// Adds what holds for many operations.
fn complete(operation: &mut Value, path: &str, method: &str) {
    let has_body = operation.get("requestBody").is_some();
    let mut has_parameters = false;
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        // An absent parameter is left out; there is no way to send a null.
        without_null(&mut parameter["schema"]);
        has_parameters |= parameter["in"] == "query";
        if parameter["in"] == "path" {
            parameter["schema"]["minLength"] = json!(1);
        }
    }
    if operation["parameters"].is_null() {
        operation.as_object_mut().map(|operation| operation.remove("parameters"));
    }
    if let Some(body) = operation.get_mut("requestBody") {
        without_null(&mut body["content"]["application/json"]["schema"]);
    }
    let has_if_match = operation["parameters"].as_array().is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "If-Match"));
    let is_open = operation.get("security").is_some();
    for (name, status, _) in REFUSALS {
        let applies = match status {
            "403" | "404" => path.starts_with("/v1/") || path == "/openapi.json",
            "400" | "401" | "500" | "503" => !is_open,
            "408" | "413" | "415" => has_body,
            "409" => method != "get",
            "412" => has_if_match,
            _ => has_body || has_parameters,
        };
        if applies {
            operation["responses"][status] = json!({"$ref": format!("#/components/responses/{name}")});
        }
    }
    for (from, status, name, to, parameter, value) in LINKS {
        if operation["operationId"] == from {
            operation["responses"][status]["links"][name] = json!({"operationId": to, "parameters": {parameter: value}});
        }
    }
    for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        for (_, header) in response["headers"].as_object_mut().into_iter().flatten() {
            header["required"] = json!(true);
        }
        response.as_object_mut().filter(|response| response["headers"].is_null()).map(|response| response.remove("headers"));
    }
}

/// The schema without the null that stands for an absent value.
fn without_null(schema: &mut Value) {
    if let Some(kinds) = schema["type"].as_array()
        && let Some(kind) = kinds.iter().find(|kind| *kind != "null").cloned()
    {
        schema["type"] = kind;
    }
    if let Some(choices) = schema["oneOf"].as_array()
        && let Some(choice) = choices.iter().find(|choice| choice["type"] != "null").cloned()
    {
        *schema = choice;
    }
    // Looking at a member that is not there has added it.
    schema.as_object_mut().map(|schema| schema.retain(|_, value| !value.is_null()));
}

#[cfg(test)]
mod tests {
    /// The document that people read beside the code. `UPDATE_GOLDEN=1` writes it anew.
    #[test]
    fn openapi_document_is_the_one_in_docs() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("docs");
            std::fs::write(&file, super::text()).expect("it is written");
        }
        let kept = std::fs::read_to_string(&file).expect("docs/openapi.json");
        assert_eq!(kept, super::text(), "run `UPDATE_GOLDEN=1 cargo test --lib openapi` and look at the difference");
    }
}
