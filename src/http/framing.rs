//! How a body ends. The only place that decides it: whoever needs to know asks here, or holds a [`Framing`].

use super::chunked::is_tchar;
use super::fields::list;
use super::head::{BadResponse, FieldTable, Method, RequestHead, ResponseHead, Version};
use super::reject::Reject;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// After this many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection: responses only.
    UntilClose,
}

/// How a request's body ends (RFC 9112 §6.3); never [`Framing::UntilClose`]. The method does not matter: a GET may have
/// a body, and its bytes must be read before the next request.
pub fn of_request(head: &RequestHead) -> Result<Framing, Reject> {
    let coding = coding(head.as_ref(), head.version());
    let length = length(head.as_ref());
    match (coding, length) {
        // RFC 9112 §6.3(3): both may be an attempt at smuggling.
        (Ok(Some(_)) | Err(_), Ok(Some(_)) | Err(_)) => Err(Reject::LengthAndCoding),
        (Err(fault), _) => Err(fault.into()),
        (_, Err(fault)) => Err(fault.into()),
        (Ok(Some(Coding::Chunked)), _) => Ok(Framing::Chunked),
        // RFC 9112 §7: identity is no longer a coding.
        (Ok(Some(Coding::Identity)), _) => Err(Reject::UnsupportedCoding),
        (_, Ok(Some(length))) => Ok(Framing::Length(length)),
        // RFC 9112 §6.3(7): a request with neither has no body.
        _ => Ok(Framing::None),
    }
}

/// How a response's body ends (RFC 9112 §6.3, in its order).
pub fn of_response(head: &ResponseHead, request_method: Method) -> Result<Framing, BadResponse> {
    // (1): no body, whatever the fields say. What follows the head is not ours to read.
    let status = head.status();
    if request_method == Method::Head || matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::None);
    }
    let coding = coding(head.as_ref(), head.version());
    let length = length(head.as_ref());
    match (coding, length) {
        // (3): the sender is broken, or someone split a response.
        (Ok(Some(_)) | Err(_), Ok(Some(_)) | Err(_)) => Err(BadResponse::LengthAndCoding),
        // (4): codings other than chunked are refused: we never ask for one (no TE is sent), cannot undo it, and must
        // not pass its bytes on without the field that names it.
        (Err(fault), _) => Err(fault.into()),
        // (5)
        (_, Err(fault)) => Err(fault.into()),
        (Ok(Some(Coding::Chunked)), _) => Ok(Framing::Chunked),
        // (6)
        (_, Ok(Some(length))) => Ok(Framing::Length(length)),
        // (8); with identity, which servers of RFC 2616's time sent, too.
        _ => Ok(Framing::UntilClose),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Identity,
}

enum Fault {
    DuplicateLength,
    BadLength,
    CodingInHttp10,
    DuplicateCoding,
    CodingSyntax,
    ChunkedNotLast,
    UnsupportedCoding,
}

/// The value of Content-Length, if the field is there (RFC 9110 §8.6).
fn length(fields: &FieldTable) -> Result<Option<u64>, Fault> {
    let mut all = fields.all("content-length");
    let Some(value) = all.next() else {
        return Ok(None);
    };
    // Equal ones may be folded into one; a sender that repeats it is broken enough to be refused. So is a list.
    if all.next().is_some() {
        return Err(Fault::DuplicateLength);
    }
    // `Content-Length = 1*DIGIT`: no sign, no space, no prefix; and never wrapped around.
    if value.is_empty() {
        return Err(Fault::BadLength);
    }
    let mut length = 0u64;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        let longer = length.checked_mul(10).and_then(|length| length.checked_add(u64::from(digit)));
        length = longer.filter(|_| digit < 10).ok_or(Fault::BadLength)?;
    }
    Ok(Some(length))
}

