//! One core: its driver, its listeners, its connections, its end.
//!
//! A process has one thread per worker, plus the main thread, which waits for signals and passes them on. A panic
//! inside a connection unwinds to the edge of that connection ([`contained`]), also in release builds.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use monoio::io::AsyncReadRent;

use crate::config::DriverChoice;
use crate::limits;
use crate::net::driver::{Chosen, Driver};
use crate::net::listener::{Bound, Listener};
use crate::net::stream::Stream;
use crate::proxy::connection::{Door, contained, serve};
use crate::proxy::warm_up;
use crate::proxy::world::{Shared, World};
use crate::telemetry::log::Level;

/// A running worker, as the main thread sees it.
pub struct Worker {
    thread: JoinHandle<()>,
    orders: Arc<UnixStream>,
}

/// What the main thread can tell a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take no new work, finish what runs.
    Drain = 1,
    /// The grace is over: end what still runs.
    Stop = 2,
    /// Other settings are in force.
    Reload = 3,
    /// End the requests in flight, and go on.
    EndRequests = 4,
}

impl Worker {
    /// Starts worker number `index` on a thread of its own, and waits until it listens.
    ///
    /// # Errors
    /// No thread or no socket pair is to be had, or the worker's driver or listeners are refused.
    pub fn start(shared: Arc<Shared>, index: usize, listeners: Vec<(Bound, Door)>) -> io::Result<Self> {
        let (orders, inbox) = UnixStream::pair()?;
        let ways = shared.clone();
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let lived = catch_unwind(AssertUnwindSafe(|| run(&shared, index, listeners, inbox)));
            let error = match lived {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "a panic outside of any connection".to_owned(),
            };
            // Half a sidestream is worse than none: its supervisor can start a whole one.
            shared.log.say(Level::Error, "worker failed", &[("error", &error)]);
            shared.failed.store(true, Relaxed);
            let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTERM);
        })?;
        // It says one byte when it listens; its end of the pair closes if it fails before.
        orders.set_read_timeout(Some(START_PATIENCE))?;
        if let Err(error) = (&orders).read_exact(&mut [0]) {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                // It ends, and first says why.
                let _ = thread.join();
            }
            return Err(io::Error::other("the worker did not come up; see the log"));
        }
        let orders = Arc::new(orders);
        // The worker sees the main thread's end by the pair's: it must not hold that end itself.
        let way = Arc::downgrade(&orders);
        ways.stops.add_way(move || way.upgrade().is_some_and(|way| send(&way, Order::EndRequests)));
        Ok(Self { thread, orders })
    }

    /// Passes an order on. A worker that has ended needs none.
    pub fn order(&mut self, order: Order) {
        send(&self.orders, order);
    }

    /// True once the worker has ended: after [`Order::Drain`], when it had no connection left.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Sends an order; false if there is nobody to obey.
fn send(mut orders: &UnixStream, order: Order) -> bool {
    orders.write_all(&[order as u8]).is_ok()
}

const START_PATIENCE: Duration = Duration::from_secs(5);

/// Which driver a worker of this process gets: asked once, before the workers start, for the start line.
///
/// # Errors
/// The driver asked for is not to be had.
pub fn choose_driver(choice: DriverChoice) -> io::Result<Chosen> {
    Driver::build(choice).map(|(_, chosen)| chosen)
}

fn run(shared: &Arc<Shared>, index: usize, listeners: Vec<(Bound, Door)>, orders: UnixStream) -> io::Result<()> {
    let (mut driver, _) = Driver::build(shared.settings().config.driver)?;
    let world = Rc::new(World::new(shared.clone(), index));
    let lived = driver.block_on(live(world, index == 0, listeners, orders));
    // The kernel may still hold operations with buffers of this runtime: it must outlive them, that is, the process.
    std::mem::forget(driver);
    lived
}

