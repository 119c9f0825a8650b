//! Heads of requests and answers.

use std::hint::black_box;

use sidestream::http::head::{HeadKind, HeadScanner, Method, RequestHead, ResponseHead};
use sidestream::http::{fields, framing, write};

use super::{Piece, Work};

pub fn pieces() -> Vec<Piece> {
    vec![
        Piece::new("request head: find, parse, frame", request_parsed),
        Piece::new("request head: as the one before", request_repeated),
        Piece::new("request head: write the end-to-end fields", request_written),
        Piece::new("response head: find, parse, frame", response_parsed),
        Piece::new("response head: write", response_written),
    ]
}

fn request_parsed() -> Work {
    let head = agent_head();
    let (mut scanner, mut parsed) = (HeadScanner::default(), RequestHead::default());
    Work::new(head.len(), move || {
        scanner.reset();
        let end = scanner.push(HeadKind::Request, black_box(&head)).unwrap().unwrap();
        parsed.parse(&head[..end]).unwrap();
        black_box(framing::of_request(&parsed).unwrap());
    })
}

fn request_repeated() -> Work {
    let (head, mut parsed) = (agent_head(), RequestHead::default());
    parsed.parse(&head).unwrap();
    Work::new(head.len(), move || {
        parsed.clear();
        black_box(parsed.parse_again(black_box(&head)).unwrap());
    })
}

fn request_written() -> Work {
    let (head, mut parsed, mut out) = (agent_head(), RequestHead::default(), Vec::new());
    parsed.parse(&head).unwrap();
    Work::new(head.len(), move || {
        out.clear();
        fields::write_end_to_end(&mut out, black_box(&parsed), |_, _| true);
        black_box(out.len());
    })
}

fn response_parsed() -> Work {
    let (mut scanner, mut parsed) = (HeadScanner::default(), ResponseHead::default());
    Work::new(ANSWER_HEAD.len(), move || {
        scanner.reset();
        let end = scanner.push(HeadKind::Response, black_box(ANSWER_HEAD)).unwrap().unwrap();
        parsed.parse(&ANSWER_HEAD[..end]).unwrap();
        black_box(framing::of_response(&parsed, Method::Post).unwrap());
    })
}

fn response_written() -> Work {
    let (mut parsed, mut out) = (ResponseHead::default(), Vec::new());
    parsed.parse(ANSWER_HEAD).unwrap();
    Work::new(ANSWER_HEAD.len(), move || {
        out.clear();
        write::status_line(&mut out, black_box(&parsed).status());
        fields::write_end_to_end(&mut out, &parsed, |_, _| true);
        write::end(&mut out);
        black_box(out.len());
    })
}

/// A head as an agent sends it: about 25 fields.
fn agent_head() -> Vec<u8> {
    let mut head = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: 127.0.0.1:7730\r\n".to_vec();
    for number in 0..20 {
        head.extend_from_slice(format!("x-stainless-field-{number}: value of the field {number}\r\n").as_bytes());
    }
    head.extend_from_slice(b"authorization: Bearer sk-0123456789012345678901234567890123456789\r\n");
    head.extend_from_slice(b"content-type: application/json\r\ncontent-length: 76335\r\n\r\n");
    head
}

/// A head as OpenAI sends it.
const ANSWER_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:11:12 GMT\r\nContent-Type: application/json\r\n\
    Content-Length: 1024\r\nConnection: keep-alive\r\naccess-control-expose-headers: X-Request-ID\r\n\
    openai-organization: user-0123456789abcdefghijklmn\r\nopenai-processing-ms: 412\r\nopenai-version: 2020-10-01\r\n\
    x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 30000000\r\nx-ratelimit-remaining-requests: 9999\r\n\
    x-ratelimit-remaining-tokens: 29999980\r\nx-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 0s\r\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\r\nstrict-transport-security: max-age=31536000\r\n\
    cf-cache-status: DYNAMIC\r\nServer: cloudflare\r\nCF-RAY: 0123456789abcdef-FRA\r\nalt-svc: h3=\":443\"; ma=86400\r\n\r\n";
