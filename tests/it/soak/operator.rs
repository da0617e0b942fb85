//! Changes during the soak test: edits of the file, and keys that are created and revoked.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Scene, TOKEN};
use crate::harness::{Client, Message, Request};

const REVOKED: &str = "\n[revoked]\nkeys = [\"key_leaked\"]\n";
/// The longest that an edit may take until it is in force under load.
const IN_FORCE: Duration = Duration::from_secs(10);

/// The number of edits between two upgrades.
const ROUNDS: u64 = 50;

/// Revokes a key in the file and restores it, and saves a truncated file in between. Starts an
/// upgrade from time to time.
pub(super) fn edits(scene: &Scene) {
    for round in 1.. {
        if scene.is_over() {
            return;
        }
        let status = |wanted: u16| {
            let begin = Instant::now();
            loop {
                let got =
                    scene.gateway.send(&Request::get("/api/leaked").bearer(&scene.leaked)).status();
                if got == wanted {
                    return Ok(());
                }
                if begin.elapsed() > IN_FORCE {
                    return Err(format!("{got} instead of {wanted} after an edit"));
                }
            }
        };
        scene.gateway.edit(|toml| toml.push_str(REVOKED));
        scene.tally.note("edits", status(401));
        let whole = std::fs::read_to_string(scene.gateway.file()).unwrap();
        scene.gateway.edit(|toml| toml.insert_str(0, "[server\n"));
        scene.tally.note("edits", status(401));
        scene.gateway.edit(|toml| *toml = whole.replace(REVOKED, ""));
        scene.tally.note("edits", status(200));
        scene.tally.edits.fetch_add(3, Ordering::Relaxed);
        if scene.upgrades && round % ROUNDS == 0 {
            scene.gateway.upgrade();
            scene.tally.upgrades.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Creates a key, uses it and revokes it. The next request with it must be refused.
pub(super) fn keys(scene: &Scene) {
    while !scene.is_over() {
        scene.tally.note("keys", one_key(scene));
        scene.tally.keys.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn one_key(scene: &Scene) -> Result<(), String> {
    let body =
        json!({ "name": "soak", "apis": ["desk"], "environment": "live", "scopes": ["all"] })
            .to_string();
    let made = ask(
        scene,
        &Request::new("POST", "/v1/keys")
            .header("Content-Type", "application/json")
            .body(body.as_bytes()),
    );
    if made.status() != 201 {
        return Err(format!("making a key: {} {}", made.start, made.text()));
    }
    let made = made.json();
    let (Some(id), Some(text)) = (made["id"].as_str(), made["key"].as_str()) else {
        return Err(made.to_string());
    };
    let status = |text: &str| {
        scene
            .gateway
            .send(&Request::get("/api/made").header("Authorization", &format!("Bearer {text}")))
            .status()
    };
    let used = status(text);
    let revoked = ask(scene, &Request::new("POST", &format!("/v1/keys/{id}/revoke"))).status();
    let after = status(text);
    if (used, revoked / 100, after) == (200, 2, 401) {
        Ok(())
    } else {
        Err(format!("used {used}, revoked {revoked}, after {after}"))
    }
}

fn ask(scene: &Scene, request: &Request) -> Message {
    Client::plain(scene.gateway.admin_address()).send(
        &request.clone().host("127.0.0.1").header("Authorization", &format!("Bearer {TOKEN}")),
    )
}
