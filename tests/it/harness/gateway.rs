//! Runs the real binary in a folder of its own.

mod processes;

pub(crate) use processes::send_signal;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::keys::Key;
use super::{Certificates, Client, Message, Request, Upstream, wait_for};

type Lines = Arc<Mutex<Vec<String>>>;

/// A `gateway.toml` that is being built.
pub(crate) struct Setup {
    server: String,
    /// Settings of the only `[[api]]`, without its sub-tables.
    api: String,
    /// Sub-tables of the `[[api]]`.
    tables: String,
    rest: String,
    certificates: Option<Certificates>,
    /// Further settings of `[server.tls]`.
    tls: String,
}

impl Setup {
    /// Adds settings to `[server]`.
    pub(crate) fn server(mut self, lines: &str) -> Self {
        self.server.push_str(&format!("{lines}\n"));
        self
    }

    /// Adds settings to the `[[api]]`.
    pub(crate) fn api(mut self, lines: &str) -> Self {
        self.api.push_str(&format!("{lines}\n"));
        self
    }

    /// Adds a scope to the `[[api]]`.
    pub(crate) fn scope(self, name: &str, allows: &[&str]) -> Self {
        self.table(&format!("[api.scopes.\"{name}\"]\nallows = {allows:?}"))
    }

    /// Adds a sub-table to the `[[api]]`.
    pub(crate) fn table(mut self, lines: &str) -> Self {
        self.tables.push_str(&format!("\n{lines}\n"));
        self
    }

    /// Adds a key.
    pub(crate) fn key(self, key: &Key) -> Self {
        self.more(&key.block())
    }

    /// Adds tables after the `[[api]]`.
    pub(crate) fn more(mut self, lines: &str) -> Self {
        self.rest.push_str(lines);
        self.rest.push('\n');
        self
    }

    /// Serves TLS with a new certificate for these names.
    pub(crate) fn tls(mut self, names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.certificates = Some(Certificates::for_names(&names));
        self
    }

    /// Serves TLS with this certificate.
    pub(crate) fn tls_with(mut self, certificates: Certificates) -> Self {
        self.certificates = Some(certificates);
        self
    }

    /// Adds settings to `[server.tls]`.
    pub(crate) fn tls_settings(mut self, lines: &str) -> Self {
        self.tls.push_str(&format!("{lines}\n"));
        self
    }

    pub(crate) fn start(self) -> Gateway {
        let (toml, certificates) = self.finish();
        Gateway::serve(&toml, certificates)
    }

    /// Starts the gateway, but does not read its access log (its standard output).
    pub(crate) fn start_with_blocked_log(self) -> Gateway {
        let (toml, certificates) = self.finish();
        Gateway::run(&toml, certificates, false)
    }

    /// Creates a folder with this `gateway.toml`, for a gateway that is started more than once.
    pub(crate) fn write(self) -> Arc<TempDir> {
        let (toml, certificates) = self.finish();
        Arc::new(Gateway::folder_with(&toml, certificates.as_ref()))
    }

    fn finish(self) -> (String, Option<Certificates>) {
        let tls = format!("[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n{}", self.tls);
        let tls = if self.certificates.is_some() { tls } else { String::new() };
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n{}\n{tls}\n[admin]\n\
                listen = \"127.0.0.1:0\"\n\n[[api]]\n{}{}{}",
            self.server, self.api, self.tables, self.rest
        );
        (toml, self.certificates)
    }
}

/// A running gateway. It is killed when it is dropped.
pub(crate) struct Gateway {
    folder: Arc<TempDir>,
    child: Child,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    events: Lines,
    log: Lines,
    certificates: Option<Certificates>,
}

impl Gateway {
    /// Returns the settings of one API named `desk`, whose keys have the environments `live` and
    /// `test`.
    pub(crate) fn in_front_of(upstream: &Upstream) -> Setup {
        Self::in_front_of_url(&upstream.url())
    }

