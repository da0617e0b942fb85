//! Builds the OpenAPI document from what the handlers declare and what many of them have in common.

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::problem;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keygate admin API",
        description = "Keys, organizations and the gateway itself, for operators and for the \
            admins of organizations. It is served on the \
            admin address. A token is an `[[admin.token]]` of gateway.toml; one with the role \
            `read` may only look, one with the role `portal` may only make and end portal \
            sessions, and one with an `organization` sees and touches only that one's keys. Every \
            error is `application/problem+json` with a `code` that never changes.",
    ),
    components(schemas(problem::Body, problem::Mistake)),
    security(("token" = [])),
    tags(
        (name = "keys", description = "Keys: those of the store can be changed, those of \
            gateway.toml can be looked at and revoked."),
        (name = "organizations", description = "Organizations, and the log of who changed what."),
        (name = "portal", description = "Sessions of people at the pages of `[portal]`."),
        (name = "gateway", description = "The gateway as a whole."),
    )
)]
struct Base;

/// Refusals that many operations have in common: name, status and description.
const REFUSALS: [(&str, &str, &str); 13] = [
    (
        "Unreadable",
        "400",
        "What is sent cannot be read: a parameter, a header field or the syntax of the body.",
    ),
    ("Unauthorized", "401", "There is no admin token, or one that nobody listed."),
    ("Forbidden", "403", "The token may not do this, or a foreign web page asks."),
    (
        "NotFound",
        "404",
        "There is nothing of this name that the token may see, or gateway.toml has no admin token \
            at all.",
    ),
    ("Slow", "408", "The body did not arrive in time."),
    (
        "Conflict",
        "409",
        "It contradicts what is there; or gateway.toml has no `[store]`; or no other process \
            could take over.",
    ),
    ("Stale", "412", "It was changed since it had the ETag of `If-Match`."),
    ("TooLarge", "413", "The body is larger than 64 KiB."),
    ("NotJson", "415", "The body is not `application/json`."),
    ("Invalid", "422", "What is sent can be read, and `errors` says which parts of it do not fit."),
    ("Often", "429", "It is asked for too often; `Retry-After` says when to ask again."),
    ("Fault", "500", "A mistake of the gateway's."),
    (
        "Unavailable",
        "503",
        "The store does not answer, so nothing was acknowledged; or the gateway is stopping.",
    ),
];

/// Links between operations: the operation and its status, the name of the link, the operation to
/// call next, its parameter, and the expression for the parameter's value.
const LINKS: [(&str, &str, &str, &str, &str, &str); 14] = [
    ("create_key", "201", "show", "show_key", "id", "$response.body#/id"),
    ("create_key", "201", "update", "update_key", "id", "$response.body#/id"),
    ("create_key", "201", "pause", "pause_key", "id", "$response.body#/id"),
    ("create_key", "201", "resume", "resume_key", "id", "$response.body#/id"),
    ("create_key", "201", "rotate", "rotate_key", "id", "$response.body#/id"),
    ("create_key", "201", "revoke", "revoke_key", "id", "$response.body#/id"),
    ("create_key", "201", "use", "key_use", "id", "$response.body#/id"),
    ("import_key", "201", "show", "show_key", "id", "$response.body#/id"),
    ("list_keys", "200", "next", "list_keys", "after", "$response.body#/next"),
    (
        "list_organizations",
        "200",
        "first",
        "show_organization",
        "name",
        "$response.body#/organizations/0/name",
    ),
    ("list_organizations", "200", "next", "list_organizations", "after", "$response.body#/next"),
    ("audit_log", "200", "next", "audit_log", "before", "$response.body#/next"),
    ("create_session", "201", "end", "end_session", "id", "$response.body#/id"),
    ("list_sessions", "200", "next", "list_sessions", "after", "$response.body#/next"),
];

/// The request bodies, by the names of their schemas.
const SENT: [&str; 11] = [
    "NewKey",
    "ImportedKey",
    "KeyChange",
    "Rotation",
    "RevocationOrder",
    "OrganizationChange",
    "BackupOrder",
    "ProofRequest",
    "NewSession",
    "Person",
    "EndOrder",
];

