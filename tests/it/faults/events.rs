//! Nobody reads the gateway's events any more, or nobody can.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use super::REVOKED;
use crate::harness::{Client, Gateway, Key, Request, Upstream, wait_for};

/// A gateway whose events are read only until it is ready.
struct Unheard {
    folder: Arc<TempDir>,
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    events: Option<BufReader<ChildStderr>>,
    leaked: Key,
}

impl Unheard {
    fn start() -> Self {
        let leaked = Key::live("key_leaked").scopes(&["*"]);
        let setup = Gateway::in_front_of(&Upstream::start()).scope("all", &["GET /**"]);
        let folder = setup.key(&leaked).write();
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.args(["serve", "--config"]).arg(folder.path().join("gateway.toml"));
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let mut events = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut addresses = Vec::new();
        loop {
            let mut line = String::new();
            assert!(events.read_line(&mut line).expect("an event") > 0, "it has ended");
            let event: serde_json::Value = serde_json::from_str(&line).expect("an event");
            addresses.extend(
                event["address"].as_str().and_then(|address| address.parse::<SocketAddr>().ok()),
            );
            if event["message"] == "ready" {
                break;
            }
        }
        Self {
            folder,
            child,
            address: addresses[0],
            admin: addresses[1],
            events: Some(events),
            leaked,
        }
    }

    fn edit(&self, more: &str) {
        let (file, new) = (self.folder.path().join("gateway.toml"), self.folder.path().join("new"));
        let good = std::fs::read_to_string(&file).expect("the file");
        let good = good.split("[wrong").next().expect("what comes before");
        std::fs::write(&new, format!("{good}{more}")).expect("the new file");
        std::fs::rename(new, file).expect("its place");
    }

    fn metric(&self, name: &str) -> f64 {
        let page = Client::plain(self.admin).send(&Request::get("/metrics").host("localhost"));
        page.text()
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .expect("the metric")
    }

    /// Saves `times` files with 600 errors each, each of which is an event.
    fn make_noise(&self, times: u32) {
        for time in 1..=times {
            let mistakes: String =
                (0..600).map(|index| format!("[wrong{index}_{time}]\n")).collect();
            self.edit(&mistakes);
            wait_for("it is refused", || {
                (self.metric("keygate_reloads_total{result=\"failure\"}") >= f64::from(time))
                    .then_some(())
            });
        }
    }

    fn serves_revokes_and_stops(mut self) {
        let status =
            || Client::plain(self.address).send(&Request::get("/x").bearer(&self.leaked)).status();
        assert_eq!(status(), 200);
        self.edit(REVOKED);
        wait_for("the revocation", || (status() == 401).then_some(()));
        let stopped =
            Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(stopped.success());
        let ended = wait_for("it stops", || self.child.try_wait().expect("its state"));
        assert_eq!(ended.code(), Some(0));
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn closed_standard_error_stops_nothing() {
    let mut gateway = Unheard::start();
    gateway.events = None;
    gateway.make_noise(2);
    gateway.serves_revokes_and_stops();
}

#[test]
fn standard_error_that_nobody_reads_holds_no_revocation_up_and_what_is_lost_is_counted() {
    let gateway = Unheard::start();
    // A pipe holds 64 KiB, and the gateway queues about a thousand further events.
    gateway.make_noise(12);
    assert!(gateway.metric("keygate_events_lost_total") > 0.0);
    gateway.serves_revokes_and_stops();
}
