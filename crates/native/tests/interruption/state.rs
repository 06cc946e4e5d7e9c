//! All there is in the model, what anybody but the owner does to it, and what must hold of it.

mod owner;

use owner::{Armed, Owner};

/// Entries, in each generation. In each there is one host call that returns, one that waits, and one in which the host
/// enters again.
const ENTRIES: u8 = 2;
const GENERATIONS: u8 = 2;
/// Askers by the generation that their handles are for.
const ASKERS: [u8; 3] = [0, 0, 1];

/// Who asks: all of them at once are too many to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asking {
    /// All askers, and no ticker.
    ToEnd,
    /// The last two, and the ticker twice.
    ToGiveWay,
}

/// A mistake in the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mistake {
    None,
    /// Askers read who is inside without a barrier between.
    NoBarrier,
    /// The request is not tested on the way in.
    NoTestOnEntry,
    /// It is not tested after a host call.
    NoTestAfterCall,
    /// On the way in, an interruption leaves only after the test is over.
    ArmedAfterTest,
    /// Whoever leaves lets the request stand.
    NotTaken,
    /// A request does not look at the generation.
    NoGeneration,
    /// A recycled arena keeps the request.
    NotRenewed,
    /// Who waits tests the request before it says whom to wake.
    TestBeforeWaker,
    /// Whoever takes the waker lets the owner believe that it is still there.
    WakerNotMissed,
    /// The waker of a task stays when another polls.
    TaskKept,
    /// The waker of a thread that waits passes for a task's.
    ThreadForTask,
    /// After an entry within a host call, none is said to be inside.
    OuterForgotten,
    /// A request to give way is not tested for after a host call.
    NoYieldAfterCall,
    /// A signal to give way is obeyed in guest code alone.
    YieldOnlyInGuest,
    /// Whoever gives way takes every request.
    YieldTakesAll,
    /// Whoever gives way before guest code is reached forgets where that was.
    PlaceForgotten,
    /// The end of a watch leaves the request to give way.
    YieldLeft,
    /// The ticker asks without the lock that ends a watch.
    NoLock,
    /// Entries that cannot be parked heed requests to give way.
    HeedsAll,
}

/// Where the ticker is; but for `Look` it holds the lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Ticker {
    Look,
    Barrier,
    ReadThread,
    Send,
}

/// Where an asker is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Asker {
    Request,
    Barrier,
    ReadThread,
    Send,
    Wake,
    Done,
}

/// Whom a waker wakes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Whom {
    /// The task that polls the call.
    Task,
    /// One that has polled it before.
    OldTask,
    /// The thread that waits in a host call.
    Thread,
}

/// Where the host function is that has entered again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Within {
    /// In a call that guest code waits for on its stack.
    Call,
    /// In an attempt of one that was suspended.
    Attempt,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    requested: bool,
    generation: u8,
    /// What askers see of the owner's thread number.
    inside: bool,
    /// The owner's stores of it that nobody else sees yet, oldest first.
    buffer: [Option<bool>; 2],
    /// A signal is on its way to the owner's thread.
    signal: bool,
    waker: Option<Whom>,
    /// That it is the task's, as the owner believes without a look.
    noted: bool,
    task_woken: bool,
    thread_woken: bool,
    owner: Owner,
    entries: u8,
    /// An entry has begun and is not over.
    under_way: bool,
    /// It can be parked.
    parks: bool,
    called: bool,
    waited: bool,
    /// The host has entered again, or is in there.
    reentered: bool,
    nested: Option<Within>,
    askers: [Asker; ASKERS.len()],
    yield_asked: bool,
    watched: bool,
    ticker: Ticker,
    /// How often it may still ask.
    yields: u8,
    /// Guest code is parked in its middle.
    parked: bool,
    /// It has begun, in truth.
    begun: bool,
    /// Bookkeeping of the proof: whom the request is for; requests made, obeyed, void, by generation.
    asked: u8,
    made: [u8; 2],
    obeyed: [u8; 2],
    void: [u8; 2],
}

impl State {
    pub(crate) fn new(asking: Asking) -> State {
        let (first, yields) = match asking {
            Asking::ToEnd => (Asker::Request, 0),
            Asking::ToGiveWay => (Asker::Done, 2),
        };
        State {
            requested: false,
            generation: 0,
            inside: false,
            buffer: [None; 2],
            signal: false,
            waker: None,
            noted: false,
            task_woken: false,
            thread_woken: false,
            owner: Owner::Idle,
            entries: 0,
            under_way: false,
            parks: false,
            called: false,
            waited: false,
            reentered: false,
            nested: None,
            askers: [first, Asker::Request, Asker::Request],
            yield_asked: false,
            watched: false,
            ticker: Ticker::Look,
            yields,
            parked: false,
            begun: false,
            asked: 0,
            made: [0; 2],
            obeyed: [0; 2],
            void: [0; 2],
        }
    }

