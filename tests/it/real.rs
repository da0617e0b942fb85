//! Third-party clients and servers in several languages, through Keygate. Their programs are in
//! `tests/real/`. `make test` first runs `scripts/setup.sh`, which installs what they need.

mod autobahn;
mod differential;
mod programs;
mod schemathesis;
mod sslyze;

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use self::programs::{Program, Server, file, tool};
use super::harness::{Client, Gateway, Key, Message, Request, Upstream, wait_for};

#[test]
fn requests_works_with_a_real_help_desk() {
    HelpDesk::start().gate.passes(Program::python("desk_requests.py"));
}

#[test]
fn fetch_works_with_a_real_help_desk() {
    HelpDesk::start().gate.passes(Program::node("desk_fetch.mjs"));
}

#[test]
fn curl_works_with_a_real_help_desk() {
    HelpDesk::start().gate.passes(Program::shell("desk_curl.sh"));
}

#[test]
fn httpx_works_over_http2() {
    let server = Server::python("http_desk.py");
    Gate::in_front_of("http", &server).passes(Program::python("httpx_http2.py"));
}

#[test]
fn curl_works_over_http1_and_http2() {
    let server = Server::python("http_desk.py");
    Gate::in_front_of("http", &server).passes(Program::shell("curl_http.sh"));
}

#[test]
fn websockets_of_python_work() {
    let server = Server::python("websocket_echo.py");
    Gate::in_front_of("http", &server).passes(Program::python("websockets_client.py"));
}

#[test]
fn websockets_of_node_work() {
    let server = Server::python("websocket_echo.py");
    Gate::in_front_of("http", &server).passes(Program::node("ws_client.mjs"));
}

#[test]
fn grpc_works() {
    let server = Server::python("grpc_desk.py");
    Gate::in_front_of("h2c", &server).passes(Program::python("grpc_client.py"));
}

#[test]
fn a_real_prometheus_scrapes_the_metrics() {
    let gateway = busy_gateway();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = format!(
        "global: {{ scrape_interval: 1s }}\n\
            scrape_configs:\n  - job_name: keygate\n    static_configs: [{{ targets: [\"{}\"] \
            }}]\n",
        gateway.admin_address()
    );
    std::fs::write(folder.path().join("prometheus.yml"), settings)
        .expect("prometheus.yml is written");
    let mut command = Command::new(tool("prometheus/prometheus"));
    command.current_dir(folder.path()).args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:0",
    ]);
    let prometheus = Server::start(command, "Listening on", "address=127.0.0.1:");

    let up = wait_for("Prometheus says that Keygate is up", || prometheus_says(&prometheus, "up"));
    assert_eq!(up, "1");
    let refused = r#"sum(keygate_requests_total{api="desk",outcome="missing_key"})"#;
    assert_eq!(
        wait_for("a sample of the refused request", || prometheus_says(&prometheus, refused)),
        "1"
    );
}

#[test]
fn promtool_has_nothing_to_say_against_the_metrics() {
    let metrics = scrape(&busy_gateway());
    assert_eq!(metrics.status(), 200);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("metrics");
    std::fs::write(&path, metrics.text()).expect("the metrics are written");
    let input = std::fs::File::open(&path).expect("the metrics are read");
    let output = Command::new(tool("prometheus/promtool"))
        .args(["check", "metrics"])
        .stdin(input)
        .output()
        .expect("promtool runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "promtool says: {said}\nof:\n{}",
        metrics.text()
    );
}

/// Starts a gateway that has forwarded one request and refused one.
fn busy_gateway() -> Gateway {
    let upstream = Upstream::start();
    let key = Key::live("key_reader").scopes(&["tickets:read"]);
    let gateway =
        Gateway::in_front_of(&upstream).scope("tickets:read", &["GET /tickets"]).key(&key);
    let gateway = gateway.more("[store]\npath = \"keygate.db\"").start();
    assert_eq!(gateway.send(&Request::get("/tickets").bearer(&key)).status(), 200);
    assert_eq!(gateway.send(&Request::get("/tickets")).status(), 401);
    gateway
}

fn scrape(gateway: &Gateway) -> Message {
    Client::plain(gateway.admin_address()).send(&Request::get("/metrics").host("localhost"))
}

/// Returns the value of the first sample that a query yields, or `None` if there is none.
fn prometheus_says(prometheus: &Server, query: &str) -> Option<String> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let request = Request::get(&format!("/api/v1/query?query={encoded}")).host("localhost");
    let answer = Client::plain(([127, 0, 0, 1], prometheus.port).into()).send(&request);
    if answer.status() != 200 {
        return None;
    }
    let value = answer.json()["data"]["result"][0]["value"][1].as_str()?.to_owned();
    // A scrape before Keygate's first response makes `up` 0 for a second.
    (query != "up" || value == "1").then_some(value)
}

