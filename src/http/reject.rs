//! Why we refuse what a client sent: one table from the reason to the answer.

/// The answer to one [`Reject`].
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The status of the answer, always 4xx or 5xx.
    pub status: u16,
    /// Whether the connection must end after the answer. `false` promises only that the reason itself leaves the
    /// connection usable: the caller still closes when the request's body was not read to its end.
    pub close: bool,
    /// The name in logs, and in the `x-sidestream-error` field of the answer.
    pub name: &'static str,
    /// One sentence for the person who wrote the client.
    pub message: &'static str,
}

macro_rules! table {
    ($($reject:ident $status:literal $after:ident $name:literal $message:literal;)*) => {
        /// A reason to refuse a request. [`Reject::row`] gives the answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reject {
            $(#[doc = $message] $reject,)*
        }

        impl Reject {
            /// Every reason, in the order of the table.
            pub const ALL: &[Reject] = &[$(Reject::$reject),*];

            /// The answer to this reason.
            pub fn row(self) -> &'static Row {
                match self {
                    $(Reject::$reject => &Row {
                        status: $status,
                        close: table!(@ $after),
                        name: $name,
                        message: $message,
                    },)*
                }
            }
        }
    };
    (@ close) => { true };
    (@ keep) => { false };
}

// After bytes that we understood differently than their sender, the place where the next request begins is a guess:
// such rows close. The rows that keep are about the meaning of a request whose end is known.
table! {
    // Not a head at all (RFC 9112 §2).
    NotHttp            400 close "not-http"              "These bytes are not an HTTP/1.1 message.";
    TlsHello           400 close "tls-on-plain-port"     "This port speaks plain HTTP, but the client began a TLS handshake: use http:// in its base URL.";
    Http2Preface       505 close "http2-preface"         "This port speaks HTTP/1.1, but the client began HTTP/2 without negotiation.";
    BareLf             400 close "bare-lf"               "A line ended with LF alone; every line of a head ends with CR LF.";
    BareCr             400 close "bare-cr"               "A CR was not followed by LF.";
    LeadingLines       400 close "leading-empty-lines"   "More than one empty line came before the request line.";
    HeadIncomplete     400 close "head-incomplete"       "The head did not end with one empty line.";
    HeadTooLarge       431 close "head-too-large"        "The request's head is larger than 32 KiB.";
    TooManyFields      431 close "too-many-fields"       "The request has more than 100 header fields.";
    ConnectionOptions  431 close "too-many-connection-options" "The Connection fields hold more than 32 options.";

    // Request line, target, version (RFC 9112 §2.3, §3).
    RequestLineSpaces  400 close "request-line-spaces"   "The request line must be method, target and version with exactly one space between them.";
    MissingVersion     400 close "missing-version"       "The request line has no HTTP version; HTTP/0.9 is not spoken here.";
    VersionSyntax      400 close "version-syntax"        "The request line does not end with a version of the form HTTP/1.1.";
    Version            505 close "http-version"          "Only HTTP/1.1 and HTTP/1.0 are spoken here.";
    MethodSyntax       400 close "method-syntax"         "The method is not a token.";
    UnknownMethod      501 close "unknown-method"        "The method is not known here; methods are case-sensitive.";
    Connect            405 close "connect"               "CONNECT is refused: this is not a tunnelling proxy.";
    Trace              405 close "trace"                 "TRACE is refused: it would echo credentials.";
    TargetTooLong      414 close "target-too-long"       "The request target is longer than 8 KiB.";
    TargetBytes        400 close "target-bytes"          "The request target has a byte that must be percent-encoded.";
    TargetFragment     400 close "target-fragment"       "The request target has a fragment (#), which is never sent.";
    TargetForm         400 close "target-form"           "The request target must begin with / or http:// (or be * with OPTIONS).";

    // Host (RFC 9112 §3.2).
    MissingHost        400 close "missing-host"          "An HTTP/1.1 request must have a Host field.";
    TwoHosts           400 close "two-hosts"             "The request has more than one Host field.";
    BadHost            400 close "bad-host"              "The host must be a name or an address with an optional port.";

    // Field lines (RFC 9112 §5, RFC 9110 §5).
    FieldName          400 close "field-name"            "A header field's name has a byte that is not allowed.";
    EmptyName          400 close "empty-field-name"      "A header field has no name.";
    SpaceBeforeColon   400 close "space-before-colon"    "There is white space between a header field's name and its colon.";
    LeadingSpace       400 close "space-before-fields"   "There is white space before the first header field.";
    ObsFold            400 close "obs-fold"              "A header field is folded over two lines.";
    MissingColon       400 close "missing-colon"         "A header line has no colon.";
    FieldValue         400 close "field-value"           "A header field's value has a control character.";
    ObsText            400 close "obs-text"              "A header field's value has a byte outside ASCII.";
    UnderscoreName     400 close "underscore-name"       "A header field's name imitates a framing or credential field with an underscore.";

    // Framing (RFC 9112 §6).
    LengthAndCoding    400 close "length-and-coding"     "The request has both Content-Length and Transfer-Encoding.";
    DuplicateLength    400 close "duplicate-length"      "The request has more than one Content-Length.";
    BadLength          400 close "bad-length"            "Content-Length must be one decimal number.";
    CodingInHttp10     400 close "coding-in-http10"      "Transfer-Encoding does not exist in HTTP/1.0.";
    DuplicateCoding    400 close "duplicate-coding"      "The request has more than one Transfer-Encoding field.";
    CodingSyntax       400 close "coding-syntax"         "Transfer-Encoding is not a list of codings.";
    ChunkedNotLast     400 close "chunked-not-last"      "The chunked coding must be applied once, as the last one.";
    UnsupportedCoding  501 close "unsupported-coding"    "The only transfer coding supported is chunked.";
    Expectation        417 close "expectation"           "The only expectation supported is 100-continue.";

    // Chunked coding (RFC 9112 §7.1).
    ChunkSize          400 close "chunk-size"            "A chunk size is not a hexadecimal number.";
    ChunkSizeDigits    400 close "chunk-size-digits"     "A chunk size has more than 16 digits.";
    ChunkTooLarge      413 close "chunk-too-large"       "A chunk announces more than 1 TiB.";
    ChunkLineEnd       400 close "chunk-line-end"        "A chunk's size line did not end with CR LF.";
    ChunkExtension     400 close "chunk-extension"       "A chunk extension has a control character.";
    ChunkExtensionLong 400 close "chunk-extension-long"  "The chunk extensions of this body exceed 4 KiB.";
    ChunkDataEnd       400 close "chunk-data-end"        "A chunk's data is not followed by CR LF: its size is wrong.";
    Trailer            400 close "trailer"               "A line after the last chunk is not a field line ended with CR LF.";
    TrailerTooLong     431 close "trailer-too-long"      "The trailer fields exceed 8 KiB.";

    // What the proxy finds once the head is read.
    BodyNotAllowed     400 close "body-not-allowed"      "A GET or HEAD request must not have a body.";
    BodyTooLarge       413 close "body-too-large"        "The request's body is larger than this proxy accepts.";
    BufferFull         503 close "buffer-full"           "The memory for request bodies is in use; try again shortly.";
    HeadTimeout        408 close "head-timeout"          "The request's head did not arrive in time.";
    BodyTimeout        408 close "body-timeout"          "The request's body stopped arriving.";
    NotFound           404 keep  "not-found"             "There is nothing at this path.";
    MethodNotAllowed   405 keep  "method-not-allowed"    "This path does not take this method.";
    UnsupportedContentEncoding 415 keep "unsupported-content-encoding" "Compressed request bodies are not accepted; send the body as plain JSON.";
    InvalidJson        400 keep  "invalid-json"          "The request's body is not a JSON object that can be read.";
    ModelInvalid       400 keep  "model-invalid"         "The member \"model\" must be a short string without control characters.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_kebab_case_and_statuses_are_errors() {
        let mut names: Vec<_> = Reject::ALL.iter().map(|r| r.row().name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reject::ALL.len());
        for reject in Reject::ALL {
            let row = reject.row();
            assert!((400..=599).contains(&row.status), "{reject:?}");
            assert!(!crate::http::write::reason(row.status).is_empty(), "{reject:?}");
            assert!(row.name.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit()), "{reject:?}");
            assert!(row.message.ends_with('.'), "{reject:?}");
        }
    }

    #[test]
    fn messages_quote_the_limits_as_they_are() {
        use crate::limits::*;
        let cases = [
            (Reject::HeadTooLarge, format!("{} KiB", HEAD_BYTES_MAX / 1024)),
            (Reject::TooManyFields, format!("{FIELDS_MAX} header")),
            (Reject::ConnectionOptions, format!("{CONNECTION_OPTIONS_MAX} options")),
            (Reject::TargetTooLong, format!("{} KiB", TARGET_BYTES_MAX / 1024)),
            (Reject::ChunkSizeDigits, format!("{CHUNK_SIZE_DIGITS_MAX} digits")),
            (Reject::ChunkTooLarge, format!("{} TiB", CHUNK_BYTES_MAX >> 40)),
            (Reject::ChunkExtensionLong, format!("{} KiB", CHUNK_EXTENSION_BYTES_MAX / 1024)),
            (Reject::TrailerTooLong, format!("{} KiB", TRAILER_BYTES_MAX / 1024)),
        ];
        for (reject, number) in cases {
            assert!(reject.row().message.contains(&number), "{reject:?} does not say {number}");
        }
    }
}
