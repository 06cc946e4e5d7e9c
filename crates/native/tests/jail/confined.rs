//! Parent and child: whatever becomes of the child, the parent gets an answer that says what it was.

use std::io::Write;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use selvedge_native::jail::{Answer, Confined, ConfinedError, Jail, serve};

const MEMORY: u64 = 64 << 20;
const OUTPUT: usize = 1 << 20;

/// Children by name.
pub(crate) const CHILDREN: &[(&str, fn())] = &[
    ("reverses", || served(|input| Ok(input.iter().rev().copied().collect()))),
    ("refuses", || served(|input| Err(format!("{} bytes do not please me", input.len())))),
    ("eats", || served(|_| Ok(vec![1; 2 * MEMORY as usize]))),
    ("spins", || {
        served(|_| {
            loop {
                std::hint::black_box(0);
            }
        })
    }),
    ("sleeps", || {
        served(|_| {
            std::thread::sleep(Duration::from_secs(600));
            Ok(vec![])
        })
    }),
    ("babbles", || served(|_| Ok(vec![b'x'; OUTPUT + 1]))),
    ("complains", || {
        served(|_| {
            (0..100_000).for_each(|i| eprintln!("complaint {i}"));
            Ok(vec![b'x'])
        })
    }),
    ("panics", || served(|_| panic!("at the disco"))),
    ("aborts", || served(|_| std::process::abort())),
    ("leaves", || served(|_| std::process::exit(0))),
    ("steals", || served(|_| std::fs::read("/etc/passwd").map_err(|error| error.to_string()))),
    ("reads_descriptor_9", || served(|_| read_descriptor(9))),
    ("free", || println!("+I am not jailed, but here is your output")),
    ("exits", || std::process::exit(7)),
    ("waits_unjailed", || std::thread::sleep(Duration::from_secs(600))),
    ("granted_nothing_there", || {
        let jail = Jail::new(MEMORY, 5).read("/nowhere/at/all");
        let _ = serve(&jail, false, OUTPUT, |_| Ok(vec![]));
    }),
];

fn served(work: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>) {
    let _ = serve(&Jail::new(MEMORY, 1), false, OUTPUT, work);
}

fn read_descriptor(number: i32) -> Result<Vec<u8>, String> {
    let mut bytes = [0; 6];
    // SAFETY: the buffer is as long as it says, and lives on.
    let read = unsafe { libc::read(number, bytes.as_mut_ptr().cast(), bytes.len()) };
    if read < 0 { Err(std::io::Error::last_os_error().to_string()) } else { Ok(bytes.to_vec()) }
}

type Check = fn(Result<Answer, ConfinedError>) -> bool;

/// Those that use up CPU time may wait long for it.
const LONG: Duration = Duration::from_secs(600);

#[rustfmt::skip]
const TABLE: &[(&str, Duration, Check)] = &[
    ("reverses", LONG, |answer| answer.is_ok_and(|answer| answer.output == b"fedcba" && answer.said.is_empty())),
    ("refuses", LONG, |answer| matches!(answer, Err(ConfinedError::Refused(why)) if why == "6 bytes do not please me")),
    ("eats", LONG, |answer| matches!(answer, Err(ConfinedError::Memory))),
    ("spins", LONG, |answer| matches!(answer, Err(ConfinedError::Cpu))),
    ("sleeps", Duration::from_millis(500), |answer| matches!(answer, Err(ConfinedError::Wall(_)))),
    ("babbles", LONG, |answer| matches!(answer, Err(ConfinedError::Output(OUTPUT)))),
    ("complains", LONG, |answer| answer.is_ok_and(|answer| answer.said.starts_with("complaint 0") && answer.said.len() == 64 << 10)),
    ("panics", LONG, |answer| matches!(answer, Err(ConfinedError::Crashed { said, .. }) if said.contains("at the disco"))),
    ("aborts", LONG, |answer| matches!(answer, Err(ConfinedError::Crashed { how, .. }) if how.contains("SIGABRT"))),
    ("leaves", LONG, |answer| matches!(answer, Err(ConfinedError::Crashed { how, .. }) if how == "without an answer")),
    ("steals", LONG, |answer| matches!(answer, Err(ConfinedError::Refused(why)) if why.contains("not permitted"))),
    ("free", LONG, |answer| matches!(answer, Err(ConfinedError::NotJailed { .. }))),
    ("exits", LONG, |answer| matches!(answer, Err(ConfinedError::NotJailed { how, .. }) if how.contains('7'))),
    ("waits_unjailed", Duration::from_millis(500), |answer| matches!(answer, Err(ConfinedError::Wall(_)))),
    ("granted_nothing_there", LONG, |answer| matches!(answer, Err(ConfinedError::Unjailed(why)) if why.contains("/nowhere/at/all"))),
];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> =
        TABLE.iter().map(|(name, wall, check)| Trial::test(*name, || run(name, *wall, *check))).collect();
    trials.push(Trial::test("no_program", || {
        let answer = Confined::new("/nowhere/selvedge", OUTPUT, LONG).run(b"");
        crate::ensure(matches!(answer, Err(ConfinedError::Start { .. })), || format!("{answer:?}"))
    }));
    trials.push(Trial::test("input_larger_than_it_may_be", || {
        let answer = confined("reverses", LONG)?.run(&vec![b'x'; OUTPUT + 1]);
        crate::ensure(matches!(&answer, Err(ConfinedError::Refused(why)) if why.contains("larger")), || {
            format!("{answer:?}")
        })
    }));
    trials.push(Trial::test("inherited_files_are_closed", inherited));
    trials
}

fn run(name: &str, wall: Duration, check: Check) -> Result<(), Failed> {
    let answer = confined(name, wall)?.run(b"abcdef");
    let shown = format!("{answer:?}");
    crate::ensure(check(answer), || shown)
}

/// The environment is not the child's to have: its deed comes as an argument, by way of a shell.
fn confined(name: &str, wall: Duration) -> Result<Confined, Failed> {
    let this = std::env::current_exe()?;
    let line = format!("{}={name} exec {}", crate::DEED, this.display());
    Ok(Confined::new("/bin/sh", OUTPUT, wall).arg("-c").arg(line))
}

/// A descriptor that the parent leaks to the child is of no use there.
fn inherited() -> Result<(), Failed> {
    let this = std::env::current_exe()?;
    let mut secret = tempfile::NamedTempFile::new()?;
    secret.write_all(b"secret")?;
    let line = format!("{}=reads_descriptor_9 exec {} 9<{}", crate::DEED, this.display(), secret.path().display());
    let answer = Confined::new("/bin/sh", OUTPUT, LONG).arg("-c").arg(line).run(b"");
    crate::ensure(matches!(&answer, Err(ConfinedError::Refused(why)) if why.contains("Bad file")), || {
        format!("{answer:?}")
    })
}