    fn flush_one(&mut self) {
        if let Some(inside) = self.buffer[0] {
            self.inside = inside;
            self.buffer = [self.buffer[1], None];
        }
    }

    fn flush(&mut self) {
        self.flush_one();
        self.flush_one();
    }

    fn store_inside(&mut self, inside: bool) {
        if self.buffer[1].is_some() {
            self.flush_one();
        }
        let at = usize::from(self.buffer[0].is_some());
        self.buffer[at] = Some(inside);
    }

    fn asker_step(&self, asker: usize, mistake: Mistake) -> Option<State> {
        let mut next = self.clone();
        next.askers[asker] = match self.askers[asker] {
            // A handle exists from its generation on.
            Asker::Request if self.generation < ASKERS[asker] => return None,
            Asker::Request if self.generation != ASKERS[asker] && mistake != Mistake::NoGeneration => Asker::Done,
            Asker::Request if self.generation >= GENERATIONS => Asker::Done,
            Asker::Request => {
                if !self.requested {
                    next.made[usize::from(ASKERS[asker])] += 1;
                    next.asked = ASKERS[asker];
                }
                next.requested = true;
                Asker::Barrier
            }
            Asker::Barrier => {
                if mistake != Mistake::NoBarrier {
                    next.flush();
                }
                Asker::ReadThread
            }
            Asker::ReadThread if self.inside => Asker::Send,
            Asker::ReadThread => Asker::Wake,
            Asker::Send => {
                next.signal = true;
                Asker::Wake
            }
            Asker::Wake => {
                next.task_woken |= self.waker == Some(Whom::Task);
                next.thread_woken |= self.waker == Some(Whom::Thread);
                next.waker = None;
                next.noted &= mistake == Mistake::WakerNotMissed;
                Asker::Done
            }
            Asker::Done => return None,
        };
        Some(next)
    }

    fn ticker_step(&self, mistake: Mistake) -> Option<State> {
        let mut next = self.clone();
        next.ticker = match self.ticker {
            Ticker::Look if self.yields == 0 => return None,
            Ticker::Look if !self.watched && mistake != Mistake::NoLock => return None,
            Ticker::Look => {
                (next.yield_asked, next.yields) = (true, self.yields - 1);
                Ticker::Barrier
            }
            Ticker::Barrier => {
                if mistake != Mistake::NoBarrier {
                    next.flush();
                }
                Ticker::ReadThread
            }
            Ticker::ReadThread if self.inside => Ticker::Send,
            Ticker::ReadThread => Ticker::Look,
            Ticker::Send => {
                next.signal = true;
                Ticker::Look
            }
        };
        Some(next)
    }

    /// The signal arrives, wherever the owner is.
    fn delivered(&self, mistake: Mistake) -> State {
        let mut next = State { signal: false, ..self.clone() };
        next.flush();
        let Some(armed) = self.armed(mistake) else { return next };
        if self.requested {
            return next.leaving(mistake);
        }
        if self.yield_asked && self.heeds(mistake) && (armed == Armed::Guest || mistake != Mistake::YieldOnlyInGuest) {
            return next.yielding(armed != Armed::Before);
        }
        next
    }

    pub(crate) fn successors(&self, mistake: Mistake) -> Vec<Result<State, &'static str>> {
        let mut all = self.owner_steps(mistake);
        all.extend((0..ASKERS.len()).filter_map(|asker| self.asker_step(asker, mistake)).map(Ok));
        all.extend(self.ticker_step(mistake).map(Ok));
        if self.signal {
            all.push(Ok(self.delivered(mistake)));
        }
        if self.buffer[0].is_some() {
            let mut next = self.clone();
            next.flush_one();
            all.push(Ok(next));
        }
        all
    }

    /// What must hold of every state.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let settled = self.askers.iter().all(|asker| matches!(asker, Asker::Done | Asker::Request));
        let settled = settled && self.ticker == Ticker::Look;
        let quiet = settled && !self.signal && self.buffer[0].is_none();
        if quiet && self.yield_asked && self.owner == Owner::Guest && self.heeds(Mistake::None) {
            return Err("not heeded");
        }
        if self.yield_asked && !self.watched && self.owner == Owner::Idle {
            return Err("asked of what is over");
        }
        let stays = match self.owner {
            Owner::Guest => true,
            Owner::Asleep => !self.task_woken,
            Owner::Blocked => !self.thread_woken,
            _ => false,
        };
        if quiet && self.requested && stays {
            return Err("lost");
        }
        for g in 0..2 {
            let pending = u8::from(self.requested && usize::from(self.asked) == g);
            if self.made[g] != self.obeyed[g] + self.void[g] + pending {
                return Err("a request is neither obeyed nor void");
            }
        }
        Ok(())
    }
}