    /// Returns the same settings as [`Self::in_front_of`], for an upstream given by its URL.
    pub(crate) fn in_front_of_url(upstream: &str) -> Setup {
        let prefix = |world: &str| format!("sk_{world}_");
        let api = format!(
            "name = \"desk\"\nupstream = \"{}\"\n\
                environments = {{ live = \"{}\", test = \"{}\" }}\n",
            upstream,
            prefix("live"),
            prefix("test")
        );
        Setup {
            server: String::new(),
            api,
            tables: String::new(),
            rest: String::new(),
            certificates: None,
            tls: String::new(),
        }
    }

    /// Starts the binary with this `gateway.toml` and waits until it is ready.
    pub(crate) fn serve(toml: &str, certificates: Option<Certificates>) -> Self {
        Self::run(toml, certificates, true)
    }

    fn run(toml: &str, certificates: Option<Certificates>, read_log: bool) -> Self {
        let folder = Self::folder_with(toml, certificates.as_ref());
        Self::run_in(folder.into(), certificates, read_log, &[])
    }

    fn folder_with(toml: &str, certificates: Option<&Certificates>) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(certificates) = certificates {
            certificates.write(folder.path());
        }
        std::fs::write(folder.path().join("gateway.toml"), toml).expect("gateway.toml is written");
        folder
    }

    /// Starts the binary in a folder that already contains its files.
    pub(crate) fn serve_in(folder: impl Into<Arc<TempDir>>) -> Self {
        Self::run_in(folder.into(), None, true, &[])
    }

    /// Starts the binary like [`Self::serve_in`], with additional environment variables.
    pub(crate) fn serve_in_with(folder: Arc<TempDir>, environment: &[(&str, PathBuf)]) -> Self {
        Self::run_in(folder, None, true, environment)
    }

    /// Starts the binary like [`Self::serve_in`], by a program that then executes it, such as
    /// `prlimit`.
    pub(crate) fn serve_in_by(folder: Arc<TempDir>, starter: &[&str]) -> Self {
        let mut command = Command::new(starter[0]);
        command.args(&starter[1..]).arg(env!("CARGO_BIN_EXE_keygate"));
        Self::run_by(command, folder, None, true, &[])
    }

    fn run_in(
        folder: Arc<TempDir>,
        certificates: Option<Certificates>,
        read_log: bool,
        environment: &[(&str, PathBuf)],
    ) -> Self {
        // A symbolic link in the folder lets a test replace the program.
        let program = folder.path().join("keygate");
        if !program.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_keygate"), &program).expect("a link");
        }
        Self::run_by(Command::new(program), folder, certificates, read_log, environment)
    }

    fn run_by(
        mut command: Command,
        folder: Arc<TempDir>,
        certificates: Option<Certificates>,
        read_log: bool,
        environment: &[(&str, PathBuf)],
    ) -> Self {
        command.args(["serve", "--config"]).arg(folder.path().join("gateway.toml"));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the gateway starts");
        let events = collect(child.stderr.take().expect("a pipe"));
        // A pipe that is not read stays open as long as the child lives, and fills up.
        let log =
            if read_log { collect(child.stdout.take().expect("a pipe")) } else { Lines::default() };
        wait_for("the gateway is ready", || {
            let ended = child.try_wait().expect("its state");
            assert!(
                ended.is_none(),
                "the gateway ended with {ended:?}: {:#?}",
                events.lock().unwrap()
            );
            find_event(&events, "message", "ready")
        });
        let listener = |name| {
            let is_it = |event: &Value| {
                (field(event, "message")? == "listening" && field(event, "listener")? == name)
                    .then_some(())
            };
            let event = parse(&events).into_iter().find(|event| is_it(event).is_some())?;
            field(&event, "address").and_then(|address| address.as_str()?.parse().ok())
        };
        let address = listener("data").expect("the address of the data listener");
        let admin = listener("admin");
        Self { folder, child, address, admin, events, log, certificates }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of the admin listener.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin.expect("an admin listener")
    }

    /// Requests a page of the admin listener, such as `/metrics`.
    #[track_caller]
    pub(crate) fn admin(&self, path: &str) -> Message {
        Client::plain(self.admin_address()).send(&Request::get(path).host("localhost"))
    }

    /// Returns the certificates that a client needs to verify the gateway.
    pub(crate) fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a gateway with TLS")
    }

    /// Opens a connection, with TLS if the gateway serves TLS.
    pub(crate) fn client(&self) -> Client {
        match &self.certificates {
            Some(certificates) => Client::tls(self.address, certificates, certificates.name()),
            None => Client::plain(self.address),
        }
    }

    /// Opens a connection with TLS and sends this server name (SNI).
    pub(crate) fn client_for(&self, name: &str) -> Client {
        Client::tls(self.address, self.certificates.as_ref().expect("a gateway with TLS"), name)
    }

    /// Sends one request on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Message {
        self.client().send(request)
    }

    /// Returns the path of `gateway.toml`.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Changes `gateway.toml` as most editors do: writes a new file and renames it over the old
    /// one.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut String)) {
        let mut toml = std::fs::read_to_string(self.file()).expect("gateway.toml is read");
        change(&mut toml);
        let beside = self.folder.path().join("gateway.toml.new");
        std::fs::write(&beside, toml).expect("the new file is written");
        std::fs::rename(beside, self.file()).expect("the new file is renamed");
    }

    /// Changes `gateway.toml` in place.
    pub(crate) fn edit_in_place(&self, change: impl FnOnce(&mut String)) {
        let mut toml = std::fs::read_to_string(self.file()).expect("gateway.toml is read");
        change(&mut toml);
        std::fs::write(self.file(), toml).expect("gateway.toml is written");
    }

    /// Returns the lines of the access log in which the field `name` has this value.
    pub(crate) fn logged(&self, name: &str, value: &str) -> Vec<Value> {
        parse(&self.log)
            .into_iter()
            .filter(|line| field(line, name).is_some_and(|found| found == value))
            .collect()
    }

    /// Returns the events with this message. A separate thread writes events shortly after their
    /// effects are visible, so this method waits up to 300 ms for the first one.
    pub(crate) fn events(&self, message: &str) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_millis(300);
        loop {
            let found =
                |event: &Value| field(event, "message").is_some_and(|found| found == message);
            let events: Vec<Value> = parse(&self.events).into_iter().filter(found).collect();
            if !events.is_empty() || Instant::now() >= deadline {
                return events;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns everything that was written to either stream.
    pub(crate) fn output(&self) -> String {
        let lines = |lines: &Lines| lines.lock().unwrap().join("\n");
        lines(&self.events) + &lines(&self.log)
    }

    /// Returns the value of a metric, given by its name and labels, or `None` if it is absent.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let page = self.admin("/metrics").text().to_owned();
        page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.successors().into_iter().for_each(|process| send_signal("KILL", process));
        if std::thread::panicking() {
            eprintln!("the gateway said:\n{}", self.output());
        }
    }
}

fn collect(stream: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let sink = lines.clone();
    std::thread::spawn(move || {
        BufReader::new(stream)
            .lines()
            .map_while(Result::ok)
            .for_each(|line| sink.lock().unwrap().push(line))
    });
    lines
}

fn parse(lines: &Lines) -> Vec<Value> {
    lines.lock().unwrap().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Returns a field of an event, which is at the top level or in the object `fields`.
pub(crate) fn field<'e>(event: &'e Value, name: &str) -> Option<&'e Value> {
    event.get(name).or_else(|| event.get("fields")?.get(name))
}

fn find_event(events: &Lines, name: &str, value: &str) -> Option<Value> {
    parse(events).into_iter().find(|event| field(event, name).is_some_and(|found| found == value))
}
