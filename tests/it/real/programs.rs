//! Programs that are not ours: servers that run while a test does, and clients that say by their
//! exit what they saw.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// For a server to come up, the setting up of a database included.
const START: Duration = Duration::from_secs(180);
/// For all checks of a client program, in seconds.
const CLIENT: &str = "180";

/// A file of the project.
pub(super) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Something that `scripts/setup.sh` brings.
#[track_caller]
pub(super) fn tool(path: &str) -> PathBuf {
    let tool = file("target/test-tools").join(path);
    assert!(tool.exists(), "{} is missing: run `scripts/setup.sh` or `make test`", tool.display());
    tool
}

/// Writes what only its owner may read.
pub(super) fn write_private(path: &Path, text: &str) {
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(path).expect("a new file");
    file.write_all(text.as_bytes()).expect("it is written");
}

/// A server on a free port; it is killed when it goes out of scope.
pub(super) struct Server {
    pub(super) port: u16,
    child: Child,
    output: NamedTempFile,
}

impl Server {
    /// One of `tests/real/servers`.
    pub(super) fn python(name: &str) -> Self {
        let mut command = Command::new(tool("python/bin/python"));
        command.arg(file("tests/real/servers").join(name));
        Self::start(command, "listening", "listening ")
    }

    /// Starts a program and waits until it has said, in a line with `marker`, on which port it
    /// listens: the digits behind `before`.
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

    /// Where what it says is collected.
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
    // A line is whole only when its end is there.
    let line = said
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .find(|line| line.contains(marker))?;
    let (_, rest) = line.split_once(before)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// One of `tests/real/clients`.
pub(super) struct Program {
    command: Command,
}

impl Program {
    pub(super) fn python(name: &str) -> Self {
        Self::new(&tool("python/bin/python"), name)
    }

    /// One that needs sslyze, which has an environment of its own: it wants other versions of what
    /// the others need.
    pub(super) fn sslyze(name: &str) -> Self {
        Self::new(&tool("sslyze/bin/python"), name)
    }

    pub(super) fn node(name: &str) -> Self {
        // "localhost" may be an IPv6 address first, where the gateway of a test does not listen.
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

    /// Runs it to its end; it must succeed and have checked something.
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