/// Returns the schema keywords for a member of these bodies, according to the validation by the key
/// service. That also checks what no schema can express: that names exist, and that a time is in
/// the future.
fn form(schema: &str, member: &str) -> Value {
    let name = json!({"minLength": 1, "maxLength": 200, "pattern": PRINTABLE});
    let restrictions = |items: Value| json!({"maxItems": 100, "items": items});
    match member {
        "id" if schema == "Person" => name,
        "actor" if schema == "NewSession" => json!({}),
        "actor" => name,
        "permissions" => json!({"minItems": 1}),
        "environments" => json!({"minItems": 1, "items": {"pattern": CONFIGURED_NAME}}),
        "max_key_lifetime" | "expires_in" => json!({"pattern": "^[0-9]{1,10}(ms|s|min|h|d)$"}),
        "path" => json!({"maxLength": 2048, "pattern": PAGE}),
        "return_url" => json!({"maxLength": 2048, "pattern": "^https?://[!-~]+$"}),
        "locale" => json!({"pattern": "^[A-Za-z0-9-]{2,35}$"}),
        "id" => json!({"pattern": KEY_ID}),
        "name" => name,
        "organization" => json!({"minLength": 1, "maxLength": 1024, "pattern": PRINTABLE}),
        "apis" => {
            json!({"minItems": 1, "uniqueItems": true, "items": {"pattern": CONFIGURED_NAME}})
        }
        "environment" => json!({"pattern": CONFIGURED_NAME}),
        "scopes" => json!({"uniqueItems": true, "items": {"pattern": r"^[!#-\[\]-~]{1,128}$"}}),
        "allow_ips" => restrictions(json!({"pattern": "^[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?$"})),
        "allow_referrers" => restrictions(json!({"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$"})),
        "allow_endpoints" => restrictions(json!({"pattern": "^[A-Z]+ /[!-~]*$"})),
        "rate_limit" => json!({"maxItems": 4, "items": {"pattern": RATE_LIMIT}}),
        "expires_at" => json!({"format": "date-time"}),
        "challenge" => json!({"pattern": "^[0-9a-f]{64}$"}),
        "sha256" => json!({"pattern": "^[0-9a-f]{64}$"}),
        "prefix" => json!({"pattern": "^[!-~]{0,8}$"}),
        "grace" => json!({"pattern": "^[0-9]{1,10}(ms|s|min|h|d)$"}),
        "reason" => json!({"maxLength": 500, "pattern": PRINTABLE.replace('+', "*")}),
        "key_cap" => json!({"minimum": 0, "maximum": 1_000_000}),
        _ => json!({}),
    }
}

const KEY_ID: &str = "^[A-Za-z0-9._:-]{1,128}$";
/// The name of an API or an environment.
const CONFIGURED_NAME: &str = "^[A-Za-z0-9._-]{1,64}$";
const RATE_LIMIT: &str = "^[0-9]{1,7}/[0-9]{0,7}(s|min|h|hour|day)$";
/// A path of the pages, with or without a query. It names no other host.
const PAGE: &str = "^/([-A-Za-z0-9._~?=&%+][-/A-Za-z0-9._~?=&%+]*)?$";
/// Text without control characters, and without characters that hide or reorder others, as far as a
/// pattern can express it.
const PRINTABLE: &str = concat!(
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b",
    "\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb]+$"
);

/// Returns an example of a new key.
fn example() -> Value {
    json!({
        "name": "CRM Integration",
        "organization": "org_acme",
        "scopes": ["tickets:read"],
        "allow_ips": ["203.0.113.0/24"],
        "allow_endpoints": ["GET /api/v1/tickets/**"],
        "rate_limit": ["1000/min"],
        "expires_at": "2099-03-31T23:59:59Z",
    })
}

/// Returns an example of a key that another system has issued.
fn imported_example() -> Value {
    json!({
        "sha256": "9d353fb05f5bcb317f9c50020f4f90e2c5a7f4ed7ae63590dc57aaf3902d550b",
        "name": "CRM Integration, from the system before",
        "organization": "org_acme",
        "scopes": ["tickets:read"],
    })
}

const METHODS: [&str; 4] = ["get", "post", "patch", "delete"];

/// Returns the document for these routes, as `/openapi.json` serves it.
pub(super) fn text(routes: utoipa::openapi::OpenApi) -> String {
    serde_json::to_string_pretty(&document(routes)).unwrap_or_default() + "\n"
}

