//! The mock provider over real sockets, on both drivers. Requests and answers are wire bytes: no client library smooths
//! over what the mock does wrong on purpose.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use sidestream::mock::encode::{FNV_START, fnv};
use sidestream::mock::misc::Blob;
use sidestream::mock::{Options, serve};

/// Only a test that hangs waits for so long.
const PATIENCE: Duration = Duration::from_secs(20);
const CHAT: &str = r#"{"model":"m","messages":[]}"#;
const STREAM: &str = r#"{"model":"m","messages":[],"stream":true}"#;

/// A mock for each driver that this machine has. They run until the process ends.
fn mocks(options: &Options) -> Vec<SocketAddr> {
    let mut mocks = Vec::new();
    for uring in [false, true] {
        if uring && !monoio::utils::detect_uring() {
            continue;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        mocks.push(listener.local_addr().unwrap());
        let options = options.clone();
        std::thread::spawn(move || {
            let options = Rc::new(options);
            if uring {
                let runtime = RuntimeBuilder::<IoUringDriver>::new().enable_timer().build();
                runtime.unwrap().block_on(serve(listener, options))
            } else {
                let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
                runtime.unwrap().block_on(serve(listener, options))
            }
        });
    }
    mocks
}

fn connect(mock: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(mock).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: m\r\n{fields}content-length: {}\r\n\r\n{body}", body.len())
}

/// Sends one request and reads to the end of the connection.
fn ask(mock: SocketAddr, request: &str) -> String {
    let mut stream = connect(mock);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let mut byte = [0];
        // A read with a time limit is not taken up again by the kernel after a signal; `read_exact` does that.
        let read = stream.read_exact(&mut byte);
        read.unwrap_or_else(|error| panic!("{error} behind {}", String::from_utf8_lossy(&answer)));
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

fn stats(mock: SocketAddr) -> String {
    ask(mock, "GET /mock/stats HTTP/1.1\r\nx-mock-close: 1\r\n\r\n")
}

/// The data of a chunked body, if it is well-formed and complete.
fn dechunked(mut body: &str) -> Option<String> {
    let mut data = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return (rest == "\r\n").then_some(data);
        }
        data.push_str(rest.get(..size)?);
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[test]
fn connections_are_kept_and_pipelined_requests_answered_in_order() {
    for mock in mocks(&Options::default()) {
        let mut stream = connect(mock);
        let requests =
            [post("/v1/files", "", "one"), post("/v1/chat/completions", "", CHAT), "HEAD / HTTP/1.1\r\n\r\n".into()];
        stream
            .write_all((requests.concat() + "GET /v1/models/last HTTP/1.1\r\nconnection: close\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let order =
            ["received_bytes\":3", "chat.completion\"", "content-length: 17\r\n\r\nHTTP/1.1 200", "\"id\":\"last\""];
        let places: Vec<_> =
            order.iter().map(|part| answer.find(part).unwrap_or_else(|| panic!("{part} in {answer}"))).collect();
        assert!(places.is_sorted(), "{answer}");
    }
}

#[test]
fn answers_have_the_dialect_of_their_path() {
    for mock in mocks(&Options::default()) {
        for (request, status, part) in [
            (post("/v1/messages?beta=true", "x-mock-close: 1\r\n", CHAT), 200, "\"stop_reason\":\"end_turn\""),
            (
                post("/v1/responses", "x-mock-close: 1\r\n", r#"{"model":"m","input":"x"}"#),
                200,
                "\"object\":\"response\"",
            ),
            (
                post("/v1/messages", "x-mock-close: 1\r\nx-mock-status: 429\r\n", CHAT),
                429,
                "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"",
            ),
            (post("/v1/responses", "x-mock-close: 1\r\nx-mock-status: 429\r\n", "{}"), 429, "{\"error\":{\"message\""),
            (post("/v1/messages", "x-mock-close: 1\r\n", "[1]"), 400, "\"type\":\"invalid_request_error\""),
            (post("/v1/messages", "x-mock-close: 1\r\n", r#"{"model":"m","#), 400, "parse the JSON"),
            (post("/v1/chat/completions", "x-mock-close: 1\r\n", r#"{"messages":[]}"#), 400, "model: Field required"),
            ("GET /v1/messages HTTP/1.1\r\nx-mock-close: 1\r\n\r\n".into(), 405, "Not allowed"),
            ("GET /nothing HTTP/1.1\r\nx-mock-close: 1\r\n\r\n".into(), 404, "{\"error\":{"),
            ("GET /nothing HTTP/1.1\r\nx-mock-close: 1\r\nanthropic-version: 1\r\n\r\n".into(), 404, "not_found_error"),
            ("GET /v1/models HTTP/1.1\r\nx-mock-close: 1\r\nx-api-key: k\r\n\r\n".into(), 200, "has_more"),
            (post("/v1/chat/completions", "x-mock-typo: 1\r\n", CHAT), 400, "x-mock-typo"),
            ("GARBAGE\r\n\r\n".into(), 400, "invalid_request_error"),
            ("\u{16}\u{3}\u{1}\0\n\n".into(), 400, "invalid_request_error"),
        ] {
            let answer = ask(mock, &request);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(part),
                "{request:?}: {answer}"
            );
        }
    }
}

#[test]
fn framings_are_as_asked() {
    let chat = |fields: &str| post("/v1/chat/completions", fields, CHAT);
    for mock in mocks(&Options::default()) {
        for (framing, head, body_end) in [
            ("length", "content-length: ", "}"),
            ("chunked", "transfer-encoding: chunked", "\r\n0\r\n\r\n"),
            ("close", "connection: close\r\n\r\n{", "}"),
            ("short-length", "content-length: ", "}"),
            ("long-length", "content-length: ", "}"),
            ("te-and-cl", "content-length: ", "\r\n0\r\n\r\n"),
            ("dup-cl", "content-length: ", "}"),
            ("bad-chunk", "\r\nzz\r\n", "0\r\n\r\n"),
            ("extra-bytes", "}HTTP/1.1 200 OK", "{\"smuggled\":true}"),
            ("http10", "HTTP/1.0 200 OK", "}"),
            ("garbage", "this is not HTTP", "at all"),
            ("1xx-flood", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", "}"),
            ("early-hints", "HTTP/1.1 103 Early Hints", "}"),
            ("unsolicited-101", "HTTP/1.1 101 Switching Protocols", "mock"),
            ("head-1mib", "x-filler-1048: mmm", "}"),
        ] {
            let answer = ask(mock, &chat(&format!("x-mock-close: 1\r\nx-mock-framing: {framing}\r\n")));
            assert!(answer.contains(head) && answer.ends_with(body_end), "{framing}: {answer:.2000}");
            let (head, body) = answer.rsplit_once("\r\n\r\n{").unwrap_or_default();
            let told = head
                .rsplit_once("content-length: ")
                .and_then(|(_, length)| length.split("\r\n").next()?.parse::<i64>().ok());
            let lie = match framing {
                "length" | "1xx-flood" | "early-hints" | "head-1mib" => Some(0),
                "short-length" => Some(-10),
                "long-length" => Some(10),
                "dup-cl" => Some(1),
                _ => None,
            };
            assert!(lie.is_none() || told.map(|told| told - body.len() as i64 - 1) == lie, "{framing}: {told:?}");
        }
        let answer = ask(mock, &post("/v1/chat/completions", "x-mock-close: 1\r\nx-mock-framing: length\r\n", STREAM));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())) && body.ends_with("data: [DONE]\n\n"));
    }
}

#[test]
fn streams_break_where_they_were_told_to() {
    for mock in mocks(&Options::default()) {
        let stream = |field: &str| post("/v1/messages", &format!("{field}\r\nx-mock-chunks: 5\r\n"), STREAM);
        let whole = ask(mock, &stream("x-mock-close: 1"));
        let whole = dechunked(whole.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert!(whole.ends_with("\"type\":\"message_stop\"}\n\n"));
        let cut = ask(mock, &stream("x-mock-cut-at: 4"));
        assert_eq!(cut.matches("text_delta").count(), 2);
        assert!(dechunked(cut.split_once("\r\n\r\n").unwrap().1).is_none());
        let failed = ask(mock, &stream("x-mock-close: 1\r\nx-mock-error-at: 4\r\nx-mock-status: 429"));
        let failed = dechunked(failed.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(failed.matches("text_delta").count(), 2);
        assert!(failed.split_once("event: error\ndata: ").unwrap().1.contains("rate_limit_error"), "{failed}");

        let mut reset = connect(mock);
        reset.write_all(stream("x-mock-reset-at: 4").as_bytes()).unwrap();
        let error = reset.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_peer_that_leaves_is_noticed_while_stalling_sleeping_and_streaming() {
    for mock in mocks(&Options::default()) {
        let waits = [
            ("x-mock-stall-at: 1\r\n", "message_start\"", false),
            ("x-mock-stall-at: 1\r\n", "message_start\"", true),
            ("x-mock-ttft-ms: 60000\r\n", "\r\n\r\n", true),
            ("x-mock-gap-ms: 60000\r\n", "text_delta\"", false),
            ("x-mock-framing: no-head-end\r\n", "chunked\r\n", true),
            ("x-mock-chunks: 9000000\r\nx-mock-bytes: 2000\r\n", "text_delta\"", false),
        ];
        for (number, (fields, begin, half)) in waits.into_iter().enumerate() {
            let mut stream = connect(mock);
            stream.write_all(post("/v1/messages", fields, STREAM).as_bytes()).unwrap();
            read_until(&mut stream, begin);
            if half {
                stream.shutdown(Shutdown::Write).unwrap();
                stream.read_to_end(&mut Vec::new()).unwrap();
            }
            drop(stream);
            let expected = format!("\"aborted_by_peer\":{}}}", number + 1);
            let since = std::time::Instant::now();
            while !stats(mock).ends_with(&expected) {
                assert!(since.elapsed() < PATIENCE, "{fields}");
            }
        }
        assert!(stats(mock).contains("\"open\":1,"));
    }
}

#[test]
fn uploads_and_downloads_can_be_verified() {
    let body: String = (0..300_000).map(|number| char::from(b'a' + (number % 23) as u8)).collect();
    let sum = format!(
        "{{\"object\":\"mock.upload\",\"received_bytes\":300000,\"fnv1a64\":\"{:016x}\"}}",
        fnv(FNV_START, body.as_bytes())
    );
    let mut blob = Vec::new();
    Blob::from_query("bytes=200001&seed=5").unwrap().fill(200_001, &mut blob);
    for mock in mocks(&Options::default()) {
        assert!(ask(mock, &post("/v1/files", "connection: close\r\n", &body)).ends_with(&sum));
        let chunks: String = body
            .as_bytes()
            .chunks(7001)
            .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()))
            .collect();
        let chunked = format!(
            "POST /v1/files HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        );
        assert!(ask(mock, &chunked).ends_with(&sum));
        let mut download = connect(mock);
        download.write_all(b"GET /v1/blob?bytes=200001&seed=5 HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
        assert!(read_until(&mut download, "\r\n\r\n").contains("content-length: 200001\r\n"));
        let mut bytes = Vec::new();
        download.read_to_end(&mut bytes).unwrap();
        assert!(bytes == blob);
    }
}

#[test]
fn counted_streams_arrive_whole_and_in_order() {
    for mock in mocks(&Options::default()) {
        for fields in ["", "x-mock-burst: 7\r\n", "x-mock-framing: close\r\n"] {
            let answer = ask(
                mock,
                &post(
                    "/v1/messages",
                    &format!("{fields}x-mock-close: 1\r\nx-mock-seq: s-9\r\nx-mock-chunks: 2000\r\n"),
                    STREAM,
                ),
            );
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            let body = if fields.contains("close") { body.to_owned() } else { dechunked(body).unwrap() };
            let mut events = body.split_terminator("\n\n");
            for number in 0..2000 {
                let event = events.next().unwrap();
                let pad = event.split_once("\"pad\":\"").unwrap().1.split('"').next().unwrap();
                let sum = fnv(FNV_START, format!("s-9:{number}:{pad}").as_bytes());
                assert_eq!(
                    event,
                    format!("data: {{\"seq\":{number},\"stream\":\"s-9\",\"pad\":\"{pad}\",\"sum\":\"{sum:016x}\"}}")
                );
            }
            assert_eq!((events.next(), events.next()), (Some("data: [DONE]"), None));
        }
    }
}

#[test]
fn the_echo_tells_exactly_what_arrived() {
    for mock in mocks(&Options::default()) {
        let echo = ask(
            mock,
            &post("/v1/messages?a=b", "X-Mock-Echo: 1\r\nB: 1\r\nconnection: close\r\nb: 2\r\n", "{\"x\":1}"),
        );
        let expected = concat!(
            r#"{"method":"POST","target":"/v1/messages?a=b","version":"HTTP/1.1","headers":[["host","m"],["X-Mock-Echo","1"],"#,
            r#"["B","1"],["connection","close"],["b","2"],["content-length","7"]],"head_base64":"UE9TVCAv"#
        );
        assert!(echo.contains(expected), "{echo}");
        let sum = fnv(FNV_START, b"{\"x\":1}");
        let expected =
            format!(r#""chunked":false,"body_bytes":7,"body_fnv1a64":"{sum:016x}","body_base64":"eyJ4IjoxfQ=="}}"#);
        assert!(echo.ends_with(&expected), "{echo}");
    }
}

#[test]
fn an_early_answer_comes_before_the_body_and_the_connection_stays_usable() {
    for mock in mocks(&Options::default()) {
        let mut stream = connect(mock);
        let request =
            post("/v1/chat/completions", "x-mock-answer-early: 1\r\nx-mock-status: 413\r\n", &" ".repeat(50_000));
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
        assert!(read_until(&mut stream, "}}").starts_with("HTTP/1.1 413 "));
        stream.write_all(body.as_bytes()).unwrap();
        stream.write_all(b"GET /v1/models/next HTTP/1.1\r\n\r\n").unwrap();
        assert!(read_until(&mut stream, "}").starts_with("HTTP/1.1 200 OK"));
    }
}

#[test]
fn bodies_that_are_announced_are_waited_for() {
    for mock in mocks(&Options::default()) {
        let mut stream = connect(mock);
        stream.write_all(b"POST /v1/files HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").unwrap();
        assert_eq!(read_until(&mut stream, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"ok").unwrap();
        assert!(read_until(&mut stream, "}").contains("\"received_bytes\":2"));
    }
}

#[test]
fn an_idle_connection_can_be_closed_without_a_word() {
    for mock in mocks(&Options::default()) {
        let answer = ask(mock, &post("/v1/chat/completions", "x-mock-close-silently-ms: 5\r\n", CHAT));
        assert!(answer.starts_with("HTTP/1.1 200 OK") && !answer.contains("connection:"), "{answer}");
    }
}

#[test]
fn a_replay_is_sent_as_it_is() {
    let framed = b"HTTP/1.1 200 Fine\r\ncontent-length: 2\r\n\r\nok";
    for mock in mocks(&Options { replay: Some(framed.to_vec()), ..Options::default() }) {
        let mut stream = connect(mock);
        for _ in 0..2 {
            stream.write_all(post("/any", "", "body").as_bytes()).unwrap();
            assert_eq!(read_until(&mut stream, "ok").as_bytes(), framed);
        }
    }
    for mock in mocks(&Options { replay: Some(b"\0\r\n nonsense".to_vec()), ..Options::default() }) {
        assert_eq!(ask(mock, "GET / HTTP/1.1\r\n\r\n"), "\0\r\n nonsense");
    }
}
