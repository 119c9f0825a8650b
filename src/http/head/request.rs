//! The head of a request.

use super::line::{Method, RequestLine, Version, first_byte, is_authority};
use super::table::{FieldFault, FieldTable, Span};
use crate::http::fields;
use crate::http::reject::Reject;
use crate::limits::HEAD_BYTES_MAX;

/// A request's head, read strictly. Made once and reused: [`RequestHead::parse`] keeps a copy of the text.
#[derive(Debug, Default)]
pub struct RequestHead {
    read: Read,
    /// The head before this one: most requests of a client have the same, see [`RequestHead::parse_again`].
    before: Read,
}

#[derive(Debug, Default)]
struct Read {
    method: Method,
    version: Version,
    target: Span,
    authority: Option<Span>,
    table: FieldTable,
}

impl AsRef<FieldTable> for RequestHead {
    fn as_ref(&self) -> &FieldTable {
        &self.read.table
    }
}

impl RequestHead {
    /// Reads a head: exactly the bytes up to and with its empty line, as [`HeadScanner`](super::HeadScanner) delimits
    /// them (one empty line before it included). After an error the head is empty.
    pub fn parse(&mut self, head: &[u8]) -> Result<(), Reject> {
        let outcome = self.read.fill(head);
        if outcome.is_err() {
            self.read.clear();
        }
        outcome
    }

    /// Reads a head that says what the one before [`RequestHead::clear`] said, but for the digits of its Content-Length:
    /// the requests of one client hardly ever differ in more. `bytes` begin with it; gives its length. `None` if they say
    /// something else, or are not all there: then they are scanned and parsed.
    pub fn parse_again(&mut self, bytes: &[u8]) -> Option<usize> {
        let length = self.before.table.repeat(bytes)?;
        std::mem::swap(&mut self.read, &mut self.before);
        Some(length)
    }

    /// Forgets the head: it is empty, as before the first [`RequestHead::parse`].
    pub fn clear(&mut self) {
        if !self.read.table.is_empty() {
            std::mem::swap(&mut self.read, &mut self.before);
        }
        self.read.clear();
    }

    /// The method; unknown ones are refused by [`RequestHead::parse`].
    pub fn method(&self) -> Method {
        self.read.method
    }

    /// The method as it was written.
    pub fn method_text(&self) -> &'static str {
        self.read.method.text()
    }

    /// `/path?query` as sent, or `*`. Of an absolute-form target what follows its authority.
    pub fn target(&self) -> &[u8] {
        self.read.table.slice(self.read.target)
    }

    /// The target up to its query, never normalised.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        memchr::memchr(b'?', target).and_then(|query| target.get(..query)).unwrap_or(target)
    }

    /// What follows the first `?` of the target.
    pub fn query(&self) -> Option<&[u8]> {
        let target = self.target();
        target.get(memchr::memchr(b'?', target)? + 1..)
    }

    /// Whom the request is for: the authority of an absolute-form target, else Host's value (RFC 9112 §3.2.2: Host is
    /// ignored then). `None` is possible in HTTP/1.0 only.
    pub fn authority(&self) -> Option<&[u8]> {
        self.read.authority.map(|span| self.read.table.slice(span))
    }

    /// `OPTIONS *`: the server itself is asked (RFC 9112 §3.2.4).
    pub fn is_asterisk(&self) -> bool {
        self.target() == b"*"
    }

    /// The version of the request line.
    pub fn version(&self) -> Version {
        self.read.version
    }

    /// The fields in order: name as written, value without the white space around it.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.read.table.iter()
    }

    /// The value of the first field of this name, in any case.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.read.table.get(name)
    }

    /// How many fields have this name.
    pub fn count(&self, name: &str) -> usize {
        self.read.table.count(name)
    }

    /// Whether the client wants the connection to persist (RFC 9112 §9.3). Towards it we are a server, so that the ban
    /// on HTTP/1.0 persistence through proxies does not apply.
    pub fn keep_alive(&self) -> bool {
        self.read.table.keep_alive(self.read.version)
    }

    /// Whether the client waits for 100 (Continue) before it sends its body (RFC 9110 §10.1.1). HTTP/1.0 has no such
    /// answer, there it is ignored. Any other expectation is refused with 417.
    pub fn expects_continue(&self) -> Result<bool, Reject> {
        let mut expects = false;
        for value in self.read.table.all("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Reject::Expectation);
            }
            expects = self.read.version == Version::Http11;
        }
        Ok(expects)
    }
}

