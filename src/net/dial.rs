//! New TCP connections: the addresses of one name race each other (RFC 8305, "happy eyeballs").

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use monoio::net::TcpStream;
use monoio::time::Sleep;

use super::stream::Stream;
use crate::limits;

/// Connects to the first of `addresses` that answers: in their order, families alternating, `first` before all others
/// if it is among them. The next attempt begins [`limits::DIAL_NEXT`] after the last one, or at once when one failed;
/// when one wins, the others are dropped. The caller's deadline bounds the whole.
///
/// Dropping this future abandons all attempts and their sockets: nothing was sent.
///
/// # Errors
/// What the attempts met: the most telling of their errors.
pub async fn dial(addresses: &[SocketAddr], first: Option<SocketAddr>) -> io::Result<(Stream, SocketAddr)> {
    let waiting = order(addresses, first);
    // Boxed: the timer is large, and this a part of larger futures.
    let pause = Box::pin(monoio::time::sleep(limits::DIAL_NEXT));
    let mut race = Race { waiting: waiting.into_iter(), running: Vec::new(), pause, error: None };
    poll_fn(|cx| race.poll(cx)).await
}

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

struct Race {
    waiting: std::vec::IntoIter<SocketAddr>,
    running: Vec<(SocketAddr, Attempt)>,
    pause: Pin<Box<Sleep>>,
    error: Option<io::Error>,
}

impl Race {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        loop {
            let mut failed = false;
            let mut index = 0;
            while let Some((address, attempt)) = self.running.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok((Stream::Tcp(stream), *address))),
                    Poll::Ready(Err(error)) => {
                        failed = true;
                        drop(self.running.remove(index));
                        note(&mut self.error, error);
                    }
                    Poll::Pending => index += 1,
                }
            }
            let due = failed || self.running.is_empty() || self.pause.as_mut().poll(cx).is_ready();
            if !due {
                return Poll::Pending;
            }
            match self.waiting.next() {
                Some(address) => {
                    self.running.push((address, Box::pin(connect(address))));
                    self.pause.as_mut().reset(monoio::time::Instant::now() + limits::DIAL_NEXT);
                }
                None if self.running.is_empty() => {
                    let nothing = || io::ErrorKind::AddrNotAvailable.into();
                    return Poll::Ready(Err(self.error.take().unwrap_or_else(nothing)));
                }
                // All run: only they can end this.
                None => return Poll::Pending,
            }
        }
    }
}

fn note(told: &mut Option<io::Error>, error: io::Error) {
    if told.as_ref().is_none_or(|told| telling(&error) > telling(told)) {
        *told = Some(error);
    }
}

/// That one family has no route here says less than what the other family's address answered.
fn telling(error: &io::Error) -> u8 {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => 2,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => 0,
        _ => 1,
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_addr(address).await?;
    // On loopback a connect can meet itself: an ephemeral port that nobody listens on, chosen for its own end too.
    if address.ip().is_loopback() && stream.local_addr().is_ok_and(|own| own == address) {
        return Err(io::Error::from_raw_os_error(libc::ECONNREFUSED));
    }
    Ok(stream)
}

