//! The store keeps what it acknowledged when its process is killed repeatedly, on a disk that loses
//! unsynced writes (`tests/crash/unsynced.c`).
//!
//! The test starts itself as another process, in which several tasks write to the store and report
//! on standard output what was acknowledged and what failed. `KEYGATE_CRASH_ROUNDS` sets how often
//! it is killed. `KEYGATE_CRASH_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use super::*;

/// The environment variable of the killed process that makes its ids differ from those of other
/// rounds.
const ROUND: &str = "KEYGATE_CRASH_ROUND";
/// The rounds after which a new store is created, so that checking it stays fast.
const ROUNDS_A_STORE: u64 = 50;

#[test]
fn store_keeps_what_it_acknowledged_through_crashes_lost_writes_and_failing_disks() {
    if let Ok(round) = std::env::var(ROUND) {
        return write_until_killed(&round);
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("KEYGATE_CRASH_ROUNDS").unwrap_or(12);
    let clock = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(1, |time| time.as_nanos() as u64);
    let mut random = Random(number("KEYGATE_CRASH_SEED").unwrap_or(clock) | 1);
    println!("KEYGATE_CRASH_SEED={}", random.0);
    let mut crash = Crash::new();
    let mut total = 0;
    for round in 0..rounds {
        if round % ROUNDS_A_STORE == 0 && round > 0 {
            total += crash.told.acknowledged;
            crash = Crash::new();
        }
        crash.round(round, &mut random);
        crash.check();
    }
    total += crash.told.acknowledged;
    println!("{rounds} crashes; {total} acknowledged changes, each kept");
    assert!(total > rounds, "there was something to keep");
}

#[test]
fn store_answers_changes_with_errors_while_the_disk_fails_and_heals_with_it() {
    for fault in [".fail-fsync", ".fail-late", ".full"] {
        let mut crash = Crash::new();
        let process = crash.start(0);
        process.wait_for_lines("created ", 20);
        std::fs::write(crash.fault(fault), "").expect("a fault");
        process.wait_for_lines("failed ", 20);
        process.wait_for_lines("read ", 1);
        std::fs::remove_file(crash.fault(fault)).expect("it ends");
        let so_far = process.count("created ");
        process.wait_for_lines("created ", so_far + 20);
        crash.told.listen(&process.kill());
        crash.check();
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Runs in the killed process: several tasks, each with its own keys.
fn write_until_killed(round: &str) {
    let path = PathBuf::from(std::env::var("KEYGATE_TEST_STORE").expect("the path of the store"));
    let store = KeyStore::open(&path, |_| ()).expect("a store that opens").store;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..4)
            .map(|task| tokio::spawn(work(store.clone(), format!("{round}-{task}"))))
            .collect();
        for task in tasks {
            task.await.expect("a task that goes on until it is killed");
        }
    });
}

async fn work(store: KeyStore, name: String) {
    for number in 0.. {
        let id = format!("{name}-{number}");
        let mut key = of_organization(&id, "acme");
        let create = Change::Create { key: Box::new(key.clone()), cap: None, idempotency: None };
        if !tell(&store, create, &format!("created {id} 1")).await {
            let readable = store.key(&id).await;
            println!("read {}", readable.expect("reading goes on").is_some());
            continue;
        }
        for revision in 2..=3 {
            key = StoredKey {
                revision,
                secrets: vec![secret(&format!("{id}-{revision}")), key.secrets[0].clone()],
                ..key
            };
            while !tell(
                &store,
                Change::Update { key: Box::new(key.clone()), idempotency: None },
                &format!("updated {id} {revision}"),
            )
            .await
            {
                println!("retrying {id} {revision}");
            }
        }
        if number % 2 == 0 {
            let revoke = Change::Revoke {
                ids: vec![id.clone()],
                secrets: Vec::new(),
                revocation: revocation(NOON),
            };
            if tell(&store, revoke, &format!("revoked {id} 4")).await {
                let revive = Change::Update {
                    key: Box::new(StoredKey { revision: 5, ..key }),
                    idempotency: None,
                };
                let refused = store.commit(revive, entry("key.update")).await;
                assert!(refused.is_err(), "a revoked key was changed");
            }
        }
        let note = UseNote { key_id: id.as_str().into(), secret: None, day: 1, hours: hours(1, 1) };
        // The note may be lost. It only adds concurrent work.
        let _ = store.note_use(vec![note]).await;
    }
}

