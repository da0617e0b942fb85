//! Clients of the admin API that create and change keys until the gateway ends, and that know what
//! state each key must be in afterwards.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Key, Message, Request, hex_digest};

/// A pseudo-random sequence (xorshift), reproducible from its seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The expected state of a key.
#[derive(Debug, Clone)]
struct State {
    revision: u64,
    /// The number of updates. The key's name and its limit both contain it.
    updates: u64,
    paused: bool,
    revoked: bool,
    /// The secrets, newest first.
    secrets: Vec<Secret>,
}

#[derive(Debug, Clone)]
struct Secret {
    /// `None` if the response that would have shown the secret was lost.
    text: Option<String>,
    ended: bool,
}

impl State {
    fn new(text: Option<String>) -> Self {
        Self {
            revision: 1,
            updates: 0,
            paused: false,
            revoked: false,
            secrets: vec![Secret { text, ended: false }],
        }
    }

    fn status(&self) -> &'static str {
        match (self.revoked, self.paused) {
            (true, _) => "revoked",
            (_, true) => "paused",
            _ => "active",
        }
    }

    /// Returns each known secret, with the status that the data listener must respond to it.
    fn expected(&self) -> impl Iterator<Item = (&str, u16)> {
        let status =
            |secret: &Secret| if secret.ended || self.status() != "active" { 401 } else { 200 };
        self.secrets
            .iter()
            .filter_map(move |secret| Some((secret.text.as_deref()?, status(secret))))
    }

    #[track_caller]
    fn assert_shown(&self, stem: &str, record: &Value) {
        let settings =
            (&record["name"], &record["rate_limit"], &record["scopes"], &record["status"]);
        let expected = (
            &json!(name(stem, self.updates)),
            &json!([limit(self.updates)]),
            &json!(["tickets:read"]),
            &json!(self.status()),
        );
        assert_eq!(settings, expected, "{record}");
    }
}

fn name(stem: &str, updates: u64) -> String {
    format!("{stem} {updates}")
}

fn limit(updates: u64) -> String {
    format!("{}/min", 100_000 + updates)
}

/// A key and the states that it may be in.
#[derive(Debug)]
struct Known {
    /// The start of the key's name, unique among all keys.
    stem: String,
    /// The state that was acknowledged.
    state: State,
    /// The state after the last change, if its response was lost: it may have been made.
    doubtful: Option<State>,
}

/// A client and its keys, which no other client changes.
pub(super) struct Worker {
    name: String,
    random: Random,
    made: u64,
    keys: BTreeMap<String, Known>,
    /// Keys that may have been created although the response was lost. Maps the start of the name
    /// to the key's text, if that is known.
    doubtful: BTreeMap<String, Option<String>>,
    /// The number of acknowledged changes.
    pub(super) acknowledged: u64,
}

/// A worker's connections to a gateway that may end at any time.
pub(super) struct Lines {
    admin: Client,
    data: Client,
    token: Key,
}

impl Lines {
    pub(super) fn to(gateway: &Gateway, token: &Key) -> Self {
        Self {
            admin: Client::plain(gateway.admin_address()),
            data: gateway.client(),
            token: token.clone(),
        }
    }

    fn ask(&mut self, method: &str, target: &str, body: &Value) -> Option<Message> {
        let mut request = Request::new(method, target).host("localhost").bearer(&self.token);
        if !body.is_null() {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string().as_bytes());
        }
        self.admin.try_send(&request)
    }

    /// Returns the status of a request with this key, or `None` if there is no response.
    pub(super) fn status(&mut self, text: &str) -> Option<u16> {
        let request =
            Request::get("/api/v1/tickets").header("Authorization", &format!("Bearer {text}"));
        Some(self.data.try_send(&request)?.status())
    }

    /// Returns all keys of the store, by id.
    pub(super) fn keys(&mut self) -> BTreeMap<String, Value> {
        let mut keys = BTreeMap::new();
        let mut after = String::new();
        loop {
            let page = self
                .ask("GET", &format!("/v1/keys?source=store&limit=1000{after}"), &Value::Null)
                .expect("an answer");
            assert_eq!(page.status(), 200, "{page:?}");
            let page = page.json();
            let found = page["keys"].as_array().expect("keys").iter();
            keys.extend(
                found.map(|key| (key["id"].as_str().expect("an id").to_owned(), key.clone())),
            );
            let Some(next) = page["next"].as_str() else { return keys };
            after = format!("&after={next}");
        }
    }
}

impl Worker {
    pub(super) fn new(name: String, seed: u64) -> Self {
        Self {
            name,
            random: Random(seed | 1),
            made: 0,
            keys: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            acknowledged: 0,
        }
    }

    /// Makes changes until a response is missing. Asserts that each acknowledged change is in
    /// force.
    pub(super) fn work(&mut self, mut lines: Lines) {
        while self.change_something(&mut lines).is_some() {}
    }

    fn change_something(&mut self, lines: &mut Lines) -> Option<()> {
        let settled = |(id, known): (&String, &Known)| {
            (known.doubtful.is_none() && !known.state.revoked).then(|| id.clone())
        };
        let candidates: Vec<String> = self.keys.iter().filter_map(settled).collect();
        match self.random.below(8) {
            0..2 => self.create(lines),
            2 => self.import(lines),
            _ if candidates.is_empty() => self.create(lines),
            _ => {
                let chosen = self.random.below(candidates.len() as u64) as usize;
                self.change(lines, &candidates[chosen])
            }
        }
    }

