//! Certificates, keys and authorities from PEM files.

use super::TlsFiles;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::{Path, PathBuf};

/// A file of certificates or keys that cannot be used.
#[derive(Debug)]
pub struct BadCertificate {
    /// The file at fault.
    pub file: PathBuf,
    /// Why, for people.
    pub reason: String,
}

impl fmt::Display for BadCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for BadCertificate {}

impl BadCertificate {
    fn new(file: &Path, reason: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), reason: reason.to_string() }
    }

    fn pem(file: &Path, what: &str, error: pem::Error) -> Self {
        match error {
            pem::Error::Io(error) => Self::new(file, error),
            pem::Error::NoItemsFound => Self::new(file, format_args!("there is no {what} in it (PEM)")),
            // The library's texts quote the file, which may hold the private key.
            _ => Self::new(file, "it is not valid PEM"),
        }
    }
}

/// Reads a certificate chain and the private key that belongs to it.
///
/// # Errors
/// A file that cannot be read or holds nothing of the kind, or a key that is not the certificate's.
pub fn certified_key(files: &TlsFiles) -> Result<CertifiedKey, BadCertificate> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| BadCertificate::pem(&files.key, "private key", error))?;
    let provider = aws_lc_rs::default_provider();
    let key =
        provider.key_provider.load_private_key(key).map_err(|_| BadCertificate::new(&files.key, "this private key cannot be used"))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(BadCertificate::new(&files.key, format_args!("this is not the private key of {}", files.cert.display())))
        }
        Err(error) => Err(BadCertificate::new(&files.cert, error)),
    }
}

/// The authorities that an upstream's certificate is checked against: those of a PEM file, or the system's.
///
/// # Errors
/// A file that cannot be read or holds no certificate; no authorities in the system.
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
                let reason = found.errors.first().map_or("no certificates found".to_owned(), ToString::to_string);
                return Err(BadCertificate::new(Path::new("the system's authorities"), reason));
            }
        }
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let bad = |error| BadCertificate::pem(file, "certificate", error);
    let certificates = CertificateDer::pem_file_iter(file).map_err(bad)?.collect::<Result<Vec<_>, _>>().map_err(bad)?;
    if certificates.is_empty() { Err(bad(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}
