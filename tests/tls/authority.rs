//! Certificates made on the spot, and blocking rustls peers that know nothing of our streams.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use sidestream::net::tls::listener_config;

/// Only a test that hangs waits for so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A private root.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |_| {})
    }

    pub fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let (params, key) = ask(names, change);
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

pub fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let (params, key) = ask(names, change);
    Identity { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

pub fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 2, 1);
}

fn ask(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (CertificateParams, KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    (params, KeyPair::generate().unwrap())
}

impl Identity {
    pub fn server(&self) -> Arc<ServerConfig> {
        listener_config(self.certificate.as_bytes(), self.key.as_bytes(), None).unwrap()
    }
}

/// A client of another make than ours: no ALPN, and perhaps a certificate.
pub fn foreign_client(root: &Authority, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    })
}

pub type Served = StreamOwned<ServerConnection, TcpStream>;

/// Serves `count` connections one after the other, blocking, in a thread of its own.
pub fn peer(count: usize, mut serve: impl FnMut(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for _ in 0..count {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            serve(stream);
        }
    });
    (address, thread)
}

/// As [`peer`], behind a handshake, which is done (tickets included) when `serve` runs.
pub fn tls_peer(
    config: Arc<ServerConfig>,
    count: usize,
    mut serve: impl FnMut(Served) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    peer(count, move |stream| serve(shake(&config, stream)))
}

pub fn shake(config: &Arc<ServerConfig>, mut stream: TcpStream) -> Served {
    let mut connection = ServerConnection::new(config.clone()).unwrap();
    while connection.is_handshaking() || connection.wants_write() {
        // What fails here is the other side's subject.
        if connection.complete_io(&mut stream).is_err() {
            break;
        }
    }
    StreamOwned::new(connection, stream)
}

/// Ends as the protocol wants it, and waits for the other side's end, so that no unread byte resets the connection.
pub fn bye(mut stream: Served) {
    stream.conn.send_close_notify();
    let _ = stream.flush();
    let _ = stream.sock.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut stream.sock, &mut std::io::sink());
}
