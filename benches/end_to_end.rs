//! Measures the CPU time of the gateway's process per request, end to end: HTTP/1.1 over TLS,
//! 10,000 keys, 32 connections, and 160-byte responses from an upstream on a persistent connection.
//!
//! The figure is the time on a core that the kernel accounts to the gateway's threads, divided by
//! the number of responses. It does not depend on other load of the machine. The gateway runs on
//! core 0, the load and the upstream on the last core. The rounds of the kinds of requests are
//! interleaved. The median, the least and the most of the rounds are printed.

#[path = "shared/upstream.rs"]
mod upstream;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEYS: usize = 10_000;
const CONNECTIONS: usize = 32;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1500);

/// The kinds of requests that are compared.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Allowed,
    Public,
    Refused,
}

fn main() {
    pin(
        std::process::id(),
        std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1),
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (upstream, keys) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port for the upstream");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(upstream::upstream(listener));
        (address, write_configuration(folder.path(), address))
    });
    let _ = upstream;
    let gateway = Gateway::start(folder.path());
    let tls = client_tls(folder.path());

    let mut figures: Vec<(Kind, Vec<f64>)> =
        [Kind::Allowed, Kind::Public, Kind::Refused].map(|kind| (kind, Vec::new())).into();
    for round in 0..=ROUNDS {
        for (kind, figures) in &mut figures {
            let before = gateway.cpu_nanoseconds();
            let answers = runtime.block_on(load(gateway.address, &tls, &keys, *kind));
            let spent = gateway.cpu_nanoseconds() - before;
            if round > 0 {
                figures.push(spent as f64 / 1000.0 / answers as f64);
            }
        }
    }
    println!(
        "CPU time of the gateway per request, microseconds ({KEYS} keys, {CONNECTIONS} \
            connections, {ROUNDS} rounds)"
    );
    for (kind, mut figures) in figures {
        figures.sort_by(f64::total_cmp);
        let name = match kind {
            Kind::Allowed => "allowed: key, scope, limit, forwarded",
            Kind::Public => "public: forwarded without a key",
            Kind::Refused => "refused with 401",
        };
        println!(
            "{name:40} median {:6.2}   least {:6.2}   most {:6.2}",
            figures[ROUNDS / 2],
            figures[0],
            figures[ROUNDS - 1]
        );
    }
}

fn write_configuration(folder: &Path, upstream: SocketAddr) -> Vec<String> {
    let certified =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), certified.cert.pem()).expect("cert.pem");
    std::fs::write(folder.join("key.pem"), certified.signing_key.serialize_pem()).expect("key.pem");
    let keys: Vec<String> = (0..KEYS)
        .map(|number| {
            let mut random = [0; 16];
            getrandom::fill(&mut random).expect("random bytes");
            let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("bench_{number:05}{hex}")
        })
        .collect();
    let mut toml = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[server.tls]\ncert = \"cert.pem\"\n\
            key = \"key.pem\"\n[log]\nrequests = false\nformat = \"json\"\n\
         [[api]]\nname = \"desk\"\nupstream = \"http://{upstream}\"\ncredentials = [\"bearer\"]\n\
         rate_limit = \"1000000/min\"\npublic = [\"GET /status\"]\n\
         [api.scopes.\"tickets:read\"]\ndescription = \"View tickets\"\n\
         allows = [\"GET /api/v1/tickets\", \"GET /api/v1/tickets/**\"]\n\
         [api.scopes.\"tickets:write\"]\ndescription = \"Change tickets\"\n\
         allows = [\"POST /api/v1/tickets\", \"PATCH /api/v1/tickets/*\"]\n"
    );
    for (number, key) in keys.iter().enumerate() {
        let digest = keygate::policy::Digest::of(key.as_bytes());
        toml.push_str(&format!(
            "[[key]]\nid = \"key_{number}\"\nname = \"Key {number}\"\norganization = \"org_{}\"\n\
                sha256 = \"{digest}\"\nscopes = [\"tickets:read\"]\n",
            number % 100
        ));
    }
    std::fs::write(folder.join("gateway.toml"), toml).expect("gateway.toml");
    keys
}

