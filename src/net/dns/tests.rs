use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Condvar, mpsc};

use super::*;
use crate::net::testing::{each_driver, until};

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 0))
}

/// Holds lookups back until it is opened.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn pass(&self) {
        drop(self.1.wait_while(self.0.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

async fn no_helpers(resolver: &Resolver) {
    until(|| resolver.state().threads == 0).await;
}

#[test]
fn an_address_is_no_question() {
    each_driver(async || {
        let resolver = Resolver::new(|host| panic!("asked for {host}"));
        for (host, expected) in [("127.0.0.1", "127.0.0.1:8"), ("::1", "[::1]:8")] {
            assert_eq!(*resolver.resolve(host, 8).await.unwrap(), [expected.parse().unwrap()]);
        }
    });
}

#[test]
fn many_who_ask_share_one_lookup_and_the_loop_turns_meanwhile() {
    each_driver(async || {
        let (gate, lookups) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
        let resolver = Resolver::new({
            let (gate, lookups) = (gate.clone(), lookups.clone());
            move |_| {
                lookups.fetch_add(1, Relaxed);
                gate.pass();
                Ok(vec![address(1)])
            }
        });
        let asking: Vec<_> = (0..20)
            .map(|port| {
                let resolver = resolver.clone();
                monoio::spawn(async move { resolver.resolve("a.test", port).await.unwrap()[0].port() })
            })
            .collect();
        // One of them loses its patience, the others do not notice.
        let given_up = monoio::time::timeout(Duration::from_millis(1), resolver.resolve("a.test", 99)).await;
        assert!(given_up.is_err());
        // Timers fire although the lookup blocks.
        monoio::time::sleep(Duration::from_millis(5)).await;
        gate.open();
        for (port, asked) in asking.into_iter().enumerate() {
            assert_eq!(usize::from(asked.await), port);
        }
        assert_eq!(*resolver.resolve("a.test", 7).await.unwrap(), ["192.0.2.1:7".parse().unwrap()]);
        assert_eq!(lookups.load(Relaxed), 1);
        no_helpers(&resolver).await;
    });
}

#[test]
fn workers_share_a_lookup() {
    let (gate, lookups) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
    let resolver = Resolver::new({
        let (gate, lookups) = (gate.clone(), lookups.clone());
        move |_| {
            lookups.fetch_add(1, Relaxed);
            gate.pass();
            Ok(vec![address(1)])
        }
    });
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let resolver = resolver.clone();
            thread::spawn(move || each_driver(async || assert_eq!(resolver.resolve("a", 1).await.unwrap().len(), 1)))
        })
        .collect();
    while resolver.state().asked.get("a").is_none_or(|asked| asked.ropes.len() < 2) {
        thread::yield_now();
    }
    gate.open();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(lookups.load(Relaxed), 1);
}

#[test]
fn those_who_leave_a_name_that_hangs_leave_nothing_behind() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    each_driver(async || {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let resolver = Resolver::new(move |_| {
            let _ = held.lock().unwrap().recv();
            Ok(vec![address(1)])
        });
        let before = descriptors();
        for _ in 0..200 {
            let left = monoio::time::timeout(Duration::from_millis(1), resolver.resolve("a.test", 1)).await;
            assert!(left.is_err());
        }
        assert!(resolver.state().asked["a.test"].ropes.len() <= 2);
        // The other tests of this process open some, too: far fewer than a pair for each who left.
        until(|| descriptors() < before + 150).await;
        drop(release);
        no_helpers(&resolver).await;
    });
}

#[test]
fn a_slow_name_does_not_hold_up_another() {
    each_driver(async || {
        let gate = Arc::new(Gate::default());
        let held = gate.clone();
        let resolver = Resolver::new(move |host| {
            if host == "slow.test" {
                held.pass();
            }
            Ok(vec![address(1)])
        });
        let slow = monoio::spawn({
            let resolver = resolver.clone();
            async move { resolver.resolve("slow.test", 1).await.is_ok() }
        });
        assert!(resolver.resolve("quick.test", 1).await.is_ok());
        gate.open();
        assert!(slow.await);
        no_helpers(&resolver).await;
    });
}

