//! A broker has work done for a client that starts no processes.

use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use selvedge_native::jail::{Broker, BrokerError, Confined, Jail, serve, serve_broker};

const MEMORY: u64 = 64 << 20;
const OUTPUT: usize = 1 << 20;

/// The child's part: a broker whose children do a deed, or one of those.
pub(crate) fn child(deed: &str) {
    if let Some(deed) = deed.strip_prefix("broker:") {
        let wall = if deed == "sleeps" { Duration::from_millis(300) } else { Duration::from_secs(60) };
        let work = Confined::new("/proc/self/exe", OUTPUT, wall).args([crate::DEED_ARGUMENT, deed]);
        let work = if deed == "nothing" { Confined::new("/bin/sh", OUTPUT, wall) } else { work };
        serve_broker(&work, OUTPUT, 2, false).expect("the broker serves");
        return;
    }
    let _ = serve(&Jail::new(MEMORY, 1), false, OUTPUT, |input| match deed {
        "reverses" => Ok(input.iter().rev().copied().collect()),
        "refuses" => Err("not pleased".into()),
        "eats" => Ok(vec![1; 2 * MEMORY as usize]),
        "steals" => std::fs::read("/etc/passwd").map_err(|error| error.to_string()),
        _ => {
            std::thread::sleep(Duration::from_secs(600));
            Ok(vec![])
        }
    });
}

/// One whose children do a deed.
pub(crate) fn broker(deed: &str) -> Result<Broker, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([crate::DEED_ARGUMENT, &format!("broker:{deed}")]);
    Ok(Broker::start(command)?)
}

type Check = fn(Result<Vec<u8>, BrokerError>) -> bool;

#[rustfmt::skip]
const TABLE: &[(&str, Check)] = &[
    ("reverses", |answer| answer.is_ok_and(|answer| answer == b"fedcba")),
    ("refuses", |answer| matches!(answer, Err(BrokerError::Refused(why)) if why == "not pleased")),
    ("eats", |answer| matches!(answer, Err(BrokerError::Refused(why)) if why.contains("cap on memory"))),
    ("steals", |answer| matches!(answer, Err(BrokerError::Refused(why)) if why.contains("not permitted"))),
    ("sleeps", |answer| matches!(answer, Err(BrokerError::Late))),
    // Another program than its own is not the broker's to run.
    ("nothing", |answer| matches!(answer, Err(BrokerError::Unable(why)) if why.contains("Permission denied"))),
];

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let table = TABLE.iter().map(|(deed, check)| {
        Trial::test(format!("broker::{deed}"), || {
            let answer = broker(deed)?.run(b"abcdef", OUTPUT);
            let shown = format!("{answer:?}");
            crate::ensure(check(answer), || shown)
        })
    });
    let others = [
        Trial::test("broker::several_at_once", several_at_once),
        Trial::test("broker::gone", gone),
        Trial::test("broker::input_larger_than_it_may_be", larger),
    ];
    table.chain(others)
}

fn several_at_once() -> Result<(), Failed> {
    let broker = broker("reverses")?;
    let ask = |i: u8| broker.run(&[i, b'x'], OUTPUT).is_ok_and(|answer| answer == [b'x', i]);
    let good = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|i| scope.spawn(move || ask(i))).collect();
        asked.into_iter().all(|asked| asked.join().is_ok_and(|good| good))
    });
    crate::ensure(good, || "not each got its own answer".into())
}

fn gone() -> Result<(), Failed> {
    let mut command = Command::new("/bin/true");
    command.arg("at once");
    let answer = Broker::start(command)?.run(&[0; 1 << 20], OUTPUT);
    crate::ensure(matches!(answer, Err(BrokerError::Gone(_))), || format!("{answer:?}"))
}

fn larger() -> Result<(), Failed> {
    let answer = broker("reverses")?.run(&vec![0; 4 * OUTPUT], OUTPUT);
    crate::ensure(matches!(&answer, Err(BrokerError::Refused(why)) if why.contains("larger")), || format!("{answer:?}"))
}