fn document(routes: utoipa::openapi::OpenApi) -> Value {
    let mut api = Base::openapi();
    api.merge(routes);
    let mut document = serde_json::to_value(&api).unwrap_or_default();
    document["components"]["securitySchemes"] =
        json!({"token": {"type": "http", "scheme": "bearer"}});
    for (name, status, description) in REFUSALS {
        let mut refusal = json!({
            "description": description,
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        });
        if status == "401" {
            refusal["headers"] = json!({
                "WWW-Authenticate": {
                    "required": true,
                    "schema": {"type": "string"},
                    "description": "RFC 6750 §3.",
                },
            });
        }
        document["components"]["responses"][name] = refusal;
    }
    for name in SENT {
        let members = document["components"]["schemas"][name]["properties"].as_object_mut();
        for (member, schema) in members.into_iter().flatten() {
            extend(schema, form(name, member));
        }
    }
    for (path, example) in [("/v1/keys", example()), ("/v1/keys/import", imported_example())] {
        let body = &mut document["paths"][path]["post"]["requestBody"];
        body["content"]["application/json"]["example"] = example;
    }
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                complete(operation, path);
            }
        }
    }
    document
}

/// Adds what many operations have in common.
fn complete(operation: &mut Value, path: &str) {
    let has_body = operation.get("requestBody").is_some();
    let mut has_parameters = false;
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        // An absent parameter is left out. There is no way to send a null.
        without_null(&mut parameter["schema"]);
        has_parameters |= parameter["in"] == "query";
        complete_parameter(parameter, path);
    }
    if operation["parameters"].is_null() {
        operation.as_object_mut().map(|operation| operation.remove("parameters"));
    }
    if let Some(body) = operation.get_mut("requestBody") {
        without_null(&mut body["content"]["application/json"]["schema"]);
    }
    let has_if_match = operation["parameters"]
        .as_array()
        .is_some_and(|all| all.iter().any(|parameter| parameter["name"] == "If-Match"));
    let is_open = operation.get("security").is_some();
    for (name, status, _) in REFUSALS {
        let applies = match status {
            "403" | "404" => path.starts_with("/v1/") || path == "/openapi.json",
            "400" | "500" => !is_open || has_body,
            "401" | "409" | "503" => !is_open,
            "429" => path == "/v1/proof" || (path == "/v1/portal/sessions" && has_body),
            "408" | "413" | "415" => has_body,
            "412" => has_if_match,
            _ => has_body || has_parameters,
        };
        if applies {
            operation["responses"][status] =
                json!({"$ref": format!("#/components/responses/{name}")});
        }
    }
    for (from, status, name, to, parameter, value) in LINKS {
        if operation["operationId"] == from {
            operation["responses"][status]["links"][name] =
                json!({"operationId": to, "parameters": {parameter: value}});
        }
    }
    for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        for (_, header) in response["headers"].as_object_mut().into_iter().flatten() {
            header["required"] = json!(true);
        }
        response
            .as_object_mut()
            .filter(|response| response["headers"].is_null())
            .map(|response| response.remove("headers"));
    }
}

/// Adds the schema keywords of a parameter.
fn complete_parameter(parameter: &mut Value, path: &str) {
    match (parameter["in"].as_str(), parameter["name"].as_str()) {
        (Some("path"), Some("id")) => parameter["schema"]["pattern"] = json!(KEY_ID),
        (Some("path"), _) => parameter["schema"]["minLength"] = json!(1),
        (Some("query"), Some("after")) if path == "/v1/keys" => {
            parameter["schema"]["pattern"] = json!("^(file|store):")
        }
        (Some("header"), Some("If-Match")) => {
            let tag = json!({"type": "string", "pattern": "^\"[0-9]+\"$"});
            parameter["schema"] = json!({"oneOf": [{"const": "*"}, tag]});
        }
        (Some("query"), Some("before")) => parameter["schema"]["pattern"] = json!("^[0-9]{1,18}$"),
        _ => {}
    }
}

/// Adds keywords to a schema and to the schema of its items.
fn extend(schema: &mut Value, keywords: Value) {
    let Value::Object(keywords) = keywords else { return };
    for (keyword, value) in keywords {
        if keyword == "items" {
            extend(&mut schema["items"], value)
        } else {
            schema[keyword] = value
        }
    }
}

/// Removes the null that stands for an absent value from a schema.
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
    // Indexing a member that does not exist has added it as a null.
    if let Some(keywords) = schema.as_object_mut() {
        keywords.retain(|_, value| !value.is_null());
    }
}
