//! `gateway.toml` and the files that it names are replaced by something else while the gateway
//! runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::{Desk, REVOKED};
use crate::harness::{Certificates, Client, Gateway, wait_for};

/// What a file is replaced by, and how.
type Fault = (&'static str, fn(&Path));

const FAULTS: [Fault; 12] = [
    ("it is deleted", |_| ()),
    ("it is a folder", |file| fs::create_dir(file).unwrap()),
    ("it is a pipe", make_pipe),
    ("it is a device that never ends", |file| symlink("/dev/zero", file).unwrap()),
    ("it is a device that never answers", |file| symlink("/dev/ptmx", file).unwrap()),
    ("it is a socket", |file| drop(std::os::unix::net::UnixListener::bind(file).unwrap())),
    ("it is a link to nowhere", |file| symlink("nowhere", file).unwrap()),
    ("it is a link to itself", |file| symlink(file, file).unwrap()),
    ("it is huge", |file| fs::File::create(file).and_then(|file| file.set_len(1 << 40)).unwrap()),
    ("it is empty", |file| fs::write(file, "").unwrap()),
    ("it is not text", |file| fs::write(file, [b'#', 0xff, 0xfe, b'\n']).unwrap()),
    ("it is half-written", |file| fs::write(file, "[server]\nlisten = \"127.0.").unwrap()),
];

fn make_pipe(file: &Path) {
    assert!(Command::new("mkfifo").arg(file).status().expect("mkfifo runs").success());
}

fn remove(file: &Path) {
    let _ = fs::remove_file(file).or_else(|_| fs::remove_dir(file));
}

#[test]
fn gateway_toml_that_is_no_good_changes_nothing_and_the_next_good_one_revokes() {
    thread::scope(|scope| {
        for (fault, make) in FAULTS {
            scope.spawn(move || {
                let desk = Desk::open(|setup| setup, |setup| setup.start());
                let file = desk.gateway.file();
                let good = fs::read_to_string(&file).expect("the file");
                remove(&file);
                make(&file);
                println!("{fault}");
                desk.wait_for_metric("keygate_config_file_differs", 1.0);
                assert_eq!(
                    (desk.status(&desk.crm), desk.status(&desk.leaked)),
                    (200, 200),
                    "{fault}"
                );
                remove(&file);
                fs::write(&file, good + REVOKED).expect("a good file");
                desk.wait_for_status(&desk.leaked, 401);
                assert_eq!(desk.status(&desk.crm), 200, "{fault}");
                desk.wait_for_metric("keygate_config_file_differs", 0.0);
                assert!(desk.gateway.stop().success(), "{fault}");
            });
        }
    });
}

#[test]
fn certificate_that_is_no_good_changes_nothing_and_holds_no_revocation_up() {
    let certificates = Certificates::for_names(&["localhost".to_owned()]);
    thread::scope(|scope| {
        for (name, (fault, make)) in FAULTS
            .into_iter()
            .enumerate()
            .map(|(index, fault)| (["cert.pem", "key.pem"][index % 2], fault))
        {
            let certificates = &certificates;
            scope.spawn(move || {
                let start = |setup: crate::harness::Setup| {
                    let folder = setup.tls(&["localhost"]).write();
                    certificates.write(folder.path());
                    Gateway::serve_in(folder)
                };
                let desk = Desk::open(|setup| setup, start);
                let file = desk.gateway.file().with_file_name(name);
                remove(&file);
                make(&file);
                println!("{name}: {fault}");
                let complaint = "changed certificate cannot be used; the one before goes on";
                wait_for("the complaint", || desk.gateway.events(complaint).pop());
                let status = |key| {
                    Client::tls(desk.gateway.address(), certificates, "localhost")
                        .send(&Desk::request(key))
                        .status()
                };
                assert_eq!(status(&desk.crm), 200, "{fault}");
                desk.revoke_by_file();
                wait_for("the revocation", || (status(&desk.leaked) == 401).then_some(()));
                assert_eq!(
                    desk.gateway.metric("keygate_certificate_reloads_total{result=\"failure\"}"),
                    Some(1.0),
                    "{fault}"
                );
                remove(&file);
                certificates.write(file.parent().expect("a folder"));
                wait_for("the good one", || desk.gateway.events("certificate reloaded").pop());
                assert!(desk.gateway.stop().success(), "{fault}");
            });
        }
    });
}
