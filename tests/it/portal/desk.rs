//! A gateway with a portal, and a person at a browser.

use serde_json::{Value, json};

use crate::harness::{Client, Gateway, Message, Request, Upstream, hex_digest};

/// The host of the pages.
pub(super) const HOST: &str = "keys.localhost";

/// A gateway with a store, a portal and tokens whose names say what they may do.
pub(super) struct Desk {
    pub(super) gateway: Gateway,
    pub(super) upstream: Upstream,
}

/// A browser with an open session.
pub(super) struct Browser<'d> {
    desk: &'d Desk,
    pub(super) cookie: String,
    pub(super) session: String,
}

fn token(name: &str, role: &str, more: &str) -> String {
    let digest = hex_digest(&format!("token-of-{name}"));
    format!(
        "\n[[admin.token]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\n{more}\n"
    )
}

/// Returns the settings that a portal needs.
pub(super) fn portal() -> String {
    let portal = format!(
        "\n[store]\npath = \"keygate.db\"\n\n[portal]\nhosts = [\"{HOST}\"]\n\
         return_origins = [\"https://desk.example.com\"]\n"
    );
    portal
        + &token("ops", "manage", "")
        + &token("viewer", "read", "")
        + &token("product", "portal", "")
        + &token("acme", "portal", "organization = \"org_acme\"")
}

impl Desk {
    pub(super) fn open() -> Self {
        Self::open_with("")
    }

    /// Opens a desk with more in its file.
    pub(super) fn open_with(more: &str) -> Self {
        let upstream = Upstream::start();
        let gateway = Gateway::in_front_of(&upstream)
            .scope("tickets:read", &["GET /api/v1/tickets"])
            .scope("tickets:write", &["POST /api/v1/tickets"])
            .more(&portal())
            .more(more)
            .start();
        Self { gateway, upstream }
    }

    /// Sends a request to the admin address with the token of this name.
    pub(super) fn ask(&self, token: &str, request: &Request) -> Message {
        let bearer = format!("Bearer token-of-{token}");
        let request = request.clone().host("127.0.0.1").header("Authorization", &bearer);
        Client::plain(self.gateway.admin_address()).send(&request)
    }

    /// Sends a request to the admin address with a body.
    pub(super) fn post(&self, token: &str, path: &str, body: &Value) -> Message {
        let request = Request::new("POST", path).header("Content-Type", "application/json");
        self.ask(token, &request.body(body.to_string().as_bytes()))
    }

    /// Returns a request for a session of `org_acme`, with further members.
    pub(super) fn wish(more: Value) -> Value {
        let mut wish = json!({
            "organization": "org_acme",
            "actor": { "id": "user_123", "name": "Support Lead" },
            "return_url": "https://desk.example.com/settings",
        });
        if let (Some(wish), Value::Object(more)) = (wish.as_object_mut(), more) {
            wish.extend(more);
        }
        wish
    }

    /// Makes a session, and returns its id and the path of its link.
    #[track_caller]
    pub(super) fn mint(&self, more: Value) -> (String, String) {
        let answer = self.post("product", "/v1/portal/sessions", &Self::wish(more));
        assert_eq!(answer.status(), 201, "{answer:?}");
        let minted = answer.json();
        let url = minted["url"].as_str().expect("a URL");
        let path = url.find("/open?").map(|at| url[at..].to_owned()).expect("the path");
        (minted["id"].as_str().expect("an id").to_owned(), path)
    }

    /// Sends a request to the pages, as a browser sends it from one of them.
    pub(super) fn browse(&self, request: &Request) -> Message {
        self.gateway.send(&request.clone().host(HOST).header("Sec-Fetch-Site", "same-origin"))
    }

    /// Opens a session.
    #[track_caller]
    pub(super) fn sign_in(&self, more: Value) -> Browser<'_> {
        let (session, path) = self.mint(more);
        let opened = self.browse(&open(code_of(&path)));
        assert_eq!(opened.status(), 303, "{opened:?}");
        let cookie = opened.header("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().expect("its value").to_owned();
        Browser { desk: self, cookie, session }
    }

    /// Returns the status of a request with this key to the API.
    pub(super) fn tickets(&self, key: &str) -> u16 {
        let bearer = format!("Bearer {key}");
        let request = Request::get("/api/v1/tickets").header("Authorization", &bearer);
        self.gateway.send(&request).status()
    }
}

/// Returns the code of the link with this path.
pub(super) fn code_of(path: &str) -> &str {
    path.split_once("code=").expect("a code").1
}

/// Returns the request that opens a session.
pub(super) fn open(code: &str) -> Request {
    form("/open", &[("code", code)])
}

/// Returns the request that sends a form.
pub(super) fn form(path: &str, fields: &[(&str, &str)]) -> Request {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            })
            .collect()
    };
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    Request::new("POST", path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(fields.join("&").as_bytes())
}

impl Browser<'_> {
    /// Asks for a page.
    pub(super) fn get(&self, path: &str) -> Message {
        self.desk.browse(&Request::get(path).header("Cookie", &self.cookie))
    }

    /// Asks for a page that must be there. Returns its text.
    #[track_caller]
    pub(super) fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        text(&answer)
    }

    /// Sends a form of this session.
    pub(super) fn send(&self, path: &str, fields: &[(&str, &str)]) -> Message {
        let mut all = vec![("session", &*self.session)];
        all.extend_from_slice(fields);
        self.desk.browse(&form(path, &all).header("Cookie", &self.cookie))
    }

    /// Makes a key that reads tickets, and returns its id and its text.
    #[track_caller]
    pub(super) fn make_key(&self, name: &str) -> (String, String) {
        let fields = [
            ("idempotency", name),
            ("name", name),
            ("scope", "tickets:read"),
            ("environment", "test"),
            ("expiry", "90d"),
        ];
        let made = self.send("/keys", &fields);
        assert_eq!(made.status(), 200, "{made:?}");
        let page = text(&made);
        let id = between(&page, "href=\"/keys/key_", "\"").expect("the id");
        (format!("key_{id}"), secret_of(&page).expect("the key"))
    }
}

/// Returns the key that a page shows, or `None` if it shows none.
pub(super) fn secret_of(page: &str) -> Option<String> {
    let at = page.find("id=\"new-key\"")?;
    between(&page[at..], ">", "<")
}

/// Returns the text between the first occurrence of one text and the next one of the other.
pub(super) fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(rest[..rest.find(end)?].to_owned())
}

/// Returns the body as text.
pub(super) fn text(answer: &Message) -> String {
    String::from_utf8(answer.body.clone()).expect("text")
}
