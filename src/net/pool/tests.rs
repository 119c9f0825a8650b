use std::future::poll_fn;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::task::Poll;

use super::*;
use crate::net::testing::{BlackHole, each_driver, listener, nobody, until};

mod spares;

const PATIENCE: Duration = Duration::from_secs(5);

fn asker() -> Asker {
    Asker { session: 0, patience: PATIENCE }
}

fn pool_at(address: SocketAddr, max: usize, kept_max: usize, warm: usize) -> Rc<Pool> {
    patient_pool_at(address, Bounds { max, line_max: 1_000, kept_max, warm }, PATIENCE)
}

fn patient_pool_at(address: SocketAddr, bounds: Bounds, patience: Duration) -> Rc<Pool> {
    let origin = Origin::new("127.0.0.1", address.port(), None, None, patience, PATIENCE);
    let means = Means { resolver: Resolver::default(), deadlines: Rc::default(), buffers: Rc::default() };
    Rc::new(Pool::new(Rc::new(origin), bounds, means))
}

/// An origin, and its pool.
struct Pair {
    listener: TcpListener,
    pool: Rc<Pool>,
}

impl Pair {
    fn new(max: usize, kept_max: usize, warm: usize) -> Self {
        let (listener, address) = listener();
        Self { listener, pool: pool_at(address, max, kept_max, warm) }
    }

    /// A connection, and the origin's end if it is a new one.
    async fn acquire(&self) -> (Upstream, Option<TcpStream>) {
        let upstream = self.pool.acquire(false, asker).await.unwrap().upstream;
        let end = (!upstream.reused).then(|| self.listener.accept().unwrap().0);
        (upstream, end)
    }

    fn later(&self, now: u32) {
        self.pool.means.deadlines.set_now(now);
    }

    /// Waits until the end or the bytes that the origin sent have arrived at the idle connections.
    async fn arrived(&self, count: usize) {
        let loud = || {
            let idle = self.pool.idle.borrow();
            idle.iter().map(|one| one.upstream.inlet.pulse()).filter(|found| *found != Pulse::Quiet).count()
        };
        until(|| loud() == count).await;
    }
}

/// Waits in the pool's line from now on.
async fn wait_in_line(pool: &Rc<Pool>, fresh: bool) -> monoio::task::JoinHandle<Result<Taken, PoolError>> {
    let (waiting, pool_of_task) = (pool.waiting_now(), pool.clone());
    let task = monoio::spawn(async move { pool_of_task.acquire(fresh, asker).await });
    until(|| pool.waiting_now() == waiting + 1).await;
    task
}

fn port(upstream: &Upstream) -> usize {
    // Connections are told apart by their entry in the table.
    Rc::as_ptr(upstream.inlet.deadline()) as usize
}

#[test]
fn the_one_used_last_is_used_next() {
    each_driver(async || {
        let pair = Pair::new(8, 8, 0);
        let ((first, _end), (second, _end2)) = (pair.acquire().await, pair.acquire().await);
        let second_port = port(&second);
        pair.pool.keep(first);
        pair.later(7);
        pair.pool.keep(second);
        pair.later(9);
        let (again, _) = pair.acquire().await;
        assert_eq!((port(&again), again.reused, again.idle_ticks), (second_port, true, 2));
        let (older, _) = pair.acquire().await;
        assert_eq!((older.reused, older.idle_ticks), (true, 9));
        let numbers = pair.pool.take_numbers();
        let PoolNumbers { connect_micros, saved_micros, .. } = numbers;
        let counts = PoolNumbers { connects: 2, reuses: 2, ..PoolNumbers::default() };
        assert_eq!(numbers, PoolNumbers { connect_micros, saved_micros, ..counts });
        // Two reuses save twice what the two that were opened took on the average, which leans to the first.
        assert!(0 < connect_micros && 0 < saved_micros && saved_micros < 4 * connect_micros, "{numbers:?}");
        assert_eq!(pair.pool.numbers(), PoolNumbers::default());
        assert_eq!(pair.pool.open_now(), 2);
        drop((again, older));
        assert_eq!(pair.pool.open_now(), 0);
    });
}