/// The support desk of `examples/django-helpdesk`, set up by its script, with the gateway of its
/// `gateway.toml`.
struct HelpDesk {
    gate: Gate,
    _server: Server,
    _folder: TempDir,
}

impl HelpDesk {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(file("examples/django-helpdesk/run.sh"));
        command.arg(folder.path()).arg("0").env("DESK_PYTHON", tool("python/bin/python"));
        let server = Server::start(command, "Listening at", "http://127.0.0.1:");

        let environment = std::fs::read_to_string(folder.path().join("desk.env"))
            .expect("desk.env is written by then");
        let login = environment
            .trim()
            .strip_prefix("export DESK_AUTH='")
            .and_then(|rest| rest.strip_suffix('\''))
            .expect("one line");
        let toml = std::fs::read_to_string(file("examples/django-helpdesk/gateway.toml"))
            .expect("the example's gateway.toml");
        let toml = replace(&toml, "env:DESK_AUTH", login);
        let toml = replace(&toml, "127.0.0.1:8000", &format!("127.0.0.1:{}", server.port));
        let toml = replace(&toml, "listen = \"127.0.0.1:9190\"", "listen = \"127.0.0.1:0\"");
        let gate = Gate::open(
            |tls| {
                replace(
                    &toml,
                    "listen = \"127.0.0.1:8080\"",
                    &format!("listen = \"127.0.0.1:0\"\n{tls}"),
                )
            },
            [
                ("READ", &["tickets:read"]),
                ("WRITE", &["tickets:write"]),
                ("FULL", &["tickets:read", "tickets:write"]),
            ],
        );
        Self { gate, _server: server, _folder: folder }
    }
}

/// Replaces the only occurrence of `text` in the example. Panics if the example has changed, so
/// that the test is adapted.
#[track_caller]
fn replace(example: &str, text: &str, by: &str) -> String {
    assert_eq!(example.matches(text).count(), 1, "{text} in the example");
    example.replace(text, by)
}

/// Keygate with TLS for `localhost`, and what a client program must know about it.
struct Gate {
    gateway: Gateway,
    keys: Vec<(String, Key)>,
    folder: TempDir,
}

impl Gate {
    /// Starts a gateway with one API in front of a server. Its keys have the scopes that the client
    /// programs expect.
    fn in_front_of(scheme: &str, server: &Server) -> Self {
        let port = server.port;
        Self::open(
            |tls| {
                format!(
                    r#"
[server]
listen = "127.0.0.1:0"
{tls}
[[api]]
name = "desk"
upstream = "{scheme}://127.0.0.1:{port}"
rate_limit = "1000/min"

[api.scopes."desk:use"]
allows = ["GET /**", "POST /**"]

[api.scopes."desk:other"]
allows = ["GET /other"]
"#
                )
            },
            [("FULL", &["desk:use"]), ("READ", &["desk:other"]), ("LIMITED", &["desk:use"])],
        )
    }

    /// Starts the gateway with these keys and the file that `toml` returns, given the lines of
    /// `[server.tls]`.
    fn open<const N: usize>(toml: impl FnOnce(&str) -> String, keys: [(&str, &[&str]); N]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut toml = toml(&write_certificates(folder.path()));
        let mut known = vec![("KEY_UNKNOWN".to_owned(), Key::new("key_unknown", "desk_"))];
        for (name, scopes) in keys {
            let mut key = Key::new(&format!("key_{}", name.to_lowercase()), "desk_").scopes(scopes);
            if name == "LIMITED" {
                key = key.set("rate_limit = \"2/hour\"");
            }
            toml += &key.block();
            known.push((format!("KEY_{name}"), key));
        }
        Self { gateway: Gateway::serve(&toml, None), keys: known, folder }
    }

    /// Runs a client program against the gateway. The program reports its failures itself.
    #[track_caller]
    fn passes(&self, program: Program) {
        let mut program = program
            .env("KEYGATE_URL", format!("https://localhost:{}", self.gateway.address().port()))
            .env("KEYGATE_CA", authority(self.folder.path()))
            .env("NODE_EXTRA_CA_CERTS", authority(self.folder.path()));
        for (name, key) in &self.keys {
            program = program.env(name, &key.text);
        }
        program.run();
    }
}

fn authority(folder: &Path) -> PathBuf {
    folder.join("authority.pem")
}

/// Writes an authority and a server certificate with all extensions that strict clients require
/// (RFC 5280 §4.2). Returns the lines for `gateway.toml`.
fn write_certificates(folder: &Path) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Authority of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key pair"))
        .expect("an authority");

    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().expect("a key pair");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");

    std::fs::write(authority(folder), issuer.pem()).expect("the authority is written");
    std::fs::write(folder.join("cert.pem"), certificate.pem()).expect("the certificate is written");
    programs::write_private(&folder.join("key.pem"), &key.serialize_pem());
    let path = |name| folder.join(name).display().to_string();
    format!("[server.tls]\ncert = {:?}\nkey = {:?}\n", path("cert.pem"), path("key.pem"))
}