/// Makes a change and reports the result in one line, which is written at once. Returns `false` if
/// the store was unavailable.
async fn tell(store: &KeyStore, change: Change, what: &str) -> bool {
    match store.commit(change, entry("test")).await {
        Ok(()) => println!("{what}"),
        Err(CommitError::Unavailable(_)) => {
            println!("failed {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
            return false;
        }
        Err(CommitError::Conflict(conflict)) => println!("wrong {what}: {conflict:?}"),
    }
    true
}

/// The reports of the process.
#[derive(Default)]
struct Told {
    acknowledged: u64,
    /// The last acknowledged revision of each key.
    revisions: BTreeMap<String, u64>,
    revoked: BTreeSet<String>,
    /// Changes that failed and were not retried, by key and revision.
    failed: BTreeSet<(String, u64)>,
}

impl Told {
    fn listen(&mut self, lines: &[String]) {
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["wrong", ..] => panic!("{line}"),
                ["failed", _, id, revision] => {
                    self.failed.insert((id.to_owned(), revision.parse().expect("a revision")));
                }
                // From here on, the change may be made without being acknowledged.
                ["retrying", id, revision] => {
                    self.failed.remove(&(id.to_owned(), revision.parse().expect("a revision")));
                }
                [what @ ("created" | "updated" | "revoked"), id, revision] => {
                    let revision = revision.parse().expect("a revision");
                    self.acknowledged += 1;
                    self.revisions.insert(id.to_owned(), revision);
                    if what == "revoked" {
                        self.revoked.insert(id.to_owned());
                    }
                }
                // The test runner prints lines, too, and the last line may be incomplete.
                _ => {}
            }
        }
    }
}

struct Crash {
    folder: TempDir,
    told: Told,
}

impl Crash {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/unsynced.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(folder.path().join("unsynced.so"))
            .arg(source)
            .arg("-ldl");
        assert!(compiler.status().expect("a C compiler").success());
        Self { folder, told: Told::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    fn fault(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("keys.db{suffix}"))
    }

    fn start(&self, round: u64) -> Process {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let name = concat!(
            "keystore::tests::crash::",
            "store_keeps_what_it_acknowledged_through_crashes_lost_writes_and_failing_disks"
        );
        command
            .args([name, "--exact", "--nocapture"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        command.env("LD_PRELOAD", self.folder.path().join("unsynced.so"));
        command.env("KEYGATE_TEST_STORE", self.path()).env(ROUND, round.to_string());
        Process::new(command.spawn().expect("this program starts"))
    }

    /// Kills the process at a random moment. In some rounds, the disk fails first.
    fn round(&mut self, round: u64, random: &mut Random) {
        let process = self.start(round);
        process.wait_for_lines("created ", 1);
        let fault =
            self.fault([".fail-fsync", ".fail-late", ".full", ""][random.below(4) as usize]);
        let has_fault = fault != self.path();
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        if has_fault {
            std::fs::write(&fault, "").expect("a fault");
            std::thread::sleep(Duration::from_micros(random.below(20_000)));
            if random.below(2) == 0 {
                std::fs::remove_file(&fault).expect("it ends");
                std::thread::sleep(Duration::from_micros(random.below(20_000)));
            }
        }
        let lines = process.kill();
        if has_fault {
            // The fault may already be removed.
            let _ = std::fs::remove_file(&fault);
        }
        self.told.listen(&lines);
    }

    /// Opens the remaining files and compares them with the reports.
    fn check(&self) {
        let mut keys = BTreeMap::new();
        let opened = KeyStore::open(&self.path(), |key| drop(keys.insert(key.id.clone(), key)))
            .expect("it opens after a crash");
        for (id, revision) in &self.told.revisions {
            let key = keys.get(id).unwrap_or_else(|| panic!("{id} is lost"));
            assert!(key.revision >= *revision, "{id}: revision {revision} is lost: {key:?}");
            assert_eq!(
                key.secrets[0].digest,
                digest(&if key.revision == 1 {
                    id.clone()
                } else {
                    format!("{id}-{}", key.revision.min(3))
                })
            );
        }
        for id in &self.told.revoked {
            assert!(keys[id].revocation.is_some(), "{id} lives again");
        }
        for (id, revision) in &self.told.failed {
            assert!(
                keys.get(id).is_none_or(|key| key.revision < *revision),
                "{id}: revision {revision} failed and is there"
            );
        }
        let live = keys.values().filter(|key| key.revocation.is_none()).count() as u64;
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(runtime.block_on(opened.store.count_keys("acme")), Ok(live));
        runtime.block_on(opened.store.close());
        let connection = Connection::open(self.path()).expect("the file");
        let verdict: String = connection
            .query_row("PRAGMA integrity_check", (), |row| row.get(0))
            .expect("a verdict");
        assert_eq!(verdict, "ok");
    }
}

struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Process {
    fn new(mut child: Child) -> Self {
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let read = move || {
            output
                .lines()
                .map_while(Result::ok)
                .for_each(|line| sink.lock().expect("no panic").push(line))
        };
        Self { child, lines, reader: std::thread::spawn(read) }
    }

    fn count(&self, start: &str) -> usize {
        self.lines.lock().expect("no panic").iter().filter(|line| line.starts_with(start)).count()
    }

    fn wait_for_lines(&self, start: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.count(start) < count {
            assert!(
                Instant::now() < deadline,
                "no {count} lines with `{start}`: {:?}",
                self.lines.lock()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends the process with SIGKILL and returns its complete output.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("it runs until it is killed");
        self.child.wait().expect("it ends");
        self.reader.join().expect("no panic");
        std::mem::take(&mut *self.lines.lock().expect("no panic"))
    }
}