impl Read {
    fn clear(&mut self) {
        self.table.clear();
        (self.target, self.authority) = (Span::default(), None);
    }

    fn fill(&mut self, head: &[u8]) -> Result<(), Reject> {
        if head.len() > HEAD_BYTES_MAX {
            return Err(Reject::HeadTooLarge);
        }
        // RFC 9112 §2.2: one empty line may come before.
        let start = if head.starts_with(b"\r\n") { 2 } else { 0 };
        let text = head.get(start..).unwrap_or_default();
        first_byte(*text.first().ok_or(Reject::HeadIncomplete)?)?;
        let lf = memchr::memchr(b'\n', text).ok_or(Reject::HeadIncomplete)?;
        let line = text.get(..lf).and_then(|line| line.strip_suffix(b"\r")).ok_or(Reject::BareLf)?;
        if line.contains(&b'\r') {
            return Err(Reject::BareCr);
        }
        let line = RequestLine::parse(line)?;
        self.table.fill(head, start + lf + 1)?;
        // RFC 9110 §5.5: obs-text is opaque, and read as Latin-1 by some and as UTF-8 by others.
        if !head.is_ascii() {
            return Err(Reject::ObsText);
        }
        if memchr::memchr(b'_', head).is_some() && self.table.iter().any(|(name, _)| imitates(name)) {
            return Err(Reject::UnderscoreName);
        }
        (self.method, self.version) = (line.method, line.version);
        let host = self.host()?;
        self.authority = line.authority.map(|authority| Span::of(head, authority)).or(host);
        self.target = match line.target {
            // RFC 9112 §3.2.4: asked of the server itself, through the absolute form.
            [] if line.method == Method::Options => self.table.append([b"*", b""]),
            // RFC 9112 §3.2.1: an empty path is sent as /.
            [] | [b'?', ..] => self.table.append([b"/", line.target]),
            target => Span::of(head, target),
        };
        Ok(())
    }

    /// RFC 9112 §3.2: exactly one Host in HTTP/1.1, at most one in HTTP/1.0, and a valid one.
    fn host(&self) -> Result<Option<Span>, Reject> {
        let mut hosts = self.table.spans("host");
        let Some(host) = hosts.next() else {
            return match self.version {
                Version::Http11 => Err(Reject::MissingHost),
                Version::Http10 => Ok(None),
            };
        };
        if hosts.next().is_some() {
            return Err(Reject::TwoHosts);
        }
        if !is_authority(self.table.slice(host)) {
            return Err(Reject::BadHost);
        }
        Ok(Some(host))
    }
}

/// Whether a name becomes that of a framing or credential field when `_` is taken for `-`, as CGI and its heirs do.
/// (Names of such fields without a hyphen cannot be imitated so.)
fn imitates(name: &[u8]) -> bool {
    const OTHERS: [&str; 3] = ["content-length", "transfer-encoding", "proxy-authorization"];
    let same = |(ours, theirs): (u8, &u8)| ours == if *theirs == b'_' { b'-' } else { theirs.to_ascii_lowercase() };
    let imitated = |one: &str| one.len() == name.len() && one.bytes().zip(name).all(same);
    name.contains(&b'_') && OTHERS.into_iter().chain(fields::CREDENTIALS.iter()).any(imitated)
}

