//! What the owner of an arena does, step by step.

use super::{ENTRIES, GENERATIONS, Mistake, State, Ticker, Whom, Within};

/// Where the owner is. Armed are the tests and the guest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Owner {
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
    /// In a host call that waits on this thread: it is about to say that the thread is to be woken.
    Blocking,
    /// It tests the request then.
    BlockTest,
    Blocked,
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
    /// What it waits for is asked.
    Attempt,
    Asleep,
    /// It has read its generation, to begin the next.
    Renewing,
    Gone,
}

/// What comes after a watch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Then {
    Over,
    Again,
    Sleep,
}

/// Where it can be left at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Armed {
    Before,
    Guest,
    AfterCall,
}

type Steps = Vec<Result<State, &'static str>>;

impl State {
    pub(super) fn armed(&self, mistake: Mistake) -> Option<Armed> {
        match self.owner {
            Owner::EntryTest | Owner::Passing => (mistake != Mistake::ArmedAfterTest).then_some(Armed::Before),
            Owner::Guest => Some(Armed::Guest),
            Owner::AfterCallTest => Some(Armed::AfterCall),
            _ => None,
        }
    }

    /// Whether what is entered obeys a request to give way.
    pub(super) fn heeds(&self, mistake: Mistake) -> bool {
        self.parks && self.nested.is_none() || mistake == Mistake::HeedsAll
    }

    /// What the owner may do next.
    pub(super) fn owner_steps(&self, mistake: Mistake) -> Steps {
        let to = |owner| State { owner, ..self.clone() };
        let steps = match self.owner {
            Owner::Idle => self.polled(mistake).flat_map(|next| next.watched()).collect(),
            Owner::Watched => vec![self.entered()],
            Owner::EntryTest if self.requested && mistake != Mistake::NoTestOnEntry => vec![self.leaving(mistake)],
            Owner::EntryTest if self.yield_asked && self.heeds(mistake) => vec![self.yielding(false)],
            Owner::EntryTest => vec![to(Owner::Passing)],
            Owner::Passing if self.nested.is_some() => vec![to(Owner::Guest)],
            Owner::Passing if self.begun && !self.parked => return vec![Err("began again")],
            Owner::Passing => vec![State { begun: true, parked: false, ..to(Owner::Guest) }],
            Owner::Guest => self.guest_steps(mistake),
            Owner::Host => self.host_steps(),
            Owner::AfterCallTest if self.requested && mistake != Mistake::NoTestAfterCall => {
                vec![self.leaving(mistake)]
            }
            Owner::AfterCallTest if self.yield_asked && self.heeds(mistake) && mistake != Mistake::NoYieldAfterCall => {
                vec![self.yielding(true)]
            }
            Owner::AfterCallTest => vec![to(Owner::Guest)],
            Owner::Blocking | Owner::BlockTest | Owner::Blocked => self.block_steps(mistake),
            Owner::Leaving => {
                let mut next = self.clone();
                return vec![next.obey(mistake).map(|()| next)];
            }
            Owner::Yielding { reached } => {
                let mut next = self.clone();
                return vec![next.give_way(reached, mistake).map(|()| next)];
            }
            Owner::EndWatch(then) => self.end_watch(then, mistake),
            Owner::SetWaker | Owner::WaitTest | Owner::Attempt | Owner::Asleep => return self.wait_steps(mistake),
            Owner::Renewing => vec![self.renewed(mistake)],
            Owner::Gone => vec![],
        };
        steps.into_iter().map(Ok).collect()
    }

    /// A call is polled, by the task that has polled it last or by another.
    fn polled(&self, mistake: Mistake) -> impl Iterator<Item = State> {
        let same = State { task_woken: false, ..self.clone() };
        let mut other = same.clone();
        if mistake != Mistake::TaskKept {
            // Under a lock, if it is looked at.
            other.flush();
            (other.waker, other.noted) = (None, false);
        } else if other.waker == Some(Whom::Task) {
            other.waker = Some(Whom::OldTask);
        }
        [same, other].into_iter()
    }

    /// What is parked goes on, or an entry begins that can be parked or not.
    fn watched(self) -> impl Iterator<Item = State> {
        let kinds = if self.under_way { vec![self.parks] } else { vec![true, false] };
        let next = State { owner: Owner::Watched, watched: true, under_way: true, ..self };
        kinds.into_iter().map(move |parks| State { parks, ..next.clone() })
    }

    fn entered(&self) -> State {
        let mut next = State { owner: Owner::EntryTest, ..self.clone() };
        next.store_inside(true);
        next
    }

    /// A host function enters again; what waits for it is put back then.
    fn entered_within(&self, within: Within) -> Option<State> {
        let next = State { nested: Some(within), reentered: true, ..self.entered() };
        (!self.reentered).then_some(next)
    }

    /// Guest code is left: none is inside, or whoever was.
    fn say_left(&mut self, mistake: Mistake) {
        self.store_inside(self.nested == Some(Within::Call) && mistake != Mistake::OuterForgotten);
    }

    /// It is left, because of a request to end.
    pub(super) fn leaving(&self, mistake: Mistake) -> State {
        let mut next = State { owner: Owner::Leaving, ..self.clone() };
        next.say_left(mistake);
        next
    }

    pub(super) fn yielding(&self, reached: bool) -> State {
        let mut next = State { owner: Owner::Yielding { reached }, ..self.clone() };
        next.store_inside(false);
        next
    }

