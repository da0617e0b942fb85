//! TLS: versions, key exchange, selection of certificates by server name, their renewal and their
//! expiry.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion,
    SupportedProtocolVersion, version,
};

use crate::harness::{Certificates, Client, Gateway, Request, Setup, Upstream, field, wait_for};

const DAY: Duration = Duration::from_secs(86_400);

fn certificates(names: &[&str]) -> Certificates {
    Certificates::for_names(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

fn setup() -> Setup {
    Gateway::in_front_of(&Upstream::start()).api("public = [\"GET /status\"]")
}

/// Returns the folder of a gateway's files.
fn folder(gateway: &Gateway) -> std::path::PathBuf {
    gateway.file().parent().expect("a folder").to_owned()
}

/// Performs a handshake with this configuration. Returns the session, or the error as text.
fn handshake(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<ClientConnection, String> {
    let mut stream = TcpStream::connect(address).expect("the gateway accepts");
    stream.set_read_timeout(Some(crate::harness::PATIENCE)).expect("a deadline");
    let mut session = ClientConnection::new(config, name.to_owned().try_into().expect("a name"))
        .expect("a session");
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    Ok(session)
}

/// Returns a configuration that trusts this authority, with these protocol versions and key
/// exchange groups.
fn speaking(
    trusted: &Certificates,
    versions: &[&'static SupportedProtocolVersion],
    groups: &[&'static dyn SupportedKxGroup],
) -> Arc<ClientConfig> {
    let provider = CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() };
    let builder = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(versions)
        .expect("versions");
    Arc::new(builder.with_root_certificates(trusted.roots()).with_no_client_auth())
}

#[test]
fn key_exchange_is_post_quantum_where_the_client_begins_it_so() {
    let gateway = setup().tls(&["desk.example"]).start();
    let by_default =
        handshake(gateway.address(), gateway.certificates().client_config(), "desk.example")
            .expect("a handshake");
    assert_eq!(
        by_default.negotiated_key_exchange_group().map(SupportedKxGroup::name),
        Some(NamedGroup::X25519MLKEM768)
    );
    assert_eq!(by_default.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    use aws_lc_rs::kx_group::{SECP256R1, SECP256R1MLKEM768, SECP384R1, X25519, X25519MLKEM768};
    for (offered, chosen) in [
        (&[X25519MLKEM768][..], NamedGroup::X25519MLKEM768),
        (&[X25519], NamedGroup::X25519),
        (&[SECP256R1], NamedGroup::secp256r1),
        (&[SECP384R1], NamedGroup::secp384r1),
    ] {
        let client = speaking(gateway.certificates(), &[&version::TLS13], offered);
        let session = handshake(gateway.address(), client, "desk.example").expect("a handshake");
        assert_eq!(
            session.negotiated_key_exchange_group().map(SupportedKxGroup::name),
            Some(chosen),
            "of {offered:?}"
        );
    }
    let client = speaking(gateway.certificates(), &[&version::TLS13], &[SECP256R1MLKEM768]);
    assert!(
        handshake(gateway.address(), client, "desk.example").is_err(),
        "it is not in the guidelines"
    );
}

#[test]
fn profile_says_which_versions_are_spoken_and_an_edit_changes_it() {
    let gateway = setup().tls(&["desk.example"]).start();
    let speak = |version: &'static SupportedProtocolVersion| {
        let client =
            speaking(gateway.certificates(), &[version], &aws_lc_rs::default_provider().kx_groups);
        handshake(gateway.address(), client, "desk.example")
            .map(|session| session.protocol_version())
    };
    assert_eq!(speak(&version::TLS12), Ok(Some(ProtocolVersion::TLSv1_2)));
    assert_eq!(speak(&version::TLS13), Ok(Some(ProtocolVersion::TLSv1_3)));
    gateway.edit(|toml| {
        *toml = toml.replace("key = \"key.pem\"", "key = \"key.pem\"\nprofile = \"modern\"")
    });
    wait_for("TLS 1.2 is refused", || speak(&version::TLS12).is_err().then_some(()));
    assert_eq!(speak(&version::TLS13), Ok(Some(ProtocolVersion::TLSv1_3)));
    let change = gateway.events("configuration changed").pop().expect("an event");
    assert_eq!(
        field(&change, "change").and_then(|change| change.as_str()),
        Some("TLS profile intermediate → modern")
    );
}

#[test]
fn session_is_resumed_after_the_certificate_has_been_swapped() {
    let gateway = setup().tls(&["desk.example"]).start();
    let client = speaking(
        gateway.certificates(),
        &[&version::TLS12],
        &aws_lc_rs::default_provider().kx_groups,
    );
    let kind = || {
        handshake(gateway.address(), client.clone(), "desk.example")
            .map(|session| session.handshake_kind())
    };
    assert_eq!(kind(), Ok(Some(HandshakeKind::Full)));
    assert_eq!(kind(), Ok(Some(HandshakeKind::Resumed)));
    certificates(&["desk.example"]).write_as(&folder(&gateway), "cert.pem", "key.pem");
    wait_for("the new certificate", || gateway.events("certificate reloaded").pop());
    assert_eq!(kind(), Ok(Some(HandshakeKind::Resumed)));
}

/// Starts a gateway with two certificates: one for `desk.example`, and one for these names, which
/// is returned.
fn with_second(names: &[&str]) -> (Gateway, Certificates) {
    let second = certificates(names);
    let gateway = setup().tls(&["desk.example"]).start();
    second.write_as(&folder(&gateway), "second.pem", "second-key.pem");
    let table = "[[server.tls.certificate]]\ncert = \"second.pem\"\nkey = \"second-key.pem\"\n";
    gateway.edit(|toml| {
        *toml = toml.replace("key = \"key.pem\"\n", &format!("key = \"key.pem\"\n{table}"))
    });
    wait_for("the edit is in force", || gateway.events("configuration reloaded").pop());
    (gateway, second)
}

/// Returns whether the gateway presents a certificate of this authority, whether or not the name in
/// it matches.
fn is_shown(gateway: &Gateway, trusted: &Certificates, name: &str) -> bool {
    match handshake(gateway.address(), trusted.client_config(), name) {
        Ok(_) => true,
        Err(why) => why.contains("not valid for name"),
    }
}

#[test]
fn certificate_is_chosen_by_the_name_that_a_client_asks_for() {
    let (gateway, second) = with_second(&["shop.example", "*.shop.example"]);
    let first = gateway.certificates();
    for name in ["shop.example", "SHOP.example", "a.shop.example"] {
        assert!(is_shown(&gateway, &second, name) && !is_shown(&gateway, first, name), "{name}");
        let answer =
            Client::tls(gateway.address(), &second, name).send(&Request::get("/status").host(name));
        assert_eq!(answer.status(), 200, "{name}");
    }
    // For any other name, and for an address, which is not sent as SNI, the first certificate is
    // used.
    for name in ["desk.example", "other.example", "a.b.shop.example", "127.0.0.1"] {
        assert!(is_shown(&gateway, first, name) && !is_shown(&gateway, &second, name), "{name}");
    }
}

#[test]
fn each_certificate_is_renewed_by_itself() {
    let (gateway, second) = with_second(&["shop.example"]);
    let mut open = Client::tls(gateway.address(), &second, "shop.example");
    let request = Request::get("/status").host("shop.example");
    assert_eq!(open.send(&request).status(), 200);
    // The first certificate's renewal stays incomplete: the certificate is new, but its key is not.
    certificates(&["desk.example"]).write_as(&folder(&gateway), "cert.pem", "another-key.pem");
    wait_for("the complaint", || {
        gateway.events("changed certificate cannot be used; the one before goes on").pop()
    });
    let renewed = certificates(&["shop.example", "new.example"]);
    renewed.write_as(&folder(&gateway), "second.pem", "second-key.pem");
    wait_for("the new certificate", || gateway.events("certificate reloaded").pop());
    for name in ["shop.example", "new.example"] {
        assert!(is_shown(&gateway, &renewed, name), "{name}");
    }
    assert!(is_shown(&gateway, gateway.certificates(), "desk.example"), "what ran before goes on");
    assert_eq!(open.send(&request).status(), 200, "the connection from before is still there");
    // The incomplete renewal does not prevent an edit from taking effect either.
    gateway.edit(|toml| {
        *toml = toml.replace("second.pem", "third.pem").replace("second-key.pem", "third-key.pem")
    });
    wait_for("a file that is not there is refused", || {
        gateway.events("the file is refused; what ran before goes on").pop()
    });
    let third = certificates(&["third.example"]);
    third.write_as(&folder(&gateway), "third.pem", "third-key.pem");
    gateway.edit(|toml| toml.push_str("\n# once more\n"));
    wait_for("the third certificate", || is_shown(&gateway, &third, "third.example").then_some(()));
    assert!(!is_shown(&gateway, &renewed, "shop.example"));
}

fn metric(gateway: &Gateway, listener: &str, file: &str) -> Option<i64> {
    let start =
        format!("keygate_certificate_expiry_timestamp_seconds{{listener=\"{listener}\",file=\"");
    let end = format!("{file}\"}} ");
    let page = gateway.admin("/metrics").text().to_owned();
    page.lines().find_map(|line| line.strip_prefix(&start)?.split_once(&end)?.1.parse().ok())
}

#[test]
fn end_of_a_certificate_is_told_before_and_after_and_stands_in_the_metrics() {
    let names = ["desk.example"];
    let gateway = setup().tls_with(Certificates::lasting(&names, 37 * DAY)).start();
    let event = gateway.events("a certificate expires soon").pop().expect("an event");
    assert_eq!(field(&event, "level").and_then(|level| level.as_str()), Some("warn"));
    assert_eq!(field(&event, "listener").and_then(|listener| listener.as_str()), Some("data"));
    let end = metric(&gateway, "data", "cert.pem").expect("the metric");
    let now = jiff::Timestamp::now().as_second();
    assert!((6 * 86_400..=7 * 86_400).contains(&(end - now)), "{end}");
    // An expired certificate is served nevertheless: the previous one may be worse, and clients
    // decide for themselves.
    let replace = |life| Certificates::lasting(&names, life).write(Path::new(&folder(&gateway)));
    replace(29 * DAY);
    let event = wait_for("it has ended", || {
        gateway.events("a certificate has expired: clients refuse it").pop()
    });
    assert_eq!(field(&event, "level").and_then(|level| level.as_str()), Some("error"));
    assert!(metric(&gateway, "data", "cert.pem").expect("the metric") < now);
    replace(120 * DAY);
    wait_for("the new one", || {
        (metric(&gateway, "data", "cert.pem") > Some(now + 80 * 86_400)).then_some(())
    });
    assert_eq!(gateway.events("a certificate expires soon").len(), 1);
    assert_eq!(gateway.events("a certificate has expired: clients refuse it").len(), 1);
}

#[test]
fn admin_address_has_the_same_tls() {
    let certificates = Certificates::lasting(&["localhost"], 35 * DAY);
    let second = self::certificates(&["ops.example"]);
    let tables = "[admin.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\nprofile = \"modern\"\n\
                  [[admin.tls.certificate]]\ncert = \"second.pem\"\nkey = \"second-key.pem\"";
    let folder = setup().tls_with(certificates).more(tables).write();
    second.write_as(folder.path(), "second.pem", "second-key.pem");
    let gateway = Gateway::serve_in(folder);
    let admin = gateway.admin_address();
    let client = speaking(&second, &[&version::TLS13], &aws_lc_rs::default_provider().kx_groups);
    let session = handshake(admin, client, "ops.example").expect("a handshake");
    assert_eq!(
        session.negotiated_key_exchange_group().map(SupportedKxGroup::name),
        Some(NamedGroup::X25519MLKEM768)
    );
    let old = speaking(&second, &[&version::TLS12], &aws_lc_rs::default_provider().kx_groups);
    assert!(handshake(admin, old, "ops.example").is_err());
    let page = Client::tls(admin, &second, "ops.example")
        .send(&Request::get("/metrics").host("127.0.0.1"));
    let text = page.text();
    for (listener, file) in
        [("data", "/cert.pem"), ("admin", "/cert.pem"), ("admin", "/second.pem")]
    {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("listener=\"{listener}\"")) && line.contains(file));
        assert!(
            line.is_some_and(
                |line| line.starts_with("keygate_certificate_expiry_timestamp_seconds")
            ),
            "{listener} {file}: {text}"
        );
    }
    let told = gateway.events("a certificate expires soon");
    let listeners: Vec<_> =
        told.iter().filter_map(|event| field(event, "listener")?.as_str()).collect();
    assert_eq!(listeners, ["data", "admin"]);
    // The certificate is replaced on the admin listener too.
    let renewed = self::certificates(&["ops.example"]);
    renewed.write_as(&self::folder(&gateway), "second.pem", "second-key.pem");
    wait_for("the new certificate", || {
        handshake(admin, renewed.client_config(), "ops.example").ok()
    });
}
