//! A dialer connects for a client that makes no sockets: to one address, or to what it finds right.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::process::Command;
use std::thread::{ScopedJoinHandle, scope};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use selvedge_native::jail::{ASK_BYTES_MAX, Dialer, DialerJail, connect, serve_dialer};

use crate::ensure;

/// What nobody waits for so long.
const LONG: Duration = Duration::from_secs(60);
/// Threads of a dialer that has several.
const THREADS: usize = 3;

/// The child's part: a dialer to an address, one that does as it is asked, or a process that ends at once.
pub(crate) fn child(kind: &str) {
    let jail = |threads| DialerJail::to_any_port().threads(NonZeroUsize::new(threads).expect("it is not 0"));
    let served = match kind {
        "ends" => Ok(()),
        "one" => serve_dialer(&jail(1), false, obey),
        "several" => serve_dialer(&jail(THREADS), false, obey),
        address => serve_dialer(&DialerJail::new(address), false, |_| to(address)),
    };
    served.expect("the dialer serves");
}

fn obey(ask: &str) -> Result<TcpStream> {
    let (verb, address) = ask.split_once(' ').unwrap_or((ask, ""));
    match verb {
        "to" => to(address),
        // Until who took it says so.
        "slowly" => {
            let connection = to(address)?;
            connection.set_nonblocking(false)?;
            (&connection).read_exact(&mut [0])?;
            Ok(connection)
        }
        "abroad" => connect(split(address).0, split(address).1, LONG, |address| !address.is_loopback()),
        "process" => Err(Error::other(std::process::id().to_string())),
        "long" => Err(Error::other("a".repeat(2000))),
        _ => panic!("nothing is known of {ask}"),
    }
}

fn to(address: &str) -> Result<TcpStream> {
    connect(split(address).0, split(address).1, LONG, |_| true)
}

fn split(address: &str) -> (&str, u16) {
    let (host, port) = address.rsplit_once(':').expect("it has a port");
    (host, port.parse().expect("a port is a number"))
}

pub(crate) fn dialer(kind: &str) -> std::result::Result<Dialer, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([crate::DEED_ARGUMENT, &format!("dialer:{kind}")]);
    Ok(Dialer::start(command)?)
}

/// A listener, and its address.
fn listener() -> std::result::Result<(TcpListener, String), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    Ok((listener, address))
}

/// Why there was no connection.
fn refused(dialed: Result<TcpStream>) -> (ErrorKind, String) {
    dialed.map_or_else(|error| (error.kind(), error.to_string()), |_| (ErrorKind::Other, "there is one".into()))
}

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    [
        Trial::test("dialer::connects", connects),
        Trial::test("dialer::says_why_not", says_why_not),
        Trial::test("dialer::connects_to_nothing_that_is_not_accepted", accepts),
        Trial::test("dialer::makes_others_while_one_is_slow", slow),
        Trial::test("dialer::follows_no_ask_that_nobody_waits_for", asker_gone),
        Trial::test("dialer::holds_so_many_asks_and_says_so", too_many),
        Trial::test("dialer::survives_a_bug", survives),
        Trial::test("dialer::gone", gone),
        Trial::test("dialer::killed", killed),
        Trial::test("dialer::ends_with_its_client", ends),
    ]
    .into_iter()
}

/// By number and by name, as often as it is asked; what it hands over does not block.
fn connects() -> std::result::Result<(), Failed> {
    let (listener, address) = listener()?;
    let by_name = format!("localhost:{}", listener.local_addr()?.port());
    let ask = format!("to {by_name}");
    for (kind, ask) in [(&*address, ""), (&*by_name, "whatever"), ("one", &*ask)] {
        let dialer = dialer(kind)?;
        for _ in 0..3 {
            let (mut ours, mut byte) = (dialer.dial(ask, LONG)?, [0]);
            let (mut theirs, from) = listener.accept()?;
            let waits = ours.read(&mut byte).map_err(|error| error.kind());
            ensure(waits == Err(ErrorKind::WouldBlock), || format!("reading says {waits:?}"))?;
            let flags = rustix::io::fcntl_getfd(&ours)?;
            ensure(flags.contains(rustix::io::FdFlags::CLOEXEC), || "programs that are started have it".into())?;
            ours.write_all(b"x")?;
            theirs.read_exact(&mut byte)?;
            ensure(byte == *b"x" && ours.local_addr()? == from, || format!("{byte:?} from {from}"))?;
            drop(ours);
            // Nobody else has it.
            ensure(theirs.read(&mut byte)? == 0, || "the connection is still open".into())?;
        }
    }
    Ok(())
}

