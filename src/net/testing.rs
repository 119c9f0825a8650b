//! What the tests of this room share.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::driver::Driver;
use crate::config::DriverChoice;

/// Runs a test with each driver.
pub fn each_driver(test: impl AsyncFn()) {
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let (mut driver, _) = Driver::build(choice).unwrap();
        driver.block_on(async {
            test().await;
            // What was dropped is cancelled before the runtime ends.
            monoio::time::sleep(Duration::from_millis(20)).await;
        });
    }
}

/// Waits until something is so that is surely about to happen.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if is_so() {
            return;
        }
        monoio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it did not happen");
}

/// A listener, whose kernel queue takes connections by itself.
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address that refuses connections.
pub fn nobody() -> SocketAddr {
    // Bound and not listening: refused, and nobody else can take the port meanwhile.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// An address that does not answer: its queue is full, and the kernel drops what comes.
pub struct BlackHole {
    pub address: SocketAddr,
    _socket: Socket,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            queue.push(stream);
            assert!(queue.len() < 10, "the kernel's queue does not fill");
        }
        Self { address, _socket: socket, _queue: queue }
    }
}
