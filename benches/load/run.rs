//! The same request over and over: as soon as an answer is there (closed loop), or at a rate (open loop).

use std::io;
use std::time::Duration;

use crate::connection::{Connection, Fault, Outcome, Work};
use crate::dial::Dialler;
use crate::poll::Ready;

/// How a run goes.
pub struct Plan {
    pub connections: u32,
    pub until: Until,
    pub warmup: Duration,
    /// A new connection for each request.
    pub cold: bool,
    pub timeout: Duration,
}

#[derive(Clone, Copy)]
pub enum Until {
    /// So long after the warm-up.
    Time(Duration),
    /// So many requests were begun, and have ended.
    Count(u64),
    /// As `Time`, with a request due every so often, whether there are answers or not.
    Paced { time: Duration, every: Duration },
}

/// How often connections are looked after: silent ones ended, refused ones tried again.
const TICK: Duration = Duration::from_millis(100);

/// Connections on their way at a time, where they are to stay: less than a listener's queue, so that none waits a second for
/// its second SYN. Clients that come and go are not held back.
const OPENING_MAX: u32 = 64;

/// The loop of a run. Times are the clock's nanoseconds.
pub struct Runner {
    work: Work,
    plan: Plan,
    dialler: Dialler,
    slots: Vec<Option<Connection>>,
    free: Vec<u32>,
    /// Slots whose connect failed: they are free again at the next tick.
    resting: Vec<u32>,
    asking: u32,
    /// Connections that have not been heard of yet.
    opening: u32,
    begun: u64,
    begin: u64,
    /// When no request is begun any more.
    end: u64,
    now: u64,
}

impl Runner {
    pub fn new(work: Work, plan: Plan, dialler: Dialler) -> Self {
        let slots = (0..plan.connections).map(|_| None).collect();
        let free = (0..plan.connections).rev().collect();
        let begin = work.clock.now();
        let end = match plan.until {
            Until::Count(_) => u64::MAX,
            Until::Time(time) | Until::Paced { time, .. } => begin + nanos(plan.warmup) + nanos(time),
        };
        Self {
            work,
            plan,
            dialler,
            slots,
            free,
            resting: Vec::new(),
            asking: 0,
            opening: 0,
            begun: 0,
            begin,
            end,
            now: begin,
        }
    }

    /// Runs to the end; returns what was collected, and the length of the window.
    ///
    /// # Errors
    /// The system refuses to wait, or to make sockets; faults of the peer are counted instead.
    pub fn run(mut self) -> io::Result<(Work, Duration)> {
        let mut window = None;
        let mut tick = self.begin + nanos(TICK);
        loop {
            self.now = self.work.clock.now();
            let opens = self.begin + nanos(self.plan.warmup);
            if window.is_none() && self.now >= opens {
                self.work.tally.begin_window();
                window = Some(self.now);
            }
            if self.now >= tick {
                self.look_after();
                tick = self.now + nanos(TICK);
            }
            self.begin_due()?;
            if self.is_over() {
                break;
            }
            let wake = tick.min(self.next_change()).min(if window.is_none() { opens } else { u64::MAX });
            self.work.poll.wait(Duration::from_nanos(wake.saturating_sub(self.now)))?;
            for n in 0.. {
                let Some(ready) = self.work.poll.ready(n) else { break };
                self.step(ready)?;
            }
        }
        if let Until::Paced { every, .. } = self.plan.until {
            let due = (self.end - self.begin).div_ceil(nanos(every));
            self.work.tally.errors("unsent", due.saturating_sub(self.begun));
        }
        Ok((self.work, Duration::from_nanos(self.now - window.unwrap_or(self.now))))
    }

    fn is_over(&self) -> bool {
        match self.plan.until {
            Until::Time(_) => self.now >= self.end,
            Until::Count(count) => self.begun == count && self.asking == 0,
            // Those that wait longest would be missed if nobody waited for them; silence ends them.
            Until::Paced { .. } => self.now >= self.end && self.asking == 0,
        }
    }

