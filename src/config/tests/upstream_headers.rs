//! `[api.upstream_headers]`.

use super::{accepted, refused, rejected, with_api};

#[test]
fn upstream_headers_that_keygate_sets_itself_are_refused() {
    for name in [
        "Host",
        "X-Keygate-Auth",
        "X-Forwarded-For",
        "Connection",
        "Via",
        "X-Request-Id",
        "Content-Length",
    ] {
        refused(
            &with_api(&format!("[api.upstream_headers]\n⟦{name} = \"v\"")),
            &["that Keygate sets itself"],
        );
    }
    refused(&with_api("[api.upstream_headers]\n⟦\"a b\" = \"v\""), &["no header name"]);
    refused(&with_api("[api.upstream_headers]\nX-A = \"v\"\n⟦X_A = \"v\""), &["is set twice"]);
}

#[test]
fn upstream_header_cannot_replace_a_pass_through_credential() {
    let places = "pass_through = [\"header:DeskToken\", \"cookie:s\"]\n\
        pass_through_allows = [\"GET /x\"]\n[api.upstream_headers]\n";
    refused(
        &with_api(&format!("{places}⟦desktoken = \"v\"\n⟦Cookie = \"v\"")),
        &["would replace a credential"; 2],
    );
}

#[test]
fn upstream_header_values_are_sensitive_and_never_repeated() {
    let config = accepted(&with_api("[api.upstream_headers]\nAuthorization = \"Basic hunter2\""));
    assert_eq!(
        config.apis[0].definition.upstream_headers[0].1.show(),
        b"authorization: Basic hunter2\r\n"
    );
    assert!(!format!("{config:?}").contains("hunter2"));
    // The bytes must not be listed as numbers either.
    let bytes = format!("{:?}", b"hunter2");
    let shown = format!("{:?} {:?}", config.routes(), config.apis[0].definition);
    assert!(
        !shown.contains("hunter2") && !shown.contains(bytes.trim_matches(['[', ']'])),
        "{shown}"
    );
    let text = with_api("[api.upstream_headers]\nAuthorization = \"Basic hunter2\"").into_bytes();
    let reading = crate::config::load_while_serving(
        Ok(text),
        std::path::Path::new("gateway.toml"),
        &[],
        None,
    )
    .expect("a good file");
    assert!(!format!("{reading:?}").contains("hunter2"));
    let text = with_api("[api.upstream_headers]\nX-A = ⟦\"hunter2\\u0007\"\nX-B = ⟦\"\"\nX-C = ⟦1");
    refused(&text, &["empty or has characters", "empty or has characters", "must be a text"]);
    assert!(!rejected(&text.replace('⟦', "")).to_string().contains("hunter2"));
}

#[test]
fn environment_variable_that_is_not_set_is_refused() {
    let text = with_api(
        "[api.upstream_headers]\nX-A = ⟦\"env:KEYGATE_TEST_NEVER_SET\"\nX-B = ⟦\"env:a-b\"",
    );
    refused(&text, &["`KEYGATE_TEST_NEVER_SET` is not set", "name of an environment variable"]);
    // Cargo sets `CARGO_MANIFEST_DIR`.
    accepted(&with_api("[api.upstream_headers]\nX-A = \"env:CARGO_MANIFEST_DIR\""));
}