#[test]
fn lookups_and_their_threads_are_bounded() {
    each_driver(async || {
        let gate = Arc::new(Gate::default());
        let running = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let (held, counted) = (gate.clone(), running.clone());
        let resolver = Resolver::new(move |_| {
            let now = counted[0].fetch_add(1, Relaxed) + 1;
            counted[1].fetch_max(now, Relaxed);
            held.pass();
            counted[0].fetch_sub(1, Relaxed);
            Ok(vec![address(1)])
        });
        let asking: Vec<_> = (0..limits::LOOKUPS_MAX)
            .map(|index| {
                let resolver = resolver.clone();
                monoio::spawn(async move { resolver.resolve(&format!("n{index}"), 1).await.is_ok() })
            })
            .collect();
        until(|| running[0].load(Relaxed) == limits::LOOKUP_THREADS_MAX).await;
        until(|| resolver.state().asked.len() == limits::LOOKUPS_MAX).await;
        let one_more = resolver.resolve("one.more", 1).await.unwrap_err();
        assert_eq!(one_more.kind(), io::ErrorKind::WouldBlock);
        gate.open();
        for asked in asking {
            assert!(asked.await);
        }
        assert_eq!(running[1].load(Relaxed), limits::LOOKUP_THREADS_MAX);
        assert!(resolver.resolve("one.more", 1).await.is_ok());
        no_helpers(&resolver).await;
    });
}

#[test]
fn failures_are_told_in_the_systems_words() {
    each_driver(async || {
        let resolver = Resolver::new(|host| match host {
            "empty" => Ok(Vec::new()),
            "panics" => panic!("planted"),
            _ => Err(io::Error::other("failed to lookup address information: Name or service not known")),
        });
        for (host, text) in [
            ("unknown", "Name or service not known"),
            ("unknown", "Name or service not known"),
            ("empty", "the name has no address"),
            ("panics", "the resolver panicked"),
        ] {
            assert_eq!(resolver.resolve(host, 1).await.unwrap_err().to_string(), text);
        }
        no_helpers(&resolver).await;
    });
}

/// A resolver that knows an answer which is two minutes old.
fn with_an_older_answer(lookup: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Resolver {
    let mut resolver = Resolver::new(move |_| lookup());
    let shared = Arc::get_mut(&mut resolver.0).unwrap();
    shared.began = Instant::now().checked_sub(Duration::from_secs(120)).unwrap();
    resolver.state().cache.learn("a", Ok(vec![address(1)]), Duration::ZERO);
    resolver
}

#[test]
fn an_older_answer_serves_when_the_refresh_fails() {
    each_driver(async || {
        let resolver = with_an_older_answer(|| Err(io::Error::other("no server")));
        assert_eq!(*resolver.resolve("a", 0).await.unwrap(), [address(1)]);
        let resolver = with_an_older_answer(|| Ok(vec![address(2)]));
        assert_eq!(*resolver.resolve("a", 0).await.unwrap(), [address(2)]);
    });
}

#[test]
fn an_older_answer_serves_when_the_refresh_hangs() {
    each_driver(async || {
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let resolver = with_an_older_answer(move || {
            let _ = held.lock().unwrap().recv();
            Ok(vec![address(2)])
        });
        assert_eq!(*resolver.resolve("a", 0).await.unwrap(), [address(1)]);
        // The next one does not wait for what is known to be slow.
        let at_once = monoio::time::timeout(limits::NAME_REFRESH_PATIENCE / 2, resolver.resolve("a", 0)).await;
        assert_eq!(*at_once.unwrap().unwrap(), [address(1)]);
        drop(release);
        no_helpers(&resolver).await;
        assert_eq!(*resolver.resolve("a", 0).await.unwrap(), [address(2)]);
    });
}
