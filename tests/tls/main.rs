//! TLS over loopback sockets, on both drivers, against blocking peers that share only rustls with us.

#![allow(unsafe_code)]

mod allocations;
mod authority;
mod mock;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use authority::{Authority, Identity, PATIENCE, Served, bye, expired, foreign_client, peer, self_signed, tls_peer};
use monoio::net::{TcpListener, TcpStream};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sidestream::config::DriverChoice;
use sidestream::net::Pulse;
use sidestream::net::buffers::Buffers;
use sidestream::net::deadlines::{Deadlines, Side};
use sidestream::net::driver::Driver;
use sidestream::net::stream::{Inlet, Outlet, Stream, abort, split};
use sidestream::net::tls::{TlsError, accept, connect, listener_config, upstream_config};
use sidestream::{limits, net};

/// What a worker has.
#[derive(Clone, Default)]
pub struct Net {
    deadlines: Rc<Deadlines>,
    buffers: Rc<Buffers>,
}

impl Net {
    async fn dial(&self, address: SocketAddr) -> (Inlet, Outlet) {
        let stream = TcpStream::connect_addr(address).await.unwrap();
        split(Stream::Tcp(stream), Side::Upstream, &self.deadlines, &self.buffers)
    }

    async fn connect(&self, address: SocketAddr, config: &Arc<ClientConfig>, host: &str) -> Result<Ends, TlsError> {
        let (inlet, outlet) = self.dial(address).await;
        connect(inlet, outlet, config, host, Duration::from_secs(10)).await
    }

    /// One client of our own listener.
    async fn accepted(&self, listener: &TcpListener) -> Ends {
        let (stream, _) = listener.accept().await.unwrap();
        split(Stream::Tcp(stream), Side::Client, &self.deadlines, &self.buffers)
    }

    fn sweep(&self) {
        self.deadlines.keep_sweeping();
    }
}

type Ends = (Inlet, Outlet);

/// Runs a test in a worker of each kind.
fn on_both(test: impl AsyncFn(&Net)) {
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let (mut driver, _) = Driver::build(choice).unwrap();
        driver.block_on(test(&Net::default()));
    }
}

/// A root, a server at "upstream.test", and a client that trusts it.
fn world() -> (Authority, Identity, Arc<ClientConfig>) {
    let root = Authority::new("private root");
    let identity = root.issue(&["upstream.test", "127.0.0.1", "::1"]);
    let config = upstream_config(&[root.pem.as_bytes()]).unwrap();
    (root, identity, config)
}

/// Receives until `count` bytes are there, or the connection's end.
async fn receive(inlet: &mut Inlet, count: usize) -> (std::io::Result<usize>, Vec<u8>) {
    let mut all = Vec::new();
    while all.len() < count {
        let (read, buffer) = inlet.receive(all).await;
        all = buffer;
        if !matches!(read, Ok(1..)) {
            return (read, all);
        }
    }
    (Ok(all.len()), all)
}

async fn say(outlet: &mut Outlet, text: &[u8]) {
    outlet.send_all(text.to_vec(), PATIENCE).await.0.unwrap();
}

/// Waits until something can be read from the socket itself.
async fn something_came(inlet: &Inlet) {
    let end = Instant::now() + PATIENCE;
    while inlet.deadline().socket().pulse() == Pulse::Quiet {
        assert!(Instant::now() < end, "nothing came");
        monoio::time::sleep(limits::TURN_PAUSE).await;
    }
}

/// Waits for a peer's thread. The runtime must go on meanwhile: on io_uring a dropped socket is closed when it next waits.
async fn over<T>(thread: std::thread::JoinHandle<T>) -> T {
    while !thread.is_finished() {
        monoio::time::sleep(limits::TURN_PAUSE).await;
    }
    thread.join().unwrap()
}

#[test]
fn a_second_connection_resumes_the_first_ones_session() {
    on_both(async |net| {
        let (_, identity, config) = world();
        for host in ["upstream.test", "127.0.0.1", "[::1]"] {
            let (address, thread) = tls_peer(identity.server(), 2, |mut stream| {
                let mut question = [0; 4];
                stream.read_exact(&mut question).unwrap();
                assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
                stream.write_all(b"pong").unwrap();
                bye(stream);
            });
            for resumed in [false, true] {
                let (mut inlet, mut outlet) = net.connect(address, &config, host).await.unwrap();
                assert_eq!((inlet.is_tls(), inlet.is_resumed()), (true, resumed), "{host}");
                say(&mut outlet, b"ping").await;
                let (end, answer) = receive(&mut inlet, usize::MAX).await;
                assert_eq!((end.unwrap(), &answer[..]), (0, &b"pong"[..]));
                assert_eq!(inlet.receive(Vec::new()).await.0.unwrap(), 0, "an end stays one");
            }
            over(thread).await;
        }
    });
}