    /// When the next request is due, if one is to be begun at all.
    fn due(&self) -> Option<u64> {
        match self.plan.until {
            Until::Time(_) => (self.now < self.end).then_some(self.now),
            Until::Count(count) => (self.begun < count).then_some(self.now),
            Until::Paced { every, .. } => {
                let due = self.begin + self.begun * nanos(every);
                (due < self.end && self.now < self.end).then_some(due)
            }
        }
    }

    /// When there is something to do, whatever the network does.
    fn next_change(&self) -> u64 {
        let due = match self.plan.until {
            Until::Paced { .. } if !self.free.is_empty() => self.due(),
            _ => None,
        };
        // What is due and was not begun waits for the network.
        [due, Some(self.end)].into_iter().flatten().filter(|at| *at > self.now).min().unwrap_or(u64::MAX)
    }

    /// Begins what is due, on connections that are free or may be opened.
    fn begin_due(&mut self) -> io::Result<()> {
        while (self.opening < OPENING_MAX || self.plan.cold)
            && let Some(due) = self.due().filter(|due| *due <= self.now)
        {
            let Some(key) = self.free.pop() else { return Ok(()) };
            self.begin(key, due)?;
        }
        Ok(())
    }

    /// Begins a request on a slot, on the connection that is there or a new one.
    fn begin(&mut self, key: u32, due: u64) -> io::Result<()> {
        self.begun += 1;
        self.asking += 1;
        let slot = &mut self.slots[key as usize];
        let connection = match slot {
            Some(connection) => connection,
            None => match self.dialler.dial() {
                Ok(stream) => {
                    self.work.tally.counts.connections += 1;
                    self.opening += 1;
                    slot.insert(Connection::new(stream, key, self.now))
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.failed(key, Fault::Connect);
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        if let Outcome::Failed(fault) = connection.ask(&mut self.work, due, self.now) {
            self.failed(key, fault);
        }
        Ok(())
    }

    fn step(&mut self, ready: Ready) -> io::Result<()> {
        let key = ready.key;
        let Some(connection) = self.slots[key as usize].as_mut() else { return Ok(()) };
        let (idle, heard) = (connection.is_idle(), connection.heard);
        let outcome = connection.advance(ready, &mut self.work);
        if connection.heard && !heard {
            self.opening -= 1;
        }
        match outcome {
            Outcome::Pending => {}
            Outcome::Answered { reusable } => {
                self.asking -= 1;
                if self.plan.cold || !reusable {
                    self.slots[key as usize] = None;
                }
                self.now = self.work.clock.now();
                match self.due().filter(|due| *due <= self.now) {
                    Some(due) => self.begin(key, due)?,
                    None => self.free.push(key),
                }
            }
            // An idle connection is in the list of free ones, and stays there.
            Outcome::Gone => self.slots[key as usize] = None,
            Outcome::Failed(fault) if idle => {
                self.slots[key as usize] = None;
                self.work.tally.error(fault);
            }
            Outcome::Failed(fault) => self.failed(key, fault),
        }
        Ok(())
    }

    /// A request failed, and its connection ends with it.
    fn failed(&mut self, key: u32, fault: Fault) {
        if self.slots[key as usize].take().is_some_and(|connection| !connection.heard) {
            self.opening -= 1;
        }
        self.asking -= 1;
        self.work.tally.error(fault);
        if fault == Fault::Connect { self.resting.push(key) } else { self.free.push(key) }
    }

    fn look_after(&mut self) {
        self.free.append(&mut self.resting);
        let silent_since = self.now.saturating_sub(nanos(self.plan.timeout));
        for key in 0..self.plan.connections {
            let waits = |connection: &Connection| !connection.is_idle() && connection.touched < silent_since;
            if self.slots[key as usize].as_ref().is_some_and(waits) {
                self.failed(key, Fault::Timeout);
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
