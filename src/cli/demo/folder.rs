//! The files of the demo: a certificate, its key and a `gateway.toml`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::CertifiedKey;

use super::plan::Demo;
use crate::cli::reachable::reachable;
use crate::policy::Digest;

pub(super) const CERTIFICATE: &str = "cert.pem";
const PRIVATE_KEY: &str = "key.pem";
/// The line that the guide says to edit, and its replacement.
pub(super) const NOTHING_REVOKED: &str = "keys = []";
pub(super) const READER_REVOKED: &str = "keys = [\"key_reader\"]";

/// Writes the files, and returns the path of `gateway.toml`.
pub(super) fn fill(demo: &Demo) -> anyhow::Result<PathBuf> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let address = reachable(demo.listen).ip().to_string();
    if !names.contains(&address) {
        names.push(address);
    }
    // rcgen makes an ECDSA P-256 key, whose handshakes cost a quarter of RSA's.
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
    write(&demo.folder.join(CERTIFICATE), &cert.pem())?;
    write(&demo.folder.join(PRIVATE_KEY), &signing_key.serialize_pem())?;
    let config = demo.folder.join("gateway.toml");
    write(&config, &gateway_toml(demo))?;
    Ok(config)
}

/// Creates a file that only its owner can read.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

// Longer than 60 lines: one text, as the user reads it.
fn gateway_toml(demo: &Demo) -> String {
    let digest = |key: &str| Digest::of(key.as_bytes());
    format!(
        r#"# Keygate's demo. Change anything and save: it is in force at once.
# A mistake changes nothing.

[server]
listen = "{listen}"

[server.tls]                            # a certificate that was made for this demo
cert = "{CERTIFICATE}"
key = "{PRIVATE_KEY}"

[admin]                                 # /metrics, /healthz, /readyz
listen = "{admin}"

[revoked]                               # ids of keys that are refused, whatever else is said
{NOTHING_REVOKED}

[[api]]
name = "support-desk"
# The sample API, which knows nothing of keys. Test keys go to a sandbox.
upstream = {{ live = "http://{desk}", test = "http://{sandbox}" }}
credentials = ["bearer"]                # Authorization: Bearer KEY
environments = {{ live = "sk_live_", test = "sk_test_" }}
rate_limit = "100/min"                  # for each key
public = ["GET /status"]                # needs no key

[api.scopes."tickets:read"]
description = "View tickets"
allows = ["GET /api/v1/tickets", "GET /api/v1/tickets/*"]

[api.scopes."tickets:write"]
description = "Create and update tickets"
allows = ["POST /api/v1/tickets", "PATCH /api/v1/tickets/*"]

[api.scopes."customers:read"]
description = "View customers"
allows = ["GET /api/v1/customers", "GET /api/v1/customers/*"]

[api.scopes."customers:write"]
description = "Create and update customers"
allows = ["POST /api/v1/customers", "PATCH /api/v1/customers/*"]

[[key]]
id = "key_reader"
name = "A reader of tickets"
organization = "org_demo"
sha256 = "{reader}"
scopes = ["tickets:read"]

[[key]]
id = "key_agent"
name = "A support agent's tool"
organization = "org_demo"
sha256 = "{agent}"
scopes = ["tickets:read", "tickets:write", "customers:read", "customers:write"]

[[key]]
id = "key_tester"
name = "A developer's experiment"
organization = "org_demo"
sha256 = "{tester}"
scopes = ["tickets:read", "tickets:write"]
rate_limit = "5/min"                    # instead of the API's
"#,
        listen = demo.listen,
        admin = demo.admin,
        desk = demo.desk,
        sandbox = demo.sandbox,
        reader = digest(&demo.keys.reader),
        agent = digest(&demo.keys.agent),
        tester = digest(&demo.keys.tester),
    )
}