/// What Transfer-Encoding says, if the field is there (RFC 9112 §6.1).
fn coding(fields: &FieldTable, version: Version) -> Result<Option<Coding>, Fault> {
    let Some(value) = fields.get("transfer-encoding") else {
        return Ok(None);
    };
    // A message of HTTP/1.0 with it has faulty framing: the sender may not know what it forwarded.
    if version == Version::Http10 {
        return Err(Fault::CodingInHttp10);
    }
    if fields.count("transfer-encoding") > 1 {
        return Err(Fault::DuplicateCoding);
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Some(Coding::Chunked));
    }
    if value.eq_ignore_ascii_case(b"identity") {
        return Ok(Some(Coding::Identity));
    }
    // Everything else is refused; the rest finds out how.
    let (mut chunked, mut last_is_chunked) = (0, false);
    for name in list(value) {
        // RFC 9110 §5.6.1: a sender must not write empty elements.
        if name.is_empty() || !name.iter().all(|b| is_tchar(*b)) {
            return Err(Fault::CodingSyntax);
        }
        last_is_chunked = name.eq_ignore_ascii_case(b"chunked");
        chunked += usize::from(last_is_chunked);
    }
    // RFC 9112 §6.1, §6.3(4): chunked at most once, and last, else the length cannot be known.
    if chunked > 1 || (chunked == 1 && !last_is_chunked) {
        return Err(Fault::ChunkedNotLast);
    }
    Err(Fault::UnsupportedCoding)
}

impl From<Fault> for Reject {
    fn from(fault: Fault) -> Reject {
        match fault {
            Fault::DuplicateLength => Reject::DuplicateLength,
            Fault::BadLength => Reject::BadLength,
            Fault::CodingInHttp10 => Reject::CodingInHttp10,
            Fault::DuplicateCoding => Reject::DuplicateCoding,
            Fault::CodingSyntax => Reject::CodingSyntax,
            Fault::ChunkedNotLast => Reject::ChunkedNotLast,
            Fault::UnsupportedCoding => Reject::UnsupportedCoding,
        }
    }
}

