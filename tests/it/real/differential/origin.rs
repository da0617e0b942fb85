//! Other vendors' servers that report how they parse requests. nginx and HAProxy add what they have
//! parsed as header fields and forward the request to a recording server. Node and Python print a
//! line of JSON.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::super::super::harness::{Answer, Message, Upstream, wait_for};
use super::super::programs::{Server, file, tool};
use super::Seen;

pub(super) struct Origin {
    name: &'static str,
    url: String,
    teller: Teller,
}

enum Teller {
    Recorder { upstream: Upstream, child: Child, _folder: TempDir },
    Lines { server: Server, read: u64, rest: String },
}

impl Origin {
    pub(super) fn nginx() -> Self {
        let settings = |folder: &str, recorder: &str| {
            let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|name| format!("    {name}_temp_path {folder}/{name};\n"))
                .concat();
            format!(
                r#"
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 512; }}
http {{
    access_log off;
{paths}
    # As lenient as it gets.
    underscores_in_headers on;
    ignore_invalid_headers off;
    merge_slashes off;
    server {{
        listen unix:{folder}/socket;
        location / {{
            proxy_pass {recorder};
            proxy_http_version 1.1;
            proxy_set_header X-Seen-Method $request_method;
            proxy_set_header X-Seen-Target $request_uri;
            proxy_set_header X-Seen-Host $http_host;
        }}
    }}
}}
"#
            )
        };
        Self::passing_on("nginx", settings, |settings| {
            let mut command = Command::new(tool("servers/nginx"));
            command
                .arg("-e")
                .arg("stderr")
                .arg("-p")
                .arg(settings.parent().expect("a folder"))
                .arg("-c")
                .arg(settings);
            command
        })
    }

    pub(super) fn haproxy() -> Self {
        let settings = |folder: &str, recorder: &str| {
            let recorder = recorder.trim_start_matches("http://");
            format!(
                "
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    retries 0
frontend origin
    bind {folder}/socket
    option accept-invalid-http-request
    http-request set-header X-Seen-Method %[method]
    http-request set-header X-Seen-Target %[url]
    http-request set-header X-Seen-Host %[req.fhdr(host)]
    default_backend recorder
backend recorder
    server recorder {recorder}
"
            )
        };
        Self::passing_on("haproxy", settings, |settings| {
            let mut command = Command::new(tool("servers/haproxy"));
            command.arg("-db").arg("-f").arg(settings);
            command
        })
    }

    /// Starts a proxy with these settings, on a socket in its folder, in front of a recording
    /// server.
    fn passing_on(
        name: &'static str,
        settings: impl Fn(&str, &str) -> String,
        command: impl Fn(&Path) -> Command,
    ) -> Self {
        let upstream = Upstream::answering(|_| Answer::new("200 OK", &[], b"ok"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("settings");
        std::fs::write(&path, settings(&folder.path().display().to_string(), &upstream.url()))
            .expect("its settings are written");
        let mut command = command(&path);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let socket = folder.path().join("socket");
        wait_for(name, || std::os::unix::net::UnixStream::connect(&socket).ok());
        Self {
            name,
            url: format!("unix:{}", socket.display()),
            teller: Teller::Recorder { upstream, child, _folder: folder },
        }
    }

    pub(super) fn node() -> Self {
        let mut command = Command::new("node");
        command.arg(file("tests/real/servers/origin.mjs"));
        Self::telling("node", Server::start(command, "listening", "listening "))
    }

    pub(super) fn python() -> Self {
        let mut command = Command::new("python3");
        command.arg(file("tests/real/servers/origin.py"));
        Self::telling("python", Server::start(command, "listening", "listening "))
    }

    fn telling(name: &'static str, server: Server) -> Self {
        Self {
            name,
            url: format!("http://127.0.0.1:{}", server.port),
            teller: Teller::Lines { server, read: 0, rest: String::new() },
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the URL for `upstream`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns everything that has arrived since the last call. Waits for a request with this
    /// target, which is left out.
    pub(super) fn arrived_until(&mut self, target: &str) -> Vec<Seen> {
        let mut arrived: Vec<Seen> = Vec::new();
        wait_for(target, || {
            arrived.extend(self.take());
            arrived.iter().any(|seen| seen.target == target).then_some(())
        });
        arrived.retain(|seen| seen.target != target);
        arrived
    }

    fn take(&mut self) -> Vec<Seen> {
        match &mut self.teller {
            Teller::Recorder { upstream, .. } => upstream.take().iter().map(recorded).collect(),
            Teller::Lines { server, read, rest } => {
                let mut output = std::fs::File::open(server.output()).expect("its output");
                output.seek(SeekFrom::Start(*read)).expect("a place in it");
                let mut come = Vec::new();
                *read += output.read_to_end(&mut come).expect("its output is read") as u64;
                rest.push_str(&String::from_utf8_lossy(&come));
                let whole = rest.rfind('\n').map_or(0, |end| end + 1);
                let lines: String = rest.drain(..whole).collect();
                lines.lines().filter(|line| !line.starts_with("listening")).map(told).collect()
            }
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Teller::Recorder { child, .. } = &mut self.teller {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Returns what a proxy parsed, from the fields that it added.
fn recorded(request: &Message) -> Seen {
    assert_eq!(request.all("x-keygate-auth"), ["public"], "{request:?}");
    let field = |name| request.all(name).concat();
    Seen {
        method: field("x-seen-method"),
        target: field("x-seen-target"),
        host: field("x-seen-host"),
        body: request.body.clone(),
    }
}

/// Returns what a server reports that it parsed.
fn told(line: &str) -> Seen {
    let said: serde_json::Value =
        serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
    let text =
        |name: &str| said[name].as_str().unwrap_or_else(|| panic!("{name} in {line}")).to_owned();
    assert_eq!(text("auth"), "public", "{line}");
    let body = text("body");
    let body = (0..body.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&body[at..at + 2], 16).expect("two digits"))
        .collect();
    Seen { method: text("method"), target: text("target"), host: text("host"), body }
}
