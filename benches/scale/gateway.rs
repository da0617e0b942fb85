//! Runs the gateway's process, and reads its resource usage from the operating system.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

/// The admin token of all gateways of the benchmark.
pub(crate) const TOKEN: &str = "token-of-the-benchmark";

/// Writes a `gateway.toml` with these ids in `[revoked]`, for a folder with a certificate and a
/// store.
pub(crate) fn write_configuration(folder: &Path, upstream: SocketAddr, revoked: &[String]) {
    let token = keygate::policy::Digest::of(TOKEN.as_bytes());
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[server.tls]\ncert = \"cert.pem\"\n\
            key = \"key.pem\"\n\
         [log]\nrequests = false\nformat = \"json\"\n[revoked]\nkeys = {revoked:?}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n[[admin.token]]\nname = \"bench\"\nrole = \"manage\"\n\
         sha256 = \"{token}\"\n\
         [store]\npath = \"keygate.db\"\nkeys_per_organization = 1000000\n\
         [[api]]\nname = \"desk\"\nupstream = \"http://{upstream}\"\ncredentials = [\"bearer\"]\n\
         rate_limit = \"1000000/min\"\n\
         [api.scopes.\"tickets:read\"]\ndescription = \"View tickets\"\n\
         allows = [\"GET /api/v1/tickets\", \"GET /api/v1/tickets/**\"]\n\
         [api.scopes.\"tickets:write\"]\ndescription = \"Change tickets\"\n\
         allows = [\"POST /api/v1/tickets\", \"PATCH /api/v1/tickets/*\"]\n\
         [api.scopes.\"customers:read\"]\ndescription = \"View customers\"\n\
         allows = [\"GET /api/v1/customers/**\"]\n"
    );
    let new = folder.join("gateway.toml.new");
    std::fs::write(&new, toml).expect("gateway.toml.new");
    std::fs::rename(new, folder.join("gateway.toml")).expect("gateway.toml");
}

/// Writes a self-signed certificate for `localhost`.
pub(crate) fn write_certificate(folder: &Path) {
    let certified =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), certified.cert.pem()).expect("cert.pem");
    std::fs::write(folder.join("key.pem"), certified.signing_key.serialize_pem()).expect("key.pem");
}

/// A running gateway. Killed when dropped.
pub(crate) struct Gateway {
    process: Child,
    pub(crate) folder: PathBuf,
    pub(crate) started: Instant,
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) tls: Arc<rustls::ClientConfig>,
}

impl Gateway {
    /// Starts a gateway in a folder that contains everything it needs. Returns when it has reported
    /// that it is ready.
    pub(crate) fn start(folder: &Path) -> Self {
        let tls = trusting(&folder.join("cert.pem"));
        let started = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_keygate"))
            .args(["serve", "--config"])
            .arg(folder.join("gateway.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway");
        let mut events = BufReader::new(process.stderr.take().expect("its events")).lines();
        let (mut data, mut admin) = (None, None);
        for line in events.by_ref() {
            let line = line.expect("a line");
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else {
                panic!("the gateway says: {line}")
            };
            let address = || event["address"].as_str().and_then(|address| address.parse().ok());
            match event["message"].as_str() {
                Some("listening") if event["listener"] == "data" => data = address(),
                Some("listening") => admin = address(),
                Some("ready") => break,
                _ => {}
            }
        }
        // It logs each change, so an unread pipe would fill up.
        std::thread::spawn(move || events.for_each(drop));
        let (data, admin) = (data.expect("the data address"), admin.expect("the admin address"));
        Self { process, folder: folder.to_owned(), started, data, admin, tls }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the time on a core of its workers and of all its threads, in nanoseconds
    /// (`/proc/PID/task/*/schedstat`, first field).
    pub(crate) fn cpu(&self) -> (u64, u64) {
        let (mut workers, mut all) = (0, 0);
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("its threads");
        for task in tasks.filter_map(Result::ok) {
            let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let spent: u64 = read("schedstat")
                .split_whitespace()
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or(0);
            all += spent;
            if read("comm").starts_with("worker") {
                workers += spent;
            }
        }
        (workers, all)
    }

    /// Returns how long its first thread, which loads the store, was on a core, and how long it
    /// waited for one, in seconds.
    pub(crate) fn loading(&self) -> (f64, f64) {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.process.id()))
            .unwrap_or_default();
        let mut seconds = text
            .split_whitespace()
            .map(|nanoseconds| nanoseconds.parse().map_or(0.0, |number: f64| number / 1e9));
        (seconds.next().unwrap_or(0.0), seconds.next().unwrap_or(0.0))
    }

    /// Returns the resident memory in bytes: the anonymous memory, and all of it, mapped files
    /// included.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))
            .expect("its status");
        let kibibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
        };
        (kibibytes("RssAnon:"), kibibytes("VmRSS:"))
    }

    /// Asks it to stop, as a service manager would, and waits until it has.
    pub(crate) fn stop(mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn trusting(certificate: &Path) -> Arc<rustls::ClientConfig> {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls_pki_types::CertificateDer::from_pem_file(certificate).expect("the certificate"))
        .expect("a root");
    Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
