//! Restoring a backup in place of the store, as the README describes.

use super::key_service::KeyAdmin;

#[test]
fn restored_backup_does_not_revive_what_the_file_revokes() {
    let admin = KeyAdmin::open();
    let (kept, by_file, by_request) =
        (admin.create("kept"), admin.create("by file"), admin.create("by request"));
    admin.back_up("copy.db");
    let late = admin.create("late");
    admin.revoke_in_file(&by_file);
    assert_eq!(admin.revoke(&by_request).status(), 200);
    assert_eq!((admin.status(&by_request), admin.status(&late)), (401, 200));

    let admin = admin.restart_after(|disk| {
        for suffix in ["-wal", "-shm"] {
            // A gateway that was stopped leaves neither file.
            let _ = std::fs::remove_file(disk.folder().join(format!("keygate.db{suffix}")));
        }
        std::fs::rename(disk.folder().join("copy.db"), disk.store())
            .expect("the copy takes the store's place");
    });
    assert_eq!((admin.status(&kept), admin.status(&by_file)), (200, 401));
    assert_eq!(
        admin.status(&by_request),
        200,
        "the copy is older than its revocation, and the file does not name it"
    );
    assert_eq!(admin.status(&late), 401, "the copy is older than the key");
    admin.wait_for_lasting_revocation(&by_file, "gateway.toml");

    admin.revoke_in_file(&by_request);
    assert_eq!(admin.status(&by_file), 401, "what the file has once revoked stays so");
    admin.wait_for_lasting_revocation(&by_request, "gateway.toml");
    let admin = admin.restart();
    assert_eq!(
        (admin.status(&kept), admin.status(&by_file), admin.status(&by_request)),
        (200, 401, 401)
    );
}
