//! Files that exist but cannot be read for a while: a failing disk, no free descriptor in the whole
//! system, or permissions that are granted late.

use std::fs;

use tempfile::TempDir;

use super::{Desk, with_faults};
use crate::harness::{Gateway, Setup, wait_for};

const EIO: i32 = 5;
const EACCES: i32 = 13;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

const REFUSED: &str = "the file is refused; what ran before goes on";

/// Starts a desk with fault injection. While the returned folder contains a file `open`, files
/// whose paths have the suffix in it cannot be opened.
fn open(setup: impl FnOnce(Setup) -> Setup) -> (Desk, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let desk = Desk::open(setup, |setup| {
        let files = setup.write();
        fs::write(files.path().join("desk.auth"), "Token first").expect("a secret");
        Gateway::serve_in_with(files, &with_faults(folder.path()))
    });
    (desk, folder)
}

fn fail(folder: &TempDir, suffix: &str, errno: i32) {
    fs::write(folder.path().join("new"), format!("{suffix}\n{errno}\n")).expect("a fault");
    fs::rename(folder.path().join("new"), folder.path().join("open")).expect("a fault");
}

fn heal(folder: &TempDir) {
    fs::remove_file(folder.path().join("open")).expect("a fault");
}

#[test]
fn edit_that_could_not_be_read_is_in_force_as_soon_as_it_can_be() {
    for errno in [EIO, EACCES, ENFILE, EMFILE] {
        let (desk, folder) = open(|setup| setup);
        fail(&folder, "/gateway.toml", errno);
        desk.revoke_by_file();
        wait_for("it is told", || desk.gateway.events(REFUSED).pop());
        assert_eq!((desk.status(&desk.crm), desk.status(&desk.leaked)), (200, 200));
        assert_eq!(desk.gateway.metric("keygate_config_file_differs"), Some(1.0));
        heal(&folder);
        desk.wait_for_status(&desk.leaked, 401);
        desk.wait_for_metric("keygate_config_file_differs", 0.0);
        assert_eq!(desk.gateway.events(REFUSED).len(), 1, "said once");
    }
}

#[test]
fn edit_is_not_forgotten_because_a_file_that_it_names_could_not_be_read() {
    let (desk, folder) =
        open(|setup| setup.table("[api.upstream_headers]\nX-Desk-Auth = \"file:desk.auth\""));
    fail(&folder, "/desk.auth", EMFILE);
    desk.revoke_by_file();
    wait_for("it is told", || desk.gateway.events(REFUSED).pop());
    assert_eq!(
        (desk.status(&desk.crm), desk.status(&desk.leaked)),
        (200, 401),
        "a revocation does not even wait for it"
    );
    heal(&folder);
    desk.wait_for_metric("keygate_config_file_differs", 0.0);
    assert_eq!((desk.status(&desk.crm), desk.status(&desk.leaked)), (200, 401));
    assert_eq!(desk.gateway.events(REFUSED).len(), 1, "said once");
}