#[test]
fn a_certificate_that_proves_nothing_is_refused_with_the_reason() {
    let (root, _, _) = world();
    let (stranger, twin) = (Authority::new("stranger"), Authority::new("private root"));
    let cases: [(&str, Identity, &str); 8] = [
        ("other.test", root.issue(&["a.test", "*.b.test"]), "not valid for other.test; presented: "),
        ("127.0.0.2", root.issue(&["127.0.0.1"]), "not valid for 127.0.0.2"),
        ("a.test", root.issue_with(&["a.test"], expired), "its certificate expired "),
        ("a.test", stranger.issue(&["a.test"]), "unknown issuer"),
        ("a.test", twin.issue(&["a.test"]), "not signed by the trusted root that it names"),
        ("a.test", self_signed(&["a.test"], |_| {}), "self-signed"),
        (
            "a.test",
            self_signed(&["a.test"], |params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
            "self-signed",
        ),
        (
            "a.test",
            root.issue_with(&["a.test"], |params| params.not_before = rcgen::date_time_ymd(2090, 1, 1)),
            "not valid yet",
        ),
    ];
    for (host, identity, words) in cases {
        on_both(async |net| {
            let config = upstream_config(&[root.pem.as_bytes()]).unwrap();
            let (address, thread) = tls_peer(identity.server(), 1, drop);
            let error = net.connect(address, &config, host).await.err().unwrap();
            assert!(matches!(error, TlsError::Certificate(_)), "{error:?}");
            assert!(error.to_string().contains(words), "{words}: {error}");
            over(thread).await;
        });
    }
}

#[test]
fn a_peer_that_does_not_shake_hands_is_told_apart() {
    type Talk = fn(StdStream);
    let cases: [(&str, Talk); 5] = [
        ("it answers in plain HTTP", |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").unwrap();
        }),
        ("it does not speak TLS", |mut stream| stream.write_all(b"220 mail.test ESMTP\r\n").unwrap()),
        ("it closed the connection during the TLS handshake", |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
        }),
        ("TLS alert HandshakeFailure", |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
        }),
        ("its TLS is broken", |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(&[22, 3, 3, 0, 4, 2, 0, 0, 0]).unwrap();
        }),
    ];
    let (_, _, config) = world();
    for (words, talk) in cases {
        on_both(async |net| {
            let (address, thread) = peer(1, talk);
            let error = net.connect(address, &config, "upstream.test").await.err().unwrap();
            assert!(matches!(error, TlsError::Handshake(_)), "{words}: {error:?}");
            assert!(error.to_string().contains(words), "{words}: {error}");
            over(thread).await;
        });
    }
}

#[test]
fn an_upstream_that_wants_another_protocol_is_refused() {
    on_both(async |net| {
        let (_, identity, config) = world();
        let mut server = (*identity.server()).clone();
        server.alpn_protocols = vec![b"h2".to_vec()];
        let (address, thread) = tls_peer(Arc::new(server), 1, drop);
        let error = net.connect(address, &config, "upstream.test").await.err().unwrap();
        assert_eq!(error.to_string(), "it does not speak HTTP/1.1 (ALPN)");
        over(thread).await;
    });
}

/// Sends `count` numbered bytes in pieces of odd sizes.
async fn pour(mut outlet: Outlet, count: usize) -> Outlet {
    let mut at = 0;
    for size in [1, 16_383, 16_384, 16_385, 70_001, 3, 200_003].into_iter().cycle() {
        let piece: Vec<u8> = (at..count.min(at + size)).map(number).collect();
        if piece.is_empty() {
            break;
        }
        at += piece.len();
        // Only a part of the buffer is meant.
        let (front, end) = (at % 7, at % 7 + piece.len());
        let padded = [&[0xee; 7][..front], &piece, b"behind"].concat();
        let (sent, back) = outlet.send(padded.clone(), front, end, PATIENCE).await;
        sent.unwrap();
        assert_eq!(back, padded);
    }
    outlet
}

fn number(at: usize) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 13) as u8
}

fn assert_numbered(bytes: &[u8]) {
    assert_eq!(bytes.iter().enumerate().find(|(at, byte)| **byte != number(*at)), None);
}

