//! A certification authority for tests, and a server certificate that it issued.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;

/// Issues a certificate. Returns it and its private key, both in PEM.
fn issue(
    leaf: CertificateParams,
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> (String, String) {
    let key = KeyPair::generate().expect("a key pair");
    let cert = leaf.signed_by(&key, authority).expect("a certificate");
    (cert.pem(), key.serialize_pem())
}

/// A server certificate with its private key and its own authority.
pub(crate) struct Certificates {
    authority: CertificateDer<'static>,
    authority_pem: String,
    issuer: Arc<CertifiedIssuer<'static, KeyPair>>,
    cert_pem: String,
    key_pem: String,
    names: Vec<String>,
}

impl Certificates {
    /// Issues a certificate for these names.
    pub(crate) fn for_names(names: &[String]) -> Self {
        Self::make(names, CertificateParams::new(names.to_vec()).expect("names"))
    }

    /// Issues a certificate whose validity began 30 days ago and lasts for `life`.
    pub(crate) fn lasting(names: &[&str], life: Duration) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("names");
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock that is set");
        params.not_before = date_time_ymd(1970, 1, 1) + (now - Duration::from_secs(30 * 86_400));
        params.not_after = params.not_before + life;
        Self::make(&names, params)
    }

    fn make(names: &[String], leaf: CertificateParams) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key pair"))
                .expect("an authority");
        let (cert_pem, key_pem) = issue(leaf, &authority);
        Self {
            authority: authority.der().clone(),
            authority_pem: authority.pem(),
            issuer: Arc::new(authority),
            cert_pem,
            key_pem,
            names: names.to_vec(),
        }
    }

    /// Issues another certificate by the same authority.
    pub(crate) fn with_same_authority(&self) -> Self {
        let (cert_pem, key_pem) =
            issue(CertificateParams::new(self.names.clone()).expect("names"), &self.issuer);
        Self {
            authority: self.authority.clone(),
            authority_pem: self.authority_pem.clone(),
            issuer: self.issuer.clone(),
            cert_pem,
            key_pem,
            names: self.names.clone(),
        }
    }

    /// Replaces the certificate in this folder by another one of the same authority. Each file is
    /// replaced by renaming.
    pub(crate) fn renew(&self, folder: &Path) {
        let staged = tempfile::tempdir_in(folder).expect("a folder");
        self.with_same_authority().write(staged.path());
        for file in ["cert.pem", "key.pem"] {
            std::fs::rename(staged.path().join(file), folder.join(file)).expect("a renamed file");
        }
    }

    /// Writes `ca.pem`, `cert.pem` and `key.pem`. Only the owner may read the key.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("ca.pem"), &self.authority_pem)
            .expect("the authority is written");
        self.write_as(folder, "cert.pem", "key.pem");
    }

    /// Writes the certificate and the key under these names.
    pub(crate) fn write_as(&self, folder: &Path, cert: &str, key: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(folder.join(cert), &self.cert_pem).expect("the certificate is written");
        std::fs::write(folder.join(key), &self.key_pem).expect("the key is written");
        std::fs::set_permissions(folder.join(key), std::fs::Permissions::from_mode(0o600))
            .expect("the key is private");
    }

    /// Returns the first name of the certificate.
    pub(crate) fn name(&self) -> &str {
        &self.names[0]
    }

    /// Returns a root store with only this authority.
    pub(crate) fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.clone()).expect("the authority is usable");
        roots
    }

    /// Returns the configuration of a client that trusts only this authority and offers only
    /// HTTP/1.1.
    pub(crate) fn client_config(&self) -> Arc<rustls::ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions");
        let mut config = builder.with_root_certificates(self.roots()).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Returns the configuration of a server with this certificate.
    pub(crate) fn server_config(&self) -> Arc<rustls::ServerConfig> {
        use rustls::pki_types::pem::PemObject;
        let chain = vec![
            CertificateDer::from_pem_slice(self.cert_pem.as_bytes()).expect("the certificate"),
        ];
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .expect("the key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions");
        Arc::new(
            builder.with_no_client_auth().with_single_cert(chain, key).expect("a matching pair"),
        )
    }
}
