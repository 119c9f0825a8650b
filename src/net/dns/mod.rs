//! Names, resolved on helper threads: `getaddrinfo` blocks for as long as it likes, an event loop must not.
//!
//! One resolver serves all workers. A known name costs a short lock; everybody who asks for an unknown one waits for the
//! same lookup. What is remembered, and for how long, decides the pure [`cache`].

pub mod cache;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use self::cache::{Addresses, Cache, Failure, Look};
use super::bell::{Bell, Rope};
use crate::limits;

/// A shared resolver; a clone is another handle to the same one.
#[derive(Clone)]
pub struct Resolver(Arc<Shared>);

type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

struct Shared {
    lookup: Box<Lookup>,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    /// Names being looked up, or about to be.
    asked: HashMap<String, Asked>,
    queue: VecDeque<String>,
    threads: usize,
}

struct Asked {
    since: Duration,
    /// Who waits, one per worker, and who left since one came last.
    ropes: Vec<Rope>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.collect()))
    }
}

impl Resolver {
    /// A resolver that asks `lookup`, which may block; [`Resolver::default`] asks the system.
    pub fn new(lookup: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { lookup: Box::new(lookup), began: Instant::now(), state: Mutex::default() }))
    }

    /// The addresses of `host` (a name, or an address without brackets), in the order in which the system prefers them; at
    /// least one. It takes as long as the lookup does; but where an older answer is known, no longer than
    /// [`limits::NAME_REFRESH_PATIENCE`]. Dropping this future leaves the lookup to the others.
    ///
    /// # Errors
    /// What the lookup reported; `WouldBlock` when too many names are being looked up; no descriptor is left to wait with.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Arc<[SocketAddr]>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Arc::new([SocketAddr::new(address, port)]));
        }
        let found = match self.known(host) {
            Some(found) => found,
            None => Box::pin(self.wait(host)).await,
        };
        found.map(|addresses| with_port(&addresses, port))
    }

    /// Every address of `host` failed: it may have moved.
    pub fn invalidate(&self, host: &str) {
        let now = self.now();
        self.state().cache.doubt(host, now);
    }

    fn known(&self, host: &str) -> Option<io::Result<Addresses>> {
        let now = self.now();
        match self.state().cache.look(host, now) {
            Look::Known(addresses) => Some(Ok(addresses)),
            Look::Failed(failure) => Some(Err(failure.into())),
            Look::Ask(_) => None,
        }
    }

    async fn wait(&self, host: &str) -> io::Result<Addresses> {
        let bell = Bell::here()?;
        let (rope, waiting) = (bell.rope(), bell.wait());
        let mut patience = std::pin::pin!(monoio::time::sleep(limits::NAME_REFRESH_PATIENCE));
        let mut patient = true;
        poll_fn(|cx| {
            loop {
                if let Some(found) = self.ask(host, &rope) {
                    return Poll::Ready(found);
                }
                waiting.wake_at_ring(cx.waker());
                if !patient || patience.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                patient = false;
            }
        })
        .await
    }

    /// What is known now; if nothing is, sees to it that somebody looks it up and then rings.
    fn ask(&self, host: &str, rope: &Rope) -> Option<io::Result<Addresses>> {
        let now = self.now();
        let mut state = self.state();
        let older = match state.cache.look(host, now) {
            Look::Known(addresses) => return Some(Ok(addresses)),
            Look::Failed(failure) => return Some(Err(failure.into())),
            Look::Ask(older) => older,
        };
        if let Some(asked) = state.asked.get_mut(host) {
            if older.is_some() && now >= asked.since + limits::NAME_REFRESH_PATIENCE {
                return older.map(Ok);
            }
            if !asked.ropes.iter().any(|known| known.same(rope)) {
                asked.ropes.retain(Rope::is_heard);
                asked.ropes.push(rope.clone());
            }
            return None;
        }
        if state.asked.len() >= limits::LOOKUPS_MAX {
            let busy = || io::Error::new(io::ErrorKind::WouldBlock, "too many names are being looked up");
            return Some(older.ok_or_else(busy));
        }
        if state.threads < limits::LOOKUP_THREADS_MAX {
            let helper = self.clone();
            match thread::Builder::new().name("dns".into()).spawn(move || helper.help()) {
                Ok(_) => state.threads += 1,
                // Another helper will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => return Some(older.ok_or(error)),
            }
        }
        state.asked.insert(host.to_owned(), Asked { since: now, ropes: vec![rope.clone()] });
        state.queue.push_back(host.to_owned());
        None
    }

    /// A helper thread: looks names up until none is left.
    fn help(&self) {
        loop {
            let mut state = self.state();
            let Some(host) = state.queue.pop_front() else {
                state.threads -= 1;
                return;
            };
            drop(state);
            let found = catch_unwind(AssertUnwindSafe(|| (self.0.lookup)(&host)));
            let found = found.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked")));
            let found = found.map_err(Failure::from).and_then(|addresses| match addresses.is_empty() {
                true => {
                    Err(Failure { kind: io::ErrorKind::NotFound, code: None, text: "the name has no address".into() })
                }
                false => Ok(addresses),
            });
            let now = self.now();
            let mut state = self.state();
            state.cache.learn(&host, found, now);
            let asked = state.asked.remove(&host);
            drop(state);
            asked.iter().flat_map(|asked| &asked.ropes).for_each(Rope::ring);
        }
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Nothing that holds the lock can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let text = error.to_string();
        let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        Self { kind: error.kind(), code: error.raw_os_error(), text: text.to_owned() }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        failure.code.map_or_else(|| Self::new(failure.kind, failure.text), Self::from_raw_os_error)
    }
}

fn with_port(addresses: &[SocketAddr], port: u16) -> Arc<[SocketAddr]> {
    let with_port = |address: &SocketAddr| {
        let mut address = *address;
        address.set_port(port);
        address
    };
    addresses.iter().map(with_port).collect()
}

#[cfg(test)]
mod tests;
