//! What one upstream provider is: its faces, whose credential it gets, its time limits and bounds.

use std::fmt;
use std::time::Duration;

use super::Secret;
use super::value::written;
use super::variables::prefix;
use crate::dialect::profile::Profile;
use crate::dialect::{Dialect, Face};
use crate::route::health::Limits;

/// An upstream.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name, `[a-z][a-z0-9-]*`.
    pub name: String,
    /// Base of its OpenAI face.
    pub openai: Option<Base>,
    /// Base of its Anthropic face.
    pub anthropic: Option<Base>,
    /// Whose credential its requests carry.
    pub credential: Credential,
    /// How its OpenAI face wants the key.
    pub openai_auth: Auth,
    /// How its Anthropic face wants the key.
    pub anthropic_auth: Auth,
    /// Extra fields of every request, in order; a value may be a credential.
    pub headers: Vec<(String, Secret)>,
    /// Extra root certificates for this provider alone.
    pub roots: Option<Pem>,
    /// The whole answer, from the request sent to its last byte.
    pub timeout: Option<Duration>,
    /// Establishing a connection: name, TCP and proxy together.
    pub connect_timeout: Duration,
    /// The TLS handshake on it.
    pub tls_timeout: Duration,
    /// From the request sent to the first byte of the answer.
    pub first_byte_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// Connections per worker and origin, idle ones included.
    pub max_connections: usize,
    /// Requests per worker and origin that wait for a connection.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Kept connections per worker and origin.
    pub keepalive_connections: usize,
    /// Spare connections per worker, for origins in use.
    pub warm_connections: usize,
    /// Tries beyond the first.
    pub max_retries: u32,
    /// It is passed over for a while when it fails too often, and its keys when they are at fault.
    pub breaker: bool,
    /// What each of its keys may be used for.
    pub limits: Limits,
    /// A POST that failed on a stale connection may be sent once more.
    pub replay: bool,
    /// What its OpenAI face wants of a request that was translated.
    pub profile: Profile,
}

impl Provider {
    /// One of its time limits as its variable is written: `ZAI_IDLE_TIMEOUT=300s`.
    pub fn setting(&self, variable: &str, time: Duration) -> String {
        format!("{}{variable}={}", prefix(&self.name), written(time))
    }

    /// The base of a face.
    pub fn face(&self, face: Face) -> Option<&Base> {
        match face {
            Face::OpenAi => self.openai.as_ref(),
            Face::Anthropic => self.anthropic.as_ref(),
        }
    }

    /// Whether any of its faces speaks TLS.
    pub fn speaks_tls(&self) -> bool {
        [&self.openai, &self.anthropic].into_iter().flatten().any(|base| base.tls)
    }

    /// Whether it has a key of its own.
    pub fn has_key(&self) -> bool {
        matches!(self.credential, Credential::Keys(_))
    }

    /// Whether the client's own credential goes along, if it speaks `dialect`.
    pub fn wants_credential(&self, dialect: Dialect) -> bool {
        match self.credential {
            Credential::Client => true,
            Credential::ClientOf(face) => dialect.face() == face,
            Credential::Keys(_) | Credential::Nobody => false,
        }
    }

    /// Number of its keys; 0 if it has none of its own.
    pub fn keys(&self) -> usize {
        match &self.credential {
            Credential::Keys(keys) => keys.len(),
            Credential::Client | Credential::ClientOf(_) | Credential::Nobody => 0,
        }
    }

    /// How a face wants the key.
    pub fn auth(&self, face: Face) -> Auth {
        match face {
            Face::OpenAi => self.openai_auth,
            Face::Anthropic => self.anthropic_auth,
        }
    }
}

/// Whose credential goes upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The provider's own, one or several; nothing of the client's.
    Keys(Vec<Secret>),
    /// What the client sent, because the configuration says so.
    Client,
    /// What the client sent if it speaks this face's dialect: the vendor's own clients at the vendor's own host.
    ClientOf(Face),
    /// None.
    Nobody,
}

/// In which field a key is presented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// `authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// `x-api-key: KEY`.
    XApiKey,
    /// `api-key: KEY`.
    ApiKey,
}

/// The base URL of a face, taken apart, and the way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// `https`.
    pub tls: bool,
    /// `host[:port]` as written, for the `Host` field.
    pub authority: String,
    /// The host alone, without brackets, lower-cased.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path that request paths are appended to, without a final slash.
    pub path: String,
    /// The HTTP proxy to go through by CONNECT.
    pub proxy: Option<Proxy>,
}

/// The URL, as it can be written into a variable.
impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// An outbound HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its host, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `user:password`, from the URL, percent-decoded.
    pub userinfo: Option<Secret>,
}

/// The text of a PEM file.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pem(pub Vec<u8>);

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({} bytes)", self.0.len())
    }
}

/// TLS on the client side.
#[derive(Clone, Debug)]
pub struct ClientSideTls {
    /// The certificate chain.
    pub certificates: Pem,
    /// Its key, PEM.
    pub key: Secret,
    /// Clients must present a certificate that these roots vouch for.
    pub client_roots: Option<Pem>,
}