#[test]
fn what_is_kept_is_bounded_in_the_long_run() {
    each_driver(async || {
        let pair = Pair::new(8, 2, 0);
        let mut ends = Vec::new();
        let mut taken = Vec::new();
        for _ in 0..3 {
            let (upstream, end) = pair.acquire().await;
            taken.push(upstream);
            ends.push(end);
        }
        let last = port(&taken[2]);
        taken.into_iter().for_each(|upstream| pair.pool.keep(upstream));
        // Not at once: the next moment may need it.
        pair.pool.sweep(9);
        assert_eq!((pair.pool.idle_now(), pair.pool.open_now()), (3, 3));
        pair.pool.sweep(10);
        assert_eq!((pair.pool.idle_now(), pair.pool.open_now()), (2, 2));
        assert_eq!(port(&pair.acquire().await.0), last);

        let none = Pair::new(8, 0, 0);
        let (upstream, _end) = none.acquire().await;
        none.pool.keep(upstream);
        assert_eq!((none.pool.idle_now(), none.pool.open_now()), (0, 0));
    });
}

#[test]
fn a_stale_one_is_never_handed_out_and_teaches() {
    each_driver(async || {
        for talks in [false, true] {
            let pair = Pair::new(8, 8, 0);
            let (upstream, end) = pair.acquire().await;
            pair.pool.keep(upstream);
            // Seen alive after 5 s.
            pair.pool.sweep(50);
            if talks {
                end.as_ref().unwrap().write_all(b"HTTP/1.1 408 Too late\r\n\r\n").unwrap();
            } else {
                drop(end);
            }
            pair.arrived(1).await;
            pair.later(59);
            let (fresh, _end) = pair.acquire().await;
            assert!(!fresh.reused);
            assert_eq!(pair.pool.numbers().stale, 1);
            // 3/4 of 5 s; what it says unasked tells nothing about its patience.
            assert_eq!(pair.pool.idle_limit_ticks(), if talks { 100 } else { 37 });
        }
    });
}

#[test]
fn looks_find_what_the_origin_closed() {
    each_driver(async || {
        let pair = Pair::new(8, 8, 0);
        let ((closed, end), (open, _end)) = (pair.acquire().await, pair.acquire().await);
        pair.pool.keep(closed);
        pair.pool.keep(open);
        pair.pool.sweep(30);
        drop(end);
        pair.arrived(1).await;
        // Not at every tick, and ever more rarely while nobody asks.
        assert_eq!(pair.pool.due(30), 45);
        pair.pool.sweep(44);
        assert_eq!(pair.pool.idle_now(), 2);
        pair.pool.sweep(45);
        assert_eq!((pair.pool.idle_now(), pair.pool.open_now(), pair.pool.numbers().stale), (1, 1, 1));
        assert_eq!(pair.pool.idle_limit_ticks(), 22);
        // The other one is closed when the limit is over.
        assert_eq!(pair.pool.due(45), 46);
        pair.pool.sweep(46);
        assert_eq!((pair.pool.idle_now(), pair.pool.open_now()), (0, 0));
        assert_eq!(pair.pool.idle_limit_ticks(), 22);
    });
}

#[test]
fn the_limit_grows_by_reuse_and_falls_by_a_failed_one() {
    each_driver(async || {
        let pair = Pair::new(8, 8, 0);
        let (upstream, _end) = pair.acquire().await;
        pair.pool.keep(upstream);
        pair.pool.sweep(1);
        pair.later(99);
        let (reused, _) = pair.acquire().await;
        assert_eq!((reused.reused, reused.idle_ticks), (true, 99));
        pair.pool.keep(reused);
        assert_eq!(pair.pool.idle_limit_ticks(), 125);
        pair.pool.failed_reuse(80);
        assert_eq!((pair.pool.idle_limit_ticks(), pair.pool.numbers().stale_reuses), (60, 1));
    });
}

