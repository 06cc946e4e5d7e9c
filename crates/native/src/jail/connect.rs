//! Connecting to a host by its name.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The least time that an address gets.
const TURN_MIN: Duration = Duration::from_millis(1);

/// A connection, which does not block, to the first of a host's addresses that takes one, among those that are accepted.
/// The host is a name, or an address with or without `[]`.
///
/// The name is looked up once, and the connection goes to the very address that `accepts` was shown: whoever owns the
/// name cannot change its mind between. An IPv4 address that is written as one of IPv6 is shown as what it is.
///
/// All addresses together have so much `patience`, each an equal part of what is left; looking up takes what it takes.
///
/// # Errors
/// [`ErrorKind::PermissionDenied`] if there are addresses and none is accepted; why the last was not reached, if none was.
pub fn connect(host: &str, port: u16, patience: Duration, accepts: impl Fn(IpAddr) -> bool) -> Result<TcpStream> {
    let unknown = |error: Error| Error::new(error.kind(), format!("{host}: {error}"));
    let found: Vec<_> = (host.trim_matches(['[', ']']), port).to_socket_addrs().map_err(unknown)?.collect();
    let accepted: Vec<_> = found.iter().filter(|address| accepts(address.ip().to_canonical())).collect();
    let mut failed = match found.is_empty() {
        true => Error::new(ErrorKind::NotFound, format!("{host} has no address")),
        false => Error::new(ErrorKind::PermissionDenied, format!("{host} has no address that may be connected to")),
    };
    let began = Instant::now();
    for (tried, address) in accepted.iter().enumerate() {
        let left = patience.saturating_sub(began.elapsed()) / (accepted.len() - tried) as u32;
        match TcpStream::connect_timeout(address, left.max(TURN_MIN)) {
            Ok(connection) => {
                connection.set_nonblocking(true)?;
                return Ok(connection);
            }
            Err(error) => failed = Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(failed)
}
