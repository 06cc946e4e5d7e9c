//! Clients of the soak: those that ask and listen, and those that do not.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::SITES;
use crate::edge::load::{answer, random_next};

/// Longest wait for an answer: nothing that is asked here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// What `/much` answers with.
const MUCH_BYTES: usize = 320_000;

/// Numbers that look random, and are the same for the same seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// One below a bound.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = random_next(self.0);
        (self.0 >> 33) % bound.max(1)
    }
}

/// Whether clients wait for what they have asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manners {
    Good,
    Bad,
}

/// What clients saw.
#[derive(Default)]
pub(super) struct Tally {
    /// Answers of each site, by the first digit of the status.
    pub(super) by_class: [[u64; 6]; 2],
    /// Requests whose clients went away.
    pub(super) abandoned: u64,
    /// Answers for which there is no site.
    strangers: u64,
    /// What answers were told apart by.
    ids: HashSet<String>,
}

impl Tally {
    /// Answers of all sites.
    pub(super) fn answered(&self) -> u64 {
        self.strangers + self.by_class.iter().flatten().sum::<u64>()
    }

    /// Those of them that were as asked for.
    pub(super) fn fine(&self) -> u64 {
        self.by_class.iter().map(|classes| classes[2]).sum()
    }

    /// Puts two together; no answer may be in both.
    pub(super) fn add(&mut self, other: Tally) -> Result<()> {
        let counts = self.by_class.iter_mut().flatten().zip(other.by_class.iter().flatten());
        counts.for_each(|(count, more)| *count += more);
        self.abandoned += other.abandoned;
        self.strangers += other.strangers;
        other.ids.into_iter().try_for_each(|id| self.name(id))
    }

    /// Each answer has an id that no other has.
    fn name(&mut self, id: String) -> Result<()> {
        ensure!(!self.ids.contains(&id), "two answers have the id {id}");
        self.ids.insert(id);
        Ok(())
    }

    fn note(&mut self, site: Option<usize>, status: u16, id: String) -> Result<()> {
        self.name(id)?;
        match site {
            Some(site) => self.by_class[site][usize::from(status / 100).min(5)] += 1,
            None => self.strangers += 1,
        }
        Ok(())
    }
}

/// What is asked for, and how it is answered.
struct Deed {
    path: &'static str,
    status: u16,
    /// Of all deeds together.
    weight: u64,
}

const fn deed(path: &'static str, status: u16, weight: u64) -> Deed {
    Deed { path, status, weight }
}

const DEEDS: [Deed; 8] = [
    deed("/fine", 200, 300),
    deed("/echo", 200, 60),
    deed("/log", 200, 20),
    deed("/trap", 500, 40),
    deed("/nonsense", 502, 20),
    deed("/grow", 500, 20),
    deed("/spin", 504, 3),
    deed("/wait", 504, 1),
];

/// One client.
pub(super) struct Client {
    address: SocketAddr,
    random: Random,
    pub(super) tally: Tally,
}

/// An answer, whole.
struct Answered {
    status: u16,
    id: String,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn new(address: SocketAddr, seed: u64) -> Client {
        Client { address, random: Random(seed), tally: Tally::default() }
    }

