//! The protocol of interruption (`src/interrupt.rs`) as a model, searched whole: every interleaving of an owner that
//! enters, calls the host, which may enter again, is suspended, gives way and goes on, is recycled, of askers, and of a
//! ticker that watches over its entries, with the owner's store buffer.
//!
//! The model is only as good as its steps: each names what it stands for. That it would find mistakes is shown by
//! making some.

mod state;

use std::collections::HashSet;

use state::{Asking, Mistake, State};

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
        (Mistake::OuterForgotten, lost),
        (Mistake::TaskKept, lost),
        (Mistake::ThreadForTask, lost),
    ];
    let of_yields = [
        (Mistake::NoYieldAfterCall, "not heeded"),
        (Mistake::YieldOnlyInGuest, "not heeded"),
        (Mistake::YieldTakesAll, "a request is neither obeyed nor void"),
        (Mistake::PlaceForgotten, "began again"),
        (Mistake::YieldLeft, "asked of what is over"),
        (Mistake::NoLock, "asked of what is over"),
        (Mistake::HeedsAll, "gave way where it cannot"),
    ];
    for (asking, mistakes) in [(Asking::ToEnd, &of_ends[..]), (Asking::ToGiveWay, &of_yields)] {
        for (mistake, found) in mistakes {
            assert_eq!(search(*mistake, asking), Err(*found), "{mistake:?}");
        }
    }
}
