//! External programs: servers that run during a test, and clients whose exit status reports the
//! result.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// The longest that a server may take to start, including the setup of a database.
const START: Duration = Duration::from_secs(180);
/// The longest that a client program may run, in seconds.
const CLIENT: &str = "180";

/// Returns the path of a file of the project.
pub(super) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the path of a tool that `scripts/setup.sh` installs.
#[track_caller]
pub(super) fn tool(path: &str) -> PathBuf {
    let tool = file("target/test-tools").join(path);
    assert!(tool.exists(), "{} is missing: run `scripts/setup.sh` or `make test`", tool.display());
    tool
}

/// Writes a new file that only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) {
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(path).expect("a new file");
    file.write_all(text.as_bytes()).expect("it is written");
}

/// A server on a free port. It is killed when it is dropped.
pub(super) struct Server {
    pub(super) port: u16,
    child: Child,
    output: NamedTempFile,
}

impl Server {
    /// Starts a server of `tests/real/servers`.
    pub(super) fn python(name: &str) -> Self {
        let mut command = Command::new(tool("python/bin/python"));
        command.arg(file("tests/real/servers").join(name));
        Self::start(command, "listening", "listening ")
    }

    /// Starts a program and waits until it prints the port that it listens on: the digits after
    /// `before`, in a line that contains `marker`.
    pub(super) fn start(mut command: Command, marker: &str, before: &str) -> Self {
        let output = NamedTempFile::new().expect("a file for its output");
        // Both streams append, so that neither overwrites the other.
        let append =
            || Stdio::from(File::options().append(true).open(output.path()).expect("the file"));
        let child = command.stdin(Stdio::null()).stdout(append()).stderr(append()).spawn();
        let mut server = Self {
            port: 0,
            child: child.unwrap_or_else(|error| panic!("{command:?}: {error}")),
            output,
        };
        let deadline = Instant::now() + START;
        while server.port == 0 {
            let said = server.said();
            let ended = server.child.try_wait().expect("its state");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{command:?} does not listen ({ended:?}):\n{said}"
            );
            server.port = port(&said, marker, before).unwrap_or(0);
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// Returns the path of the file that collects the server's output.
    pub(super) fn output(&self) -> &Path {
        self.output.path()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.output.path()).expect("its output is text")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.said());
        }
    }
}

fn port(said: &str, marker: &str, before: &str) -> Option<u16> {
    // A line is complete only with its line end.
    let line = said
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .find(|line| line.contains(marker))?;
    let (_, rest) = line.split_once(before)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A client program of `tests/real/clients`.
pub(super) struct Program {
    command: Command,
}

impl Program {
    pub(super) fn python(name: &str) -> Self {
        Self::new(&tool("python/bin/python"), name)
    }

    /// Runs in the environment of sslyze, whose dependencies conflict with those of the other
    /// clients.
    pub(super) fn sslyze(name: &str) -> Self {
        Self::new(&tool("sslyze/bin/python"), name)
    }

    pub(super) fn node(name: &str) -> Self {
        // `localhost` may resolve to an IPv6 address first, on which the gateway of a test does not
        // listen.
        Self::new(Path::new("node"), name).env("NODE_OPTIONS", "--dns-result-order=ipv4first")
    }

    pub(super) fn shell(name: &str) -> Self {
        Self::new(Path::new("bash"), name)
    }

    fn new(interpreter: &Path, name: &str) -> Self {
        let mut command = Command::new("timeout");
        command.arg(CLIENT).arg(interpreter).arg(file("tests/real/clients").join(name));
        Self { command }
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs the program. Asserts that it succeeds and that it has checked something.
    #[track_caller]
    pub(super) fn run(mut self) {
        let output = self.command.stdin(Stdio::null()).output().expect("the client starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("ok "),
            "{}\n{said}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
