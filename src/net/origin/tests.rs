use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use super::*;
use crate::config::Secret;
use crate::net::testing::{BlackHole, each_driver, listener, nobody};

const PATIENCE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(150);

fn origin(address: SocketAddr) -> Origin {
    Origin::new("origin.test", address.port(), None, None, PATIENCE, PATIENCE)
}

fn through(proxy: SocketAddr, userinfo: Option<&str>) -> Origin {
    let proxy = Proxy { host: "proxy.test".into(), port: proxy.port(), userinfo: userinfo.map(Secret::new) };
    Origin::new("origin.test", 443, None, Some(proxy), PATIENCE, PATIENCE)
}

/// Every name is this machine.
fn resolver() -> Resolver {
    Resolver::new(|_| Ok(vec!["127.0.0.1:0".parse().unwrap()]))
}

async fn open(origin: &Origin, resolver: &Resolver) -> Result<Opened, OpenError> {
    origin.open(resolver, &Rc::default(), &Rc::default()).await
}

#[test]
fn an_open_connection_carries_bytes() {
    each_driver(async || {
        let (listener, address) = listener();
        let mut opened = open(&origin(address), &resolver()).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        opened.outlet.send_all(b"ping".to_vec(), PATIENCE).await.0.unwrap();
        let mut read = [0; 4];
        peer.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"ping");
    });
}

#[test]
fn what_can_go_wrong_is_told_to_a_person() {
    each_driver(async || {
        let dead = nobody();
        let error = open(&origin(dead), &resolver()).await.err().unwrap();
        assert!(matches!(error, OpenError::Connect { kind: io::ErrorKind::ConnectionRefused, .. }));
        assert_eq!(
            error.to_string(),
            format!("origin.test:{} refuses connections: nothing listens there", dead.port())
        );

        let nameless = Resolver::new(|_| Err(io::Error::other("Name or service not known")));
        let error = open(&origin(dead), &nameless).await.err().unwrap();
        let expected = OpenError::Resolve { host: "origin.test".into(), why: "Name or service not known".into() };
        assert_eq!(error, expected);

        let exhausted = Resolver::new(|_| Err(io::Error::from_raw_os_error(libc::EMFILE)));
        assert_eq!(open(&origin(dead), &exhausted).await.err().unwrap(), OpenError::NoDescriptors);

        let error = open(&through(dead, None), &resolver()).await.err().unwrap();
        assert!(matches!(error, OpenError::Connect { to, .. } if to.starts_with("proxy.test:")));
    });
}

#[test]
fn names_that_lead_to_a_clouds_metadata_are_not_followed() {
    each_driver(async || {
        let (listener, good) = listener();
        let to = |addresses: &'static [&'static str]| {
            Resolver::new(move |_| Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()))
        };
        const ALL: [&str; 4] = ["169.254.169.254:0", "[::ffff:169.254.169.254]:0", "[fe80::1]:0", "[fd00:ec2::254]:0"];
        for address in &ALL {
            let error = open(&origin(good), &to(std::slice::from_ref(address))).await.err().unwrap();
            let expected: SocketAddr = address.parse().unwrap();
            assert_eq!(error, OpenError::OffLimits { host: "origin.test".into(), address: expected.ip() });
        }
        let error = open(&through(good, None), &to(&["169.254.169.254:0"])).await.err().unwrap();
        assert!(error.to_string().starts_with("the name proxy.test leads to 169.254.169.254, "), "{error}");
        // What else the name has is used.
        let mixed = to(&["169.254.169.254:0", "127.0.0.1:0"]);
        open(&origin(good), &mixed).await.unwrap();
        assert_eq!(listener.accept().unwrap().0.local_addr().unwrap(), good);
    });
}