impl From<Fault> for BadResponse {
    fn from(fault: Fault) -> BadResponse {
        match fault {
            Fault::DuplicateLength => BadResponse::DuplicateLength,
            Fault::BadLength => BadResponse::BadLength,
            Fault::CodingInHttp10 => BadResponse::CodingInHttp10,
            Fault::DuplicateCoding => BadResponse::DuplicateCoding,
            Fault::CodingSyntax | Fault::ChunkedNotLast | Fault::UnsupportedCoding => BadResponse::TransferCoding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &str, version: &str) -> Result<Framing, Reject> {
        let mut head = RequestHead::default();
        head.parse(format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n").as_bytes())?;
        of_request(&head)
    }

    fn response(line: &str, fields: &str, method: Method) -> Result<Framing, BadResponse> {
        let mut head = ResponseHead::default();
        head.parse(format!("{line}\r\n{fields}\r\n").as_bytes())?;
        of_response(&head, method)
    }

    #[test]
    fn requests() {
        use Reject::*;
        let cases: &[(&str, &str, Result<Framing, Reject>)] = &[
            ("ok-get", "", Ok(Framing::None)),
            ("ok-post-cl", "Content-Length: 2\r\n", Ok(Framing::Length(2))),
            ("cl-zero", "Content-Length: 0\r\n", Ok(Framing::Length(0))),
            ("cl-leading-zeros", "content-length: 0002\r\n", Ok(Framing::Length(2))),
            ("cl-max", "Content-Length: 18446744073709551615\r\n", Ok(Framing::Length(u64::MAX))),
            ("ok-post-chunked", "Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("te-case", "TRANSFER-ENCODING: ChUnKeD\r\n", Ok(Framing::Chunked)),
            ("cl+te", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", Err(LengthAndCoding)),
            ("te+cl", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", Err(LengthAndCoding)),
            ("te+cl, both broken", "Transfer-Encoding: x\r\nContent-Length: x\r\n", Err(LengthAndCoding)),
            ("cl-dup-differ", "Content-Length: 2\r\nContent-Length: 3\r\n", Err(DuplicateLength)),
            ("cl-dup-same", "Content-Length: 2\r\nContent-Length: 2\r\n", Err(DuplicateLength)),
            ("cl-dup-case", "Content-Length: 2\r\ncontent-length: 2\r\n", Err(DuplicateLength)),
            ("cl-list-same", "Content-Length: 2, 2\r\n", Err(BadLength)),
            ("cl-plus", "Content-Length: +2\r\n", Err(BadLength)),
            ("cl-neg", "Content-Length: -2\r\n", Err(BadLength)),
            ("cl-hex", "Content-Length: 0x2\r\n", Err(BadLength)),
            ("cl-empty", "Content-Length: \r\n", Err(BadLength)),
            ("cl-overflow", "Content-Length: 18446744073709551618\r\n", Err(BadLength)),
            ("cl-space-mid", "Content-Length: 2 2\r\n", Err(BadLength)),
            ("cl-underscore-digit", "Content-Length: 0_2\r\n", Err(BadLength)),
            ("te-xchunked", "Transfer-Encoding: xchunked\r\n", Err(UnsupportedCoding)),
            ("te-identity", "Transfer-Encoding: identity\r\n", Err(UnsupportedCoding)),
            ("te-empty", "Transfer-Encoding:\r\n", Err(CodingSyntax)),
            ("te-dup", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(DuplicateCoding)),
            ("te-chunked-chunked", "Transfer-Encoding: chunked, chunked\r\n", Err(ChunkedNotLast)),
            ("te-chunked-gzip", "Transfer-Encoding: chunked, gzip\r\n", Err(ChunkedNotLast)),
            ("te-gzip-chunked", "Transfer-Encoding: gzip, chunked\r\n", Err(UnsupportedCoding)),
            ("te-lead-comma", "Transfer-Encoding: ,chunked\r\n", Err(CodingSyntax)),
            ("te-trail-comma", "Transfer-Encoding: chunked,\r\n", Err(CodingSyntax)),
            ("te-parameter", "Transfer-Encoding: chunked;a=b\r\n", Err(CodingSyntax)),
            ("te-quoted", "Transfer-Encoding: \"chunked\"\r\n", Err(CodingSyntax)),
            ("te-vtab", "Transfer-Encoding: \x0bchunked\r\n", Err(FieldValue)),
            ("te-nbsp", "Transfer-Encoding: \u{a0}chunked\r\n", Err(ObsText)),
            ("te-sp-before-colon", "Transfer-Encoding : chunked\r\n", Err(SpaceBeforeColon)),
            ("te-underscore", "Transfer_Encoding: chunked\r\nContent-Length: 2\r\n", Err(UnderscoreName)),
        ];
        for (rule, fields, framing) in cases {
            assert_eq!(request(fields, "1.1"), *framing, "{rule}");
        }
        assert_eq!(request("Transfer-Encoding: chunked\r\n", "1.0"), Err(CodingInHttp10), "te-http10");
        assert_eq!(request("Content-Length: 2\r\n", "1.0"), Ok(Framing::Length(2)), "cl-http10");
    }

    #[test]
    fn responses() {
        use BadResponse::*;
        let ok = "HTTP/1.1 200 OK";
        let cases: &[(&str, &str, &str, Result<Framing, BadResponse>)] = &[
            ("(4) chunked", ok, "Transfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
            ("(6) length", ok, "Content-Length: 2\r\n", Ok(Framing::Length(2))),
            ("(8) until close", ok, "", Ok(Framing::UntilClose)),
            ("U14 HTTP/1.0", "HTTP/1.0 200 OK", "", Ok(Framing::UntilClose)),
            ("identity of RFC 2616", ok, "Transfer-Encoding: identity\r\n", Ok(Framing::UntilClose)),
            ("U10 CL+TE", ok, "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", Err(LengthAndCoding)),
            ("U11 CL twice", ok, "Content-Length: 2\r\nContent-Length: 2\r\n", Err(DuplicateLength)),
            ("U11 CL list", ok, "Content-Length: 2, 2\r\n", Err(BadLength)),
            ("U11 CL negative", ok, "Content-Length: -1\r\n", Err(BadLength)),
            ("TE twice", ok, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(DuplicateCoding)),
            ("TE in HTTP/1.0", "HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n", Err(CodingInHttp10)),
            ("gzip, chunked", ok, "Transfer-Encoding: gzip, chunked\r\n", Err(TransferCoding)),
            ("gzip", ok, "Transfer-Encoding: gzip\r\n", Err(TransferCoding)),
            ("U18 204", "HTTP/1.1 204 No Content", "Content-Length: 2\r\n", Ok(Framing::None)),
            ("U18 304", "HTTP/1.1 304 Not Modified", "Content-Length: 2\r\n", Ok(Framing::None)),
            ("U8 103", "HTTP/1.1 103 Early Hints", "Content-Length: 2\r\n", Ok(Framing::None)),
            ("205 has a framed body", "HTTP/1.1 205 Reset Content", "Content-Length: 0\r\n", Ok(Framing::Length(0))),
        ];
        for (rule, line, fields, framing) in cases {
            assert_eq!(response(line, fields, Method::Post), *framing, "{rule}");
        }
        assert_eq!(response(ok, "Content-Length: 2\r\n", Method::Head), Ok(Framing::None), "U18 HEAD");
    }
}
