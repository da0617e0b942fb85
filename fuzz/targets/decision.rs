//! Fuzzes a request head, which is judged and rewritten. Nothing may panic. The upstream must get
//! one well-formed head that identifies the caller as the decision does, and no key.
#![no_main]

use std::sync::LazyLock;

use keygate::http1;
use keygate::policy::{
    ApiDefinition, Caller, CredentialPlace, Fields, Head, Peer, Snapshot, authorise, charge,
    client_address, host_of, prepare_request, refuse,
};
use keygate_fuzz::{NOW, all, key};
use libfuzzer_sys::fuzz_target;

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(keygate_fuzz::snapshot);
static PEER: LazyLock<Peer> = LazyLock::new(keygate_fuzz::peer);

/// The fields that identify the caller and describe the connection. A client must not be able to
/// set them.
const OURS: [&str; 11] = [
    "x-keygate-auth",
    "x-keygate-key-id",
    "x-keygate-key-name",
    "x-keygate-scopes",
    "x-keygate-environment",
    "x-keygate-organization",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "host",
];

fuzz_target!(|data: &[u8]| {
    // `$KEY` stands for the key, which no mutation would find.
    let mut bytes = replace(data, b"$KEY", key().as_bytes());
    let mut fields = Fields::new();
    let Ok(head) = http1::request(&mut bytes, 100, &mut fields) else { return };
    let version = head.version;
    let _ = http1::request_body(version, &fields);
    let head = Head { method: &head.method, target: head.target, fields: &fields, peer: &PEER };
    let _ = host_of(&head.target, &fields);
    let _ = client_address(PEER.address, &fields, &[]);
    let verdict = authorise(&head, &SNAPSHOT, NOW).and_then(|permit| charge(permit, NOW));
    let admission = match verdict {
        Ok(admission) => admission,
        Err(refused) => {
            for grpc in [false, true] {
                let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
                let (status, body) = refuse(&refused, "id", grpc, NOW, &mut answer);
                answer.extend_from_slice(b"\r\n");
                assert!(status.as_u16() >= 400 || grpc, "a refusal is no success");
                http1::response(&mut answer, 100, &mut Fields::new()).expect("a sound answer");
                assert!(!holds_key(&body), "a refusal repeats the key");
            }
            return;
        }
    };
    let mut sent = b"GET / HTTP/1.1\r\n".to_vec();
    prepare_request(&head, version, &admission, &[], "id", None, &mut sent);
    sent.extend_from_slice(b"\r\n");
    let with_key = matches!(admission.caller(), Caller::Key { .. });
    assert!(
        !with_key || !holds_credential(&sent, &admission.api().definition()),
        "the key went on"
    );
    let mut fields = Fields::new();
    http1::request(&mut sent, 1000, &mut fields).expect("what is sent on is a sound head");
    for name in OURS {
        assert!(all(&fields, name).count() <= 1, "{name} twice");
    }
    assert_eq!(all(&fields, "host").count(), 1);
    // Each proxy adds its element after those of the proxies before it. RFC 9110, 7.6.3.
    let via = if version == http::Version::HTTP_10 { b"1.0 keygate" } else { b"1.1 keygate" };
    assert_eq!(all(&fields, "via").last(), Some(&via[..]));
    assert_eq!(all(&fields, "x-forwarded-for").next(), Some(&b"192.0.2.1"[..]));
    assert_eq!(all(&fields, "x-request-id").next(), Some(&b"id"[..]));
    let auth: &[u8] = match admission.caller() {
        Caller::Key { .. } => b"key",
        Caller::PassThrough => b"pass-through",
        Caller::Public => b"public",
    };
    assert_eq!(all(&fields, "x-keygate-auth").next(), Some(auth));
    assert_eq!(all(&fields, "x-keygate-key-id").count(), usize::from(with_key));
    for field in fields.iter() {
        let twin = field.name.replace('_', "-");
        assert!(twin == field.name || !OURS.contains(&&*twin), "{} went on", field.name);
        assert!(
            !matches!(
                field.name,
                "connection" | "transfer-encoding" | "content-length" | "upgrade" | "keep-alive"
            ),
            "{}",
            field.name
        );
    }
});

fn replace(data: &[u8], name: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + text.len());
    let mut rest = data;
    while let Some(at) = rest.windows(name.len()).position(|window| window == name) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(text);
        rest = &rest[at + name.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn holds_key(bytes: &[u8]) -> bool {
    let key = key();
    bytes.windows(key.len()).any(|window| window == key.as_bytes())
}

/// Returns whether the key is in one of this API's credential locations. Elsewhere it is the
/// client's own text.
fn holds_credential(head: &[u8], api: &ApiDefinition) -> bool {
    let mut head = head.to_vec();
    let mut fields = Fields::new();
    http1::request(&mut head, 1000, &mut fields).expect("what is sent on is a sound head");
    let is_bearer =
        |value: &[u8]| value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"));
    let found = api.credentials.iter().any(|place| {
        let bearer = *place == CredentialPlace::Bearer;
        let mut values = all(&fields, place.header().as_str());
        values.any(|value| holds_key(value) && (!bearer || is_bearer(value)))
    });
    found
}
