//! Why a handshake failed, or an encrypted connection broke.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// Display is a clause for a person, about the peer: `"its certificate expired 3 days ago"`.
#[derive(Debug)]
pub enum TlsError {
    /// The peer's certificate does not prove who it is. Trying again does not help.
    Certificate(String),
    /// The peer speaks no TLS, none that we speak, refused us, or left in the middle.
    Handshake(String),
    /// The socket failed, or the peer took too long (`TimedOut`).
    Io(io::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(text) | Self::Handshake(text) => f.write_str(text),
            Self::Io(error) if error.kind() == io::ErrorKind::TimedOut => f.write_str("it did not finish in time"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TlsError {}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::Io(error) => error,
            error => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl From<io::Error> for TlsError {
    /// What [`super::super::stream`] reports, unpacked.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::closed(),
            _ => error.downcast::<Self>().unwrap_or_else(Self::Io),
        }
    }
}

impl TlsError {
    /// The peer ended the connection before the handshake did.
    pub(super) fn closed() -> Self {
        Self::Handshake("it closed the connection during the TLS handshake".into())
    }

    /// rustls' reason. `first`: what the peer sent, if this may be the first of it.
    pub(super) fn new(error: rustls::Error, first: Option<&[u8]>) -> Self {
        use rustls::Error;
        match error {
            Error::InvalidCertificate(error) => Self::Certificate(certificate(&error)),
            Error::NoCertificatesPresented => Self::Certificate("it presented no certificate".into()),
            Error::AlertReceived(alert) => Self::Handshake(refused(alert)),
            Error::NoApplicationProtocol => Self::Handshake("it does not speak HTTP/1.1 (ALPN)".into()),
            Error::PeerIncompatible(why) => {
                Self::Handshake(format!("it speaks no TLS that we speak, which is 1.2 and 1.3: {why:?}"))
            }
            Error::InvalidMessage(why) => Self::Handshake(not_tls(why, first.unwrap_or_default())),
            error => Self::Handshake(format!("its TLS is broken: {error}")),
        }
    }
}

fn not_tls(why: InvalidMessage, first: &[u8]) -> String {
    // RFC 8446 §5.1: a record begins with its type, 20 to 24, and a version, 3.x.
    match first {
        [] | [20..=24, 3, ..] => format!("its TLS is broken: {why:?}"),
        [b'H', b'T', b'T', b'P', ..] => "it does not speak TLS, it answers in plain HTTP".into(),
        [b'A'..=b'Z', b'A'..=b'Z', ..] => "it does not speak TLS, it seems to speak plain HTTP".into(),
        _ => "it does not speak TLS".into(),
    }
}

fn refused(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::NoApplicationProtocol => "it does not speak HTTP/1.1 (ALPN)".into(),
        AlertDescription::CertificateRequired => "it requires a client certificate".into(),
        AlertDescription::ProtocolVersion => "it speaks no version of TLS that we speak, which are 1.2 and 1.3".into(),
        AlertDescription::UnrecognisedName => "it does not know the name that it was asked for".into(),
        AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            format!("it does not trust our certificate (alert {alert:?})")
        }
        alert => format!("it refused the connection (TLS alert {alert:?})"),
    }
}

fn certificate(error: &CertificateError) -> String {
    use CertificateError as Bad;
    match error {
        Bad::ExpiredContext { time, not_after } => {
            format!("its certificate expired {}", ago(time.as_secs().saturating_sub(not_after.as_secs())))
        }
        Bad::Expired => "its certificate has expired".into(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is the clock of this machine right?".into()
        }
        Bad::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name".to_owned() } else { presented.join(", ") };
            format!("its certificate is not valid for {}; presented: {names}", expected.to_str())
        }
        Bad::NotValidForName => "its certificate is not valid for its name".into(),
        Bad::UnknownIssuer => {
            "its certificate is self-signed or has an unknown issuer, none of the trusted roots".into()
        }
        // The usual `openssl req -x509`: the WebPKI's rules do not let an authority's certificate be a server's, trusted or not.
        Bad::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is self-signed and an authority's (CA:TRUE); a server needs one with CA:FALSE".into()
        }
        Bad::BadSignature => {
            "its certificate is not signed by the trusted root that it names; was that root made anew?".into()
        }
        Bad::Revoked => "its certificate was revoked".into(),
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            "its certificate was issued for another purpose than this".into()
        }
        error => format!("its certificate is not acceptable: {error}"),
    }
}

fn ago(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => "less than a day ago".into(),
        1 => "yesterday".into(),
        days => format!("{days} days ago"),
    }
}
