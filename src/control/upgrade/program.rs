//! The program that takes over: the file that this process was started from, as it is on disk now.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How to start the program.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// Returns the program that this process was started from, with these arguments for its start.
    ///
    /// To be called early. The path may later hold another version, and a relative path depends on
    /// the working directory at the start.
    #[must_use]
    pub fn of_this_process(arguments: Vec<OsString>) -> Option<Self> {
        let name = PathBuf::from(std::env::args_os().next()?);
        // Not the system's name of the running program: a path that is a symbolic link may by then
        // lead to another version.
        let path = if name.components().count() > 1 {
            std::path::absolute(name).ok()
        } else {
            in_search_path(&name)
        };
        let path = path.filter(|path| is_program(path)).or_else(|| std::env::current_exe().ok())?;
        Some(Self { path, arguments })
    }

    /// Starts the program. Returns it and this end of the socket pair. It inherits standard output
    /// and error. Its standard input is the other end of the socket pair.
    pub(super) fn start(&self) -> io::Result<(Child, UnixStream)> {
        let (here, there) = UnixStream::pair()?;
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .stdin(Stdio::from(OwnedFd::from(there)))
            .spawn();
        let child = child.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })?;
        Ok((child, here))
    }
}

fn in_search_path(name: &Path) -> Option<PathBuf> {
    let search = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&search).map(|folder| folder.join(name));
    folders.filter_map(|path| std::path::absolute(path).ok()).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
