//! The allocation budget: a warm worker serves requests and relays streams without touching the heap.
//!
//! Measured in the real worker over real sockets, with the log at info and the counters on. All threads of this process
//! are counted; the upstream is another process, and the client below allocates nothing.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sidestream::config::{Config, Source};
use sidestream::proxy::site::Settings;
use sidestream::run;
use sidestream::telemetry::log::{Level, Log, LogFormat};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// `sidestream mock` in a process of its own; ended with this value.
struct Mock(Child);

impl Mock {
    fn start() -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sidestream"))
            .args(["mock", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("listening=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        (Self(child), address.to_owned())
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client with one kept connection and no heap.
struct Client {
    stream: TcpStream,
    buffer: [u8; 64 * 1024],
}

impl Client {
    /// Sends a request and reads until `end` was seen; gives the bytes read.
    fn ask(&mut self, request: &[u8], end: &[u8]) -> usize {
        self.stream.write_all(request).unwrap();
        let (mut kept, mut total) = (0, 0);
        loop {
            let read = self.stream.read(&mut self.buffer[kept..]).unwrap();
            assert!(read > 0, "the proxy closed the connection");
            total += read;
            let filled = kept + read;
            assert!(total > 12 && (total > read || self.buffer.starts_with(b"HTTP/1.1 200")));
            if self.buffer[..filled].ends_with(end) {
                return total;
            }
            // The end may be cut between two reads.
            kept = filled.min(end.len());
            self.buffer.copy_within(filled - kept..filled, 0);
        }
    }
}

fn request(fields: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer client\r\nUser-Agent: test\r\n\
         Content-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn counted(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Relaxed);
    work();
    ALLOCATIONS.load(Relaxed) - before
}

#[test]
fn a_warm_worker_allocates_nothing() {
    let (_mock, upstream) = Mock::start();
    let log = Log::start(Level::Info, LogFormat::default());
    for (driver, format) in [("io_uring", LogFormat::Text), ("epoll", LogFormat::Json)] {
        log.set_format(format);
        if driver == "io_uring" && std::env::var_os("SIDESTREAM_TEST_NO_URING").is_some() {
            continue;
        }
        let environment = [
            ("SIDESTREAM_LISTEN", "127.0.0.1:0"),
            ("SIDESTREAM_ADMIN", "off"),
            ("SIDESTREAM_DRIVER", driver),
            ("SIDESTREAM_PROVIDERS", "mock"),
            ("SIDESTREAM_ROUTES", "other -> mock/another"),
            ("MOCK_ENDPOINT_URL", &format!("http://{upstream}/v1")),
            ("MOCK_API_KEY", "key"),
            // A spare is opened beside the requests, at a moment of its own.
            ("MOCK_WARM_CONNECTIONS", "0"),
        ];
        let config =
            Config::read(&Source::of(environment.map(|(name, value)| (name.to_owned(), value.to_owned())))).unwrap();
        let settings = Settings::new(config, None).unwrap();
        let running = run::start(settings, &log).unwrap();
        let stream = TcpStream::connect(&running.addresses[0]).unwrap();
        let mut client = Client { stream, buffer: [0; 64 * 1024] };
        let message = "x".repeat(800);
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{message}"}}]}}"#);
        let blocking = request("", &body);
        let streaming = request("x-mock-chunks: 1000\r\n", &body.replacen('{', r#"{"stream":true,"#, 1));
        let blocking = || (blocking.as_bytes(), b"}".as_slice());
        let streaming = || (streaming.as_bytes(), b"0\r\n\r\n".as_slice());
        let mut many = |count: usize, (request, end): (&[u8], &[u8])| {
            (0..count).for_each(|_| assert!(client.ask(request, end) > 500));
        };
        many(200, blocking());
        many(2, streaming());

        let requests = counted(|| many(1_000, blocking()));
        let chunks = counted(|| many(10, streaming()));
        println!("{driver}: {requests} allocations over 1,000 requests, {chunks} over 10,000 chunks");
        assert_eq!((requests, chunks), (0, 0), "{driver}");
    }
}