#[test]
fn a_mebibyte_crosses_in_both_directions_at_once() {
    const COUNT: usize = (1 << 20) + 77;
    on_both(async |net| {
        let (_, identity, config) = world();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = net.clone();
        let server = monoio::spawn(async move {
            let (inlet, outlet) = server.accepted(&listener).await;
            let (mut inlet, outlet) = accept(inlet, outlet, &identity.server()).await.unwrap();
            let pouring = monoio::spawn(pour(outlet, COUNT));
            let (got, bytes) = receive(&mut inlet, COUNT).await;
            assert_eq!(got.unwrap(), COUNT);
            assert_numbered(&bytes);
            (inlet, pouring.await)
        });
        let (mut inlet, outlet) = net.connect(address, &config, "upstream.test").await.unwrap();
        let pouring = monoio::spawn(pour(outlet, COUNT));
        let (got, bytes) = receive(&mut inlet, COUNT).await;
        assert_eq!(got.unwrap(), COUNT);
        assert_numbered(&bytes);
        let mut outlet = pouring.await;
        let (mut far_inlet, far_outlet) = server.await;
        // Half-closed: heard as an end, and the other direction still works.
        outlet.finish();
        assert_eq!(far_inlet.receive(Vec::new()).await.0.unwrap(), 0);
        drop(pour(far_outlet, 1000).await);
        let (end, bytes) = receive(&mut inlet, usize::MAX).await;
        assert_eq!((end.unwrap(), bytes.len()), (0, 1000));
    });
}

#[test]
fn an_end_that_was_not_announced_is_an_error() {
    on_both(async |net| {
        let (_, identity, config) = world();
        let mut announced = false;
        let (address, thread) = tls_peer(identity.server(), 2, move |mut stream| {
            stream.write_all(b"half an answer").unwrap();
            match std::mem::replace(&mut announced, true) {
                true => bye(stream),
                false => {
                    stream.sock.shutdown(Shutdown::Write).unwrap();
                    let _ = std::io::copy(&mut stream.sock, &mut std::io::sink());
                }
            }
        });
        for announced in [false, true] {
            let (mut inlet, _outlet) = net.connect(address, &config, "upstream.test").await.unwrap();
            let (end, bytes) = receive(&mut inlet, usize::MAX).await;
            assert_eq!(bytes, b"half an answer");
            assert_eq!(
                end.map_err(|error| error.kind()),
                if announced { Ok(0) } else { Err(ErrorKind::UnexpectedEof) }
            );
        }
        over(thread).await;
    });
}

#[test]
fn good_bye_is_said_unless_the_connection_is_aborted() {
    on_both(async |net| {
        let (_, identity, config) = world();
        let (tell, told) = mpsc::channel();
        let (address, thread) = tls_peer(identity.server(), 3, move |mut stream| {
            let mut heard = Vec::new();
            tell.send((stream.read_to_end(&mut heard).map_err(|error| error.kind()), heard)).unwrap();
        });
        for (which, expected) in [(0, Ok(5)), (1, Ok(5)), (2, Err(ErrorKind::ConnectionReset))] {
            let (inlet, mut outlet) = net.connect(address, &config, "upstream.test").await.unwrap();
            // Then the other side does nothing but read.
            something_came(&inlet).await;
            if which < 2 {
                say(&mut outlet, b"hello").await;
            }
            match which {
                0 => drop((inlet, outlet)),
                1 => drop((outlet, inlet)),
                _ => abort(inlet, outlet),
            }
            // io_uring closes a socket when the runtime next waits.
            let began = Instant::now();
            let (end, heard) = loop {
                match told.try_recv() {
                    Ok(heard) => break heard,
                    Err(_) => assert!(began.elapsed() < PATIENCE, "nothing was heard"),
                }
                monoio::time::sleep(limits::TURN_PAUSE).await;
            };
            assert_eq!((end, heard.len()), (expected, expected.unwrap_or(0)), "{which}");
        }
        over(thread).await;
    });
}

/// The next record of `stream`, as it goes over the wire.
fn record(stream: &mut Served, text: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    stream.conn.writer().write_all(text).unwrap();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut wire).unwrap();
    }
    wire
}