/// A worker's life: accept until told to drain, then wait for the last connection. The `first` one does what is done once.
async fn live(world: Rc<World>, first: bool, listeners: Vec<(Bound, Door)>, orders: UnixStream) -> io::Result<()> {
    let (clients, probes) = (Rc::new(Connections::default()), Rc::new(Connections::default()));
    let sweeping = world.clone();
    monoio::spawn(async move { sweeping.deadlines.sweep(|now| sweeping.tick(now)).await });
    let mut accepting = Vec::new();
    for (bound, door) in listeners {
        let listener = Listener::open(bound)?;
        // Nobody waits for the own endpoints' clients, and a full instance still tells how it is.
        let clients = if door == Door::Clients { clients.clone() } else { probes.clone() };
        let world = world.clone();
        let accept = monoio::spawn(async move {
            let welcome = |stream| welcome(&world, &clients, stream, door);
            match door {
                Door::Clients => listener.accept_until(clients.draining(), welcome).await,
                // It says to the end that we are draining.
                Door::Admin => listener.accept_until(std::future::pending(), welcome).await,
            }
        });
        if door == Door::Clients {
            accepting.push(accept);
        }
    }
    (&orders).write_all(&[1])?;
    // Behind the listeners, so that it delays nobody.
    warm_up::begin(&world, None, first);
    orders.set_nonblocking(monoio::utils::is_legacy())?;
    let mut orders = monoio::net::UnixStream::from_std(orders)?;
    loop {
        let (read, buffer) = orders.read(vec![0_u8; 1]).await;
        match (read, buffer.first()) {
            (Ok(1), Some(&byte)) if byte == Order::Drain as u8 => break,
            (Ok(1), Some(&byte)) if byte == Order::Reload as u8 => {
                let before = world.site();
                world.reload();
                warm_up::begin(&world, Some(&before), first);
            }
            (Ok(1), Some(&byte)) if byte == Order::EndRequests as u8 => world.stop_requests(),
            // The main thread is gone: there is nobody left to serve for.
            (Ok(0) | Err(_), _) => return Ok(()),
            _ => {}
        }
    }
    world.drain();
    clients.drain();
    for accepted in accepting {
        accepted.await;
    }
    let mut stop = std::pin::pin!(until_stopped(&world, &mut orders));
    let mut told = false;
    poll_fn(|cx| {
        if !told && stop.as_mut().poll(cx).is_ready() {
            told = true;
            world.stop();
        }
        clients.poll_empty(cx.waker())
    })
    .await;
    Ok(())
}

/// While the worker drains, its requests may be ended, and it still waits for its last order.
async fn until_stopped(world: &World, orders: &mut monoio::net::UnixStream) {
    loop {
        let (read, buffer) = orders.read(vec![0_u8; 1]).await;
        match (read, buffer.first()) {
            (Ok(1), Some(&byte)) if byte == Order::EndRequests as u8 => world.stop_requests(),
            _ => return,
        }
    }
}

/// Serves a new connection, or closes it at once when there are too many.
pub fn welcome(world: &Rc<World>, clients: &Rc<Connections>, stream: Stream, door: Door) {
    let max = if door == Door::Clients { limits::CLIENTS_MAX } else { limits::ADMIN_CLIENTS_MAX };
    if clients.size.get() >= max {
        world.counters.client_connections_refused.add(1);
        return;
    }
    let (world, member) = (world.clone(), clients.enter());
    monoio::spawn(async move {
        let _member = member;
        world.counters.client_connections.add(1);
        let open = world.counters.client_connections_open.hold();
        if contained(std::pin::pin!(serve(&world, stream, door))).await {
            world.counters.panics.add(1);
            world.shared.log.say(Level::Error, "a panic ended one connection; please report it", &[]);
        }
        drop(open);
    });
}

/// The connections of one worker.
#[derive(Default)]
pub struct Connections {
    size: Cell<usize>,
    draining: Cell<bool>,
    /// Who waits for the drain to begin, and for the last connection to end.
    waiting: Cell<Vec<Waker>>,
}

/// One connection among them.
struct Connected(Rc<Connections>);

impl Connections {
    fn enter(self: &Rc<Self>) -> Connected {
        self.size.set(self.size.get() + 1);
        Connected(self.clone())
    }

    fn drain(&self) {
        self.draining.set(true);
        self.wake();
    }

    async fn draining(self: &Rc<Self>) {
        poll_fn(|cx| if self.draining.get() { Poll::Ready(()) } else { self.wait(cx.waker()) }).await;
    }

    fn poll_empty(&self, waker: &Waker) -> Poll<()> {
        if self.size.get() == 0 { Poll::Ready(()) } else { self.wait(waker) }
    }

    fn wait(&self, waker: &Waker) -> Poll<()> {
        let mut waiting = self.waiting.take();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        self.waiting.set(waiting);
        Poll::Pending
    }

    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.size.set(self.0.size.get() - 1);
        if self.0.draining.get() {
            self.0.wake();
        }
    }
}