    /// An entry is over: the one within, or the one outside.
    fn end(&mut self) {
        match self.nested.take() {
            Some(Within::Call) => self.owner = Owner::Host,
            Some(Within::Attempt) => self.owner = Owner::Attempt,
            None => {
                (self.called, self.waited, self.reentered) = (false, false, false);
                (self.parked, self.begun, self.under_way) = (false, false, false);
                self.entries += 1;
                self.owner = Owner::EndWatch(Then::Over);
            }
        }
    }

    /// It may also stay where it is for ever: that is no step.
    fn guest_steps(&self, mistake: Mistake) -> Vec<State> {
        let mut returned = self.clone();
        returned.say_left(mistake);
        returned.end();
        let mut steps = vec![returned];
        if self.nested.is_some() {
            return steps;
        }
        if !self.called {
            steps.push(State { owner: Owner::Host, called: true, ..self.clone() });
        }
        if !self.waited && self.parks {
            // In a host call, or for its meter to be refilled.
            let mut waits = State { owner: Owner::SetWaker, waited: true, parked: true, ..self.clone() };
            waits.store_inside(false);
            steps.push(waits);
        }
        steps
    }

    /// In a host function: it returns, ends the call, enters again, or waits on this thread.
    fn host_steps(&self) -> Vec<State> {
        let mut failed = self.clone();
        failed.store_inside(false);
        failed.end();
        let mut steps = vec![State { owner: Owner::AfterCallTest, ..self.clone() }, failed];
        steps.extend(self.entered_within(Within::Call));
        if !self.waited {
            steps.push(State { owner: Owner::Blocking, waited: true, ..self.clone() });
        }
        steps
    }

    fn block_steps(&self, mistake: Mistake) -> Vec<State> {
        let to = |owner| State { owner, ..self.clone() };
        let early = mistake == Mistake::TestBeforeWaker;
        let tests = if early { Owner::Blocking } else { Owner::BlockTest };
        if self.owner == tests && self.requested {
            // The guest obeys it when it goes on.
            return vec![to(Owner::AfterCallTest)];
        }
        match self.owner {
            Owner::Blocking if early => vec![to(Owner::BlockTest)],
            Owner::Blocking => vec![self.thread_set(Owner::BlockTest, mistake)],
            Owner::BlockTest if early => vec![self.thread_set(Owner::Blocked, mistake)],
            Owner::BlockTest => vec![to(Owner::Blocked)],
            _ if self.thread_woken => vec![State { thread_woken: false, ..to(Owner::Blocking) }],
            // What it waits for comes, if ever.
            _ => vec![to(Owner::AfterCallTest)],
        }
    }

    fn wait_steps(&self, mistake: Mistake) -> Steps {
        let to = |owner| State { owner, ..self.clone() };
        let early = mistake == Mistake::TestBeforeWaker;
        let tests = if early { Owner::SetWaker } else { Owner::WaitTest };
        if self.owner == tests && self.requested {
            let mut next = self.clone();
            return vec![next.obey(mistake).map(|()| next)];
        }
        let steps = match self.owner {
            Owner::SetWaker if early => vec![to(Owner::WaitTest)],
            // A plain load.
            Owner::SetWaker if self.noted => vec![to(Owner::WaitTest)],
            Owner::SetWaker => vec![self.task_set(Owner::WaitTest)],
            Owner::WaitTest if early => vec![self.task_set(Owner::Attempt)],
            Owner::WaitTest => vec![to(Owner::Attempt)],
            Owner::Attempt => self.attempt_steps(),
            // Woken, or for no reason, on whatever thread.
            _ => self.polled(mistake).map(|next| State { owner: Owner::SetWaker, watched: true, ..next }).collect(),
        };
        steps.into_iter().map(Ok).collect()
    }

    /// What is waited for is there, so that guest code is entered again; or not yet; or ends the call; or enters again.
    fn attempt_steps(&self) -> Vec<State> {
        let mut failed = self.clone();
        failed.end();
        let pending = State { owner: Owner::EndWatch(Then::Sleep), ..self.clone() };
        let mut steps = vec![self.entered(), pending, failed];
        steps.extend(self.entered_within(Within::Attempt));
        steps
    }

    /// Under a lock: the store buffer is emptied.
    fn task_set(&self, owner: Owner) -> State {
        let mut next = State { waker: Some(Whom::Task), noted: true, task_woken: false, owner, ..self.clone() };
        next.flush();
        next
    }

    fn thread_set(&self, owner: Owner, mistake: Mistake) -> State {
        let noted = mistake == Mistake::ThreadForTask;
        let mut next = State { waker: Some(Whom::Thread), noted, thread_woken: false, owner, ..self.clone() };
        next.flush();
        next
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

    /// It gives way; what the stubs have not reached stays where it was.
    fn give_way(&mut self, reached: bool, mistake: Mistake) -> Result<(), &'static str> {
        if !self.heeds(Mistake::None) {
            return Err("gave way where it cannot");
        }
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

    /// A plain store of the next generation, over whatever came since the old was read.
    fn renewed(&self, mistake: Mistake) -> State {
        let mut next = State { waker: None, noted: false, entries: 0, ..self.clone() };
        next.flush();
        next.generation += 1;
        if mistake != Mistake::NotRenewed {
            next.void[usize::from(self.generation)] += u8::from(self.requested);
            (next.requested, next.yield_asked) = (false, false);
        }
        next.owner = if next.generation < GENERATIONS { Owner::Idle } else { Owner::Gone };
        next
    }
}
