//! Trust, certificates and keys, from PEM texts to rustls' configurations.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::limits;

/// What we speak. An upstream or a client that wants HTTP/2 only is refused in the handshake.
const ALPN: &[u8] = b"http/1.1";

/// How upstreams are trusted: by the Web's roots, and by those in `extra_roots` (PEM texts). There is no way to trust
/// everybody.
///
/// One configuration stands for one set of roots and holds its sessions: an upstream that is trusted by a private root must
/// not share it with others.
///
/// # Errors
/// What is wrong with the PEM, for the operator.
pub fn upstream_config(extra_roots: &[&[u8]]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for pem in extra_roots {
        add_roots(&mut roots, pem)?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::in_memory_sessions(limits::TLS_SESSIONS_MAX);
    Ok(Arc::new(config))
}

/// How we present ourselves to clients: `certificates` is our chain, our own first; `key` is its private key (PEM). With
/// `client_roots` (PEM) a client must present a certificate issued by one of them.
///
/// # Errors
/// What is wrong with the PEM, for the operator. No part of the key is shown.
pub fn listener_config(
    certificates: &[u8],
    key: &[u8],
    client_roots: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, String> {
    let chain = read_certificates(certificates)?;
    let key = read_key(key)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match client_roots {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            add_roots(&mut roots, pem)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| error.to_string())?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "the private key does not belong to the first certificate".to_owned(),
        error => format!("the certificate and its key cannot be used: {error}"),
    })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Tickets keep the session with the client: nothing is stored here, whatever number of clients there is.
    config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

/// Named, so that no other crate in the tree can change what the process uses.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn add_roots(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    for (number, certificate) in (1..).zip(read_certificates(pem)?) {
        roots.add(certificate).map_err(|error| format!("certificate {number} cannot be used as a root: {error}"))?;
    }
    Ok(())
}

fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| format!("certificate {} is broken: {}", found.len() + 1, broken(&error)))?;
        found.push(certificate);
    }
    if found.is_empty() {
        return Err("holds no certificate: there is no line \"-----BEGIN CERTIFICATE-----\"".into());
    }
    Ok(found)
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound if memchr::memmem::find(pem, b"BEGIN ENCRYPTED PRIVATE KEY").is_some() => {
            "the private key is encrypted; `openssl pkey -in FILE` writes it without a passphrase".into()
        }
        pem::Error::NoItemsFound => {
            "holds no private key: there is no line \"-----BEGIN PRIVATE KEY-----\" (or RSA, or EC)".into()
        }
        error => format!("the private key is broken: {}", broken(&error)),
    })
}

/// The parser's own words show lines of the text, which may be a key's.
fn broken(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its \"-----END\" line is missing",
        pem::Error::IllegalSectionStart { .. } => "its \"-----BEGIN\" line is malformed",
        pem::Error::Base64Decode(_) => "the text between its lines is not base64",
        _ => "it is not PEM",
    }
}
