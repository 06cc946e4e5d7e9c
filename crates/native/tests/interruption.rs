//! The protocol of interruption (`src/interrupt.rs`) as a model, searched whole: every interleaving of an owner that
//! enters, calls the host, is suspended, gives way and goes on, is recycled, of askers, and of a ticker that watches over
//! its entries, with the owner's store buffer.
//!
//! The model is only as good as its steps: each names what it stands for. That it would find mistakes is shown by
//! making some.

use std::collections::HashSet;

/// Entries, each with at most one host call that returns and one that suspends, in each generation.
const ENTRIES: u8 = 2;
const GENERATIONS: u8 = 2;
/// Askers by the generation that their handles are for.
const ASKERS: [u8; 3] = [0, 0, 1];

/// Who asks: all of them at once are too many to look at.
#[derive(Clone, Copy, Debug)]
enum Asking {
    /// All askers, and no ticker.
    ToEnd,
    /// The last two, and the ticker twice.
    ToGiveWay,
}

/// A mistake in the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mistake {
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
}

/// Where the owner is. Armed are the tests and the guest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Owner {
    /// Outside.
    Idle,
    /// Watched over, before it says that it is inside.
    Watched,
    /// In the stub: the test on the way in.
    EntryTest,
    /// Between that test and guest code.
    Passing,
    Guest,
    Host,
    AfterCallTest,
    /// Left because of the request, which is not taken yet.
    Leaving,
    /// Left to go on later, which is not noted yet; from guest code, or from the stubs before it.
    Yielding {
        reached: bool,
    },
    /// Its watch is about to end.
    EndWatch(Then),
    /// Suspended: it is about to say whom to wake.
    SetWaker,
    /// It tests the request then.
    WaitTest,
    Asleep,
    /// It has read its generation, to begin the next.
    Renewing,
    Gone,
}