    /// What a site says of its version.
    pub(super) fn version(&mut self, site: &str) -> Result<u32> {
        let answered = self.ask(&mut self.connect()?, request("GET", site, "/fine", "", &[]).as_slice())?;
        let text = String::from_utf8_lossy(&answered.body).into_owned();
        let number = text.strip_prefix("version ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        number.with_context(|| format!("{site} answers {} and {text:?}", answered.status))
    }

    /// Does something on a connection of its own.
    pub(super) fn operate(&mut self, manners: Manners) -> Result<()> {
        match self.random.below(if manners == Manners::Good { 20 } else { 40 }) {
            0..=16 => self.converse(),
            17 => self.dribble(),
            18 => self.sip(),
            19 => self.overdo(),
            _ => self.leave(),
        }
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn pick(&mut self) -> (usize, &'static Deed) {
        let site = self.random.below(2) as usize;
        let mut at = self.random.below(DEEDS.iter().map(|deed| deed.weight).sum());
        let deed = DEEDS.iter().find(|deed| {
            let found = at < deed.weight;
            at = at.wrapping_sub(deed.weight);
            found
        });
        (site, deed.unwrap_or(&DEEDS[0]))
    }

    /// Some requests after each other, each with its answer.
    fn converse(&mut self) -> Result<()> {
        let mut stream = self.connect()?;
        for _ in 0..=self.random.below(4) {
            if self.random.below(50) == 0 {
                let answered = self.ask(&mut stream, &request("GET", "nobody", "/", "", &[]))?;
                ensure!(answered.status == 404, "a host of nobody's answers {}", answered.status);
                self.tally.note(None, answered.status, answered.id)?;
                continue;
            }
            let (site, deed) = self.pick();
            let nonce = self.random.below(1 << 30).to_string();
            let sent = if deed.path == "/echo" { vec![b'e'; self.random.below(40_000) as usize] } else { Vec::new() };
            let method = if sent.is_empty() { "GET" } else { "POST" };
            let answered = self.ask(&mut stream, &request(method, SITES[site], deed.path, &nonce, &sent))?;
            check(deed, &nonce, &sent, &answered)?;
            self.tally.note(Some(site), answered.status, answered.id)?;
        }
        Ok(())
    }

    /// One request whose program waits until its time is over.
    pub(super) fn wait(&mut self) -> Result<()> {
        let mut stream = self.connect()?;
        let answered = self.ask(&mut stream, &request("GET", SITES[0], "/wait", "", &[]))?;
        ensure!(answered.status == 504, "a program that waits is answered {}", answered.status);
        Ok(())
    }

    /// A head that comes in small pieces.
    fn dribble(&mut self) -> Result<()> {
        let mut stream = self.connect()?;
        let site = self.random.below(2) as usize;
        let whole = request("GET", SITES[site], "/fine", "slow", &[]);
        let (first, rest) = whole.split_at(whole.len() / 2);
        for byte in first {
            stream.write_all(&[*byte])?;
        }
        std::thread::sleep(Duration::from_millis(self.random.below(20)));
        let answered = self.ask(&mut stream, rest)?;
        check(&DEEDS[0], "slow", &[], &answered)?;
        self.tally.note(Some(site), answered.status, answered.id)
    }

    /// A long answer that is taken slowly.
    fn sip(&mut self) -> Result<()> {
        let mut stream = self.connect()?;
        let site = self.random.below(2) as usize;
        stream.write_all(format!("GET /much HTTP/1.0\r\nHost: {}\r\n\r\n", SITES[site]).as_bytes())?;
        let (mut came, mut piece) = (Vec::new(), vec![0; 16 << 10]);
        loop {
            match stream.read(&mut piece)? {
                0 => break,
                count => came.extend_from_slice(&piece[..count]),
            }
            if self.random.below(8) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let answered = parse(&came)?;
        let length = answered.body.len();
        ensure!(answered.status == 200 && length == MUCH_BYTES, "{} bytes came with {}", length, answered.status);
        self.tally.note(Some(site), answered.status, answered.id)
    }

    /// A body that is too long: it is not even sent.
    fn overdo(&mut self) -> Result<()> {
        let mut stream = self.connect()?;
        let site = self.random.below(2) as usize;
        let head = format!("POST /echo HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\n\r\n", SITES[site]);
        let answered = self.ask(&mut stream, head.as_bytes())?;
        ensure!(answered.status == 413, "a body that is too long is answered {}", answered.status);
        self.tally.note(Some(site), answered.status, answered.id)
    }

    /// Goes away in the middle: of the head, the body, the program's work or the answer.
    fn leave(&mut self) -> Result<()> {
        let mut stream = self.connect()?;
        let site = SITES[self.random.below(2) as usize];
        self.tally.abandoned += 1;
        // What is refused or hung up in the meantime is all the same.
        let mut send = |bytes: &[u8]| drop(stream.write_all(bytes));
        match self.random.below(5) {
            0 => send(b"GET /fine HT"),
            1 => send(&request("POST", site, "/echo", "", &[b'x'; 5_000])[..2_000]),
            2 => send(&request("GET", site, "/fine", "gone", &[])),
            3 => send(&request("GET", site, "/spin", "gone", &[])),
            _ => {
                send(&request("GET", site, "/much", "gone", &[]));
                let _ = stream.read(&mut [0; 1_000]);
            }
        }
        if self.random.below(2) == 0 {
            let _ = stream.shutdown(Shutdown::Write);
            std::thread::sleep(Duration::from_millis(self.random.below(5)));
        }
        Ok(())
    }

    /// Sends bytes, and waits for the one answer.
    fn ask(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> Result<Answered> {
        stream.write_all(bytes).context("the server does not take a request")?;
        let (mut came, mut piece) = (Vec::new(), vec![0; 16 << 10]);
        while answer(&came)?.is_none() {
            match stream.read(&mut piece) {
                Ok(0) => bail!("the server hung up and said {:?}", String::from_utf8_lossy(&came)),
                Ok(count) => came.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("no answer came"),
            }
        }
        parse(&came)
    }
}

fn request(method: &str, host: &str, path: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path}?{nonce} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// An answer that is complete, and whose body has its length or ends with the connection.
fn parse(came: &[u8]) -> Result<Answered> {
    let end = came.windows(4).position(|four| four == b"\r\n\r\n").context("an answer has a head")?;
    let head = std::str::from_utf8(&came[..end]).context("a head is text")?;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).context("a head has a status")?;
    let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).context("an answer has an id")?;
    let body = &came[end + 4..];
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body)? } else { body.to_vec() };
    Ok(Answered { status, id: id.to_string(), body })
}

/// What is in the chunks of a body.
fn unchunked(mut body: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").context("a chunk has a length")?;
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end])?, 16).context("a length is a number")?;
        let Some((chunk, rest)) = body[end + 2..].split_at_checked(length) else { bail!("a chunk is too short") };
        whole.extend_from_slice(chunk);
        if length == 0 {
            return Ok(whole);
        }
        body = rest.strip_prefix(b"\r\n").context("a chunk has an end")?;
    }
}

/// Whether this is the answer to that, or none for now.
fn check(deed: &Deed, nonce: &str, sent: &[u8], answered: &Answered) -> Result<()> {
    let text = String::from_utf8_lossy(&answered.body);
    // Programs whose clients are gone may still run: then there is no room at once.
    if answered.status == 503 {
        return Ok(());
    }
    ensure!(answered.status == deed.status, "{} is answered {} and {text:?}", deed.path, answered.status);
    let right = match deed.path {
        "/echo" => answered.body == sent,
        "/fine" | "/log" => text.starts_with("version ") && text.ends_with(&format!(" {nonce}\n")),
        _ => true,
    };
    ensure!(right, "{} for {nonce:?} is answered {text:?}", deed.path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(unchunked(b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n").unwrap(), b"abcd");
        for broken in [&b"3\r\nab"[..], b"x\r\n", b"1\r\nab\r\n0\r\n\r\n", b""] {
            assert!(unchunked(broken).is_err(), "{broken:?}");
        }
    }
}
