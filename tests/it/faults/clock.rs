//! The wall clock is set while the gateway runs.

use std::fs;

use super::{Desk, with_faults};
use crate::harness::{Certificates, Client, Gateway, Key, Request, wait_for};

const HOUR: i64 = 3600;

#[test]
fn wall_clock_that_jumps_moves_expiry_and_nothing_else() {
    let certificates = Certificates::for_names(&["localhost".to_owned()]);
    let in_an_hour =
        jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + HOUR).expect("a time");
    let temporary = Key::live("key_temporary")
        .scopes(&["tickets:read"])
        .set(&format!("expires_at = {in_an_hour}"));
    let limited = Key::live("key_limited").scopes(&["tickets:read"]).set("rate_limit = \"3/hour\"");
    let folder = tempfile::tempdir().expect("a folder");
    let set_clock = |offset: i64| {
        fs::write(folder.path().join("new"), offset.to_string()).expect("the offset");
        fs::rename(folder.path().join("new"), folder.path().join("clock"))
            .expect("the clock is set");
    };
    let desk = Desk::open(
        |setup| setup.tls(&["localhost"]).key(&temporary).key(&limited),
        |setup| {
            let files = setup.write();
            certificates.write(files.path());
            Gateway::serve_in_with(files, &with_faults(folder.path()))
        },
    );
    let address = desk.gateway.address();
    // Opens a new connection each time, to test TLS as well.
    let send = |key: &Key| {
        let request = Request::get("/api/v1/tickets").bearer(key);
        Client::tls(address, &certificates, "localhost").send(&request).status()
    };
    let mut open = Client::tls(address, &certificates, "localhost");
    assert_eq!((send(&temporary), send(&limited), send(&limited)), (200, 200, 200));

    set_clock(2 * HOUR);
    wait_for("the key has expired", || (send(&temporary) == 401).then_some(()));
    assert_eq!((send(&limited), send(&limited)), (200, 429), "the window has not moved");
    assert_eq!(Desk::status_over(&mut open, &desk.crm), 200);

    set_clock(-24 * HOUR);
    wait_for("the key has not expired yet", || (send(&temporary) == 200).then_some(()));
    assert_eq!((send(&limited), send(&desk.crm)), (429, 200), "nor has it now");
    assert_eq!(Desk::status_over(&mut open, &desk.crm), 200);

    // Edits are detected by the state of the file, whatever the time is.
    desk.revoke_by_file();
    wait_for("the revocation", || (send(&desk.leaked) == 401).then_some(()));

    // Ten years ahead by the gateway's clock, with which it also judges its certificate.
    set_clock(10 * 365 * 24 * HOUR);
    wait_for("the key has expired again", || (send(&temporary) == 401).then_some(()));
    assert_eq!((send(&desk.crm), Desk::status_over(&mut open, &desk.crm)), (200, 200));
    assert!(desk.gateway.stop().success());
}
