//! Acknowledged changes are kept, whatever happens to the process and to its disk.

mod disk;
mod failing;
mod key_service;
mod last_used;
mod restoring;
mod starting;
mod work;

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use self::disk::Disk;
use self::work::{Lines, Random, Worker};
use crate::harness::{Gateway, Key, Request, Upstream};

/// The number of rounds after which a new store is begun, so that checking it stays fast.
const ROUNDS_A_STORE: u64 = 10;
/// The number of clients that make changes concurrently.
const WORKERS: usize = 4;

/// `KEYGATE_CRASH_ROUNDS` sets the number of rounds. `KEYGATE_CRASH_SEED` repeats the choices of a
/// run.
#[test]
fn acknowledged_changes_survive_killing_the_gateway() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("KEYGATE_CRASH_ROUNDS").unwrap_or(12);
    let clock = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(1, |time| time.as_nanos() as u64);
    let mut random = Random(number("KEYGATE_CRASH_SEED").unwrap_or(clock) | 1);
    println!("KEYGATE_CRASH_SEED={}", random.0);
    let (mut total, mut ends) = (0, [0; 3]);
    for first in (0..rounds).step_by(ROUNDS_A_STORE as usize) {
        let mut scene = Scene::new(&mut random);
        for _ in first..rounds.min(first + ROUNDS_A_STORE) {
            ends[scene.round(&mut random) as usize] += 1;
        }
        total += scene.finish();
        println!(
            "{} rounds, {total} acknowledged changes so far",
            rounds.min(first + ROUNDS_A_STORE)
        );
    }
    let [killed, stopped, killed_early] = ends;
    println!(
        "killed {killed} times under load, {killed_early} times while starting, stopped {stopped} \
            times under load"
    );
    println!("{total} acknowledged changes, each kept");
    assert!(total > rounds, "there was something to keep");
}

/// How the process of a round ended.
enum End {
    Killed,
    Stopped,
    KilledEarly,
}

/// A gateway's folder, which outlives its processes, and the clients that use the gateway.
struct Scene {
    disk: Disk,
    upstream: Upstream,
    operator: Key,
    customer: Key,
    workers: Vec<Worker>,
}

impl Scene {
    fn new(random: &mut Random) -> Self {
        let upstream = Upstream::start();
        let (operator, customer) =
            (Key::new("ops", "token_"), Key::live("key_file").scopes(&["tickets:read"]));
        let folder = key_service::setup(&upstream, &operator).key(&customer).write();
        let workers = (0..WORKERS)
            .map(|index| Worker::new(format!("client{index}"), random.below(u64::MAX)))
            .collect();
        Self { disk: Disk::new(folder), upstream, operator, customer, workers }
    }

    /// Starts the gateway, checks that everything was kept, makes changes under load, and ends the
    /// process in the middle of them.
    fn round(&mut self, random: &mut Random) -> End {
        if random.below(8) == 0 {
            self.kill_early(random);
            return End::KilledEarly;
        }
        let gateway = self.disk.serve();
        self.check(&gateway);
        let lines: Vec<Lines> =
            self.workers.iter().map(|_| Lines::to(&gateway, &self.operator)).collect();
        let mut data = gateway.client();
        let request = Request::get("/api/v1/tickets").bearer(&self.customer);
        let end = thread::scope(|scope| {
            for (worker, lines) in self.workers.iter_mut().zip(lines) {
                scope.spawn(|| worker.work(lines));
            }
            scope.spawn(|| {
                while let Some(answer) = data.try_send(&request) {
                    assert_eq!(answer.status(), 200, "traffic goes on: {answer:?}");
                }
            });
            // The moment at which the process ends is random.
            thread::sleep(Duration::from_micros(random.below(250_000)));
            let fault =
                ["fail-fsync", "fail-late", "full", "", "", "", "", ""][random.below(8) as usize];
            if !fault.is_empty() {
                self.disk.fail(fault);
                thread::sleep(Duration::from_micros(random.below(50_000)));
            }
            let end = if random.below(6) == 0 { End::Stopped } else { End::Killed };
            match end {
                End::Stopped => assert!(gateway.stop().success()),
                _ => drop(gateway),
            }
            if !fault.is_empty() {
                self.disk.heal(fault);
            }
            end
        });
        self.upstream.forget();
        end
    }

    /// Kills a process that is starting.
    fn kill_early(&self, random: &mut Random) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.args(["serve", "--config"]).arg(self.disk.folder().join("gateway.toml"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .envs(self.disk.environment());
        let mut process = command.spawn().expect("the gateway starts");
        thread::sleep(Duration::from_micros(random.below(60_000)));
        process.kill().expect("it runs until it is killed");
        process.wait().expect("it ends");
    }

    fn check(&mut self, gateway: &Gateway) {
        let mut lines = Lines::to(gateway, &self.operator);
        let mut found = lines.keys();
        for worker in &mut self.workers {
            worker.check(&mut lines, &mut found);
        }
        assert!(found.is_empty(), "nobody asked for these: {found:?}");
    }

    /// Checks what was kept, on an ordinary disk. Returns the number of acknowledged changes.
    fn finish(mut self) -> u64 {
        let gateway = self.disk.serve_safely();
        self.check(&gateway);
        assert!(gateway.stop().success());
        let connection = rusqlite::Connection::open(self.disk.store()).expect("the file");
        let verdict: String = connection
            .query_row("PRAGMA integrity_check", (), |row| row.get(0))
            .expect("a verdict");
        assert_eq!(verdict, "ok");
        self.workers.iter().map(|worker| worker.acknowledged).sum()
    }
}