    fn next_stem(&mut self) -> String {
        self.made += 1;
        format!("{}-{}", self.name, self.made)
    }

    fn create(&mut self, lines: &mut Lines) -> Option<()> {
        let stem = self.next_stem();
        self.doubtful.insert(stem.clone(), None);
        let body =
            json!({ "name": name(&stem, 0), "rate_limit": [limit(0)], "scopes": ["tickets:read"] });
        let answer = lines.ask("POST", "/v1/keys", &body)?;
        self.take_in(lines, stem, None, &answer)
    }

    fn import(&mut self, lines: &mut Lines) -> Option<()> {
        let stem = self.next_stem();
        let text = Key::live(&stem).text;
        self.doubtful.insert(stem.clone(), Some(text.clone()));
        let (name, sha256) = (name(&stem, 0), hex_digest(&text));
        let body = json!({
            "id": stem,
            "name": name,
            "sha256": sha256,
            "rate_limit": [limit(0)],
            "scopes": ["tickets:read"],
        });
        let answer = lines.ask("POST", "/v1/keys/import", &body)?;
        self.take_in(lines, stem, Some(text), &answer)
    }

    /// Records a key that was created. A status of 503 means that the disk failed and that the key
    /// may not have been created.
    fn take_in(
        &mut self,
        lines: &mut Lines,
        stem: String,
        text: Option<String>,
        answer: &Message,
    ) -> Option<()> {
        if answer.status() == 503 {
            return Some(());
        }
        assert_eq!(answer.status(), 201, "{answer:?}");
        let record = answer.json();
        let text = text.or_else(|| record["key"].as_str().map(str::to_owned)).expect("the key");
        let state = State::new(Some(text));
        self.doubtful.remove(&stem);
        self.keys.insert(
            record["id"].as_str().expect("an id").to_owned(),
            Known { stem, state: state.clone(), doubtful: None },
        );
        self.acknowledged += 1;
        in_force(lines, &state)
    }

    fn change(&mut self, lines: &mut Lines, id: &str) -> Option<()> {
        let known = self.keys.get_mut(id).expect("one of its keys");
        let mut new = State { revision: known.state.revision + 1, ..known.state.clone() };
        let target = |verb: &str| format!("/v1/keys/{id}/{verb}");
        let (method, target, body) = match self.random.below(6) {
            0..2 => {
                new.updates += 1;
                let body = json!({
                    "name": name(&known.stem, new.updates),
                    "rate_limit": [limit(new.updates)],
                });
                ("PATCH", format!("/v1/keys/{id}"), body)
            }
            2 => {
                new.paused = !new.paused;
                ("POST", target(if new.paused { "pause" } else { "resume" }), Value::Null)
            }
            3 => {
                // At most three secrets are valid at a time.
                new.secrets.iter_mut().skip(2).for_each(|secret| secret.ended = true);
                new.secrets.insert(0, Secret { text: None, ended: false });
                ("POST", target("rotate"), json!({ "grace": "24h" }))
            }
            4 => {
                new.secrets.iter_mut().for_each(|secret| secret.ended = true);
                new.secrets.insert(0, Secret { text: None, ended: false });
                ("POST", target("rotate"), json!({ "grace": "0s" }))
            }
            _ => {
                new.revoked = true;
                ("POST", target("revoke"), json!({}))
            }
        };
        known.doubtful = Some(new.clone());
        let answer = lines.ask(method, &target, &body)?;
        match answer.status() {
            200 => {
                if let Some(text) = answer.json()["key"].as_str() {
                    new.secrets[0].text = Some(text.to_owned());
                }
                (known.state, known.doubtful) = (new.clone(), None);
                self.acknowledged += 1;
                in_force(lines, &new)
            }
            // A revocation or a pause takes effect even if it cannot be stored.
            503 if new.revoked || (new.paused && !known.state.paused) => in_force(lines, &new),
            503 => Some(()),
            _ => panic!("{method} {target}: {answer:?}"),
        }
    }

    /// Compares the expected states with what a restarted gateway shows and admits. Removes the
    /// keys that it has checked from `found`.
    pub(super) fn check(&mut self, lines: &mut Lines, found: &mut BTreeMap<String, Value>) {
        let stem_of = |record: &Value| {
            record["name"]
                .as_str()
                .and_then(|name| name.split(' ').next())
                .unwrap_or_default()
                .to_owned()
        };
        for (id, record) in &*found {
            if let Some(text) = self.doubtful.remove(&stem_of(record)) {
                self.keys.insert(
                    id.clone(),
                    Known { stem: stem_of(record), state: State::new(text), doubtful: None },
                );
            }
        }
        // The remaining ones were not created.
        self.doubtful.clear();
        for (id, known) in &mut self.keys {
            let record = found.remove(id).unwrap_or_else(|| panic!("{id} is lost: {known:?}"));
            let doubtful = known.doubtful.take();
            if record["revision"] != known.state.revision {
                known.state =
                    doubtful.unwrap_or_else(|| panic!("a change is lost: {known:?}, {record}"));
                assert_eq!(record["revision"], known.state.revision, "{record}");
            }
            known.state.assert_shown(&known.stem, &record);
            assert!(in_force(lines, &known.state).is_some(), "an answer");
        }
    }
}

/// Asserts that requests with the known secrets get the expected statuses. Returns `None` if there
/// is no response.
fn in_force(lines: &mut Lines, state: &State) -> Option<()> {
    for (text, expected) in state.expected() {
        assert_eq!(lines.status(text)?, expected, "{state:?}");
    }
    Some(())
}