/// What comes after a watch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Then {
    Over,
    Again,
    Sleep,
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

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    requested: bool,
    generation: u8,
    /// What askers see of the owner's thread number.
    inside: bool,
    /// The owner's stores of it that nobody else sees yet, oldest first.
    buffer: [Option<bool>; 2],
    /// A signal is on its way to the owner's thread.
    signal: bool,
    waker: bool,
    /// What the owner believes of that, without a look.
    noted: bool,
    woken: bool,
    owner: Owner,
    entries: u8,
    called: bool,
    suspended: bool,
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
    fn new(asking: Asking) -> State {
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
            waker: false,
            noted: false,
            woken: false,
            owner: Owner::Idle,
            entries: 0,
            called: false,
            suspended: false,
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

    fn armed(&self, mistake: Mistake) -> bool {
        match self.owner {
            Owner::EntryTest | Owner::Passing => mistake != Mistake::ArmedAfterTest,
            Owner::Guest | Owner::AfterCallTest => true,
            _ => false,
        }
    }

    /// An entry is over.
    fn end(&mut self) {
        (self.called, self.suspended, self.parked, self.begun) = (false, false, false, false);
        self.entries += 1;
        self.owner = Owner::EndWatch(Then::Over);
    }

    /// It gives way; what the stubs have not reached stays where it was.
    fn give_way(&mut self, reached: bool, mistake: Mistake) -> Result<(), &'static str> {
        // Found on a way that can end, an end comes first.
        if !reached && self.requested {
            return self.obey(mistake);
        }
        self.flush();
        if !self.yield_asked {
            return Err("gave way unasked");
        }
        self.yield_asked = false;
        self.requested &= mistake != Mistake::YieldTakesAll;
        self.parked = reached || (self.parked && mistake != Mistake::PlaceForgotten);
        self.owner = Owner::EndWatch(Then::Again);
        Ok(())
    }

    fn end_watch(&self, then: Then, mistake: Mistake) -> Vec<State> {
        if self.ticker != Ticker::Look && mistake != Mistake::NoLock {
            return vec![];
        }
        let mut next = State { watched: false, ..self.clone() };
        next.flush();
        next.yield_asked &= mistake == Mistake::YieldLeft;
        next.owner = match then {
            Then::Over if self.entries < ENTRIES => Owner::Idle,
            Then::Over => Owner::Renewing,
            Then::Again => Owner::Idle,
            Then::Sleep => Owner::Asleep,
        };
        vec![next]
    }

    /// Takes the request: a locked operation, so it empties the store buffer.
    fn obey(&mut self, mistake: Mistake) -> Result<(), &'static str> {
        self.flush();
        if self.asked != self.generation {
            return Err("obeyed by a later generation");
        }
        self.obeyed[usize::from(self.generation)] += 1;
        if self.obeyed > self.made {
            return Err("obeyed twice");
        }
        self.requested = mistake == Mistake::NotTaken;
        self.end();
        Ok(())
    }

    /// What the owner may do next.
    fn owner_steps(&self, mistake: Mistake) -> Vec<Result<State, &'static str>> {
        let to = |owner| State { owner, ..self.clone() };
        let leave = || {
            let mut next = to(Owner::Leaving);
            next.store_inside(false);
            next
        };
        let steps = match self.owner {
            Owner::Idle => vec![State { watched: true, ..to(Owner::Watched) }],
            Owner::Watched => {
                let mut enter = to(Owner::EntryTest);
                enter.store_inside(true);
                vec![enter]
            }
            Owner::EntryTest if self.requested && mistake != Mistake::NoTestOnEntry => vec![leave()],
            Owner::EntryTest if self.yield_asked => vec![self.yielding(false)],
            Owner::EntryTest => vec![to(Owner::Passing)],
            Owner::Passing if self.begun && !self.parked => return vec![Err("began again")],
            Owner::Passing => vec![State { begun: true, parked: false, ..to(Owner::Guest) }],
            Owner::Guest => self.guest_steps(),
            Owner::Host => vec![to(Owner::AfterCallTest)],
            Owner::AfterCallTest if self.requested && mistake != Mistake::NoTestAfterCall => vec![leave()],
            Owner::AfterCallTest if self.yield_asked && mistake != Mistake::NoYieldAfterCall => {
                vec![self.yielding(true)]
            }
            Owner::AfterCallTest => vec![to(Owner::Guest)],
            Owner::Yielding { reached } => {
                let mut next = self.clone();
                return vec![next.give_way(reached, mistake).map(|()| next)];
            }
            Owner::EndWatch(then) => self.end_watch(then, mistake),
            Owner::Leaving => {
                let mut next = self.clone();
                return vec![next.obey(mistake).map(|()| next)];
            }
            Owner::SetWaker if mistake == Mistake::TestBeforeWaker && self.requested => {
                return self.waiter_obeys(mistake);
            }
            Owner::SetWaker if mistake == Mistake::TestBeforeWaker => vec![to(Owner::WaitTest)],
            // A plain load.
            Owner::SetWaker if self.noted => vec![to(Owner::WaitTest)],
            Owner::SetWaker => vec![self.waker_set(Owner::WaitTest)],
            Owner::WaitTest if mistake == Mistake::TestBeforeWaker => {
                vec![self.waker_set(Owner::EndWatch(Then::Sleep))]
            }
            Owner::WaitTest if self.requested => return self.waiter_obeys(mistake),
            Owner::WaitTest => vec![to(Owner::EndWatch(Then::Sleep))],
            // What it waits for comes, if ever; then it enters again, perhaps elsewhere.
            Owner::Asleep if self.woken => {
                [Owner::SetWaker, Owner::Idle].map(|owner| State { woken: false, ..to(owner) }).to_vec()
            }
            Owner::Asleep => vec![to(Owner::Idle)],
            Owner::Renewing => vec![self.renewed(mistake)],
            Owner::Gone => vec![],
        };
        steps.into_iter().map(Ok).collect()
    }

    fn yielding(&self, reached: bool) -> State {
        let mut next = State { owner: Owner::Yielding { reached }, ..self.clone() };
        next.store_inside(false);
        next
    }

    /// Under a lock: the store buffer is emptied.
    fn waker_set(&self, owner: Owner) -> State {
        let mut next = State { waker: true, noted: true, woken: false, owner, ..self.clone() };
        next.flush();
        next
    }

    fn waiter_obeys(&self, mistake: Mistake) -> Vec<Result<State, &'static str>> {
        let mut next = self.clone();
        vec![next.obey(mistake).map(|()| next)]
    }

    /// It may also stay where it is for ever: that is no step.
    fn guest_steps(&self) -> Vec<State> {
        let mut returned = self.clone();
        returned.store_inside(false);
        returned.end();
        let mut steps = vec![returned];
        if !self.called {
            steps.push(State { owner: Owner::Host, called: true, ..self.clone() });
        }
        if !self.suspended {
            let mut waits = State { owner: Owner::SetWaker, suspended: true, parked: true, ..self.clone() };
            waits.store_inside(false);
            steps.push(waits);
        }
        steps
    }

    /// A plain store of the next generation, over whatever came since the old was read.
    fn renewed(&self, mistake: Mistake) -> State {
        let mut next = State { waker: false, noted: false, entries: 0, ..self.clone() };
        next.flush();
        next.generation += 1;
        if mistake != Mistake::NotRenewed {
            next.void[usize::from(self.generation)] += u8::from(self.requested);
            (next.requested, next.yield_asked) = (false, false);
        }
        next.owner = if next.generation < GENERATIONS { Owner::Idle } else { Owner::Gone };
        next
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
            Asker::ReadThread => {
                if self.inside {
                    Asker::Send
                } else {
                    Asker::Wake
                }
            }
            Asker::Send => {
                next.signal = true;
                Asker::Wake
            }
            Asker::Wake => {
                next.woken |= self.waker;
                next.waker = false;
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
        if self.armed(mistake) && self.requested {
            next.owner = Owner::Leaving;
            next.store_inside(false);
        } else if self.armed(mistake) && self.yield_asked {
            let before = matches!(self.owner, Owner::EntryTest | Owner::Passing);
            if self.owner == Owner::Guest || mistake != Mistake::YieldOnlyInGuest {
                return next.yielding(!before);
            }
        }
        next
    }

    fn successors(&self, mistake: Mistake) -> Vec<Result<State, &'static str>> {
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
    fn check(&self) -> Result<(), &'static str> {
        let settled = self.askers.iter().all(|asker| matches!(asker, Asker::Done | Asker::Request));
        let settled = settled && self.ticker == Ticker::Look;
        let quiet = settled && !self.signal && self.buffer[0].is_none();
        if quiet && self.yield_asked && self.owner == Owner::Guest {
            return Err("not heeded");
        }
        if self.yield_asked && !self.watched && self.owner == Owner::Idle {
            return Err("asked of what is over");
        }
        let stays = self.owner == Owner::Guest || (self.owner == Owner::Asleep && !self.woken);
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

/// Looks at every state that can be reached; how many there are, or what is wrong with one.
fn search(mistake: Mistake, asking: Asking) -> Result<usize, &'static str> {
    let mut seen = HashSet::from([State::new(asking)]);
    let mut open = vec![State::new(asking)];
    while let Some(state) = open.pop() {
        state.check()?;
        for next in state.successors(mistake) {
            let next = next?;
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn no_request_is_lost_obeyed_twice_or_by_a_later_generation() {
    for asking in [Asking::ToEnd, Asking::ToGiveWay] {
        let states = search(Mistake::None, asking).unwrap();
        assert!(states > 10_000, "the search is not vain: {states} states");
        println!("{asking:?}: {states} states");
    }
}

#[test]
fn the_model_finds_each_mistake() {
    let lost = "lost";
    let of_ends = [
        (Mistake::NoBarrier, lost),
        (Mistake::NoTestOnEntry, lost),
        (Mistake::NoTestAfterCall, lost),
        (Mistake::ArmedAfterTest, lost),
        (Mistake::TestBeforeWaker, lost),
        (Mistake::WakerNotMissed, lost),
        (Mistake::NotTaken, "a request is neither obeyed nor void"),
        (Mistake::NoGeneration, "obeyed by a later generation"),
        (Mistake::NotRenewed, "obeyed by a later generation"),
    ];
    let of_yields = [
        (Mistake::NoYieldAfterCall, "not heeded"),
        (Mistake::YieldOnlyInGuest, "not heeded"),
        (Mistake::YieldTakesAll, "a request is neither obeyed nor void"),
        (Mistake::PlaceForgotten, "began again"),
        (Mistake::YieldLeft, "asked of what is over"),
        (Mistake::NoLock, "asked of what is over"),
    ];
    for (asking, mistakes) in [(Asking::ToEnd, &of_ends[..]), (Asking::ToGiveWay, &of_yields)] {
        for (mistake, found) in mistakes {
            assert_eq!(search(*mistake, asking), Err(*found), "{mistake:?}");
        }
    }
}