struct Gateway {
    process: Child,
    address: SocketAddr,
}

impl Gateway {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_keygate"))
            .args(["serve", "--config"])
            .arg(folder.join("gateway.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway");
        pin(process.id(), 0);
        let events = BufReader::new(process.stderr.take().expect("its events"));
        let mut address = None;
        for line in events.lines() {
            let event: serde_json::Value =
                serde_json::from_str(&line.expect("a line")).expect("an event in JSON");
            match event["message"].as_str() {
                Some("listening") if event["listener"] == "data" => {
                    address = event["address"].as_str().and_then(|address| address.parse().ok());
                }
                Some("ready") => break,
                _ => {}
            }
        }
        Self { process, address: address.expect("the gateway did not say where it listens") }
    }

    /// Returns the time on a core of all its threads, in nanoseconds (`/proc/PID/task/*/schedstat`,
    /// first field).
    fn cpu_nanoseconds(&self) -> u64 {
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("its threads");
        let of_task = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        tasks.filter_map(of_task).sum()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks the operating system to run a process on one core. If it refuses, the figure is still
/// valid.
fn pin(process: u32, core: usize) {
    let pinned = Command::new("taskset")
        .args(["-a", "-c", "-p", &core.to_string(), &process.to_string()])
        .stdout(Stdio::null())
        .status();
    if !pinned.is_ok_and(|status| status.success()) {
        let _ = writeln!(std::io::stderr(), "could not choose a core for process {process}");
    }
}

fn client_tls(folder: &Path) -> Arc<rustls::ClientConfig> {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let cert = rustls_pki_types::CertificateDer::from_pem_file(folder.join("cert.pem"))
        .expect("the certificate");
    roots.add(cert).expect("a root");
    Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Sends requests on all connections for one round. Returns the number of responses, all of which
/// were as expected.
async fn load(
    gateway: SocketAddr,
    tls: &Arc<rustls::ClientConfig>,
    keys: &[String],
    kind: Kind,
) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CONNECTIONS {
        let requests: Vec<Vec<u8>> =
            keys.iter().skip(client).step_by(CONNECTIONS).map(|key| request(kind, key)).collect();
        let (stop, answers, tls) = (stop.clone(), answers.clone(), tls.clone());
        clients.spawn(async move {
            let stream = TcpStream::connect(gateway).await.expect("a connection");
            stream.set_nodelay(true).expect("no delay");
            let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
            let mut stream = tokio_rustls::TlsConnector::from(tls)
                .connect(name, stream)
                .await
                .expect("a handshake");
            let expected: &[u8] =
                if kind == Kind::Refused { b"HTTP/1.1 401" } else { b"HTTP/1.1 200" };
            let mut buffer = Vec::with_capacity(8192);
            for request in requests.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                stream.write_all(request).await.expect("a request");
                buffer.clear();
                while !is_whole(&buffer) {
                    assert!(
                        stream.read_buf(&mut buffer).await.expect("an answer") > 0,
                        "the gateway closed the connection"
                    );
                }
                assert!(buffer.starts_with(expected), "{}", String::from_utf8_lossy(&buffer));
                answers.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let started = Instant::now();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.expect("a client");
    }
    assert!(started.elapsed() < ROUND * 4, "the machine is too busy to measure on");
    answers.load(Ordering::Relaxed)
}

fn request(kind: Kind, key: &str) -> Vec<u8> {
    let path = if kind == Kind::Public { "/status" } else { "/api/v1/tickets" };
    let unknown = if kind == Kind::Refused { "x" } else { "" };
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}{unknown}\r\n\
        Accept: application/json\r\nUser-Agent: bench\r\n\r\n"
    )
    .into_bytes()
}

/// Returns whether a response with a `Content-Length` is complete.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    answer.len() >= head + 4 + length.unwrap_or(0)
}
