//! The protocol of interruption (`src/interrupt.rs`) as a model, searched whole: every interleaving of an owner that
//! enters, calls the host, is suspended, is recycled, and of askers, with the owner's store buffer.
//!
//! The model is only as good as its steps: each names what it stands for. That it would find mistakes is shown by
//! making some.

use std::collections::HashSet;

/// Entries, each with at most one host call that returns and one that suspends, in each generation.
const ENTRIES: u8 = 2;
const GENERATIONS: u8 = 2;
/// Askers by the generation that their handles are for.
const ASKERS: [u8; 3] = [0, 0, 1];

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
}

/// Where the owner is. Armed are the tests and the guest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Owner {
    /// Outside, before it says that it is inside.
    Idle,
    /// In the stub: the test on the way in.
    EntryTest,
    /// Between that test and guest code.
    Passing,
    Guest,
    Host,
    AfterCallTest,
    /// Left because of the request, which is not taken yet.
    Leaving,
    /// Suspended: it is about to say whom to wake.
    SetWaker,
    /// It tests the request then.
    WaitTest,
    Asleep,
    /// It has read its generation, to begin the next.
    Renewing,
    Gone,
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
    woken: bool,
    owner: Owner,
    entries: u8,
    called: bool,
    suspended: bool,
    askers: [Asker; ASKERS.len()],
    /// Bookkeeping of the proof: whom the request is for; requests made, obeyed, void, by generation.
    asked: u8,
    made: [u8; 2],
    obeyed: [u8; 2],
    void: [u8; 2],
}

impl State {
    fn new() -> State {
        State {
            requested: false,
            generation: 0,
            inside: false,
            buffer: [None; 2],
            signal: false,
            waker: false,
            woken: false,
            owner: Owner::Idle,
            entries: 0,
            called: false,
            suspended: false,
            askers: [Asker::Request; ASKERS.len()],
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
        (self.entries, self.called, self.suspended) = (self.entries + 1, false, false);
        self.owner = if self.entries < ENTRIES { Owner::Idle } else { Owner::Renewing };
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
            Owner::Idle => {
                let mut enter = to(Owner::EntryTest);
                enter.store_inside(true);
                vec![enter]
            }
            Owner::EntryTest if self.requested && mistake != Mistake::NoTestOnEntry => vec![leave()],
            Owner::EntryTest => vec![to(Owner::Passing)],
            Owner::Passing => vec![to(Owner::Guest)],
            Owner::Guest => self.guest_steps(),
            Owner::Host => vec![to(Owner::AfterCallTest)],
            Owner::AfterCallTest if self.requested && mistake != Mistake::NoTestAfterCall => vec![leave()],
            Owner::AfterCallTest => vec![to(Owner::Guest)],
            Owner::Leaving => {
                let mut next = self.clone();
                return vec![next.obey(mistake).map(|()| next)];
            }
            Owner::SetWaker if mistake == Mistake::TestBeforeWaker && self.requested => {
                return self.waiter_obeys(mistake);
            }
            Owner::SetWaker if mistake == Mistake::TestBeforeWaker => vec![to(Owner::WaitTest)],
            Owner::SetWaker => vec![self.waker_set(Owner::WaitTest)],
            Owner::WaitTest if mistake == Mistake::TestBeforeWaker => vec![self.waker_set(Owner::Asleep)],
            Owner::WaitTest if self.requested => return self.waiter_obeys(mistake),
            Owner::WaitTest => vec![to(Owner::Asleep)],
            // What it waits for comes, if ever; then it enters again, perhaps elsewhere.
            Owner::Asleep if self.woken => vec![to(Owner::SetWaker), to(Owner::Idle)],
            Owner::Asleep => vec![to(Owner::Idle)],
            Owner::Renewing => vec![self.renewed(mistake)],
            Owner::Gone => vec![],
        };
        steps.into_iter().map(Ok).collect()
    }

    /// Under a lock: the store buffer is emptied.
    fn waker_set(&self, owner: Owner) -> State {
        let mut next = State { waker: true, woken: false, owner, ..self.clone() };
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
            let mut waits = State { owner: Owner::SetWaker, suspended: true, ..self.clone() };
            waits.store_inside(false);
            steps.push(waits);
        }
        steps
    }

    /// A plain store of the next generation, over whatever came since the old was read.
    fn renewed(&self, mistake: Mistake) -> State {
        let mut next = State { waker: false, entries: 0, ..self.clone() };
        next.flush();
        next.generation += 1;
        if mistake != Mistake::NotRenewed {
            next.void[usize::from(self.generation)] += u8::from(self.requested);
            next.requested = false;
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
                Asker::Done
            }
            Asker::Done => return None,
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
        }
        next
    }

    fn successors(&self, mistake: Mistake) -> Vec<Result<State, &'static str>> {
        let mut all = self.owner_steps(mistake);
        all.extend((0..ASKERS.len()).filter_map(|asker| self.asker_step(asker, mistake)).map(Ok));
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
        let quiet = settled && !self.signal && self.buffer[0].is_none();
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
fn search(mistake: Mistake) -> Result<usize, &'static str> {
    let mut seen = HashSet::from([State::new()]);
    let mut open = vec![State::new()];
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
    let states = search(Mistake::None).unwrap();
    assert!(states > 10_000, "the search is not vain: {states} states");
    println!("{states} states");
}

#[test]
fn the_model_finds_each_mistake() {
    let lost = "lost";
    for (mistake, found) in [
        (Mistake::NoBarrier, lost),
        (Mistake::NoTestOnEntry, lost),
        (Mistake::NoTestAfterCall, lost),
        (Mistake::ArmedAfterTest, lost),
        (Mistake::TestBeforeWaker, lost),
        (Mistake::NotTaken, "a request is neither obeyed nor void"),
        (Mistake::NoGeneration, "obeyed by a later generation"),
        (Mistake::NotRenewed, "obeyed by a later generation"),
    ] {
        assert_eq!(search(mistake), Err(found), "{mistake:?}");
    }
}
