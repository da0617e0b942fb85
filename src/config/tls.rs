//! Reads certificates, private keys and CA certificates from PEM files.

mod validity;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use thiserror::Error;
use webpki::EndEntityCert;
use zeroize::{Zeroize as _, Zeroizing};

use super::{TlsFiles, files};

/// A certificate chain with its private key, ready to be served.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate chain and key for the handshake.
    pub key: Arc<CertifiedKey>,
    /// The DNS names of the certificate, in lower case. A wildcard starts with `*.` (RFC 9525
    /// §6.3).
    pub names: Arc<[Box<str>]>,
    /// The validity period of the first certificate, in Unix seconds.
    pub validity: Range<i64>,
}

/// A file of certificates or keys that cannot be used.
#[derive(Debug, Error)]
#[error("{}: {reason}", .file.display())]
pub struct BadCertificate {
    /// The file.
    pub file: PathBuf,
    /// The reason, as words for people.
    pub reason: String,
}

impl BadCertificate {
    fn new(file: &Path, reason: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), reason: reason.to_string() }
    }

    fn pem(file: &Path, what: &str, error: pem::Error) -> Self {
        match error {
            pem::Error::Io(error) => Self::new(file, error),
            pem::Error::NoItemsFound => {
                Self::new(file, format_args!("there is no {what} in it (PEM)"))
            }
            // The library's messages quote the file, which may contain the private key.
            _ => Self::new(file, "it is not valid PEM"),
        }
    }
}

impl Certificate {
    /// Reads a certificate chain and its private key.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or contains no certificate or key, or if the key
    /// does not belong to the certificate.
    pub fn read(files: &TlsFiles) -> Result<Self, BadCertificate> {
        let chain = certificates(&files.cert)?;
        let first = chain.first().cloned().unwrap_or_else(|| Vec::new().into());
        let unreadable =
            || BadCertificate::new(&files.cert, "its first certificate cannot be read");
        let names = EndEntityCert::try_from(&first)
            .map_err(|_| unreadable())?
            .valid_dns_names()
            .map(str::to_ascii_lowercase)
            .map(Into::into)
            .collect();
        let validity = validity::read(&first).ok_or_else(unreadable)?;
        let certified = CertifiedKey::new(chain, private_key(&files.key)?);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Self { key: Arc::new(certified), names, validity })
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(BadCertificate::new(
                &files.key,
                format_args!("this is not the private key of {}", files.cert.display()),
            )),
            Err(error) => Err(BadCertificate::new(&files.cert, error)),
        }
    }
}

/// Reads a private key. Our copies are wiped. The cryptographic library is responsible for its own.
///
/// # Errors
/// Returns an error if the file cannot be read or contains no private key of a supported type.
fn private_key(file: &Path) -> Result<Arc<dyn SigningKey>, BadCertificate> {
    let text = Zeroizing::new(
        files::read(file, files::PEM).map_err(|error| BadCertificate::new(file, error))?,
    );
    let mut key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| BadCertificate::pem(file, "private key", error))?;
    let loaded = aws_lc_rs::sign::any_supported_type(&key);
    key.zeroize();
    loaded.map_err(|_| BadCertificate::new(file, "this private key cannot be used"))
}

/// Returns the root store that verifies an upstream's certificate: the CA certificates of a PEM
/// file, or those of the system.
///
/// # Errors
/// Returns an error if the file cannot be read or contains no certificate, or if the system has no
/// CA certificates.
pub fn root_store(ca: Option<&Path>) -> Result<RootCertStore, BadCertificate> {
    let mut store = RootCertStore::empty();
    match ca {
        Some(file) => {
            for certificate in certificates(file)? {
                store.add(certificate).map_err(|error| BadCertificate::new(file, error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                let reason = found
                    .errors
                    .first()
                    .map_or("no certificates found".to_owned(), ToString::to_string);
                return Err(BadCertificate::new(Path::new("the system's authorities"), reason));
            }
        }
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let text = files::read(file, files::PEM).map_err(|error| BadCertificate::new(file, error))?;
    let bad = |error| BadCertificate::pem(file, "certificate", error);
    let certificates =
        CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>().map_err(bad)?;
    if certificates.is_empty() { Err(bad(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