#[test]
fn one_deadline_over_all_phases_before_tls_and_the_phase_is_named() {
    each_driver(async || {
        let hole = BlackHole::new();
        let slow = Resolver::new(|_| {
            thread::sleep(SHORT + SHORT / 4);
            Ok(vec!["127.0.0.1:0".parse().unwrap()])
        });
        let silent = listener();
        let to = |origin: &str, address: SocketAddr| format!("{origin}:{}", address.port());
        for (origin, resolver, phase, to) in [
            (origin(hole.address), &slow, Phase::Dns, to("origin.test", hole.address)),
            (origin(hole.address), &resolver(), Phase::Tcp, to("origin.test", hole.address)),
            (through(hole.address, None), &resolver(), Phase::Tcp, to("proxy.test", hole.address)),
            (through(silent.1, None), &resolver(), Phase::Proxy, "origin.test:443".into()),
        ] {
            let origin = Origin { connect_timeout: SHORT, ..origin };
            let error = open(&origin, resolver).await.err().unwrap();
            assert_eq!(error, OpenError::TimedOut { phase, to, after: SHORT });
        }
        let (peer, config) = (listener(), tls::upstream_config(&[]).unwrap());
        for connect_timeout in [PATIENCE, SHORT] {
            // The handshake has a time of its own, also where it is the longer one.
            let tls_timeout = if connect_timeout == SHORT { SHORT * 3 } else { SHORT };
            let origin = Origin { connect_timeout, tls_timeout, tls: Some(config.clone()), ..origin(peer.1) };
            let began = Instant::now();
            let error = open(&origin, &resolver()).await.err().unwrap();
            let to = to("origin.test", peer.1);
            assert_eq!(error, OpenError::TimedOut { phase: Phase::Tls, to, after: tls_timeout });
            assert!(began.elapsed() >= tls_timeout);
        }
        // The slow lookup ends before its runtime.
        monoio::time::sleep(SHORT).await;
    });
}

#[test]
fn the_address_that_answered_is_remembered() {
    each_driver(async || {
        // The same port at two addresses, one of which refuses.
        let (listener, good) = listener();
        let both = Resolver::new(|_| Ok(vec!["127.0.0.2:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()]));
        let origin = origin(good);
        assert_eq!(origin.last_good.get(), None);
        open(&origin, &both).await.unwrap();
        assert_eq!(origin.last_good.get(), Some(good));
        drop(listener);
        assert!(open(&origin, &both).await.is_err());
        assert_eq!(origin.last_good.get(), None);
    });
}

/// A proxy for one request: says `answer`, gives the request it got, and then everything that comes behind it.
fn proxy(listener: TcpListener, answer: &'static str) -> JoinHandle<(String, String)> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        if answer.is_empty() {
            return (String::from_utf8(request).unwrap(), String::new());
        }
        let mut tunnelled = Vec::new();
        let _ = stream.read_to_end(&mut tunnelled);
        (String::from_utf8(request).unwrap(), String::from_utf8(tunnelled).unwrap())
    })
}

#[test]
fn through_a_proxy() {
    let invalid = |what| Some(TunnelError::Invalid(what));
    let refused = |status, presented| Some(TunnelError::Refused { status, presented });
    let table = [
        ("HTTP/1.1 200 Connection established\r\n\r\n", None, None),
        ("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", Some("user:password"), None),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 204 Fine\r\nContent-Length: 5\r\n\r\n", None, None),
        ("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nwho", None, refused(407, false)),
        ("HTTP/1.1 407 No\r\n\r\n", Some("user:password"), refused(407, true)),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", None, refused(502, false)),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", None, invalid("it switched protocols unasked")),
        ("SSH-2.0-OpenSSH_9.9\r\n", None, invalid("not-http")),
        ("HTTP/1.1 200 OK\nX: y\n\n", None, invalid("line-end")),
        ("HTTP/1.1 200 OK\r\n\r\nearly", None, invalid("bytes behind the head of its answer")),
        ("", None, Some(TunnelError::Closed)),
    ];
    each_driver(async || {
        for (answer, userinfo, expected) in table {
            let (listener, address) = listener();
            let proxy = proxy(listener, answer);
            let opened = open(&through(address, userinfo), &resolver()).await;
            if let Ok(mut opened) = opened {
                assert_eq!(expected, None, "{answer:?}");
                opened.outlet.send_all(b"hello".to_vec(), PATIENCE).await.0.unwrap();
                drop(opened);
                let (request, tunnelled) = proxy.join().unwrap();
                assert_eq!(tunnelled, "hello", "{answer:?}");
                assert!(request.starts_with("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n"));
                assert_eq!(request.contains("Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA=="), userinfo.is_some());
                continue;
            }
            let error = opened.err().unwrap();
            let why = expected.expect(answer);
            assert_eq!(error, OpenError::Proxy { proxy: format!("proxy.test:{}", address.port()), why }, "{answer:?}");
            let text = error.to_string();
            assert!(text.starts_with("the proxy proxy.test:") && !text.contains("password "), "{text}");
            proxy.join().unwrap();
        }
    });
}