#[test]
fn whoever_waits_gets_what_comes_first_in_their_order() {
    each_driver(async || {
        let pair = Pair::new(2, 8, 0);
        let ((one, _end), (two, _end2)) = (pair.acquire().await, pair.acquire().await);
        let one_port = port(&one);
        let first = wait_in_line(&pair.pool, false).await;
        let second = wait_in_line(&pair.pool, false).await;
        pair.pool.keep(one);
        // A late-comer does not overtake: its turn is the third.
        let third = wait_in_line(&pair.pool, false).await;
        drop(two);
        let first = first.await.unwrap();
        assert!(first.waited && first.upstream.reused && port(&first.upstream) == one_port);
        let second = second.await.unwrap();
        assert!(second.waited && !second.upstream.reused);
        pair.pool.keep(second.upstream);
        assert!(third.await.unwrap().upstream.reused);
        let numbers = pair.pool.numbers();
        assert_eq!((numbers.waits, numbers.wait_timeouts, numbers.connects, numbers.reuses), (3, 0, 3, 2));
        drop(first);
        assert_eq!(pair.pool.open_now(), 0);
    });
}

#[test]
fn whoever_goes_away_hands_the_turn_on() {
    each_driver(async || {
        let pair = Pair::new(1, 8, 0);
        let (only, _end) = pair.acquire().await;
        let mut gone = Box::pin(pair.pool.acquire(false, asker));
        poll_fn(|cx| {
            assert!(gone.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let stays = wait_in_line(&pair.pool, false).await;
        // It has the connection already, and never looks.
        pair.pool.keep(only);
        drop(gone);
        let taken = stays.await.unwrap();
        assert!(taken.upstream.reused);
        // With nobody behind it the connection goes back to the idle ones.
        let mut gone = Box::pin(pair.pool.acquire(false, asker));
        poll_fn(|cx| {
            assert!(gone.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        pair.pool.keep(taken.upstream);
        drop(gone);
        assert_eq!((pair.pool.idle_now(), pair.pool.waiting_now(), pair.pool.open_now()), (1, 0, 1));
    });
}

#[test]
fn waiting_is_bounded_in_time() {
    each_driver(async || {
        let short = Duration::from_millis(300);
        let (listener, address) = listener();
        let pool = patient_pool_at(address, Bounds { max: 1, line_max: 1_000, kept_max: 8, warm: 0 }, short);
        let pair = Pair { listener, pool };
        let (only, _end) = pair.acquire().await;
        let error = pair.pool.acquire(false, || Asker { session: 0, patience: short }).await.err().unwrap();
        let to = pair.pool.origin().authority();
        assert_eq!(error, PoolError::Full { to: to.clone(), max: 1, waited: Some(short), wait: None });
        let text = format!("all 1 connections to {to} are in use, and none became free within 0.3 s");
        assert_eq!(error.to_string(), text);
        let numbers = pair.pool.numbers();
        assert_eq!((numbers.waits, numbers.wait_timeouts), (1, 1));
        assert_eq!(pair.pool.waiting_now(), 0);
        pair.pool.keep(only);
        assert!(pair.pool.acquire(false, asker).await.unwrap().upstream.reused);
    });
}

#[test]
fn a_failed_attempt_frees_its_place() {
    each_driver(async || {
        let pool = pool_at(nobody(), 1, 8, 0);
        for attempt in 1..3 {
            let error = pool.acquire(false, asker).await.err().unwrap();
            assert!(matches!(error, PoolError::Open(OpenError::Connect { .. })), "{error}");
            assert_eq!((pool.open_now(), pool.numbers().connect_failures), (0, attempt));
        }
    });
}

#[test]
fn an_abandoned_attempt_frees_its_place() {
    each_driver(async || {
        let hole = BlackHole::new();
        let pool = pool_at(hole.address, 1, 8, 0);
        let first = monoio::time::timeout(Duration::from_millis(5), pool.acquire(false, asker)).await;
        assert!(first.is_err());
        assert_eq!((pool.open_now(), pool.waiting_now()), (0, 0));
        // The same for one whose place another request gave up.
        let mut dials = Box::pin(pool.acquire(false, asker));
        let mut waits = Box::pin(pool.acquire(false, asker));
        poll_fn(|cx| {
            assert!(dials.as_mut().poll(cx).is_pending() && waits.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!((pool.open_now(), pool.waiting_now()), (1, 1));
        drop(dials);
        assert_eq!((pool.open_now(), pool.waiting_now()), (1, 0));
        drop(waits);
        assert_eq!(pool.open_now(), 0);
    });
}

#[test]
fn whoever_waited_for_a_connection_that_is_dead_opens_one_in_its_place() {
    each_driver(async || {
        let pair = Pair::new(1, 8, 0);
        let (only, end) = pair.acquire().await;
        let waits = wait_in_line(&pair.pool, false).await;
        drop(end);
        until(|| only.inlet.pulse() == Pulse::Dead).await;
        pair.pool.keep(only);
        let taken = waits.await.unwrap();
        assert!(taken.waited && !taken.upstream.reused);
        let numbers = pair.pool.numbers();
        assert_eq!((numbers.stale, numbers.connects, numbers.reuses), (1, 2, 0));
        assert_eq!(pair.pool.open_now(), 1);
    });
}

#[test]
fn a_fresh_one_is_new_even_where_it_must_take_an_idle_ones_place() {
    each_driver(async || {
        let pair = Pair::new(1, 8, 0);
        let (upstream, _end) = pair.acquire().await;
        pair.pool.keep(upstream);
        let taken = pair.pool.acquire(true, asker).await.unwrap();
        assert!(!taken.upstream.reused);
        assert_eq!((pair.pool.open_now(), pair.pool.idle_now()), (1, 0));
        let fresh = wait_in_line(&pair.pool, true).await;
        pair.pool.keep(taken.upstream);
        let taken = fresh.await.unwrap();
        assert!(taken.waited && !taken.upstream.reused);
        assert_eq!(pair.pool.numbers().connects, 3);
    });
}

#[test]
fn a_reuse_saves_what_connecting_costs() {
    each_driver(async || {
        let pair = Pair::new(4, 4, 1);
        pair.pool.expect();
        pair.pool.add_spare().await.unwrap();
        let (spare, _) = pair.acquire().await;
        let first = pair.pool.numbers();
        assert_eq!((first.reuses, first.connect_micros), (1, 0));
        assert!(first.saved_micros > 0);
        // Found dead after all: the next one's saving is not counted.
        pair.pool.failed_reuse(spare.idle_ticks);
        pair.pool.keep(spare);
        for _ in 0..2 {
            let (again, _) = pair.acquire().await;
            pair.pool.keep(again);
        }
        assert_eq!(pair.pool.numbers().saved_micros, 2 * first.saved_micros);
    });
}

#[test]
fn a_pool_that_drains_or_distrusts_keeps_nothing() {
    each_driver(async || {
        let pair = Pair::new(8, 8, 1);
        let ((idle, _end), (used, _end2)) = (pair.acquire().await, pair.acquire().await);
        pair.pool.keep(idle);
        pair.pool.distrust();
        pair.pool.keep(used);
        assert_eq!((pair.pool.idle_now(), pair.pool.open_now()), (0, 0));
        assert!(!pair.pool.wants_spare(99) && pair.pool.wants_spare(100));
        pair.later(100);
        let (used, _end) = pair.acquire().await;
        pair.pool.keep(used);
        assert_eq!(pair.pool.idle_now(), 1);
        let (used, _) = pair.acquire().await;
        pair.pool.drain();
        pair.pool.keep(used);
        assert_eq!((pair.pool.idle_now(), pair.pool.open_now()), (0, 0));
        assert!(!pair.pool.sweep(101));
        assert!(pair.pool.acquire(false, asker).await.is_ok());
    });
}
