//! `keygate demo`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use super::{assert_code, keygate};
use crate::harness::wait_for;

/// Two demos that search for free ports at the same time could choose the same ones.
static STARTING: Mutex<()> = Mutex::new(());

/// A running demo. It is killed when it is dropped.
struct Demo {
    child: Child,
    guide: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Demo {
    /// Starts a demo and waits until it serves.
    fn start(arguments: &[&str]) -> Self {
        let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        let mut child = command
            .arg("demo")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("keygate starts");
        let (out, events) =
            (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let mut demo = Self { child, guide: String::new() };
        wait_for("the demo is ready", || {
            let ended = demo.child.try_wait().expect("its state");
            assert!(
                ended.is_none(),
                "the demo ended: {:?} {:?}",
                out.lock().unwrap(),
                events.lock().unwrap()
            );
            let ready = events.lock().unwrap().iter().any(|line| line.contains("ready"));
            let guided = out.lock().unwrap().iter().any(|line| line.starts_with("Ctrl-C"));
            (ready && guided).then_some(())
        });
        demo.guide = out.lock().unwrap().join("\n");
        demo
    }

    /// Returns each command line of the guide, with the description above it.
    fn promises(&self) -> Vec<(&str, &str)> {
        let lines: Vec<&str> = self.guide.lines().collect();
        let pairs = lines
            .windows(2)
            .filter(|pair| ["  curl ", "  for "].iter().any(|start| pair[1].starts_with(start)));
        pairs.map(|pair| (pair[0], pair[1].trim())).collect()
    }

    /// Returns the first non-empty line of the guide, trimmed, after the line that starts with
    /// `start`.
    fn line_after(&self, start: &str) -> &str {
        let after =
            self.guide.lines().map(str::trim).skip_while(|line| !line.starts_with(start)).skip(1);
        after.filter(|line| !line.is_empty()).take(1).next().expect("a line after it")
    }

    /// Sends SIGTERM and asserts a clean exit.
    fn stop(&mut self) {
        let kill = Command::new("bash")
            .args(["-c", &format!("kill -TERM {}", self.child.id())])
            .status()
            .expect("bash");
        assert!(kill.success());
        let status = wait_for("the demo has ended", || self.child.try_wait().expect("its state"));
        assert_eq!(status.code(), Some(0));
    }
}

/// Collects the output of a process, so that it never blocks on a full pipe.
fn lines(output: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let collected = all.clone();
    std::thread::spawn(move || {
        BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .for_each(|line| collected.lock().unwrap().push(line));
    });
    all
}

/// Runs a command line of the guide. Returns its output.
fn paste(line: &str) -> String {
    let mut command = Command::new("bash");
    command.args(["-c", line]);
    for proxy in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let output = command.output().expect("bash");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the status of a response that curl printed with its head.
fn status(answer: &str) -> Option<&str> {
    answer.split_whitespace().nth(1)
}

#[test]
fn everything_that_the_demo_promises_happens() {
    let mut demo = Demo::start(&[]);
    let promises = demo.promises();
    assert_eq!(promises.len(), 7, "{}", demo.guide);
    for (promise, line) in &promises {
        let answer = paste(line);
        let promised = promise.rsplit_once(": ").expect("a status behind the colon").1;
        if line.starts_with("for ") {
            assert_eq!(
                answer.split_whitespace().collect::<Vec<_>>(),
                ["200", "200", "200", "200", "200", "429", "429"],
                "{promise}"
            );
        } else {
            assert_eq!(status(&answer), promised.get(..3), "{promise}\n{line}\n{answer}");
        }
    }
    let reading = promises[1].1;
    let file = demo.line_after("folder").strip_prefix("file").expect("the file").trim();
    let before = std::fs::read_to_string(file).expect("gateway.toml");
    let (old, new) = (demo.line_after("Now revoke a key."), demo.line_after("under [revoked] by"));
    assert_eq!(before.matches(old).count(), 1, "{before}");
    std::fs::write(file, before.replace(old, new)).unwrap();
    wait_for("the revoked key is refused", || {
        (status(&paste(reading)) == Some("401")).then_some(())
    });
    std::fs::write(file, &before).unwrap();
    wait_for("the key works again", || (status(&paste(reading)) == Some("200")).then_some(()));

    let folder = Path::new(file).parent().unwrap().to_owned();
    demo.stop();
    assert!(!folder.exists(), "the temporary folder is still there");
}

#[test]
fn the_demos_file_is_right_and_has_no_key_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("my demo");
    let mut demo = Demo::start(&["--dir", place.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let config = std::fs::read_to_string(place.join("gateway.toml")).unwrap();
    let keys: Vec<&str> = demo
        .guide
        .split_whitespace()
        .filter(|word| word.len() == 44 && word.starts_with("sk_"))
        .collect();
    assert_eq!(keys.len(), 3, "{}", demo.guide);
    assert!(keys.iter().all(|key| !config.contains(key)));
    assert_code(&keygate(&place, &["check"]), 0);
    demo.stop();
    assert!(place.join("gateway.toml").exists());
    assert_code(&keygate(folder.path(), &["demo", "--dir", place.to_str().unwrap()]), 1);
}