#[test]
fn a_look_at_a_peer_that_says_too_much_comes_to_an_end() {
    on_both(async |net| {
        let (_, identity, config) = world();
        let mut server = (*identity.server()).clone();
        // Tickets bring no plaintext. These fill more than two reads, and less than a flight may have.
        server.send_tls13_tickets = 450;
        let (written, sent) = mpsc::channel();
        let (address, thread) = tls_peer(Arc::new(server), 1, move |mut stream| {
            written.send(()).unwrap();
            let _ = std::io::copy(&mut stream.sock, &mut std::io::sink());
        });
        let (inlet, outlet) = net.connect(address, &config, "upstream.test").await.unwrap();
        while sent.try_recv().is_err() {
            monoio::time::sleep(limits::TURN_PAUSE).await;
        }
        assert_eq!(inlet.pulse(), Pulse::Talks);
        assert_eq!(inlet.deadline().socket().pulse(), Pulse::Talks, "the rest was left");
        drop((inlet, outlet));
        over(thread).await;
    });
}

#[test]
fn the_pulse_of_an_idle_connection() {
    #[derive(Clone, Copy, Debug)]
    enum Act {
        KeyUpdate,
        Text,
        HalfARecord,
        Bye,
        Fin,
        Garbage,
    }
    let cases = [
        (Act::KeyUpdate, Pulse::Quiet),
        (Act::Text, Pulse::Talks),
        (Act::HalfARecord, Pulse::Talks),
        (Act::Bye, Pulse::Dead),
        (Act::Fin, Pulse::Dead),
        (Act::Garbage, Pulse::Dead),
    ];
    on_both(async |net| {
        let (_, identity, config) = world();
        let (go, gone) = mpsc::channel::<Act>();
        let (address, thread) = tls_peer(identity.server(), cases.len(), move |mut stream| {
            match gone.recv_timeout(PATIENCE).unwrap() {
                Act::KeyUpdate => {
                    stream.conn.refresh_traffic_keys().unwrap();
                    stream.flush().unwrap();
                    stream.read_exact(&mut [0; 4]).unwrap();
                    stream.write_all(b"news").unwrap();
                }
                Act::Text => stream.write_all(b"news").unwrap(),
                Act::HalfARecord => {
                    let wire = record(&mut stream, b"news");
                    stream.sock.write_all(&wire[..9]).unwrap();
                }
                Act::Bye => {
                    stream.conn.send_close_notify();
                    stream.flush().unwrap();
                }
                Act::Fin => stream.sock.shutdown(Shutdown::Write).unwrap(),
                Act::Garbage => stream.sock.write_all(&[&[23, 3, 3, 0, 20][..], &[7; 20]].concat()).unwrap(),
            }
            let _ = std::io::copy(&mut stream.sock, &mut std::io::sink());
        });
        for (act, expected) in cases {
            let (mut inlet, mut outlet) = net.connect(address, &config, "upstream.test").await.unwrap();
            // TLS 1.3 sends its session tickets behind the handshake.
            something_came(&inlet).await;
            assert_eq!(inlet.pulse(), Pulse::Quiet, "tickets");
            go.send(act).unwrap();
            something_came(&inlet).await;
            assert_eq!(inlet.pulse(), expected, "{act:?}");
            match act {
                Act::KeyUpdate => {
                    say(&mut outlet, b"ping").await;
                    assert_eq!(receive(&mut inlet, 4).await.1, b"news");
                }
                Act::Text => assert_eq!(receive(&mut inlet, 4).await.1, b"news", "what was seen is not lost"),
                _ => {}
            }
        }
        over(thread).await;
    });
}

#[test]
fn a_record_that_comes_in_pieces_with_silence_between_is_whole() {
    on_both(async |net| {
        net.sweep();
        let (_, identity, config) = world();
        let (address, thread) = tls_peer(identity.server(), 1, |mut stream| {
            let silence = limits::TICK * 4;
            std::thread::sleep(silence);
            stream.write_all(b"first ").unwrap();
            let wire = record(&mut stream, b"second ");
            stream.sock.write_all(&wire[..11]).unwrap();
            std::thread::sleep(silence);
            stream.sock.write_all(&wire[11..]).unwrap();
            std::thread::sleep(silence);
            stream.write_all(b"third").unwrap();
            bye(stream);
        });
        let (mut inlet, outlet) = net.connect(address, &config, "upstream.test").await.unwrap();
        let (end, bytes) = receive(&mut inlet, usize::MAX).await;
        assert_eq!((end.unwrap(), &bytes[..]), (0, &b"first second third"[..]));
        drop((inlet, outlet));
        over(thread).await;
    });
}

