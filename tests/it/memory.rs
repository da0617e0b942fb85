//! Keys that were revoked: they cost almost no memory, and are still refused as revoked.

use std::ops::Range;
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Key, Message, Request, Upstream, hex_digest};

/// Returns how many keys are created and revoked in a round: `KEYGATE_DEAD_KEYS=50000` for a long
/// run.
fn keys() -> usize {
    std::env::var("KEYGATE_DEAD_KEYS")
        .map_or(3000, |text| text.parse().expect("KEYGATE_DEAD_KEYS is a number"))
}

/// How many keys are created and revoked before memory is first measured. By then the store's page
/// caches are almost full.
const BEFORE: usize = 6000;
/// The most memory that a revoked key may cost, in bytes.
const EACH: u64 = 40;
/// The most that memory may grow in a round for other reasons, in KiB.
const SLACK: u64 = 1024;
/// The number of rounds. The heap also grows by fragmentation, or if more requests happen to run
/// concurrently. That growth ends, but growth for each key would not. So at least one round must
/// stay within the bound.
const ROUNDS: usize = 8;
const CLIENTS: usize = 4;

struct KeyAdmin<'g> {
    gateway: &'g Gateway,
    admin: Client,
    data: Client,
    token: &'g Key,
}

impl<'g> KeyAdmin<'g> {
    fn open(gateway: &'g Gateway, token: &'g Key) -> Self {
        let admin = Client::plain(gateway.admin_address());
        Self { gateway, admin, data: gateway.client(), token }
    }

    fn post(&mut self, path: &str, body: &Value) -> Message {
        let request = Request::new("POST", path).host("localhost").bearer(self.token);
        let request = request.header("Content-Type", "application/json");
        self.admin.send(&request.body(body.to_string().as_bytes()))
    }

    fn use_key(&mut self, text: &str) -> Message {
        let request = Request::get("/").header("Authorization", &format!("Bearer {text}"));
        let answer = self.data.send(&request);
        if answer.header("connection") == Some("close") {
            self.data = self.gateway.client();
        }
        answer
    }

    /// Creates a key with an organisation of its own, uses it, and revokes it.
    fn make_and_revoke(&mut self, number: usize) {
        let body = json!({
            "name": format!("short-lived {number}"),
            "organization": format!("org_{number}"),
            "scopes": ["all"],
            "rate_limit": ["100/min", "1000/h"],
        });
        let made = self.post("/v1/keys", &body);
        assert_eq!(made.status(), 201, "{}", made.text());
        let made = made.json();
        let (id, text) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
        assert_eq!(self.use_key(text).status(), 200);
        let revoked = self.post(&format!("/v1/keys/{id}/revoke"), &json!({}));
        assert_eq!(revoked.status(), 200, "{}", revoked.text());
        // Each refusal is remembered for an hour, so only some keys are tried.
        if number.is_multiple_of(100) {
            assert_eq!(self.use_key(text).json()["code"], "revoked_key");
        }
    }
}

fn make_and_revoke(gateway: &Gateway, token: &Key, keys: Range<usize>) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let keys = keys.clone().skip(client).step_by(CLIENTS);
            scope.spawn(move || {
                let mut service = KeyAdmin::open(gateway, token);
                keys.for_each(|number| service.make_and_revoke(number));
            });
        }
    });
}

#[test]
fn memory_does_not_grow_with_keys_that_were_made_and_revoked() {
    let upstream = Upstream::start();
    let token = Key::new("ops", "token_");
    let gateway = Gateway::in_front_of(&upstream)
        .scope("all", &["GET /**"])
        .more(&format!(
            "[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n",
            hex_digest(&token.text)
        ))
        .more("[store]\npath = \"keygate.db\"\n[log]\nrequests = false\n")
        .start();
    make_and_revoke(&gateway, &token, 0..BEFORE);
    let mut before = gateway.memory("VmRSS");
    let most = SLACK + keys() as u64 * EACH / 1024;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let first = BEFORE + round * keys();
        make_and_revoke(&gateway, &token, first..first + keys());
        let after = gateway.memory("VmRSS");
        println!("{} keys made and revoked: memory {before} -> {after} KiB", keys());
        if after <= before + most {
            return;
        }
        rounds.push(after - before);
        before = after;
    }
    panic!("memory grew by {rounds:?} KiB in rounds of {} keys; at most {most}", keys());
}
