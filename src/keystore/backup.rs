//! Copies the store while it is in use.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::Unavailable;
use super::open::sync_folder;

/// The pages of 4 KiB that are copied in one step, before waiting commands have their turn. A step
/// takes about a millisecond.
const PAGES: i32 = 256;
/// The steps after which the copy is synced. Syncing a large copy only at its end would delay
/// changes for seconds.
const STEPS_A_SYNC: u32 = 4;

/// Copies page by page. `from` is also the connection that changes the store, so SQLite repeats in
/// the copy every change that is made meanwhile. Calls `let_others_go_first` after each step.
///
/// # Errors
/// Returns an error if `to` exists or cannot be written. No partial copy is left behind.
pub(super) fn write(
    from: &Connection,
    to: &Path,
    mut let_others_go_first: impl FnMut(),
) -> Result<(), Unavailable> {
    if to.try_exists()? {
        return Err(Unavailable(format!("{} exists", to.display())));
    }
    let beside = beside(to);
    let written = copy(from, &beside, &mut let_others_go_first).and_then(|()| {
        std::fs::rename(&beside, to)?;
        Ok(sync_folder(to)?)
    });
    if written.is_err() {
        // The file may not exist, and a failure to remove it cannot be handled further.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Returns the name of the copy until it is complete.
fn beside(to: &Path) -> PathBuf {
    let mut name = to.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".partial");
    to.with_file_name(name)
}

fn copy(
    from: &Connection,
    beside: &Path,
    let_others_go_first: &mut impl FnMut(),
) -> Result<(), Unavailable> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    let mut copy = Connection::open(beside)?;
    // An incomplete copy is discarded, so it needs no journal. It is synced at the end.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    let backup = Backup::new(from, &mut copy)?;
    let mut steps = 0;
    while backup.step(PAGES)? != StepResult::Done {
        steps += 1;
        if steps % STEPS_A_SYNC == 0 {
            file.sync_data()?;
        }
        let_others_go_first();
    }
    drop(backup);
    copy.close().map_err(|(_, error)| error)?;
    Ok(file.sync_all()?)
}
