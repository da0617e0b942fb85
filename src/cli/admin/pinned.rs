//! Trust in exactly one certificate: the file that the gateway's own configuration names. Anyone
//! who can replace that file can also replace the configuration. Checking an authority or a host
//! name would therefore add nothing.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// Returns a TLS client configuration that accepts only the first certificate in this PEM file.
///
/// # Errors
/// Fails if the file cannot be read or has no certificate.
pub(super) fn client(file: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    // Neither the path nor what the library quotes is repeated: a key may have been pasted as
    // either.
    let certificate = CertificateDer::from_pem_file(file).map_err(|error| {
        let why = match error {
            pem::Error::Io(error) => error.to_string(),
            _ => "it has no certificate (PEM)".to_owned(),
        };
        anyhow!("cannot read the file that `cert` in [admin.tls] names: {why}")
    })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Pinned { certificate, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *presented == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    // The certificate is public. Only the signature shows that the server holds its private key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
