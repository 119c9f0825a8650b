//! A request and its answer as a whole: a connection that a worker [welcomes](welcome), in one thread with its client and its upstream.
//!
//! The client is at the other end of a UNIX socket pair, the upstream at that of a loopback connection; both play a
//! script, one step at a time, so that every read of the proxy finds the same bytes in every run. Their own work is
//! left out of the count by [`left_out`]; that of the runtime is in it. No sweep runs: its ticks follow the clock.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpStream, UnixStream};
use sidestream::config::DriverChoice;
use sidestream::http::chunked::write_chunk;
use sidestream::http::framing::{self, Framing};
use sidestream::http::head::{HeadKind, HeadScanner, RequestHead};
use sidestream::net::driver::Driver;
use sidestream::net::stream::Stream;
use sidestream::proxy::connection::Door;
use sidestream::proxy::site::Settings;
use sidestream::proxy::world::{Shared, World};
use sidestream::telemetry::log::LogFormat;
use sidestream::worker::{Connections, welcome};

use super::answers::{STREAMS, filled};
use super::rest::{configured, log};
use super::{Piece, Work, captures};

pub fn pieces() -> Vec<Piece> {
    let piece = |name, scene: fn() -> Scene| Piece::new(name, move || play(scene())).calls(50);
    vec![
        piece("exchange: 1 KB of JSON", json),
        piece("exchange: 1 KB of JSON, new client", || Scene { new_client: true, ..json() }),
        piece("exchange: stream of 50 events", stream),
        piece("exchange: stream of 50 events, translated", || Scene {
            request: call(captures::SDK_MESSAGES_CALL, &message(r#""stream":true,"max_tokens":100,"#)),
            ..stream()
        }),
        piece("exchange: an agent's turn of 49 KB", || Scene {
            upstream: "MOCK_ANTHROPIC_URL",
            answer: messages_stream(),
            ..agent()
        }),
        piece("exchange: an agent's turn of 49 KB, translated", agent),
    ]
}

/// What is said. The proxy's client sends the request; its upstream says each piece of the answer once the client has
/// heard of the last one.
struct Scene {
    upstream: &'static str,
    request: Vec<u8>,
    answer: Vec<Vec<u8>>,
    /// With what the answer ends, as the client sees it.
    end: &'static [u8],
    /// A new connection for each request.
    new_client: bool,
}

fn json() -> Scene {
    let text = "x".repeat(600);
    let body = format!(
        r#"{{"id":"chatcmpl-0123456789","object":"chat.completion","created":1795355991,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":200,"completion_tokens":150,"total_tokens":350}}}}"#
    );
    let head = format!("{STATUS}content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    Scene {
        upstream: "MOCK_OPENAI_URL",
        request: call(captures::SDK_CALL, &message("")),
        answer: vec![(head + &body).into_bytes()],
        end: b"}",
        new_client: false,
    }
}

fn stream() -> Scene {
    let request = call(captures::SDK_CALL, &message(r#""stream":true,"#));
    Scene { request, answer: chat_stream(50), end: b"0\r\n\r\n", ..json() }
}

fn agent() -> Scene {
    Scene { request: call(captures::AGENT_CALL, captures::AGENT), answer: chat_stream(1), ..stream() }
}

/// An answer of Chat Completions: the role and the first token, the others one by one, the end.
fn chat_stream(tokens: usize) -> Vec<Vec<u8>> {
    let role = r#"{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#;
    let finish = r#"{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#;
    let usage = r#"{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1795355991,"model":"m","choices":[],"usage":{"prompt_tokens":200,"completion_tokens":50,"total_tokens":250}}"#;
    let mut pieces: Vec<_> = (0..tokens).map(|number| events(&[&filled(STREAMS[0].1, number)])).collect();
    pieces[0] = [STREAM_HEAD.as_bytes(), &events(&[role.as_bytes()]), &pieces[0]].concat();
    pieces.push([events(&[finish.as_bytes(), usage.as_bytes(), b"[DONE]"]), b"0\r\n\r\n".to_vec()].concat());
    pieces
}

/// A short answer of Messages.
fn messages_stream() -> Vec<Vec<u8>> {
    let begin: [&[u8]; 3] = [
        br#"{"type":"message_start","message":{"id":"msg_0123456789","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":200,"output_tokens":1}}}"#,
        br#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" word"}}"#,
    ];
    let end: [&[u8]; 3] = [
        br#"{"type":"content_block_stop","index":0}"#,
        br#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
        br#"{"type":"message_stop"}"#,
    ];
    vec![[STREAM_HEAD.as_bytes(), &events(&begin)].concat(), [events(&end), b"0\r\n\r\n".to_vec()].concat()]
}

const STATUS: &str = "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:11:12 GMT\r\nServer: mock\r\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\r\n";
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:11:12 GMT\r\nServer: mock\r\n\
    x-request-id: req_0123456789abcdef0123456789abcdef\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
    transfer-encoding: chunked\r\n\r\n";

/// Each event in a chunk of its own, under the name that its type gives it.
fn events(data: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for data in data {
        let kind = serde_json::from_slice::<serde_json::Value>(data)
            .ok()
            .and_then(|event| Some(event.get("type")?.as_str()?.to_owned()));
        let mut event = Vec::new();
        sidestream::sse::frame::write_event(&mut event, &kind.unwrap_or_default(), data);
        write_chunk(&mut out, &event);
    }
    out
}

/// A request body of about 1 KB, in either dialect.
fn message(members: &str) -> Vec<u8> {
    let text = "Say what it is. ".repeat(60);
    format!(r#"{{"model":"m",{members}"messages":[{{"role":"user","content":"{text}"}}]}}"#).into_bytes()
}

/// A request as a real client sent it, with this body.
fn call(capture: &str, body: &[u8]) -> Vec<u8> {
    let capture: serde_json::Value = serde_json::from_str(capture).unwrap();
    let mut out = format!("POST {} HTTP/1.1\r\n", capture["target"].as_str().unwrap());
    for field in capture["headers"].as_array().unwrap() {
        let (name, value) = (field[0].as_str().unwrap(), field[1].as_str().unwrap());
        if !name.eq_ignore_ascii_case("content-length") {
            out += &format!("{name}: {value}\r\n");
        }
    }
    out += &format!("Content-Length: {}\r\n\r\n", body.len());
    [out.as_bytes(), body].concat()
}

/// Plays a scene for each call.
fn play(scene: Scene) -> Work {
    let (mut driver, chosen) = Driver::build(DriverChoice::Epoll).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let config = configured([
        ("SIDESTREAM_PROVIDERS", "mock"),
        (scene.upstream, &url),
        ("MOCK_API_KEY", "key"),
        // A spare is opened beside the requests, at a moment of its own.
        ("MOCK_WARM_CONNECTIONS", "0"),
    ]);
    let settings = Settings::new(config, None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let shared = Shared::new(Arc::new(settings), 1, chosen, log(LogFormat::default()));
    let world = Rc::new(World::new(Arc::new(shared), 0));
    let bytes = scene.request.len() + scene.answer.iter().map(Vec::len).sum::<usize>();
    let mut ends = Ends { world, clients: Rc::default(), listener, client: None, upstream: None };
    Work::new(bytes, move || {
        let mut played = pin!(ends.play(&scene));
        driver.block_on(poll_fn(|cx| left_out(played.as_mut(), cx)));
    })
}

/// Polls work that is not the proxy's: `gate` has what runs below a function of this name left out of its counts.
#[inline(never)]
fn left_out(work: Pin<&mut dyn Future<Output = ()>>, cx: &mut Context<'_>) -> Poll<()> {
    std::hint::black_box(work.poll(cx))
}

/// Both ends of the proxy.
struct Ends {
    world: Rc<World>,
    clients: Rc<Connections>,
    listener: TcpListener,
    client: Option<UnixStream>,
    upstream: Option<TcpStream>,
}

impl Ends {
    async fn play(&mut self, scene: &Scene) {
        let mut client = self.client.take().unwrap_or_else(|| self.connect());
        let (sent, _) = client.write_all(scene.request.clone()).await;
        sent.unwrap();
        let mut upstream = self.upstream().await;
        let mut request = Vec::new();
        while !is_whole(&request) {
            request = heard(&mut upstream, request).await;
        }
        let mut answer = Vec::new();
        for piece in &scene.answer {
            upstream.write_all(piece.clone()).await.0.unwrap();
            answer = heard(&mut client, answer).await;
        }
        while !answer.ends_with(scene.end) {
            answer = heard(&mut client, answer).await;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer));
        self.upstream = Some(upstream);
        self.client = Some(client).filter(|_| !scene.new_client);
    }

    /// A client's connection, served as a worker would.
    fn connect(&self) -> UnixStream {
        let (client, served) = StdUnixStream::pair().unwrap();
        let [client, served] = [client, served].map(|end| {
            end.set_nonblocking(true).unwrap();
            UnixStream::from_std(end).unwrap()
        });
        welcome(&self.world, &self.clients, Stream::Unix(served), Door::Clients);
        client
    }

    /// The connection that the proxy opened, once for all.
    async fn upstream(&mut self) -> TcpStream {
        if let Some(upstream) = self.upstream.take() {
            return upstream;
        }
        self.listener.set_nonblocking(true).unwrap();
        let listener = monoio::net::TcpListener::from_std(self.listener.try_clone().unwrap()).unwrap();
        let (upstream, _) = listener.accept().await.unwrap();
        upstream.set_nodelay(true).unwrap();
        upstream
    }
}

/// Reads once, behind what was read before.
async fn heard(from: &mut impl AsyncReadRent, mut before: Vec<u8>) -> Vec<u8> {
    let (read, bytes) = from.read(Vec::with_capacity(128 * 1024)).await;
    assert!(!matches!(read, Ok(0)), "{:?} behind {}", ErrorKind::UnexpectedEof, String::from_utf8_lossy(&before));
    before.extend_from_slice(&bytes[..read.unwrap()]);
    before
}

/// The request is here to its end.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = HeadScanner::default().push(HeadKind::Request, request).unwrap() else { return false };
    let mut head = RequestHead::default();
    head.parse(&request[..end]).unwrap();
    matches!(framing::of_request(&head), Ok(Framing::Length(length)) if request.len() as u64 == end as u64 + length)
}
