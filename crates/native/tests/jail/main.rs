//! The jail, tried from within. Each deed runs in a child of its own: this very program, started again with the deed's
//! name. It enters the jail, does the deed, and says what came of it.

mod confined;
mod deeds;

use std::process::{Command, Output};

use libtest_mimic::{Arguments, Failed, Trial};

/// Set in a child: which deed to do.
const DEED: &str = "SELVEDGE_JAIL_DEED";
/// And what it is told: the directory it was granted, or a size.
const ABOUT: &str = "SELVEDGE_JAIL_ABOUT";

fn main() {
    if let Ok(deed) = std::env::var(DEED) {
        return deeds::child(&deed);
    }
    let mut arguments = Arguments::from_args();
    // Children are started all the time; a few at once will do.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let mut trials: Vec<Trial> =
        deeds::TABLE.iter().map(|deed| Trial::test(deed.name, || deeds::check(deed))).collect();
    trials.extend(confined::trials());
    libtest_mimic::run(&arguments, trials).exit()
}

/// This program, to be started as a child that does a deed.
fn child(deed: &str, about: &str) -> Result<Output, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.env_clear().env(DEED, deed).env(ABOUT, about).output()?)
}

fn ensure(good: bool, problem: impl FnOnce() -> String) -> Result<(), Failed> {
    if good { Ok(()) } else { Err(problem().into()) }
}