#[test]
fn a_silent_peer_runs_into_the_callers_deadline() {
    on_both(async |net| {
        net.sweep();
        let (_, identity, config) = world();
        let (address, thread) = tls_peer(identity.server(), 1, |mut stream| {
            let _ = stream.read(&mut [0; 16]);
        });
        let (mut inlet, outlet) = net.connect(address, &config, "upstream.test").await.unwrap();
        inlet.deadline().arm(limits::TICK);
        assert_eq!(inlet.receive(Vec::new()).await.0.unwrap(), 0);
        assert_eq!(inlet.deadline().expired(), Some(net::deadlines::Expired::Receiving));
        drop((inlet, outlet));
        over(thread).await;
    });
}

#[test]
fn a_handshake_that_is_given_up_closes_the_connection() {
    on_both(async |net| {
        let (_, _, config) = world();
        let (address, thread) = peer(1, |mut stream| {
            let mut hello = Vec::new();
            stream.read_to_end(&mut hello).unwrap();
            assert_eq!(hello[..2], [22, 3]);
        });
        let connecting = net.connect(address, &config, "upstream.test");
        assert!(monoio::time::timeout(limits::TICK, connecting).await.is_err());
        over(thread).await;
    });
}

#[test]
fn clients_of_a_listener_prove_who_they_are() {
    let (root, identity, _) = world();
    let clients = Authority::new("clients");
    let stranger = Authority::new("clients");
    let required =
        listener_config(identity.certificate.as_bytes(), identity.key.as_bytes(), Some(clients.pem.as_bytes()))
            .unwrap();
    let (known, unknown) = (clients.issue(&["agent.test"]), stranger.issue(&["agent.test"]));
    let cases = [(Some(&known), ""), (None, "it presented no certificate"), (Some(&unknown), "certificate")];
    for (presented, words) in cases {
        let client = foreign_client(&root, presented);
        on_both(async |net| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let client = client.clone();
            let thread = std::thread::spawn(move || {
                let connection = ClientConnection::new(client, "upstream.test".try_into().unwrap()).unwrap();
                let mut stream = StreamOwned::new(connection, StdStream::connect(address).unwrap());
                // The first bytes come with the end of the handshake.
                let (sent, mut answer) = (stream.write_all(b"at once"), Vec::new());
                sent.and(stream.read_to_end(&mut answer)).map(|_| answer)
            });
            let (inlet, outlet) = net.accepted(&listener).await;
            match accept(inlet, outlet, &required).await {
                Ok((mut inlet, mut outlet)) => {
                    assert_eq!(words, "");
                    assert_eq!(receive(&mut inlet, 7).await.1, b"at once");
                    say(&mut outlet, b"welcome").await;
                }
                Err(error) => {
                    assert!(matches!(error, TlsError::Certificate(_)), "{error:?}");
                    assert!(!words.is_empty() && error.to_string().contains(words), "{words}: {error}");
                }
            }
            let answer = over(thread).await;
            assert_eq!(answer.is_ok_and(|answer| answer == b"welcome"), words.is_empty());
        });
    }
}

#[test]
fn a_client_that_speaks_http_to_an_encrypted_listener_is_named() {
    on_both(async |net| {
        let (_, identity, _) = world();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let (inlet, outlet) = net.accepted(&listener).await;
        let error = accept(inlet, outlet, &identity.server()).await.err().unwrap();
        assert_eq!(error.to_string(), "it does not speak TLS, it seems to speak plain HTTP");
    });
}

#[test]
fn what_is_wrong_with_a_pem_is_said_without_showing_it() {
    let (root, identity, _) = world();
    let other = root.issue(&["other.test"]);
    let certificate = identity.certificate.as_bytes();
    let broken = identity.key.replace('M', "!");
    let cut = &identity.certificate[..identity.certificate.len() - 30];
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cases: [(&[u8], &[u8], &str); 7] = [
        (b"", identity.key.as_bytes(), "holds no certificate"),
        (identity.key.as_bytes(), identity.key.as_bytes(), "holds no certificate"),
        (cut.as_bytes(), identity.key.as_bytes(), "\"-----END\" line is missing"),
        (certificate, certificate, "holds no private key"),
        (certificate, encrypted.as_bytes(), "is encrypted"),
        (certificate, broken.as_bytes(), "the private key is broken"),
        (certificate, other.key.as_bytes(), "does not belong to the first certificate"),
    ];
    for (certificates, key, words) in cases {
        let error = listener_config(certificates, key, None).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
    let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = upstream_config(&[root.pem.as_bytes(), nonsense]).unwrap_err();
    assert!(error.contains("certificate 1 cannot be used as a root"), "{error}");
    assert!(upstream_config(&[]).is_ok());
}
