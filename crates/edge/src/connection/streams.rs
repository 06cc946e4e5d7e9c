//! Requests of an HTTP/2 connection: a task each, with a time of its own, and what they say of the connection.
//!
//! Flow control is the client's in HTTP/2: whoever opens no window lets a response stand for ever, on a connection that
//! is otherwise alive. So a stream whose response is not taken is reset, with its guest's time or after a while;
//! a connection on which nothing is asked is closed; and so is one whose client takes back most of what it asks.
//!
//! All streams together are bounded, by shares (room.rs): the fewer are free, the fewer may a connection
//! have, and one that comes new may have one. A stream beyond that is reset. What HTTP/2 still has to send of one that has ended
//! here is bounded in unsent.rs.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep};

use super::Overdue;
use super::room::Room;
use crate::limits::{HTTP2_IDLE_MAX, STREAMS_MAX, STREAMS_OF_ALL_MAX, STREAMS_RESET_MAX, WRITE_STALL_MAX};

tokio::task_local! {
    static OVERDUE: Arc<Overdue>;
}

/// Those of all connections of this process.
static ROOM: Room = Room::new(STREAMS_OF_ALL_MAX);

/// Runs streams.
#[derive(Clone)]
pub(super) struct Streams<R> {
    activity: Arc<Activity>,
    room: &'static Room,
    /// Told of each that is reset, since there are too many.
    refused: R,
}

impl<R> Streams<R> {
    pub(super) fn new(activity: Arc<Activity>, refused: R) -> Streams<R> {
        Streams { activity, room: &ROOM, refused }
    }
}

impl Streams<()> {
    /// Of the stream whose task this is.
    pub(super) fn overdue() -> Arc<Overdue> {
        OVERDUE.try_with(Arc::clone).unwrap_or_default()
    }
}

impl<F: Future<Output = ()> + Send + 'static, R: Fn()> Executor<F> for Streams<R> {
    fn execute(&self, stream: F) {
        let Some(open) = Open::new(&self.activity, self.room) else { return (self.refused)() };
        tokio::spawn(async move {
            let overdue = Arc::<Overdue>::default();
            OVERDUE.scope(overdue.clone(), bounded(stream, &overdue)).await;
            drop(open);
        });
    }
}

/// Runs a stream to its end, or to the end of its guest's time, or until its client has let it stand for too long.
/// A stream that is dropped is reset.
async fn bounded(stream: impl Future<Output = ()>, overdue: &Overdue) {
    let mut stream = pin!(stream);
    let mut stalled = pin!(sleep(WRITE_STALL_MAX));
    poll_fn(|context| {
        // While a guest is at work its own time counts.
        let stands = overdue.at().is_none() && stalled.is_elapsed();
        if stream.as_mut().poll(context).is_ready() || overdue.is_over() || stands {
            return Poll::Ready(());
        }
        // Something else has woken it: the client takes something.
        stalled.as_mut().reset(overdue.at().unwrap_or_else(|| Instant::now() + WRITE_STALL_MAX));
        stalled.as_mut().poll(context)
    })
    .await;
}

/// What a connection is doing.
pub(super) struct Activity {
    state: Mutex<State>,
    abused: Notify,
}

struct State {
    open: usize,
    /// When the last stream ended, or the connection began.
    idle_since: Instant,
    /// Requests that the client took back before there was an answer, less those it waited for.
    given_up: u32,
}

