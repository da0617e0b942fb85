//! TLS of the two listeners. Selects the certificate by the client's server name, and reloads
//! certificates whose files change.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{
    ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache,
    StoresServerSessions,
};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use super::certificates::CertificateWatch;
use crate::config::{BadCertificate, Certificate, Tls, TlsFiles, TlsProfile};

/// Limit of remembered sessions of TLS 1.2 clients without tickets.
const SESSIONS: usize = 4096;
/// Protocols that the data listener offers over TLS, in order of preference (ALPN, RFC 7301).
const DATA_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];
/// Protocols that the admin address offers over TLS.
const ADMIN_PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// Makes the TLS configurations of the listeners. Lives as long as the process.
#[derive(Debug)]
pub(super) struct TlsMaker {
    provider: Arc<CryptoProvider>,
    /// Kept, so that clients can resume their sessions after a reload.
    ticketer: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// Returns the cipher suites and groups of Mozilla's guidelines (version 5.8) in their order.
///
/// Finite-field Diffie-Hellman is left out: no client that speaks TLS 1.2 needs it. The client's
/// order decides, as in the guidelines, because the client knows what its hardware does well. The
/// first group resists quantum computers (draft-ietf-tls-ecdhe-mlkem).
fn provider() -> CryptoProvider {
    use aws_lc_rs::{cipher_suite as suite, kx_group as group};
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![group::X25519MLKEM768, group::X25519, group::SECP256R1, group::SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}

impl TlsMaker {
    /// # Errors
    /// Fails without randomness for the ticket keys.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let sessions = ServerSessionMemoryCache::new(SESSIONS);
        Ok(Self { provider: Arc::new(provider()), ticketer: aws_lc_rs::Ticketer::new()?, sessions })
    }

    /// Returns the TLS of the data listener. Reuses what `before` has of it.
    ///
    /// # Errors
    /// Fails if a new certificate cannot be used.
    pub(super) fn data(
        &self,
        settings: &Tls,
        before: Option<&ListenerTls>,
    ) -> Result<ListenerTls, BadCertificate> {
        self.make(settings, DATA_PROTOCOLS, before)
    }

    /// Returns the TLS of the admin address. Reuses what `before` has of it.
    ///
    /// # Errors
    /// Fails if a new certificate cannot be used.
    pub(super) fn admin(
        &self,
        settings: &Tls,
        before: Option<&ListenerTls>,
    ) -> Result<ListenerTls, BadCertificate> {
        self.make(settings, ADMIN_PROTOCOLS, before)
    }

    fn make(
        &self,
        settings: &Tls,
        protocols: &'static [&'static [u8]],
        before: Option<&ListenerTls>,
    ) -> Result<ListenerTls, BadCertificate> {
        if let Some(before) = before.filter(|before| before.settings == *settings) {
            return Ok(before.clone());
        }
        let known = |files: &TlsFiles| {
            before?.served.iter().find(|served| served.watch.files() == files).cloned()
        };
        let mut served = Vec::with_capacity(1 + settings.further.len());
        for files in settings.certificates() {
            // Reuse known certificates: a renewal in progress must not block an edit of the file.
            served.push(known(files).map_or_else(|| Served::read(files), Ok)?);
        }
        let config = self.config(settings.profile, &served, protocols);
        Ok(ListenerTls { settings: settings.clone(), protocols, served, config })
    }

    fn config(
        &self,
        profile: TlsProfile,
        served: &[Served],
        protocols: &[&[u8]],
    ) -> Arc<ServerConfig> {
        let versions = match profile {
            TlsProfile::Intermediate => &[&version::TLS13, &version::TLS12][..],
            TlsProfile::Modern => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions);
        let builder = builder.expect("the provider has cipher suites and groups for both versions");
        let resolver = ByName::new(served.iter().map(|served| &served.certificate));
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config.ticketer = self.ticketer.clone();
        config.session_storage = self.sessions.clone();
        Arc::new(config)
    }
}

/// The TLS of one listener.
#[derive(Debug, Clone)]
pub(super) struct ListenerTls {
    settings: Tls,
    protocols: &'static [&'static [u8]],
    served: Vec<Served>,
    config: Arc<ServerConfig>,
}

