//! `keygate demo`: sets up everything that a first try needs.

mod folder;
mod guide;
mod plan;
mod support_desk;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use zeroize::Zeroizing;

use self::plan::{Demo, Keys};
use super::error::with_hint;
use super::output::print;
use crate::policy::new_key;
use crate::serve;

/// Start a complete working system: a sample API, the gateway in front of it, and commands to try
///
/// Needs only this program. It creates a folder with a certificate, sample keys and a gateway.toml
/// to experiment with, and prints curl commands to paste into another terminal. Ctrl-C stops it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A new or empty folder for the files, which is kept [default: one that is removed at the end]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where the gateway listens [default: 127.0.0.1:8443, or any free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

const USUAL_PORT: u16 = 8443;
const USUAL_ADMIN_PORT: u16 = 9190;

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let listen = match arguments.listen {
        // Binding now reports a mistake before anything is created, and picks a free port for port
        // 0.
        Some(listen) => TcpListener::bind(listen)
            .and_then(|listener| listener.local_addr())
            .with_context(|| format!("cannot listen on {listen}"))?,
        None => free_address(USUAL_PORT)?,
    };
    let folder = Folder::make(arguments.dir)?;
    let demo = Demo {
        folder: folder.path().to_owned(),
        listen,
        admin: free_address(USUAL_ADMIN_PORT)?,
        desk: support_desk::start("The support desk")?,
        sandbox: support_desk::start("The sandbox")?,
        keys: Keys { reader: key("live")?, agent: key("live")?, tester: key("test")? },
    };
    let config = folder::fill(&demo)?;
    print(guide::text(&demo, &config, matches!(folder, Folder::Kept(_))))?;
    serve::run(&config, None)
}

/// The folder with the demo's files.
enum Folder {
    /// Removed when the demo ends.
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn make(wanted: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = wanted else {
            let made = tempfile::Builder::new().prefix("keygate-demo-").tempdir();
            return made
                .map(Self::Temporary)
                .context("cannot make a temporary folder")
                .map_err(|error| with_hint(error, "--dir names another place"));
        };
        let shown = path.display();
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the folder {shown}"))?;
        let path = path.canonicalize().with_context(|| format!("cannot use the folder {shown}"))?;
        let mut entries = path
            .read_dir()
            .with_context(|| format!("cannot read the folder {}", path.display()))?;
        if entries.next().is_some() {
            return Err(with_hint(
                format_args!("the folder {} is not empty", path.display()),
                "name a new one; the demo overwrites nothing",
            ));
        }
        Ok(Self::Kept(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

/// Returns a loopback address with the port, or with a free port if this one is taken.
fn free_address(port: u16) -> anyhow::Result<SocketAddr> {
    let at = |port| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr())
    };
    at(port).or_else(|_: io::Error| at(0)).context("there is no free port")
}

fn key(environment: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut random = Zeroizing::new([0; 64]);
    getrandom::fill(&mut *random).context("the system gives no random bytes")?;
    let key = new_key(&format!("sk_{environment}_"), &*random).context("too few random bytes")?;
    Ok(Zeroizing::new(key))
}
