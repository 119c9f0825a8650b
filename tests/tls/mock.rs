//! The mock behind `--tls`, on both drivers: its answers, and its faults as TLS shows them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

use rustls::{ClientConnection, StreamOwned};
use sidestream::config::DriverChoice;
use sidestream::mock::{Options, serve};
use sidestream::net::driver::Driver;

use super::authority::{PATIENCE, foreign_client};
use super::world;

/// A mock, until the process ends.
fn mock(options: Options, choice: DriverChoice) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || Driver::build(choice).unwrap().0.block_on(serve(listener, Rc::new(options))));
    address
}

#[test]
fn the_mock_answers_and_fails_over_tls() {
    let (root, identity, _) = world();
    let cases: [(&str, Result<(), ErrorKind>, &str); 5] = [
        ("x-mock-close: 1\r\n", Ok(()), "chat.completion\""),
        ("x-mock-framing: close\r\n", Ok(()), "chat.completion\""),
        ("x-mock-cut-at: 1\r\n", Err(ErrorKind::UnexpectedEof), "HTTP/1.1 200"),
        ("x-mock-reset-at: 1\r\nx-mock-gap-ms: 50\r\n", Err(ErrorKind::ConnectionReset), "HTTP/1.1 200"),
        ("x-mock-framing: garbage\r\n", Ok(()), ""),
    ];
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let address = mock(Options { tls: Some(identity.server()), ..Options::default() }, choice);
        for (fields, end, words) in cases {
            let connection =
                ClientConnection::new(foreign_client(&root, None), "upstream.test".try_into().unwrap()).unwrap();
            let socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut stream = StreamOwned::new(connection, socket);
            let body = format!(r#"{{"model":"m","messages":[],"filler":"{}"}}"#, "x".repeat(100_000));
            let head =
                format!("POST /v1/chat/completions HTTP/1.1\r\nhost: m\r\n{fields}content-length: {}", body.len());
            write!(stream, "{head}\r\n\r\n{body}").unwrap();
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer).map(drop).map_err(|error| error.kind());
            assert_eq!(read, end, "{fields}");
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(end == Err(ErrorKind::ConnectionReset) || answer.contains(words), "{fields}: {answer}");
        }
    }
}