/// A served certificate and its files.
#[derive(Debug, Clone)]
pub(super) struct Served {
    watch: CertificateWatch,
    pub(super) certificate: Certificate,
}

impl Served {
    fn read(files: &TlsFiles) -> Result<Self, BadCertificate> {
        // Before reading the files, so that a change during the read is noticed.
        let watch = CertificateWatch::new(files);
        Ok(Self { watch, certificate: Certificate::read(files)? })
    }

    /// Returns the path of the certificate's file, for people.
    pub(super) fn file(&self) -> String {
        self.watch.files().cert.display().to_string()
    }
}

impl ListenerTls {
    /// Returns the configuration for handshakes.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    pub(super) fn served(&self) -> &[Served] {
        &self.served
    }

    /// Reloads the certificates whose files have changed, and reports each new outcome to `report`.
    ///
    /// Returns whether any certificate was renewed. To be called every second. Accesses the disk.
    pub(super) fn renew(
        &mut self,
        maker: &TlsMaker,
        mut report: impl FnMut(&Served, Result<(), BadCertificate>),
    ) -> bool {
        let mut renewed = false;
        for served in
            self.served.iter_mut().filter_map(|served| served.watch.is_due().then_some(served))
        {
            match Certificate::read(served.watch.files()) {
                Ok(certificate) => {
                    served.certificate = certificate;
                    served.watch.loaded();
                    renewed = true;
                    report(served, Ok(()));
                }
                Err(bad) => {
                    if served.watch.refused() {
                        report(served, Err(bad));
                    }
                }
            }
        }
        if renewed {
            self.config = maker.config(self.settings.profile, &self.served, self.protocols);
        }
        renewed
    }
}

/// Selects the certificate by the client's server name (RFC 6066 §3).
#[derive(Debug)]
struct ByName {
    /// For all other names, and for clients that send none.
    default: Option<Arc<CertifiedKey>>,
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// Keyed by the part after `*.`.
    wildcards: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl ByName {
    fn new<'c>(certificates: impl Iterator<Item = &'c Certificate>) -> Self {
        let mut chooser = Self { default: None, exact: HashMap::new(), wildcards: HashMap::new() };
        for certificate in certificates {
            chooser.default.get_or_insert_with(|| certificate.key.clone());
            for name in &*certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut chooser.wildcards, parent),
                    None => (&mut chooser.exact, &**name),
                };
                // The first certificate in the file takes precedence.
                names.entry(name.into()).or_insert_with(|| certificate.key.clone());
            }
        }
        chooser
    }

    /// Returns the certificate for a lower-case `name` from the handshake, else the default.
    fn choose(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            // A wildcard stands for one label (RFC 9525 §6.3).
            let by_wildcard =
                || name.split_once('.').and_then(|(_, parent)| self.wildcards.get(parent));
            self.exact.get(name).or_else(by_wildcard)
        });
        named.or(self.default.as_ref())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(folder: &tempfile::TempDir, names: &[&str]) -> Certificate {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let files =
            TlsFiles { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        Certificate::read(&files).unwrap()
    }

    #[test]
    fn certificate_is_chosen_by_the_most_exact_name_and_else_the_first_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = [
            certificate(&folder, &["localhost"]),
            certificate(&folder, &["*.desk.example", "DESK.example"]),
            certificate(&folder, &["api.desk.example", "desk.example"]),
        ];
        let chooser = ByName::new(certificates.iter());
        let chosen = |name: Option<&str>| {
            let key = chooser.choose(name).unwrap();
            certificates.iter().position(|certificate| Arc::ptr_eq(&certificate.key, key)).unwrap()
        };
        assert_eq!(chosen(None), 0);
        assert_eq!(chosen(Some("other.example")), 0);
        assert_eq!(chosen(Some("localhost")), 0);
        assert_eq!(chosen(Some("desk.example")), 1, "the first in the file that names it");
        assert_eq!(chosen(Some("a.desk.example")), 1);
        assert_eq!(chosen(Some("api.desk.example")), 2, "an exact name goes before a wildcard");
        assert_eq!(chosen(Some("a.b.desk.example")), 0, "a wildcard stands for one label");
        assert_eq!(chosen(Some(".desk.example")), 1);
    }
}
