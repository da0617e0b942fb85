//! A soak test: good traffic, attacks, a failing upstream, edits, upgrades, and keys that are
//! created and revoked, all at once. No good request may get a wrong response, and nothing may be
//! leaked.
//!
//! `KEYGATE_SOAK_SECONDS` sets the duration. With `KEYGATE_SOAK_UPGRADES=0` a single process serves
//! the whole time, and its memory must stop growing after a third of it.

mod attacks;
mod good;
mod operator;
mod upstream;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Gateway, Key, hex_digest, wait_for};

const TOKEN: &str = "token-of-the-soak";
/// The most that memory may grow after the first seconds, in KiB: buffers and tables that have
/// grown once.
const MORE_MEMORY: u64 = 24 * 1024;

/// The most that the memory of a single process may grow after a third of the time, in KiB.
const STEADY_MEMORY: u64 = 4 * 1024;

/// The state that all threads share.
struct Scene {
    /// Whether another process takes over from time to time.
    upgrades: bool,
    gateway: Gateway,
    over: AtomicBool,
    tally: Tally,
    /// A key that is always valid.
    all: Key,
    /// A key with a rate limit of its own.
    limited: Key,
    /// A key that the operator revokes and restores repeatedly.
    leaked: Key,
}

/// Counts of what the threads have seen.
#[derive(Default)]
struct Tally {
    right: AtomicU64,
    attacks: AtomicU64,
    edits: AtomicU64,
    keys: AtomicU64,
    upgrades: AtomicU64,
    admitted: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    /// Records the result of checking a response.
    fn note(&self, what: &str, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => _ = self.right.fetch_add(1, Ordering::Relaxed),
            Err(why) => {
                let mut wrong = self.wrong.lock().unwrap();
                if wrong.len() < 20 {
                    wrong.push(format!("{what}: {why}"));
                }
            }
        }
    }
}

impl Scene {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn metric(&self, series: &str) -> u64 {
        let page = self.gateway.admin("/metrics");
        let line =
            page.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {series}"))
            as u64
    }
}

fn open() -> Scene {
    let key = |id| Key::live(id).scopes(&["all"]);
    let (all, limited, leaked) =
        (key("key_all"), key("key_limited").set("rate_limit = \"50/s\""), key("key_leaked"));
    let token = format!(
        "\n[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n",
        hex_digest(TOKEN)
    );
    let shaky = format!(
        "\n[[api]]\nname = \"shaky\"\nbase_path = \"/shaky\"\nupstream = \"{}\"\n\
            keep_alive = \"1s\"\npublic = [\"GET /shaky/**\"]\n",
        upstream::shaky()
    );
    let setup =
        Gateway::in_front_of_url(&upstream::echo()).api("keep_alive = \"1s\"").tls(&["localhost"]);
    let setup = setup
        .scope("all", &["GET /**", "POST /**"])
        .key(&for_desk(&all))
        .key(&for_desk(&limited))
        .key(&for_desk(&leaked));
    let gateway = setup
        .more(&shaky)
        .more(&token)
        .more("\n[store]\npath = \"keygate.db\"\n\n[log]\nrequests = false\n")
        .start();
    let upgrades = std::env::var("KEYGATE_SOAK_UPGRADES").as_deref() != Ok("0");
    let (over, tally) = (AtomicBool::new(false), Tally::default());
    Scene { upgrades, gateway, over, tally, all, limited, leaked }
}

fn for_desk(key: &Key) -> Key {
    key.clone().set("apis = [\"desk\"]")
}

#[test]
// Longer than 60 lines: the start and the end of each kind of traffic.
fn good_traffic_comes_to_no_harm_and_nothing_is_left_over() {
    let time =
        std::env::var("KEYGATE_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let time = Duration::from_secs(time);
    let scene = Arc::new(open());
    let descriptors = scene.gateway.descriptors();
    let mut taking_part = Vec::new();
    let mut start = |name: &'static str, part: fn(&Scene)| {
        let scene = scene.clone();
        taking_part.push(
            std::thread::Builder::new().name(name.to_owned()).spawn(move || part(&scene)).unwrap(),
        );
    };
    start("http1", good::http1);
    start("bodies", good::bodies);
    start("http2", good::http2);
    start("websocket", good::websocket);
    start("limited", good::limited);
    start("strangers", good::strangers);
    start("shaky", good::shaky);
    start("edits", operator::edits);
    start("keys", operator::keys);
    start("attacks-1", attacks::all);
    start("attacks-2", attacks::all);
    let begin = Instant::now();
    let (first_look, bound) = if scene.upgrades {
        ((time / 4).min(Duration::from_secs(10)), MORE_MEMORY)
    } else {
        (time / 3, STEADY_MEMORY)
    };
    let wait_until = |end: Duration| {
        while begin.elapsed() < end && scene.tally.wrong.lock().unwrap().is_empty() {
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait_until(first_look);
    let memory = scene.gateway.memory("VmRSS");
    wait_until(time);
    let lasted = begin.elapsed();
    let loaded = scene.gateway.memory("VmRSS");
    scene.over.store(true, Ordering::Relaxed);
    for part in taking_part {
        let name = part.thread().name().unwrap_or_default().to_owned();
        assert!(part.join().is_ok(), "{name} broke off");
    }
    let tally = &scene.tally;
    let count = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    println!(
        "soak: {lasted:.0?}, {} good answers, {} attacks, {} edits, {} keys made and revoked, \
            {} upgrades; memory {memory} -> {loaded} KiB",
        count(&tally.right),
        count(&tally.attacks),
        count(&tally.edits),
        count(&tally.keys),
        count(&tally.upgrades),
    );
    assert_eq!(*tally.wrong.lock().unwrap(), Vec::<String>::new());
    // The limit is 50/s. With a rolling window, at most the limit of n + 1 windows is admitted in n
    // seconds. `as_secs` rounds down, hence one more.
    assert!(
        count(&tally.admitted) <= 50 * (lasted.as_secs() + 2),
        "{} admitted",
        count(&tally.admitted)
    );
    assert!(
        count(&tally.admitted) >= 30 * lasted.as_secs() / 2,
        "{} admitted",
        count(&tally.admitted)
    );

    wait_for("all connections are closed", || {
        (scene.metric("keygate_connections_open") == 0).then_some(())
    });
    wait_for("descriptors are given back", || {
        (scene.gateway.descriptors() <= descriptors + 4).then_some(())
    });
    let after = scene.gateway.memory("VmRSS");
    let most = loaded.max(after);
    assert!(most <= memory + bound, "memory went from {memory} KiB to {most} KiB");
}
