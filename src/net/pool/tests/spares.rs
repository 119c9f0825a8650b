//! Connections that are opened ahead of need.

use super::*;

#[test]
fn a_spare_is_opened_after_use_and_renewed_while_the_origin_is_in_use() {
    each_driver(async || {
        let pair = Pair::new(8, 8, 1);
        pair.pool.add_spare().await.unwrap();
        assert!(!pair.pool.sweep(1) && pair.pool.open_now() == 0);
        let (upstream, _end) = pair.acquire().await;
        assert!(pair.pool.sweep(2));
        pair.pool.add_spare().await.unwrap();
        assert!(!pair.pool.sweep(3));
        assert_eq!((pair.pool.idle_now(), pair.pool.numbers().spares), (1, 1));
        // It lies below the one that was used.
        let hot = port(&upstream);
        pair.pool.keep(upstream);
        let (again, _) = pair.acquire().await;
        assert_eq!(port(&again), hot);
        let (spare, _) = pair.acquire().await;
        assert!(spare.reused);
        drop((again, spare));
        // One that nobody needed is closed in time, and another takes its place, for ten minutes.
        pair.pool.add_spare().await.unwrap();
        let mut opened = pair.pool.numbers().spares;
        let (mut now, mut sweeps) = (3, 0);
        while now < 7000 {
            let due = pair.pool.due(now);
            now += 1;
            pair.later(now);
            if now < due {
                let before = pair.pool.open_now();
                assert!(!pair.pool.sweep(now) && pair.pool.open_now() == before, "at {now}, due at {due}");
                continue;
            }
            sweeps += 1;
            if pair.pool.sweep(now) {
                assert!(pair.pool.is_warm(now));
                pair.pool.add_spare().await.unwrap();
                let spares = pair.pool.numbers().spares;
                assert_eq!(spares, opened + 1);
                opened = spares;
            }
        }
        assert!(opened > 3 && sweeps < 200, "{opened} connections, {sweeps} sweeps");
        assert!(!pair.pool.is_warm(now) && pair.pool.due(now) == NEVER);
        assert_eq!(pair.pool.open_now(), 0);
    });
}

#[test]
fn spares_of_a_pool_that_is_expected_to_be_used_come_side_by_side() {
    each_driver(async || {
        for (kept_max, warm, want) in [(8, 3, 3), (2, 3, 2), (8, 99, 4), (8, 0, 0)] {
            let pair = Pair::new(4, kept_max, warm);
            assert!(!pair.pool.wants_spare(0) && !pair.pool.is_warm(0));
            assert_eq!(pair.pool.expect(), want);
            assert_eq!(pair.pool.is_warm(599), warm > 0);
            assert!(!pair.pool.is_warm(600));
            let mut opening: Vec<_> = (0..want + 2).map(|_| Box::pin(pair.pool.add_spare())).collect();
            let mut done = 0;
            // One look at each: they are on their way before any has arrived.
            poll_fn(|cx| {
                done = opening.iter_mut().filter_map(|one| one.as_mut().poll(cx).is_ready().then_some(())).count();
                Poll::Ready(())
            })
            .await;
            assert_eq!((done, pair.pool.open_now()), (2, want), "more than are wanted are none");
            for one in opening.into_iter().take(want) {
                one.await.unwrap();
            }
            assert_eq!((pair.pool.idle_now(), pair.pool.numbers().spares), (want, want as u64));
            assert_eq!(pair.pool.numbers().connect_micros, 0, "nobody waited");
            assert!(!pair.pool.wants_spare(0));
        }
    });
}

#[test]
fn spares_leave_places_and_turns_to_requests() {
    each_driver(async || {
        let pair = Pair::new(1, 8, 1);
        let (only, _end) = pair.acquire().await;
        assert!(!pair.pool.wants_spare(0));
        drop(only);
        // The place is the spare's when the request comes, and then so is the turn the request's.
        let spare = monoio::spawn({
            let pool = pair.pool.clone();
            async move { pool.add_spare().await }
        });
        until(|| pair.pool.open_now() == 1).await;
        let taken = pair.pool.acquire(false, asker).await.unwrap();
        spare.await.unwrap();
        assert!(taken.upstream.reused);
        assert_eq!((pair.pool.open_now(), pair.pool.idle_now(), pair.pool.numbers().spares), (1, 0, 1));
    });
}

#[test]
fn spares_that_fail_come_ever_more_rarely() {
    each_driver(async || {
        let pool = pool_at(nobody(), 8, 8, 1);
        assert!(pool.acquire(false, asker).await.is_err());
        let mut attempts = Vec::new();
        for now in 0..100 {
            pool.means.deadlines.set_now(now);
            if pool.sweep(now) {
                assert!(pool.add_spare().await.is_err());
                attempts.push(now);
            }
        }
        assert_eq!(attempts, [0, 10, 30, 70]);
        assert_eq!(pool.numbers().connect_failures, 5);
    });
}
