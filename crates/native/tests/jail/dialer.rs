//! A dialer connects to one address for a client that makes no sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use selvedge_native::jail::{Dialer, serve_dialer};

use crate::ensure;

/// The child's part: a dialer to an address, or a process that ends at once.
pub(crate) fn child(address: &str) {
    if address != "ends" {
        serve_dialer(address, Duration::from_secs(10), false).expect("the dialer serves");
    }
}

fn dialer(address: &str) -> Result<Dialer, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([crate::DEED_ARGUMENT, &format!("dialer:{address}")]);
    Ok(Dialer::start(command)?)
}

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    [
        Trial::test("dialer::connects", connects),
        Trial::test("dialer::says_why_not", says_why_not),
        Trial::test("dialer::gone", gone),
    ]
    .into_iter()
}

/// By number and by name, as often as it is asked; what it hands over does not block.
fn connects() -> Result<(), Failed> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    for address in [address.to_string(), format!("localhost:{}", address.port())] {
        let dialer = dialer(&address)?;
        for _ in 0..3 {
            let (mut ours, mut byte) = (dialer.dial()?, [0]);
            let (mut theirs, from) = listener.accept()?;
            let waits = ours.read(&mut byte).map_err(|error| error.kind());
            ensure(waits == Err(ErrorKind::WouldBlock), || format!("reading says {waits:?}"))?;
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
fn says_why_not() -> Result<(), Failed> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let dialer = dialer(&address.to_string())?;
    let error = dialer.dial().map(drop).map_err(|error| error.to_string());
    let named = error.as_ref().is_err_and(|why| why.contains(&address.to_string()) && why.contains("refused"));
    ensure(named, || format!("{error:?}"))?;
    let _listener = TcpListener::bind(address)?;
    dialer.dial().map(drop)?;
    let error = self::dialer("no.such.name.invalid:1")?.dial().map(drop);
    ensure(error.is_err(), || "there is no such name".into())
}

fn gone() -> Result<(), Failed> {
    let error = dialer("ends")?.dial().map(drop).map_err(|error| error.to_string());
    ensure(error.as_ref().is_err_and(|why| why.contains("has ended")), || format!("{error:?}"))
}
