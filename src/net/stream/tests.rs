use std::io::Write;

use super::*;
use crate::net::testing::{each_driver, listener, until};

/// A receiving side, its table, and the peer.
async fn pair() -> (Inlet, Outlet, Rc<Deadlines>, std::net::TcpStream) {
    let (listener, address) = listener();
    let deadlines: Rc<Deadlines> = Rc::default();
    let stream = Stream::Tcp(TcpStream::connect_addr(address).await.unwrap());
    let (inlet, outlet) = split(stream, Side::Upstream, &deadlines, &Rc::default());
    (inlet, outlet, deadlines, listener.accept().unwrap().0)
}

/// A moment for what is under way in the kernel.
async fn moment() {
    monoio::time::sleep(Duration::from_millis(2)).await;
}

#[test]
fn a_roused_wait_loses_no_byte() {
    each_driver(async || {
        let (mut inlet, _outlet, deadlines, mut peer) = pair().await;
        let (deadline, wanted) = (inlet.deadline().clone(), 300u32);
        let received = Rc::new(std::cell::RefCell::new((Vec::new(), 0u32)));
        let of_task = received.clone();
        let reading = monoio::spawn(async move {
            let mut all = Vec::new();
            while all.len() < 4 * wanted as usize {
                deadline.rouse_at(deadline.tick_after(0));
                let before = all.len();
                let (result, back) = inlet.receive(all).await;
                all = back;
                match result {
                    Ok(count) => assert_eq!(all.len(), before + count),
                    Err(error) => {
                        assert_eq!((error.kind(), all.len()), (io::ErrorKind::WouldBlock, before));
                        of_task.borrow_mut().1 += 1;
                    }
                }
            }
            of_task.borrow_mut().0 = all;
        });
        for number in 0..wanted {
            // Before, behind, and in the very turn in which the read is cancelled.
            match number % 3 {
                0 => peer.write_all(&number.to_be_bytes()).unwrap(),
                1 => moment().await,
                _ => {}
            }
            deadlines.tick();
            deadlines.tick();
            if number % 3 != 0 {
                peer.write_all(&number.to_be_bytes()).unwrap();
            }
            if number % 7 == 0 {
                moment().await;
            }
        }
        reading.await;
        let (all, roused) = &*received.borrow();
        let numbers: Vec<u32> = all.chunks(4).map(|four| u32::from_be_bytes(four.try_into().unwrap())).collect();
        assert_eq!(numbers, Vec::from_iter(0..wanted));
        assert!(*roused > 10, "roused {roused} times only");
    });
}

#[test]
fn a_silent_wait_is_roused_and_holds_no_buffer() {
    each_driver(async || {
        let (mut inlet, _outlet, deadlines, mut peer) = pair().await;
        let deadline = inlet.deadline().clone();
        let quiet = limits::ticks(limits::QUIET) + 2;
        deadline.rouse_at(deadline.tick_after(2 * quiet));
        let of_task = deadline.clone();
        let waiting = monoio::spawn(async move {
            let (first, buffer) = inlet.receive(Vec::new()).await;
            assert_eq!((first.unwrap_err().kind(), buffer.capacity()), (io::ErrorKind::WouldBlock, 0));
            of_task.rouse_at(of_task.tick_after(1));
            let (second, buffer) = inlet.receive(buffer).await;
            assert_eq!((second.unwrap_err().kind(), buffer.capacity()), (io::ErrorKind::WouldBlock, 0));
            // Nothing was posted for it: the silence goes on.
            assert!(inlet.is_resting);
            let (third, buffer) = inlet.receive(buffer).await;
            assert_eq!((third.unwrap(), &buffer[..], inlet.is_resting), (4, &b"here"[..], false));
        });
        moment().await;
        (0..quiet).for_each(|_| deadlines.tick());
        moment().await;
        (0..=quiet + 1).for_each(|_| deadlines.tick());
        moment().await;
        (0..3).for_each(|_| deadlines.tick());
        moment().await;
        peer.write_all(b"here").unwrap();
        waiting.await;
    });
}

#[test]
fn nothing_is_due_behind_a_disarmed_wait() {
    each_driver(async || {
        let (mut inlet, _outlet, deadlines, mut peer) = pair().await;
        let deadline = inlet.deadline().clone();
        deadline.rouse_at(deadline.tick_after(0));
        (0..3).for_each(|_| deadlines.tick());
        deadline.disarm();
        peer.write_all(b"here").unwrap();
        until(|| deadline.socket().pulse() == Pulse::Talks).await;
        assert_eq!(inlet.receive(Vec::new()).await.0.unwrap(), 4);
        let waiting = monoio::spawn(async move { inlet.receive(Vec::new()).await.0.unwrap() });
        moment().await;
        (0..30).for_each(|_| deadlines.tick());
        moment().await;
        (0..30).for_each(|_| deadlines.tick());
        peer.write_all(b"there").unwrap();
        assert_eq!(waiting.await, 5);
    });
}