impl Activity {
    pub(super) fn new() -> Activity {
        let state = State { open: 0, idle_since: Instant::now(), given_up: 0 };
        Activity { state: Mutex::new(state), abused: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins.
    pub(super) fn asked(self: &Arc<Activity>) -> Asked {
        Asked { activity: self.clone(), answered: false }
    }

    /// How long nothing was asked, if nothing is.
    fn idle(&self) -> Option<Duration> {
        let state = self.lock();
        (state.open == 0).then(|| state.idle_since.elapsed())
    }

    /// Waits until the connection should end: nothing is asked for too long, or too much is taken back.
    pub(super) async fn over(&self) {
        tokio::select! {
            () = self.idle_for_long() => {}
            () = self.abused.notified() => {}
        }
    }

    async fn idle_for_long(&self) {
        loop {
            let left = HTTP2_IDLE_MAX.saturating_sub(self.idle().unwrap_or_default());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

/// A stream that is not at its end.
struct Open {
    activity: Arc<Activity>,
    room: &'static Room,
}

impl Open {
    /// None if there are too many.
    fn new(activity: &Arc<Activity>, room: &'static Room) -> Option<Open> {
        let mut state = activity.lock();
        if state.open >= room.share(1..=STREAMS_MAX as usize) {
            return None;
        }
        state.open += 1;
        room.take(1);
        Some(Open { activity: activity.clone(), room })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.room.give_back(1);
        let mut state = self.activity.lock();
        state.open -= 1;
        state.idle_since = Instant::now();
    }
}

/// A request; dropped before it is answered, it was taken back.
pub(super) struct Asked {
    activity: Arc<Activity>,
    answered: bool,
}

impl Asked {
    pub(super) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut state = self.activity.lock();
        if self.answered {
            state.given_up = state.given_up.saturating_sub(1);
            return;
        }
        state.given_up += 1;
        if state.given_up > STREAMS_RESET_MAX {
            self.activity.abused.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_takes_ends_and_one_whose_guest_works_has_its_time() {
        let began = Instant::now();
        bounded(pending(), &Overdue::default()).await;
        assert_eq!(began.elapsed(), WRITE_STALL_MAX);
        // One that gets on now and then.
        let (began, mut turns) = (Instant::now(), 5);
        let mut pause = Box::pin(sleep(WRITE_STALL_MAX / 2));
        let getting_on = poll_fn(|context| {
            while turns > 0 && pause.as_mut().poll(context).is_ready() {
                turns -= 1;
                pause.as_mut().reset(Instant::now() + WRITE_STALL_MAX / 2);
            }
            if turns == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        bounded(getting_on, &Overdue::default()).await;
        assert_eq!((began.elapsed(), turns), (WRITE_STALL_MAX / 2 * 5, 0));
        let (overdue, began) = (Overdue::default(), Instant::now());
        overdue.set(Some(Instant::now() + Duration::from_secs(3600)));
        bounded(sleep(WRITE_STALL_MAX * 10), &overdue).await;
        assert_eq!(began.elapsed(), WRITE_STALL_MAX * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_over_when_nothing_is_asked_or_most_is_taken_back() {
        let (activity, began) = (Arc::new(Activity::new()), Instant::now());
        let open = Open::new(&activity, &ROOM).unwrap();
        let ending = async {
            sleep(HTTP2_IDLE_MAX * 3).await;
            drop(open);
        };
        tokio::join!(activity.over(), ending);
        assert_eq!(began.elapsed(), HTTP2_IDLE_MAX * 4);
        let (activity, began) = (Arc::new(Activity::new()), Instant::now());
        let _open = Open::new(&activity, &ROOM).unwrap();
        for _ in 0..STREAMS_RESET_MAX * 10 {
            drop(activity.asked());
            activity.asked().answered();
        }
        for _ in 0..STREAMS_RESET_MAX {
            drop(activity.asked());
        }
        assert!(tokio::time::timeout(HTTP2_IDLE_MAX, activity.over()).await.is_err(), "as many as it waits for");
        drop(activity.asked());
        let before = began.elapsed();
        activity.over().await;
        assert_eq!(began.elapsed(), before);
    }

    /// Each had as many as one may have: a few megabytes of requests filled the memory.
    #[tokio::test]
    async fn however_many_connections_ask_all_they_can_their_streams_are_bounded() {
        let room: &'static Room = Box::leak(Box::new(Room::new(STREAMS_OF_ALL_MAX)));
        let refused = Arc::new(AtomicUsize::new(0));
        let connection = || {
            let counted = refused.clone();
            let refused = move || {
                counted.fetch_add(1, Ordering::Relaxed);
            };
            Streams { activity: Arc::new(Activity::new()), room, refused }
        };
        let fills = |streams: &Streams<_>| (0..STREAMS_MAX).for_each(|_| streams.execute(pending::<()>()));
        let connections: Vec<_> = std::iter::repeat_with(connection).take(500).collect();
        connections.iter().for_each(fills);
        let had: Vec<usize> = connections.iter().map(|one| one.activity.lock().open).collect();
        let all: usize = had.iter().sum();
        assert!((had[0], had[499]) == (STREAMS_MAX as usize, 1) && had.is_sorted_by(|a, b| a >= b), "{had:?}");
        assert!(all == room.taken() && all < STREAMS_OF_ALL_MAX + connections.len(), "{all}");
        assert_eq!(refused.load(Ordering::Relaxed), 500 * STREAMS_MAX as usize - all);
        // What ends is free again.
        let one = Open::new(&Arc::new(Activity::new()), room).unwrap();
        assert_eq!(room.taken(), all + 1);
        drop(one);
        assert_eq!(room.taken(), all);
    }
}