/// RFC 8305 §4: alternating families, beginning with that of the first address.
fn order(addresses: &[SocketAddr], first: Option<SocketAddr>) -> Vec<SocketAddr> {
    let starts_with_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let of = |family: bool| addresses.iter().filter(move |address| address.is_ipv6() == family);
    let (mut preferred, mut other) = (of(starts_with_v6), of(!starts_with_v6));
    let mut ordered = Vec::with_capacity(addresses.len());
    loop {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] {
            break;
        }
        ordered.extend(pair.into_iter().flatten());
    }
    if let Some(place) = ordered.iter().position(|address| Some(*address) == first) {
        ordered[..=place].rotate_right(1);
    }
    ordered.truncate(limits::DIAL_ADDRESSES_MAX);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::testing::{BlackHole, each_driver, listener, nobody, until};

    #[test]
    fn families_alternate_and_the_good_one_goes_first() {
        let address = |name: &str| -> SocketAddr {
            format!("{}:1", name.replace('6', "[::6]").replace('4', "127.0.0.4")).parse().unwrap()
        };
        let numbered = |text: &str| -> Vec<SocketAddr> {
            text.split_whitespace()
                .map(|one| {
                    let mut address = address(&one[..1]);
                    address.set_port(one[1..].parse().unwrap());
                    address
                })
                .collect()
        };
        // What the resolver said, the last good one, the order of attempts.
        for (said, good, expected) in [
            ("61 62 63 41 42", "", "61 41 62 42 63"),
            ("41 42 61", "", "41 61 42"),
            ("41 42 43", "43", "43 41 42"),
            ("61 62 41", "41", "41 61 62"),
            ("61 41", "61", "61 41"),
            ("61 41", "49", "61 41"),
            ("", "41", ""),
        ] {
            let good = numbered(good).first().copied();
            assert_eq!(order(&numbered(said), good), numbered(expected), "{said}, {good:?}");
        }
        let many: Vec<_> = (0..100).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        assert_eq!(order(&many, Some(many[99])).len(), limits::DIAL_ADDRESSES_MAX);
        assert_eq!(order(&many, Some(many[99]))[0], many[99]);
    }

    #[test]
    fn the_first_that_answers_wins() {
        each_driver(async || {
            let (hole, (_listener, good), dead) = (BlackHole::new(), listener(), nobody());
            for addresses in
                [vec![hole.address, good], vec![dead, good], vec![dead, hole.address, dead, good], vec![good, dead]]
            {
                let (_, winner) = dial(&addresses, None).await.unwrap();
                assert_eq!(winner, good, "{addresses:?}");
            }
        });
    }

    #[test]
    fn the_losers_are_closed() {
        // Connects on their way to an address, as the kernel tells (`SYN_SENT` is 02).
        let on_their_way = |to: SocketAddr| {
            let remote = format!(":{:04X} 02 ", to.port());
            std::fs::read_to_string("/proc/self/net/tcp").unwrap().lines().filter(|line| line.contains(&remote)).count()
        };
        each_driver(async || {
            let (hole, (_listener, good)) = (BlackHole::new(), listener());
            let addresses = [hole.address, good];
            let mut race = Box::pin(dial(&addresses, None));
            poll_fn(|cx| {
                assert!(race.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            until(|| on_their_way(hole.address) == 1).await;
            race.await.unwrap();
            until(|| on_their_way(hole.address) == 0).await;
            // Nor does one that is given up leave anything behind.
            let given_up = monoio::time::timeout(limits::DIAL_NEXT / 10, dial(&[hole.address], None)).await;
            assert!(given_up.is_err());
            until(|| on_their_way(hole.address) == 0).await;
        });
    }

    #[test]
    fn when_all_fail_their_error_is_told() {
        each_driver(async || {
            let dead = nobody();
            for addresses in [vec![dead], vec![dead, nobody()]] {
                let error = dial(&addresses, None).await.err().unwrap();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{addresses:?}");
            }
            assert_eq!(dial(&[], None).await.err().unwrap().kind(), io::ErrorKind::AddrNotAvailable);
        });
    }

    #[test]
    fn the_most_telling_error_is_told() {
        // Met in this order; told.
        for (met, told) in [
            (vec![libc::ENETUNREACH, libc::ECONNREFUSED], libc::ECONNREFUSED),
            (vec![libc::ECONNREFUSED, libc::EHOSTUNREACH], libc::ECONNREFUSED),
            (vec![libc::ETIMEDOUT, libc::ECONNREFUSED], libc::ETIMEDOUT),
            (vec![libc::ECONNREFUSED, libc::EMFILE], libc::EMFILE),
            (vec![libc::ENETUNREACH], libc::ENETUNREACH),
        ] {
            let mut error = None;
            met.iter().for_each(|code| note(&mut error, io::Error::from_raw_os_error(*code)));
            assert_eq!(error.and_then(|error| error.raw_os_error()), Some(told), "{met:?}");
        }
    }
}
