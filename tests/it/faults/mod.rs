//! Faults of the operating system: the gateway keeps serving, a key that a later valid file revokes
//! is refused, and the fault is reported.

mod clock;
mod descriptors;
mod events;
mod files;
mod unreadable;

use std::path::{Path, PathBuf};

use crate::harness::{Client, Gateway, Key, Request, Setup, Upstream, library, wait_for};

const REVOKED: &str = "\n[revoked]\nkeys = [\"key_leaked\"]\n";

/// A gateway with two keys, one of which is revoked during the test.
struct Desk {
    gateway: Gateway,
    crm: Key,
    leaked: Key,
}

impl Desk {
    /// Starts a gateway. `setup` changes the settings, and `start` starts it.
    fn open(setup: impl FnOnce(Setup) -> Setup, start: impl FnOnce(Setup) -> Gateway) -> Self {
        let reader = |id| Key::live(id).scopes(&["tickets:read"]);
        let (crm, leaked) = (reader("key_crm"), reader("key_leaked"));
        let file = Gateway::in_front_of(&Upstream::start())
            .scope("tickets:read", &["GET /api/v1/tickets"]);
        let gateway = start(setup(file).key(&crm).key(&leaked));
        Self { gateway, crm, leaked }
    }

    fn request(key: &Key) -> Request {
        Request::get("/api/v1/tickets").bearer(key)
    }

    fn status(&self, key: &Key) -> u16 {
        self.gateway.send(&Self::request(key)).status()
    }

    fn status_over(client: &mut Client, key: &Key) -> u16 {
        client.send(&Self::request(key)).status()
    }

    fn revoke_by_file(&self) {
        self.gateway.edit(|toml| toml.push_str(REVOKED));
    }

    #[track_caller]
    fn wait_for_status(&self, key: &Key, status: u16) {
        wait_for(&format!("status {status}"), || (self.status(key) == status).then_some(()));
    }

    #[track_caller]
    fn wait_for_metric(&self, series: &str, value: f64) {
        wait_for(&format!("{series} is {value}"), || {
            (self.gateway.metric(series) == Some(value)).then_some(())
        });
    }
}

/// Returns the environment variables that give a process the faults described in this folder
/// (`tests/faults/machine.c`).
fn with_faults(folder: &Path) -> [(&'static str, PathBuf); 2] {
    [("LD_PRELOAD", library("faults/machine.c")), ("KEYGATE_TEST_FAULTS", folder.to_owned())]
}
