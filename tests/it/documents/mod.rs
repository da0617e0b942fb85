//! The five API documents that `examples/five-apis/gateway.toml` implements, one module each.

mod approvals;
mod generic;
mod relay_ai;
mod relay_help_desk;
mod support_station;

use crate::harness::{Gateway, Key, Message, Request, Upstream, wait_for};

/// The example in front of two upstreams of the test. Only addresses are changed, and keys added.
struct Example {
    gateway: Gateway,
    upstream: Upstream,
    /// The upstream of the generic API's test keys.
    sandbox: Upstream,
}

impl Example {
    /// Starts the example with these keys, all for the API of this name.
    fn start(api: &str, keys: &[&Key]) -> Self {
        let upstream = Upstream::start();
        let sandbox = Upstream::start();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/five-apis/gateway.toml");
        let mut toml = std::fs::read_to_string(path).expect("the example is there");
        let (live, test) = (upstream.url(), sandbox.url());
        for (from, to) in [
            ("\"http://127.0.0.1:3000\"", format!("\"{live}\"")),
            ("\"http://127.0.0.1:3001\"", format!("\"{test}\"")),
            ("\"127.0.0.1:8080\"", "\"127.0.0.1:0\"".into()),
            ("\"127.0.0.1:9190\"", "\"127.0.0.1:0\"".into()),
        ] {
            assert!(toml.contains(from), "the example no longer has {from}");
            toml = toml.replace(from, &to);
        }
        for key in keys {
            toml.push_str(&key.block());
            toml.push_str(&format!("apis = [\"{api}\"]\n"));
        }
        Self { gateway: Gateway::serve(&toml, None), upstream, sandbox }
    }

    /// Revokes a key by its id, as an operator does. Waits until `request` is answered with 401 and
    /// returns that response.
    #[track_caller]
    fn revoke(&self, id: &str, request: &Request) -> Message {
        self.gateway.edit(|toml| {
            assert!(
                toml.contains("[revoked]\nkeys = []"),
                "the example no longer starts with nothing revoked"
            );
            *toml = toml.replace("[revoked]\nkeys = []", &format!("[revoked]\nkeys = [\"{id}\"]"));
        });
        wait_for("the revocation is in force", || {
            Some(self.gateway.send(request)).filter(|answer| answer.status() == 401)
        })
    }

    /// Sends a request that must reach the upstream. Returns the forwarded request and the
    /// response.
    #[track_caller]
    fn forwarded(&self, request: &Request) -> (Message, Message) {
        let before = self.upstream.requests().len();
        let answer = self.gateway.send(request);
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.text(), r#"{"data":[]}"#);
        assert_eq!(
            self.upstream.requests().len(),
            before + 1,
            "it did not reach the upstream once"
        );
        (self.upstream.last(), answer)
    }

    /// Sends a request that must not reach any upstream. Returns the response.
    #[track_caller]
    fn refused(&self, request: &Request, status: u16) -> Message {
        let before = (self.upstream.requests().len(), self.sandbox.requests().len());
        let answer = self.gateway.send(request);
        assert_eq!(answer.status(), status, "{answer:?}");
        assert_eq!(
            (self.upstream.requests().len(), self.sandbox.requests().len()),
            before,
            "it reached an upstream"
        );
        answer
    }
}

/// Converts fields to the form of [`Message::fields`].
fn fields(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.sort();
    fields
}

/// Returns the complete RFC 9457 body of a response that Keygate generates.
fn problem(title: &str, status: u16, detail: &str, code: &str, answer: &Message) -> String {
    let id = answer.header("x-request-id").expect("a request id");
    format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\
         \"detail\":\"{detail}\",\"code\":\"{code}\",\"request_id\":\"{id}\"}}"
    )
}
