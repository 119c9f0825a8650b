//! Where a request is served: memory for the exchange's future, lent for one request and used again by the next.
//!
//! Held by the connection's own future it would be there for as long as the connection idles, and most of them idle. A box
//! for each request would be an allocation each.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::connection::{After, Client, Seat};
use super::exchange::exchange;
use super::job::Job;
use super::world::World;

/// Memory for one exchange.
pub struct Stage(Box<dyn Perform>);

/// The client, the memory that its request had, and what becomes of its connection.
pub type Served = (Seat, Box<Job>, After);

impl Default for Stage {
    fn default() -> Self {
        Self(Box::new(Play { make: one, running: Box::pin(None) }))
    }
}

impl Stage {
    /// Takes a place, and sets the scene: one request of the client in `seat`, whose first byte has come. Awaiting the stage
    /// serves it.
    pub fn set(world: &Rc<World>, seat: Seat) -> Self {
        let mut stage = world.take_stage();
        stage.0.begin(world.clone(), seat, world.take_job());
        stage
    }
}

/// A plain future, for it is polled whenever anything happens to the connection.
impl Future for Stage {
    type Output = Served;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Served> {
        self.0.poll(cx)
    }
}

async fn one(world: Rc<World>, seat: Seat, mut job: Box<Job>) -> Served {
    let Seat { inbox, outlet, deadline, transport, door, reset } = seat;
    let mut client = Client { inbox: &inbox, outlet, deadline, transport, door, reset };
    let after = exchange(&world, &mut client, &mut job).await;
    let Client { outlet, deadline, reset, .. } = client;
    (Seat { inbox, outlet, deadline, transport, door, reset }, job, after)
}

/// A place for a future whose type has no name.
trait Perform {
    fn begin(&mut self, world: Rc<World>, seat: Seat, job: Box<Job>);
    /// To be called after [`Perform::begin`], until it is ready.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Served>;
}

struct Play<M, F> {
    make: M,
    running: Pin<Box<Option<F>>>,
}

impl<M, F> Perform for Play<M, F>
where
    M: Fn(Rc<World>, Seat, Box<Job>) -> F,
    F: Future<Output = Served>,
{
    fn begin(&mut self, world: Rc<World>, seat: Seat, job: Box<Job>) {
        self.running.set(Some((self.make)(world, seat, job)));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Served> {
        let Some(running) = self.running.as_mut().as_pin_mut() else { return Poll::Pending };
        let served = ready!(running.poll(cx));
        self.running.set(None);
        Poll::Ready(served)
    }
}