/// And goes on: what is away may come.
fn says_why_not() -> std::result::Result<(), Failed> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let dialer = dialer(&address.to_string())?;
    let (kind, why) = refused(dialer.dial("", LONG));
    let named = why.contains(&address.to_string()) && why.contains("refused");
    ensure(named && kind == ErrorKind::ConnectionRefused, || format!("{kind}: {why}"))?;
    let _listener = TcpListener::bind(address)?;
    dialer.dial("", LONG).map(drop)?;
    let error = self::dialer("no.such.name.invalid:1")?.dial("", LONG).map(drop);
    ensure(error.is_err(), || "there is no such name".into())?;
    let (kind, why) = refused(dialer.dial(&"a".repeat(ASK_BYTES_MAX + 1), LONG));
    ensure(kind == ErrorKind::InvalidInput, || format!("{kind}: {why}"))?;
    dialer.dial(&"a".repeat(ASK_BYTES_MAX), LONG).map(drop)?;
    let (_, why) = refused(self::dialer("one")?.dial("long", LONG));
    ensure(why == "a".repeat(512), || why)
}

/// However an address of this machine is written.
fn accepts() -> std::result::Result<(), Failed> {
    let (listener, _) = listener()?;
    let (port, dialer) = (listener.local_addr()?.port(), dialer("one")?);
    for host in ["127.0.0.1", "localhost", "127.1", "0x7f000001", "[::1]", "::1", "[::ffff:127.0.0.1]"] {
        let (kind, why) = refused(dialer.dial(&format!("abroad {host}:{port}"), LONG));
        let expected = format!("{host} has no address that may be connected to");
        ensure(kind == ErrorKind::PermissionDenied && why == expected, || format!("{kind}: {why}"))?;
    }
    listener.set_nonblocking(true)?;
    ensure(listener.accept().is_err(), || "it was tried".into())
}

fn slow() -> std::result::Result<(), Failed> {
    let ((listener, address), (others, to)) = (listener()?, listener()?);
    let dialer = dialer("several")?;
    scope(|scope| {
        let dial = |ask: String| scope.spawn(|| -> Result<_> { dialer.dial(&{ ask }, LONG)?.local_addr() });
        let slow: Vec<_> = (1..THREADS).map(|_| dial(format!("slowly {address}"))).collect();
        let mut waiting = slow.iter().map(|_| Ok(listener.accept()?.0)).collect::<Result<Vec<_>>>()?;
        let quick: Vec<_> = (0..20).map(|_| dial(format!("to {to}"))).collect();
        // Each has one of its own.
        let mut made = quick.into_iter().map(joined).collect::<Result<Vec<_>>>()?;
        let mut taken = (0..20).map(|_| Ok(others.accept()?.1)).collect::<Result<Vec<_>>>()?;
        made.sort();
        taken.sort();
        ensure(made == taken, || format!("{made:?} {taken:?}"))?;
        waiting.iter_mut().try_for_each(|connection| connection.write_all(b"x"))?;
        Ok(slow.into_iter().try_for_each(|slow| joined(slow).map(drop))?)
    })
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().expect("it does not panic")
}

