//! The first line of a request, and the words in it.

use memchr::{memchr, memrchr};

use crate::http::chunked::is_tchar;
use crate::http::reject::Reject;
use crate::limits::TARGET_BYTES_MAX;

/// The methods we carry. All others are refused when the request line is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the methods")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl Method {
    /// The method as it is written on the wire.
    pub fn text(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }

    /// RFC 9110 §9.1: method names are case-sensitive.
    fn parse(text: &[u8]) -> Result<Method, Reject> {
        match text {
            b"GET" => Ok(Method::Get),
            b"HEAD" => Ok(Method::Head),
            b"POST" => Ok(Method::Post),
            b"PUT" => Ok(Method::Put),
            b"PATCH" => Ok(Method::Patch),
            b"DELETE" => Ok(Method::Delete),
            b"OPTIONS" => Ok(Method::Options),
            // RFC 9110 §9.3.6: a server that is no tunnel answers so.
            b"CONNECT" => Err(Reject::Connect),
            // RFC 9110 §9.3.8: a client must not send credentials with it, and must not see ours.
            b"TRACE" => Err(Reject::Trace),
            _ if text.is_empty() || !text.iter().all(|b| is_tchar(*b)) => Err(Reject::MethodSyntax),
            _ => Err(Reject::UnknownMethod),
        }
    }
}

/// The versions we speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the versions")]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

/// A request line in its parts (RFC 9112 §3).
#[derive(Debug)]
pub(super) struct RequestLine<'a> {
    pub method: Method,
    pub version: Version,
    /// The authority of an absolute-form target.
    pub authority: Option<&'a [u8]>,
    /// `/path?query`, or `*`. Of an absolute-form target what follows the authority: it may be empty, or `?query`.
    pub target: &'a [u8],
}

impl<'a> RequestLine<'a> {
    /// Reads the line, given without its CR LF.
    pub fn parse(line: &'a [u8]) -> Result<RequestLine<'a>, Reject> {
        let [method, target, version] = parts(line)?;
        // RFC 9113 §3.4: how HTTP/2 introduces itself, by name since it is worth a hint in the log.
        if line == b"PRI * HTTP/2.0" {
            return Err(Reject::Http2Preface);
        }
        let version = request_version(version)?;
        let method = Method::parse(method)?;
        // RFC 9112 §3: too long a target is answered with 414.
        if target.len() > TARGET_BYTES_MAX {
            return Err(Reject::TargetTooLong);
        }
        // RFC 9112 §3.2: no white space, no controls, nothing outside ASCII. Of the printable ones that RFC 3986 leaves
        // out (such as | and ") clients do send some in queries, and no reader takes them for something else.
        if target.iter().any(|byte| !byte.is_ascii_graphic()) {
            return Err(Reject::TargetBytes);
        }
        // RFC 9112 §3.2: a fragment is not part of a target.
        if target.contains(&b'#') {
            return Err(Reject::TargetFragment);
        }
        let (authority, target) = match target {
            // RFC 9112 §3.2.1, origin-form.
            [b'/', ..] => (None, target),
            // RFC 9112 §3.2.4, asterisk-form: for OPTIONS only.
            b"*" if method == Method::Options => (None, target),
            _ => {
                let (authority, target) = absolute_form(target).ok_or(Reject::TargetForm)?;
                if !is_authority(authority) {
                    return Err(Reject::BadHost);
                }
                (Some(authority), target)
            }
        };
        Ok(RequestLine { method, version, authority, target })
    }
}

/// What the first byte of a request tells, before its line is complete.
pub(super) fn first_byte(byte: u8) -> Result<(), Reject> {
    match byte {
        // RFC 8446 §5.1: a record of type handshake.
        0x16 => Err(Reject::TlsHello),
        b'\n' => Err(Reject::BareLf),
        // RFC 9112 §3: a request begins with a method, which is a token.
        _ if !is_tchar(byte) => Err(Reject::NotHttp),
        _ => Ok(()),
    }
}

/// RFC 9112 §3.2, RFC 9110 §4.2: `uri-host [ ":" port ]`, with a host. Of a name's bytes those that names and addresses
/// are made of: RFC 3986's sub-delims and percent-encoding, allowed by the grammar, occur in attacks only.
pub(super) fn is_authority(text: &[u8]) -> bool {
    let (host_is_good, port) = if let Some(rest) = text.strip_prefix(b"[") {
        let Some(end) = memchr(b']', rest) else {
            return false;
        };
        let (address, port) = rest.split_at(end);
        let good = address.contains(&b':') && address.iter().all(|b| b.is_ascii_hexdigit() || b":.".contains(b));
        (good, port.strip_prefix(b"]").unwrap_or_default())
    } else {
        let (name, port) = text.split_at(memchr(b':', text).unwrap_or(text.len()));
        let good = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(b));
        (good, port)
    };
    let port_is_good = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    host_is_good && port_is_good
}

/// RFC 9112 §3: method, target and version with exactly one SP between them. A lenient reader would split at other white
/// space, and so find another target.
fn parts(line: &[u8]) -> Result<[&[u8]; 3], Reject> {
    if memchr(b'\t', line).is_some() {
        return Err(Reject::RequestLineSpaces);
    }
    let (Some(first), Some(last)) = (memchr(b' ', line), memrchr(b' ', line)) else {
        return Err(Reject::MissingVersion);
    };
    let method = line.get(..first).unwrap_or_default();
    let rest = line.get(first + 1..).unwrap_or_default();
    // RFC 9112 §2.3: HTTP/0.9 had no version.
    if first == last {
        return Err(match rest {
            [] => Reject::RequestLineSpaces,
            _ => Reject::MissingVersion,
        });
    }
    let (target, version) = rest.split_at_checked(last - first - 1).unwrap_or_default();
    let version = version.strip_prefix(b" ").unwrap_or_default();
    if target.is_empty() || version.is_empty() || target.contains(&b' ') {
        return Err(Reject::RequestLineSpaces);
    }
    Ok([method, target, version])
}

/// RFC 9112 §2.3: `HTTP/` DIGIT `.` DIGIT, case-sensitive. A higher minor version could be read as 1.1 (RFC 9110 §2.5);
/// none exists, so whoever sends one is lost or probing.
fn request_version(text: &[u8]) -> Result<Version, Reject> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Reject::Version),
        _ => Err(Reject::VersionSyntax),
    }
}

/// RFC 9112 §3.2.2: `http://authority/path?query` in its authority and the rest.
fn absolute_form(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let (scheme, rest) = target.split_at_checked(memchr(b':', target)?)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    rest.split_at_checked(end)
}
