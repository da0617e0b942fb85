//! Fuzzes the response of an upstream, which is parsed and rewritten. The client must get one
//! well-formed header section, without the upstream's connection fields and without fields in
//! Keygate's name.
#![no_main]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use keygate::http1;
use keygate::policy::{
    Fields, Head, Peer, Snapshot, Target, authorise, charge, prepare_response, prepare_trailers,
};
use keygate_fuzz::{NOW, all, key};
use libfuzzer_sys::fuzz_target;

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(keygate_fuzz::snapshot);
static PEER: LazyLock<Peer> = LazyLock::new(keygate_fuzz::peer);

fuzz_target!(|data: &[u8]| {
    let mut answer = data.to_vec();
    let mut fields = Fields::new();
    let Ok((status, version)) = http1::response(&mut answer, 100, &mut fields) else { return };
    let head = http1::ResponseHead { status, version, fields: &fields };
    let _ = http1::response_body(&head, false);
    let authorization = format!("Bearer {}", key());
    let mut request = Fields::new();
    request.push("host", b"desk.example");
    request.push("authorization", authorization.as_bytes());
    let target = Target { authority: None, path: "/api/v1/tickets", query: None };
    let request = Head { method: &Method::GET, target, fields: &request, peer: &PEER };
    let permit = authorise(&request, &SNAPSHOT, NOW)
        .unwrap_or_else(|refused| panic!("{:?}", refused.refusal));
    let admission = match charge(permit, NOW) {
        Ok(admission) => admission,
        // Time does not advance here, so even a large limit is used up.
        Err(_) => return,
    };
    let mut sent = b"HTTP/1.1 200 OK\r\n".to_vec();
    prepare_response(&fields, &admission, "id", NOW, &[], &mut sent);
    sent.extend_from_slice(b"\r\n");
    let mut passed = Fields::new();
    http1::response(&mut sent, 1000, &mut passed).expect("what is sent on is a sound head");
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-request-id"]
    {
        assert_eq!(all(&passed, name).count(), 1, "{name}");
    }
    for name in [
        "connection",
        "transfer-encoding",
        "content-length",
        "upgrade",
        "keep-alive",
        "proxy-authenticate",
    ] {
        assert_eq!(all(&passed, name).count(), 0, "{name}");
    }
    let mut trailers = HeaderMap::new();
    for field in fields.iter() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value))
        {
            trailers.append(name, value);
        }
    }
    prepare_trailers(&mut trailers, &SNAPSHOT.routes.apis()[0]);
    for name in [
        "authorization",
        "cookie",
        "host",
        "content-length",
        "x-keygate-key-id",
        "x_keygate_key_id",
        "x-forwarded-for",
    ] {
        assert!(!trailers.contains_key(name), "{name} passed as a trailer");
    }
});
