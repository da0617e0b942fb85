//! Shared libraries that are loaded before the gateway's own (`LD_PRELOAD`) to inject faults of the
//! operating system.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Compiles a C file of `tests/` into a shared library, once per process. Returns its path.
pub(crate) fn library(source: &str) -> PathBuf {
    static LIBRARIES: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    let mut libraries =
        LIBRARIES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let compile = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source);
        let library = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(source.with_extension("so").file_name().expect("a file's name"));
        // Another process may be compiling or using the same library.
        let own = library.with_extension(std::process::id().to_string());
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&own).arg(source).arg("-ldl");
        assert!(compiler.status().expect("a C compiler").success());
        std::fs::rename(own, &library).expect("the library gets its name");
        library
    };
    libraries.entry(source.to_owned()).or_insert_with(compile).clone()
}
