//! The real binary, in a folder of its own.

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

/// A `gateway.toml` in the making.
pub(crate) struct Setup {
    server: String,
    /// Plain settings of the one `[[api]]`.
    api: String,
    /// Its sub-tables.
    tables: String,
    rest: String,
    certificates: Option<Certificates>,
    /// More settings of `[server.tls]`.
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

    /// Adds anything behind the `[[api]]`.
    pub(crate) fn more(mut self, lines: &str) -> Self {
        self.rest.push_str(lines);
        self.rest.push('\n');
        self
    }

    /// Serves TLS with a certificate for these names.
    pub(crate) fn tls(mut self, names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.certificates = Some(Certificates::for_names(&names));
        self
    }

    /// The same with this certificate.
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

    /// The same, but nobody reads what the gateway logs.
    pub(crate) fn start_with_blocked_log(self) -> Gateway {
        let (toml, certificates) = self.finish();
        Gateway::run(&toml, certificates, false)
    }

    /// A folder with this `gateway.toml`, for a gateway that is started more than once.
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

/// A running gateway; it is killed when it goes out of scope.
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
    /// One API named `desk`, with bearer keys of a live and a test world.
    pub(crate) fn in_front_of(upstream: &Upstream) -> Setup {
        Self::in_front_of_url(&upstream.url())
    }

    /// The same, for an upstream that is not one of the harness's.
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

    /// Starts the binary in a folder that has all it needs.
    pub(crate) fn serve_in(folder: impl Into<Arc<TempDir>>) -> Self {
        Self::run_in(folder.into(), None, true, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn serve_in_with(folder: Arc<TempDir>, environment: &[(&str, PathBuf)]) -> Self {
        Self::run_in(folder, None, true, environment)
    }

    /// The same, started by a program that takes its place, such as `prlimit`.
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
        // A name of its own in the folder, so that a test can put another program in its place.
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
        // A pipe that nobody reads stays open with the child and fills up.
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

    /// The admin listener.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin.expect("an admin listener")
    }

    /// A page of the admin listener, such as `/metrics`.
    #[track_caller]
    pub(crate) fn admin(&self, path: &str) -> Message {
        Client::plain(self.admin_address()).send(&Request::get(path).host("localhost"))
    }

    /// What a client needs to believe the gateway.
    pub(crate) fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a gateway with TLS")
    }

    /// A new connection, with TLS where the gateway has it.
    pub(crate) fn client(&self) -> Client {
        match &self.certificates {
            Some(certificates) => Client::tls(self.address, certificates, certificates.name()),
            None => Client::plain(self.address),
        }
    }

    /// A new connection with TLS, asking for this name.
    pub(crate) fn client_for(&self, name: &str) -> Client {
        Client::tls(self.address, self.certificates.as_ref().expect("a gateway with TLS"), name)
    }

    /// Sends one request on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) -> Message {
        self.client().send(request)
    }

    /// `gateway.toml`.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Changes `gateway.toml` as most editors do: a new file, renamed over the old one.
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

    /// Lines of the access log that have this value.
    pub(crate) fn logged(&self, name: &str, value: &str) -> Vec<Value> {
        parse(&self.log)
            .into_iter()
            .filter(|line| field(line, name).is_some_and(|found| found == value))
            .collect()
    }

    /// Events whose message is this. They are written by a thread of their own, a moment after what
    /// they tell of can be seen, so none is believed to be there only after that moment.
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

    /// All that was written to either stream.
    pub(crate) fn output(&self) -> String {
        let lines = |lines: &Lines| lines.lock().unwrap().join("\n");
        lines(&self.events) + &lines(&self.log)
    }

    /// The value of a metric, by its name and labels.
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

/// A field of an event, which may stand beside the message or in a table of its own.
pub(crate) fn field<'e>(event: &'e Value, name: &str) -> Option<&'e Value> {
    event.get(name).or_else(|| event.get("fields")?.get(name))
}

fn find_event(events: &Lines, name: &str, value: &str) -> Option<Value> {
    parse(events).into_iter().find(|event| field(event, name).is_some_and(|found| found == value))
}