impl From<FieldFault> for Reject {
    fn from(fault: FieldFault) -> Reject {
        match fault {
            FieldFault::BareLf => Reject::BareLf,
            FieldFault::BareCr => Reject::BareCr,
            FieldFault::Incomplete => Reject::HeadIncomplete,
            FieldFault::TooMany => Reject::TooManyFields,
            FieldFault::TooManyOptions => Reject::ConnectionOptions,
            FieldFault::Name => Reject::FieldName,
            FieldFault::EmptyName => Reject::EmptyName,
            FieldFault::SpaceBeforeColon => Reject::SpaceBeforeColon,
            FieldFault::LeadingSpace => Reject::LeadingSpace,
            FieldFault::Fold => Reject::ObsFold,
            FieldFault::MissingColon => Reject::MissingColon,
            FieldFault::Value => Reject::FieldValue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{HeadKind, HeadScanner};

    /// Through the scanner and the parser, as in service; the parser alone must refuse the same heads.
    fn parse(input: &[u8]) -> Result<RequestHead, Reject> {
        let mut head = RequestHead::default();
        let alone = head.parse(input);
        let end = HeadScanner::default().push(HeadKind::Request, input)?.ok_or(Reject::HeadIncomplete)?;
        assert_eq!(end, input.len(), "a test of one head holds one head");
        alone.map(|()| head)
    }

    fn text(bytes: Option<&[u8]>) -> &str {
        bytes.map_or("-", |bytes| std::str::from_utf8(bytes).unwrap())
    }

    #[test]
    fn request_lines_that_are_read() {
        // request line, host, target, path, query, authority
        let cases = [
            ("GET / HTTP/1.1", "a", "/", "/", "-", "a"),
            (
                "POST /v1/messages?beta=true HTTP/1.1",
                "a:80",
                "/v1/messages?beta=true",
                "/v1/messages",
                "beta=true",
                "a:80",
            ),
            ("GET /? HTTP/1.1", "a", "/?", "/", "", "a"),
            ("GET /a?b?c HTTP/1.1", "a", "/a?b?c", "/a", "b?c", "a"),
            ("GET /v1/../admin HTTP/1.1", "a", "/v1/../admin", "/v1/../admin", "-", "a"),
            ("GET /v1/%2e%2e/admin HTTP/1.1", "a", "/v1/%2e%2e/admin", "/v1/%2e%2e/admin", "-", "a"),
            ("GET //b/c HTTP/1.1", "a", "//b/c", "//b/c", "-", "a"),
            ("GET /a|\"b\" HTTP/1.1", "a", "/a|\"b\"", "/a|\"b\"", "-", "a"),
            ("GET http://b/ HTTP/1.1", "a", "/", "/", "-", "b"),
            ("GET HTTPS://b:443/c?d HTTP/1.1", "a", "/c?d", "/c", "d", "b:443"),
            ("GET http://b HTTP/1.1", "a", "/", "/", "-", "b"),
            ("GET http://b?c=/d HTTP/1.1", "a", "/?c=/d", "/", "c=/d", "b"),
            ("OPTIONS * HTTP/1.1", "a", "*", "*", "-", "a"),
            ("OPTIONS http://b HTTP/1.1", "a", "*", "*", "-", "b"),
            ("OPTIONS http://b/ HTTP/1.1", "a", "/", "/", "-", "b"),
        ];
        for (line, host, target, path, query, authority) in cases {
            let head = parse(format!("{line}\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
            let got = (text(Some(head.target())), text(Some(head.path())), text(head.query()), text(head.authority()));
            assert_eq!(got, (target, path, query, authority), "{line}");
            assert_eq!(head.is_asterisk(), target == "*", "{line}");
        }
    }

    #[test]
    fn request_lines_that_are_refused() {
        use Reject::*;
        let cases: &[(&str, &[u8], Reject)] = &[
            ("target-frag", b"GET /a#b HTTP/1.1", TargetFragment),
            ("target-noslash", b"GET foo HTTP/1.1", TargetForm),
            ("authority-form", b"GET a:443 HTTP/1.1", TargetForm),
            ("another scheme", b"GET ftp://a/ HTTP/1.1", TargetForm),
            ("asterisk with GET", b"GET * HTTP/1.1", TargetForm),
            ("query alone", b"GET ?a HTTP/1.1", TargetForm),
            ("absolute-form without a host", b"GET http:///a HTTP/1.1", BadHost),
            ("absolute-form with userinfo", b"GET http://u@a/ HTTP/1.1", BadHost),
            ("absolute-form, backslash", b"GET http://a\\b/ HTTP/1.1", BadHost),
            ("target-sp", b"GET /a b HTTP/1.1", RequestLineSpaces),
            ("target-rawutf8", "GET /é HTTP/1.1".as_bytes(), TargetBytes),
            ("target-nul", b"GET /\0 HTTP/1.1", TargetBytes),
            ("target-del", b"GET /\x7f HTTP/1.1", TargetBytes),
            ("target-long", &[b"GET /".as_slice(), &[b'a'; 8192], b" HTTP/1.1"].concat(), TargetTooLong),
            ("connect", b"CONNECT a:443 HTTP/1.1", Connect),
            ("trace", b"TRACE / HTTP/1.1", Trace),
            ("method-lower", b"get / HTTP/1.1", UnknownMethod),
            ("method unknown", b"PROPFIND / HTTP/1.1", UnknownMethod),
            ("method not a token", b"GE(T / HTTP/1.1", MethodSyntax),
            ("no method", b" / HTTP/1.1", NotHttp),
            ("http09", b"GET /", MissingVersion),
            ("http09, a space behind", b"GET / ", RequestLineSpaces),
            ("one word", b"BAD", MissingVersion),
            ("no target", b"GET HTTP/1.1", MissingVersion),
            ("empty target", b"GET  HTTP/1.1", RequestLineSpaces),
            ("http12", b"GET / HTTP/1.2", Version),
            ("http20", b"GET / HTTP/2.0", Version),
            ("http09 by name", b"GET / HTTP/0.9", Version),
            ("h2-preface", b"PRI * HTTP/2.0", Http2Preface),
            ("http-lower", b"GET / http/1.1", VersionSyntax),
            ("version with zeros", b"GET / HTTP/1.01", VersionSyntax),
            ("version short", b"GET / HTTP/1", VersionSyntax),
            ("tls-hello", b"\x16\x03\x01\x02", TlsHello),
            ("double-sp", b"GET  / HTTP/1.1", RequestLineSpaces),
            ("double-sp before version", b"GET /  HTTP/1.1", RequestLineSpaces),
            ("space at the end", b"GET / HTTP/1.1 ", RequestLineSpaces),
            ("tab-sep", b"GET\t/\tHTTP/1.1", RequestLineSpaces),
            ("a tab for one", b"GET /\tHTTP/1.1", RequestLineSpaces),
            ("CR in the line", b"GET /\r HTTP/1.1", BareCr),
        ];
        for (rule, line, reject) in cases {
            let input = [line, b"\r\nHost: a\r\n\r\n".as_slice()].concat();
            assert_eq!(parse(&input).err(), Some(*reject), "{rule}");
            assert_eq!(RequestHead::default().parse(&input), Err(*reject), "{rule}, without the scanner");
        }
    }

    #[test]
    fn fields_that_are_refused() {
        use Reject::*;
        let cases: &[(&str, &[u8], Reject)] = &[
            ("lf-one-header", b"Host: a\nX: y\r\n", BareLf),
            ("cr-in-value", b"Host: a\r\nX: a\rb\r\n", BareCr),
            ("nul-in-value", b"Host: a\r\nX: a\0b\r\n", FieldValue),
            ("ctl-in-value", b"Host: a\r\nX: a\x01b\r\n", FieldValue),
            ("del-in-value", b"Host: a\r\nX: a\x7fb\r\n", FieldValue),
            ("obs-text-value", b"Host: a\r\nX: \xff\r\n", ObsText),
            ("obs-text-name", b"Host: a\r\nX\xff: a\r\n", FieldName),
            ("name with a space", b"Host: a\r\nX Y: a\r\n", FieldName),
            ("obs-fold", b"Host: a\r\nX: a\r\n b\r\n", ObsFold),
            ("obs-fold with a tab", b"Host: a\r\nX: a\r\n\tb: c\r\n", ObsFold),
            ("ws-first-header", b" X: a\r\nHost: a\r\n", LeadingSpace),
            ("te-sp-before-colon", b"Host: a\r\nTransfer-Encoding : chunked\r\n", SpaceBeforeColon),
            ("tab before the colon", b"Host\t: a\r\n", SpaceBeforeColon),
            ("empty-name", b"Host: a\r\n: a\r\n", EmptyName),
            ("no-colon", b"Host: a\r\nBogus\r\n", MissingColon),
            ("te-underscore", b"Host: a\r\nTransfer_Encoding: chunked\r\n", UnderscoreName),
            ("cl-underscore", b"Host: a\r\ncontent_length: 2\r\n", UnderscoreName),
            ("key-underscore", b"Host: a\r\nX-API_Key: 2\r\n", UnderscoreName),
            ("no-host", b"X: a\r\n", MissingHost),
            ("two-hosts", b"Host: a\r\nHost: b\r\n", TwoHosts),
            ("two equal hosts", b"Host: a\r\nhost: a\r\n", TwoHosts),
            ("host-comma", b"Host: a, b\r\n", BadHost),
            ("host-userinfo", b"Host: u@a\r\n", BadHost),
            ("host-path", b"Host: a/b\r\n", BadHost),
            ("host-space", b"Host: a b\r\n", BadHost),
            ("host-empty", b"Host:\r\n", BadHost),
            ("host with a port alone", b"Host: :80\r\n", BadHost),
            ("host-port", b"Host: a:8o\r\n", BadHost),
            ("host-two-ports", b"Host: a:80:80\r\n", BadHost),
            ("host-ipv6-open", b"Host: [::1\r\n", BadHost),
            ("host-ipv6-junk", b"Host: [::1]a:80\r\n", BadHost),
            ("hdr-count-1000", &b"X: a\r\n".repeat(1000), TooManyFields),
            ("101 fields", &[b"Host: a\r\n".as_slice(), &b"X: a\r\n".repeat(100)].concat(), TooManyFields),
            (
                "33 options",
                &[b"Host: a\r\nConnection: ".as_slice(), &b",".repeat(32), b"\r\n"].concat(),
                ConnectionOptions,
            ),
        ];
        for (rule, fields, reject) in cases {
            let input = [b"GET / HTTP/1.1\r\n", *fields, b"\r\n"].concat();
            assert_eq!(parse(&input).err(), Some(*reject), "{rule}");
            assert_eq!(RequestHead::default().parse(&input), Err(*reject), "{rule}, without the scanner");
        }
    }

    #[test]
    fn heads_that_are_read() {
        let hundred = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(99));
        let cases: &[(&str, &str)] = &[
            ("lead-crlf", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            ("http10-ka without Host", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            ("100 fields", &hundred),
            ("IPv6", "GET / HTTP/1.1\r\nHost: [::ffff:127.0.0.1]:8080\r\n\r\n"),
            ("a service's name", "GET / HTTP/1.1\r\nHost: side_stream.svc\r\n\r\n"),
            (
                "empty value, tabs, token bytes",
                "GET / HTTP/1.1\r\nHost:\ta \t\r\nX:\r\n!#$%&'*+-.^_`|~09: \"\t\"\r\n\r\n",
            ),
            ("an underscore in a name of no meaning", "GET / HTTP/1.1\r\nHost: a\r\nX_Trace_Id: 1\r\n\r\n"),
        ];
        for (rule, input) in cases {
            assert!(parse(input.as_bytes()).is_ok(), "{rule}");
        }
    }

    #[test]
    fn fields_are_found_in_any_case_and_trimmed() {
        let head = parse(b"\r\nGET / HTTP/1.1\r\nHost: a\r\nX-Y:  1 \t\r\nx-y: 2\r\nEmpty:\r\n\r\n").unwrap();
        assert_eq!(
            (text(head.get("x-Y")), head.count("X-y"), text(head.get("empty")), text(head.get("x"))),
            ("1", 2, "", "-")
        );
        let fields: Vec<_> = head.fields().map(|(name, value)| (text(Some(name)), text(Some(value)))).collect();
        assert_eq!(fields, [("Host", "a"), ("X-Y", "1"), ("x-y", "2"), ("Empty", "")]);
    }

    #[test]
    fn persistence() {
        let cases = [
            ("1.1", "", true),
            ("1.1", "Connection: close\r\n", false),
            ("1.1", "Connection: keep-alive, Close\r\n", false),
            ("1.1", "Connection: x\r\nConnection: close\r\n", false),
            ("1.1", "Connection: closed\r\n", true),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ];
        for (version, fields, keep) in cases {
            let head = parse(format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
            assert_eq!(head.keep_alive(), keep, "{version} {fields}");
        }
    }

    #[test]
    fn expectations() {
        let cases = [
            ("none", "1.1", "", Ok(false)),
            ("expect-100", "1.1", "Expect: 100-Continue\r\n", Ok(true)),
            ("ignored in HTTP/1.0", "1.0", "Expect: 100-continue\r\n", Ok(false)),
            ("expect-unknown", "1.1", "Expect: 200-maybe\r\n", Err(Reject::Expectation)),
            ("one of two", "1.1", "Expect: 100-continue\r\nExpect: x\r\n", Err(Reject::Expectation)),
        ];
        for (rule, version, fields, want) in cases {
            let head = parse(format!("POST / HTTP/{version}\r\nHost: a\r\n{fields}\r\n").as_bytes()).unwrap();
            assert_eq!(head.expects_continue(), want, "{rule}");
        }
    }

    #[test]
    fn only_exactly_one_head_is_read() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for len in 0..head.len() {
            assert!(RequestHead::default().parse(&head[..len]).is_err(), "{len} bytes");
        }
        let mut with_more = head.to_vec();
        with_more.extend_from_slice(b"G\r\n");
        assert_eq!(RequestHead::default().parse(&with_more), Err(Reject::HeadIncomplete));
    }

    #[test]
    fn a_reused_head_allocates_nothing_and_forgets_everything() {
        let mut head = RequestHead::default();
        head.parse(b"POST http://long.example?query HTTP/1.0\r\nHost: abc\r\nX: y\r\nZ: z\r\n\r\n").unwrap();
        let memory = head.read.table.memory();
        head.parse(b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
        assert_eq!(head.read.table.memory(), memory);
        assert_eq!((head.method_text(), head.fields().count(), head.authority()), ("GET", 1, Some(b"b".as_slice())));
        assert_eq!(head.parse(b"GET /a HTTP/1.1\r\n\r\n"), Err(Reject::MissingHost));
        assert_eq!((head.target(), head.fields().count(), head.authority()), (b"".as_slice(), 0, None));
    }

    /// All that a head says.
    fn told(head: &RequestHead) -> String {
        let fields: Vec<_> = head.fields().map(|(name, value)| (text(Some(name)), text(Some(value)))).collect();
        let (target, authority) = (text(Some(head.target())), text(head.authority()));
        format!("{:?} {:?} {target} {authority} {fields:?}", head.method(), head.version())
    }

    #[test]
    fn a_head_that_comes_again() {
        let first = "POST /v1/m?a HTTP/1.1\r\nHost: a\r\ncontent-length: 512\r\nx-key: k1\r\n\r\n";
        let without = first.replace("content-length: 512\r\n", "");
        let twice_named = first.replace("x-key: k1", "connection: content-length");
        let absolute = "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n";
        for (rule, before, now, is_same) in [
            ("the same", first, first.to_owned(), true),
            ("with bytes behind it", first, format!("{first}{{}}"), true),
            ("another length", first, first.replace("512", "907"), true),
            ("another length and a body", first, format!("{}{{}}", first.replace("512", "002")), true),
            ("a length of more digits", first, first.replace("512", "5120"), false),
            ("a length of fewer digits", first, first.replace("512", "51"), false),
            ("no digits", first, first.replace("512", "5x2"), false),
            ("a sign", first, first.replace("512", "+12"), false),
            ("a space", first, first.replace("512", " 12"), false),
            ("another value", first, first.replace("k1", "k2"), false),
            ("another case", first, first.replace("Host", "host"), false),
            ("another target", first, first.replace("?a", "?b"), false),
            ("not all of it", first, first[..first.len() - 1].to_owned(), false),
            ("nothing", first, String::new(), false),
            ("no length at all", &without, without.clone(), true),
            ("no length, another value", &without, without.replace("k1", "k2"), false),
            ("a length that Connection names", &twice_named, twice_named.replace("512", "513"), true),
            ("a target that was made up", absolute, absolute.to_owned(), false),
        ] {
            let mut head = parse(before.as_bytes()).unwrap();
            head.clear();
            assert_eq!(told(&head), told(&RequestHead::default()), "{rule}: cleared");
            let length = head.parse_again(now.as_bytes());
            let fresh = || parse(&now.as_bytes()[..length.unwrap()]).unwrap();
            assert_eq!(length.is_some(), is_same, "{rule}");
            assert!(!is_same || told(&head) == told(&fresh()), "{rule}: {:?}", told(&head));
            // Whatever came in between, the next request finds the last one that was whole.
            head.clear();
            head.clear();
            let next = if is_same { now.as_bytes() } else { before.as_bytes() };
            assert_eq!(head.parse_again(next).is_some(), rule != "a target that was made up", "{rule}: once more");
        }
    }

    #[test]
    fn a_head_that_was_refused_does_not_come_again() {
        let bad = "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n";
        let mut head = RequestHead::default();
        assert!(head.parse_again(b"").is_none() && head.parse(bad.as_bytes()).is_err());
        head.clear();
        assert_eq!(head.parse_again(bad.as_bytes()), None);
        let twice = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n";
        head.parse(twice.as_bytes()).unwrap();
        head.clear();
        assert_eq!(head.parse_again(twice.replace("Length: 1", "Length: 2").as_bytes()), None);
    }
}