fn asker_gone() -> std::result::Result<(), Failed> {
    let ((listener, address), (others, to)) = (listener()?, listener()?);
    let dialer = dialer("one")?;
    scope(|scope| {
        let slow = scope.spawn(|| dialer.dial(&format!("slowly {address}"), LONG));
        let mut waiting = listener.accept()?.0;
        let (kind, why) = refused(dialer.dial(&format!("to {to}"), Duration::from_millis(1)));
        ensure(kind == ErrorKind::TimedOut, || format!("{kind}: {why}"))?;
        waiting.write_all(b"x")?;
        joined(slow)?;
        let ours = dialer.dial(&format!("to {to}"), LONG)?;
        let from = others.accept()?.1;
        ensure(from == ours.local_addr()?, || "who went away was connected".into())
    })
}

fn too_many() -> std::result::Result<(), Failed> {
    let ((listener, address), (_others, to)) = (listener()?, listener()?);
    let dialer = dialer("one")?;
    scope(|scope| {
        let slow = scope.spawn(|| dialer.dial(&format!("slowly {address}"), LONG));
        let mut waiting = listener.accept()?.0;
        let ask = || refused(dialer.dial(&format!("to {to}"), Duration::ZERO)).0;
        let end = std::iter::repeat_with(ask).take(10_000).find(|kind| *kind != ErrorKind::TimedOut);
        ensure(end == Some(ErrorKind::WouldBlock), || format!("{end:?}"))?;
        waiting.write_all(b"x")?;
        joined(slow)?;
        // As soon as it has seen that nobody waits for them.
        let ask = || dialer.dial(&format!("to {to}"), LONG).map(drop).map_err(|error| error.kind());
        let end = std::iter::repeat_with(ask).find(|end| *end != Err(ErrorKind::WouldBlock));
        ensure(end == Some(Ok(())), || format!("{end:?}"))
    })
}

fn survives() -> std::result::Result<(), Failed> {
    let ((_listener, address), dialer) = (listener()?, dialer("several")?);
    for _ in 0..2 * THREADS {
        let (_, why) = refused(dialer.dial("nonsense", LONG));
        ensure(why.contains("has a bug"), || why)?;
    }
    Ok(dialer.dial(&format!("to {address}"), LONG).map(drop)?)
}

fn gone() -> std::result::Result<(), Failed> {
    let (_, why) = refused(dialer("ends")?.dial("", LONG));
    ensure(why.contains("has ended; restart"), || why)
}

/// With asks under way, and others in its queue.
fn killed() -> std::result::Result<(), Failed> {
    let ((listener, address), dialer) = (listener()?, dialer("several")?);
    let process = refused(dialer.dial("process", LONG)).1.parse()?;
    scope(|scope| {
        let asks: Vec<_> =
            (0..3 * THREADS).map(|_| scope.spawn(|| dialer.dial(&format!("slowly {address}"), LONG))).collect();
        let _waiting = (0..THREADS).map(|_| Ok(listener.accept()?.0)).collect::<Result<Vec<_>>>()?;
        // For those that wait. Who comes too late is told the same.
        std::thread::sleep(Duration::from_millis(50));
        kill_process(Pid::from_raw(process).expect("it has a number"), Signal::KILL)?;
        for ask in asks {
            let (_, why) = refused(joined(ask));
            ensure(why.contains("has ended; restart"), || why)?;
        }
        let (_, why) = refused(dialer.dial("process", LONG));
        ensure(why.contains("has ended; restart"), || why)
    })
}

/// Whatever it is at.
fn ends() -> std::result::Result<(), Failed> {
    let ((listener, address), dialer) = (listener()?, dialer("several")?);
    listener.set_nonblocking(true)?;
    // It asks until the other is at it.
    let connection = std::iter::repeat_with(|| {
        let _ = dialer.dial(&format!("slowly {address}"), Duration::from_millis(100));
        listener.accept()
    });
    let mut connection = connection.flatten().next().expect("it goes on until then").0;
    drop(dialer);
    connection.set_nonblocking(false)?;
    ensure(connection.read(&mut [0])? == 0, || "it says something".into())
}
