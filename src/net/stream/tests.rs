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
            // Before the wait is ended, in that very turn, and behind it.
            match number % 3 {
                0 => peer.write_all(&number.to_be_bytes()).unwrap(),
                _ => moment().await,
            }
            deadlines.tick();
            deadlines.tick();
            if number % 3 == 2 {
                moment().await;
            }
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
fn a_wait_is_roused_again_and_again_and_holds_no_buffer() {
    each_driver(async || {
        let (mut inlet, _outlet, deadlines, mut peer) = pair().await;
        let deadline = inlet.deadline().clone();
        let waiting = monoio::spawn(async move {
            let mut buffer = inlet.buffers().take();
            for after in [20, 1] {
                deadline.rouse_at(deadline.tick_after(after));
                let (roused, back) = inlet.receive(buffer).await;
                assert_eq!((roused.unwrap_err().kind(), back.capacity()), (io::ErrorKind::WouldBlock, 0));
                buffer = back;
            }
            let (received, buffer) = inlet.receive(buffer).await;
            assert_eq!((received.unwrap(), &buffer[..]), (4, &b"here"[..]));
        });
        for ticks in [22, 3] {
            moment().await;
            (0..ticks).for_each(|_| deadlines.tick());
        }
        moment().await;
        peer.write_all(b"here").unwrap();
        waiting.await;
    });
}

#[test]
fn a_read_that_left_no_room_is_followed_by_one_that_does_not_wait() {
    each_driver(async || {
        let (mut inlet, _outlet, _deadlines, mut peer) = pair().await;
        let sent: Vec<u8> = (0..=255).cycle().take(3 * limits::READ_BYTES + 7).collect();
        peer.write_all(&sent).unwrap();
        moment().await;
        let (mut all, mut without_wait) = (Vec::new(), Vec::new());
        while all.len() < sent.len() {
            without_wait.push(inlet.has_more);
            let (received, buffer) = inlet.receive(Vec::new()).await;
            assert_eq!(received.unwrap(), buffer.len());
            all.extend_from_slice(&buffer);
        }
        assert_eq!((all == sent, without_wait), (true, vec![false, true, false, true]));
        // Full to the brim by chance: nothing follows, and that is waited for.
        peer.write_all(&sent[..limits::READ_BYTES]).unwrap();
        assert_eq!(inlet.receive(Vec::new()).await.0.unwrap(), limits::READ_BYTES);
        assert!(inlet.has_more);
        let waiting = monoio::spawn(async move { inlet.receive(Vec::new()).await.1 });
        moment().await;
        peer.write_all(b"here").unwrap();
        assert_eq!(waiting.await, b"here");
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
