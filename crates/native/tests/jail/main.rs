//! The jail, tried from within. Each deed runs in a child of its own: this very program, started again with the deed's
//! name. It enters the jail, does the deed, and says what came of it.

mod broker;
mod confined;
mod deeds;
mod dialer;
mod dialing;
mod layers;
mod rules;
mod serving;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

/// Set in a child: which deed to do.
const DEED: &str = "SELVEDGE_JAIL_DEED";
/// Said on the command line of a child whose environment is not its own: the deed follows.
const DEED_ARGUMENT: &str = "--deed";
/// And what it is told: the directory it was granted, or a size.
const ABOUT: &str = "SELVEDGE_JAIL_ABOUT";

/// A child that takes longer hangs. Those that use up CPU time may wait long for it.
const CHILD_MAX: Duration = Duration::from_secs(600);

fn main() {
    if let Ok(deed) = std::env::var(DEED) {
        return deeds::child(&deed);
    }
    if std::env::args().nth(1).is_some_and(|argument| argument == DEED_ARGUMENT) {
        let deed = std::env::args().nth(2).expect("the deed follows");
        return match deed.strip_prefix("dialer:") {
            Some(address) => dialer::child(address),
            None => broker::child(&deed),
        };
    }
    let mut arguments = Arguments::from_args();
    // Children are started all the time; a few at once will do.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let deeds = deeds::TABLE.iter().chain(serving::TABLE).chain(dialing::TABLE);
    let mut trials: Vec<Trial> = deeds.map(|deed| Trial::test(deed.name, || deeds::check(deed))).collect();
    trials.extend(confined::trials());
    trials.extend(layers::trials());
    trials.extend(rules::trials());
    trials.extend(broker::trials());
    trials.extend(dialer::trials());
    libtest_mimic::run(&arguments, trials).exit()
}

/// This program, started as a child that does a deed; what it said, if it ends.
fn child(deed: &str, about: &str) -> Result<Output, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env_clear().env(DEED, deed).env(ABOUT, about);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let end = Instant::now() + CHILD_MAX;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            child.kill()?;
            return Err(format!("it hangs, and said {:?}", child.wait_with_output()?).into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(child.wait_with_output()?)
}

fn ensure(good: bool, problem: impl FnOnce() -> String) -> Result<(), Failed> {
    if good { Ok(()) } else { Err(problem().into()) }
}
