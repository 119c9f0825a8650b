//! `POST /stop`: ends every request in flight, on every worker. The one that is asked tells all, itself too, by their orders,
//! and waits until each has done it.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use super::world::World;
use crate::limits;
use crate::telemetry::log::Level;

/// How the workers are told, and what they have done.
pub struct Stops {
    told: Mutex<Told>,
    /// Of each worker, how many it has carried out.
    done: Vec<AtomicU64>,
}

#[derive(Default)]
struct Told {
    /// Tells one worker, in the order of their numbers.
    ways: Vec<Way>,
    /// How often they were told.
    times: u64,
}

/// Tells one worker to stop its requests; false if it has ended.
type Way = Box<dyn Fn() -> bool + Send>;

impl Stops {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self { told: Mutex::default(), done: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The next worker in the order of their numbers has started, and is told like this.
    pub fn add_way(&self, way: impl Fn() -> bool + Send + 'static) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).ways.push(Box::new(way));
    }

    /// Worker number `index` did what it was told.
    pub fn done(&self, index: usize) {
        if let Some(done) = self.done.get(index) {
            done.fetch_add(1, SeqCst);
        }
    }

    /// Tells all workers. Gives the numbers of those that live, and how often they will have done it then.
    fn tell(&self) -> (Vec<usize>, u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.times += 1;
        let live = told.ways.iter().enumerate().filter(|(_, way)| way()).map(|(index, _)| index).collect();
        (live, told.times)
    }

    fn have_done(&self, workers: &[usize], times: u64) -> bool {
        let done = |index: &usize| self.done.get(*index).is_none_or(|done| done.load(SeqCst) >= times);
        workers.iter().all(done)
    }
}

/// Stops all requests of all workers; how many there were.
pub async fn everywhere(world: &World) -> u64 {
    let stopped =
        || world.shared.counters.iter().map(|counters| counters.requests_stopped.get()).fold(0, u64::wrapping_add);
    let before = stopped();
    let (live, times) = world.shared.stops.tell();
    let mut patience = limits::STOP_LOOKS_MAX;
    while !world.shared.stops.have_done(&live, times) && patience > 0 {
        patience -= 1;
        monoio::time::sleep(limits::TURN_PAUSE).await;
    }
    let stopped = stopped().wrapping_sub(before);
    world.shared.log.say(Level::Info, "requests stopped", &[("count", &stopped.to_string())]);
    stopped
}

impl World {
    /// Ends this worker's requests, as it was told to.
    pub fn stop_requests(&self) {
        self.counters.requests_stopped.add(self.deadlines.stop_requests());
        self.shared.stops.done(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_living_worker_is_told_and_waited_for() {
        let (stops, heard) = (Stops::new(3), Arc::new(AtomicU64::new(0)));
        for lives in [true, false, true] {
            let heard = heard.clone();
            stops.add_way(move || heard.fetch_add(1, SeqCst) < 100 && lives);
        }
        let (live, first) = stops.tell();
        assert_eq!((live.as_slice(), first, heard.load(SeqCst)), (&[0, 2][..], 1, 3));
        assert!(!stops.have_done(&live, first));
        stops.done(0);
        assert!(!stops.have_done(&live, first));
        let (_, second) = stops.tell();
        stops.done(2);
        assert!(stops.have_done(&live, first) && !stops.have_done(&live, second));
        stops.done(2);
        stops.done(0);
        assert!(stops.have_done(&live, second));
    }
}
