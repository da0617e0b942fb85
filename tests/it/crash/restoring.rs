//! Restoring a backup in place of the store, as the README describes.

use super::office::Office;

#[test]
fn restored_backup_does_not_revive_what_the_file_revokes() {
    let office = Office::open();
    let (kept, by_file, by_request) =
        (office.create("kept"), office.create("by file"), office.create("by request"));
    office.back_up("copy.db");
    let late = office.create("late");
    office.revoke_in_file(&by_file);
    assert_eq!(office.revoke(&by_request).status(), 200);
    assert_eq!((office.status(&by_request), office.status(&late)), (401, 200));

    let office = office.restart_after(|disk| {
        for suffix in ["-wal", "-shm"] {
            // A gateway that was stopped leaves neither file.
            let _ = std::fs::remove_file(disk.folder().join(format!("keygate.db{suffix}")));
        }
        std::fs::rename(disk.folder().join("copy.db"), disk.store())
            .expect("the copy takes the store's place");
    });
    assert_eq!((office.status(&kept), office.status(&by_file)), (200, 401));
    assert_eq!(
        office.status(&by_request),
        200,
        "the copy is older than its revocation, and the file does not name it"
    );
    assert_eq!(office.status(&late), 401, "the copy is older than the key");
    office.wait_for_lasting_revocation(&by_file, "gateway.toml");

    office.revoke_in_file(&by_request);
    assert_eq!(office.status(&by_file), 401, "what the file has once revoked stays so");
    office.wait_for_lasting_revocation(&by_request, "gateway.toml");
    let office = office.restart();
    assert_eq!(
        (office.status(&kept), office.status(&by_file), office.status(&by_request)),
        (200, 401, 401)
    );
}
