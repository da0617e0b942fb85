//! Fuzzes bodies to the admin API and to an API's own key endpoints of a real gateway. No response
//! may be a 5xx.
#![no_main]

use keygate::http1;
use keygate::policy::Fields;
use keygate_fuzz::gateway::{TOKEN, exchange, gateway};
use keygate_fuzz::key;
use libfuzzer_sys::fuzz_target;

const CALLS: [&str; 12] = [
    "POST /v1/keys",
    "POST /v1/keys/import",
    "PATCH /v1/keys/key_7",
    "POST /v1/keys/key_7/pause",
    "POST /v1/keys/key_1/rotate",
    "POST /v1/keys/key_1/revoke",
    "PUT /v1/organizations/org_acme",
    "PATCH /v1/organizations/org_acme",
    "POST /v1/explain",
    "GET /v1/keys",
    "GET /v1/audit",
    // The API's own key endpoints.
    "POST /api/v1/keys",
];

fuzz_target!(|data: &[u8]| {
    let Some((call, body)) = data.split_first() else { return };
    let call = CALLS[usize::from(*call) % CALLS.len()];
    let own = call.contains("/api/");
    let (address, credential) =
        if own { (gateway().data, key()) } else { (gateway().admin, TOKEN.to_owned()) };
    // The input is the query of calls without a body.
    let query: String = String::from_utf8_lossy(body)
        .chars()
        .filter(|char| char.is_ascii_graphic() && *char != '#')
        .collect();
    let query = if call.starts_with("GET") { format!("?{query}") } else { String::new() };
    let head = format!(
        "{call}{query} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {credential}\r\n\
            content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = exchange(address, &[head.as_bytes(), body].concat(), false);
    if answer.is_empty() {
        return; // a reset: the body was too large
    }
    let end = http1::find_end(&answer, 0, 1 << 16).expect("a sound answer").expect("a whole head");
    let (head, rest) = answer.split_at_mut(end);
    let mut fields = Fields::new();
    let (status, _) = http1::response(head, 100, &mut fields).expect("a sound answer");
    assert!(!status.is_server_error(), "{status}: {}", String::from_utf8_lossy(rest));
});
