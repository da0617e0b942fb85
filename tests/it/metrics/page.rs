//! Every series of `/metrics`, as `docs/metrics.txt` lists them. Names, types, help texts, labels
//! and buckets are an interface that dashboards and alerts depend on.

use std::collections::BTreeMap;
use std::path::Path;

use super::{scrape, value};
use crate::harness::{Certificates, Client, Gateway, Key, Request, Upstream, wait_for};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.txt");

/// A series that appears shortly after the start, when all keys have been examined once.
const KEYS_LOOKED_AT: &str = "keygate_keys_expiring_soon{api=\"desk\"}";

/// Returns the families of a page by name, in the form of the golden file: without values, and
/// without what differs between runs. The order of families and series is ignored, and that of
/// buckets is kept.
fn families(page: &str, folder: &Path) -> BTreeMap<String, Vec<String>> {
    let folder = format!("{}/", folder.display());
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut family = String::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let name = comment.split(' ').nth(1).expect("a name");
            if name != family {
                assert!(!families.contains_key(name), "{name} stands on the page twice");
                family = name.to_owned();
            }
            families.entry(family.clone()).or_default().push(line.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        value.parse::<f64>().unwrap_or_else(|_| panic!("{line} has no value"));
        assert!(series.starts_with(&family), "{series} stands in the family {family}");
        let series = series.replace(&folder, "").replace(&version, "version=\"…\"");
        families.entry(family.clone()).or_default().push(series);
    }
    for lines in families.values_mut() {
        assert!(lines[0].starts_with("# HELP ") && lines[1].starts_with("# TYPE "), "{lines:?}");
        if !lines[1].ends_with(" histogram") {
            lines[2..].sort();
        }
    }
    families
}

fn text<'l>(families: impl Iterator<Item = &'l Vec<String>>) -> String {
    families.flatten().map(|line| format!("{line}\n")).collect()
}

/// Returns the families of the golden file.
fn golden() -> BTreeMap<String, Vec<String>> {
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = std::fs::read_to_string(GOLDEN).expect("docs/metrics.txt");
    let mut family = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().expect("a name").to_owned();
        }
        families.entry(family.clone()).or_default().push(line.to_owned());
    }
    families
}

/// `UPDATE_GOLDEN=1` rewrites the file.
#[test]
fn metrics_page_has_exactly_the_series_that_docs_list() {
    let (upstream, key) = (Upstream::start(), Key::live("key_crm").scopes(&["tickets:read"]));
    let key = key.set("rate_limit = \"1/hour\"").set("expires_at = 2999-01-01T00:00:00Z");
    let tls = "[admin.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"";
    let setup = Gateway::in_front_of(&upstream)
        .scope("tickets:read", &["GET /api/v1/tickets"])
        .table("[api.cors]\norigins = [\"https://app.example\"]")
        .tls_with(Certificates::for_names(&["desk.example".to_owned()]))
        .key(&key)
        .more(tls)
        .more("[store]\npath = \"keygate.db\"");
    let gateway = setup.start();
    let tickets = Request::get("/api/v1/tickets").host("desk.example");
    let preflight = Request::new("OPTIONS", "/api/v1/tickets")
        .host("desk.example")
        .header("Origin", "https://app.example")
        .header("Access-Control-Request-Method", "GET");
    for (request, status) in [
        (tickets.clone().bearer(&key), 200),
        (tickets.clone().bearer(&key), 429),
        (tickets.clone(), 401),
        (tickets.clone().header("Transfer-Encoding", "gzip"), 400),
        (preflight, 204),
    ] {
        assert_eq!(gateway.client().send(&request).status(), status, "{request:?}");
    }
    let page = wait_for("all requests on the page", || {
        let admin = Client::tls(gateway.admin_address(), gateway.certificates(), "desk.example")
            .send(&Request::get("/metrics").host("127.0.0.1"));
        let page = admin.text().to_owned();
        let counted = value(&page, "keygate_request_duration_seconds_count{api=\"desk\"}");
        let named = value(&page, "keygate_key_requests_total{key=\"key_crm\"}");
        let looked = value(&page, KEYS_LOOKED_AT);
        (counted >= Some(4.0) && named.is_some() && looked.is_some()).then_some(page)
    });
    let folder = gateway.file();
    let found = families(&page, folder.parent().expect("a folder"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, text(found.values())).expect("docs/metrics.txt is written");
    }
    assert_eq!(
        text(found.values()),
        text(golden().values()),
        "run `UPDATE_GOLDEN=1 cargo test --test it metrics` and look at the difference"
    );
}

#[test]
fn metrics_page_stays_the_same_after_an_upgrade_and_without_store_and_certificates() {
    let (upstream, key) = (Upstream::start(), Key::live("key_crm"));
    let gateway = Gateway::in_front_of(&upstream).key(&key).start();
    let folder = gateway.file();
    let mut expected = golden();
    expected.retain(|name, _| {
        !name.starts_with("keygate_store_")
            && name != "keygate_certificate_expiry_timestamp_seconds"
    });
    // Events that have not occurred yet have no series.
    for (family, label) in [
        ("keygate_requests_total", "outcome=\"forwarded\""),
        ("keygate_key_requests_total", "key=\"other\""),
    ] {
        let lines = expected.get_mut(family).expect("the family");
        lines.retain(|line| line.starts_with('#') || line.contains(label));
    }
    let page = || text(families(&scrape(&gateway), folder.parent().expect("a folder")).values());
    assert_eq!(page(), text(expected.values()));
    gateway.upgrade();
    assert_eq!(page(), text(expected.values()), "of the new process");
}
