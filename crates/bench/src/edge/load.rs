//! The load generator: raw sockets and one thread, so that it takes less of its core than any server of its own.
//!
//! HTTP/1.1 with keep-alive and without pipelining. A closed loop asks again as soon as it was answered: that finds how
//! much a server can do. An open loop asks at random times whose mean rate is given, whatever the server does, and
//! counts latency from the time that was meant: that finds how long clients wait.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;

use crate::instances::percentile;
use crate::measure::median;

/// Requests that are due and not sent: more, and the server is not at its rate but overrun.
const BACKLOG_MAX: usize = 200_000;

/// Latencies are kept by pieces of time of this length.
const PIECE: Duration = Duration::from_millis(100);

/// When a group asks.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as it was answered.
    Closed,
    /// So often a second.
    Open(f64),
}

/// Some connections that ask the same things.
pub(crate) struct Group {
    /// Whole requests, sent in turn.
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
}

impl Group {
    /// One that asks one site for one path.
    pub(crate) fn of(host: &str, path: &str, connections: usize, pace: Pace) -> Group {
        Group { requests: vec![request(host, path)], connections, pace }
    }
}

/// A request as a client sends it.
pub(crate) fn request(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// What a group saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Answers with status 200.
    pub(crate) fine: u64,
    /// Others.
    pub(crate) refused: u64,
    /// Of each answer, in nanoseconds, by the piece of time it came in.
    latencies_ns: Vec<Vec<f64>>,
}

impl Seen {
    fn note(&mut self, at: Duration, latency: Duration) {
        let piece = (at.as_nanos() / PIECE.as_nanos()) as usize;
        if self.latencies_ns.len() <= piece {
            self.latencies_ns.resize_with(piece + 1, Vec::new);
        }
        self.latencies_ns[piece].push(latency.as_nanos() as f64);
    }

    /// Of all latencies, in microseconds; 0 if there are none.
    pub(crate) fn percentile_us(&self, percent: usize) -> f64 {
        let all = self.latencies_ns.concat();
        if all.is_empty() { 0.0 } else { percentile(all, percent) / 1e3 }
    }

    /// The percentile of most tenths of a second: their median. What takes the processor away now and then, for
    /// milliseconds, as a hypervisor does, is in few of them; what a neighbour does all the time is in each.
    pub(crate) fn usual_us(&self, percent: usize) -> f64 {
        let of_pieces = self.latencies_ns.iter().filter(|piece| !piece.is_empty());
        let of_pieces: Vec<f64> = of_pieces.map(|piece| percentile(piece.clone(), percent) / 1e3).collect();
        if of_pieces.is_empty() { 0.0 } else { median(of_pieces) }
    }
}

struct Connection {
    stream: TcpStream,
    group: usize,
    came: Vec<u8>,
    /// When the request that is under way was due.
    due: Instant,
}

/// What belongs to a group while it runs.
struct Lane<'g> {
    group: &'g Group,
    next_request: usize,
    idle: Vec<usize>,
    next_due: Instant,
    waiting: VecDeque<Instant>,
    random: u64,
    seen: Seen,
}

struct Generator<'g> {
    address: SocketAddr,
    began: Instant,
    poll: OwnedFd,
    connections: Vec<Connection>,
    lanes: Vec<Lane<'g>>,
}

/// Loads a server for a time with all groups at once.
pub(crate) fn run(address: SocketAddr, groups: &[Group], time: Duration) -> Result<Vec<Seen>> {
    let mut generator = Generator::new(address, groups)?;
    generator.began = Instant::now();
    let end = generator.began + time;
    for at in 0..generator.connections.len() {
        generator.begin(at)?;
    }
    // It never sleeps: to wake it would be the server's work, and none that servers have with clients far away.
    let patience = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut buffer = [const { MaybeUninit::uninit() }; 256];
    while Instant::now() < end {
        generator.send_due()?;
        let (ready, _) = epoll::wait(&generator.poll, &mut buffer, Some(&patience))?;
        for event in ready {
            generator.receive(event.data.u64() as usize)?;
        }
    }
    Ok(generator.lanes.into_iter().map(|lane| lane.seen).collect())
}

impl<'g> Generator<'g> {
    fn new(address: SocketAddr, groups: &'g [Group]) -> Result<Generator<'g>> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let now = Instant::now();
        let lane = |(number, group): (usize, &'g Group)| Lane {
            group,
            next_request: 0,
            idle: Vec::new(),
            next_due: now,
            waiting: VecDeque::new(),
            random: 0x9e37_79b9_7f4a_7c15 + number as u64,
            seen: Seen::default(),
        };
        let lanes = groups.iter().enumerate().map(lane).collect();
        let mut generator = Generator { address, began: now, poll, connections: Vec::new(), lanes };
        for (group, of) in groups.iter().enumerate() {
            for _ in 0..of.connections {
                let stream = generator.connect(generator.connections.len())?;
                generator.connections.push(Connection { stream, group, came: Vec::new(), due: now });
            }
        }
        Ok(generator)
    }

    fn connect(&self, at: usize) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address).with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(&self.poll, &stream, EventData::new_u64(at as u64), EventFlags::IN)?;
        Ok(stream)
    }

    /// A connection that has nothing to do asks, or waits for its turn.
    fn begin(&mut self, at: usize) -> Result<()> {
        let lane = &mut self.lanes[self.connections[at].group];
        match lane.group.pace {
            Pace::Closed => self.send(at, Instant::now()),
            Pace::Open(_) => {
                lane.idle.push(at);
                Ok(())
            }
        }
    }

    fn send(&mut self, at: usize, due: Instant) -> Result<()> {
        let connection = &mut self.connections[at];
        let lane = &mut self.lanes[connection.group];
        let request = &lane.group.requests[lane.next_request % lane.group.requests.len()];
        lane.next_request += 1;
        connection.due = due;
        // What the other side has closed shows when it is read.
        match connection.stream.write(request) {
            Ok(sent) => ensure!(sent == request.len(), "a request did not fit the socket's buffer"),
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Sends what is due on connections that are idle.
    fn send_due(&mut self) -> Result<()> {
        let now = Instant::now();
        for number in 0..self.lanes.len() {
            let lane = &mut self.lanes[number];
            let Pace::Open(rate) = lane.group.pace else { continue };
            while lane.next_due <= now {
                lane.waiting.push_back(lane.next_due);
                let pause = lane.pause(rate);
                lane.next_due += pause;
            }
            ensure!(lane.waiting.len() < BACKLOG_MAX, "the server does not keep up with {rate:.0} requests a second");
            while let Some(at) = self.lanes[number].idle.pop() {
                match self.lanes[number].waiting.pop_front() {
                    Some(due) => self.send(at, due)?,
                    None => {
                        self.lanes[number].idle.push(at);
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads what came; with the last of an answer the connection is free again.
    fn receive(&mut self, at: usize) -> Result<()> {
        let connection = &mut self.connections[at];
        let mut piece = [0; 16 << 10];
        match connection.stream.read(&mut piece) {
            Ok(0) => return self.replace(at),
            Ok(count) => connection.came.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return self.replace(at),
        }
        let Some(answer) = answer(&connection.came)? else { return Ok(()) };
        connection.came.clear();
        let lane = &mut self.lanes[connection.group];
        let now = Instant::now();
        lane.seen.note(now - self.began, now.saturating_duration_since(connection.due));
        *(if answer.status == 200 { &mut lane.seen.fine } else { &mut lane.seen.refused }) += 1;
        if answer.closes { self.replace(at) } else { self.begin(at) }
    }

    /// A connection in the place of one that was closed.
    fn replace(&mut self, at: usize) -> Result<()> {
        self.connections[at].stream = self.connect(at)?;
        self.connections[at].came.clear();
        self.begin(at)
    }
}

impl Lane<'_> {
    /// Time to the next request: exponentially distributed, as when many clients ask who know nothing of each other.
    fn pause(&mut self, rate: f64) -> Duration {
        self.random = random_next(self.random);
        let uniform = ((self.random >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        Duration::from_secs_f64(-uniform.ln() / rate)
    }
}

/// The number after another that looks random; its upper bits look most so.
pub(super) fn random_next(number: u64) -> u64 {
    number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// An answer that is there.
pub(super) struct Answer {
    status: u16,
    closes: bool,
}

/// What was answered, once all of it is there.
pub(super) fn answer(came: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&came[..end]).context("a head is text")?;
    let (line, fields) = head.split_once("\r\n").context("a head has fields")?;
    let status = line.get(9..12).and_then(|digits| digits.parse().ok()).context("a head has a status")?;
    let body = &came[end + 4..];
    let complete = match field(fields, "content-length") {
        Some(length) => body.len() >= length.parse()?,
        None if field(fields, "transfer-encoding").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => bail!("an answer of unknown length: {head}"),
    };
    Ok(complete.then(|| Answer { status, closes: field(fields, "connection") == Some("close") }))
}

/// A field of a head, by its name in small letters.
fn field<'h>(fields: &'h str, name: &str) -> Option<&'h str> {
    let named = |line: &&str| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name);
    fields.split("\r\n").find(named).map(|line| line[name.len()..].trim_start_matches(':').trim())
}

/// What an answer says: its first line, how it says how long it is, its type, its body.
pub(super) type Said = [String; 4];

/// Asks once.
pub(super) fn ask(address: SocketAddr, request: &[u8]) -> Result<Said> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.write_all(request)?;
    let mut came = Vec::new();
    let mut piece = [0; 16 << 10];
    while answer(&came)?.is_none() {
        let count = stream.read(&mut piece)?;
        ensure!(count > 0, "{address} closed the connection after {} bytes of an answer", came.len());
        came.extend_from_slice(&piece[..count]);
    }
    let text = String::from_utf8(came).context("an answer is text")?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer has a head")?;
    let (line, fields) = head.split_once("\r\n").context("a head has fields")?;
    let field = |name: &str| format!("{name}: {}", field(fields, name).unwrap_or("none"));
    Ok([line.to_string(), field("content-length"), field("content-type"), body.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_known_by_their_ends() {
        let of = |text: &str| answer(text.as_bytes()).unwrap().map(|answer| (answer.status, answer.closes));
        assert_eq!(of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), None);
        assert_eq!(of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"), None);
        assert_eq!(of("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"), Some((200, false)));
        assert_eq!(of("HTTP/1.1 503 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"), Some((503, true)));
        assert_eq!(of("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"), None);
        assert_eq!(of("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"), Some((200, false)));
    }

    #[test]
    fn what_is_seldom_is_in_a_percentile_and_is_not_usual() {
        let mut seen = Seen::default();
        let latency = |tenth: u64| Duration::from_micros(if tenth == 3 { 5_000 } else { 100 });
        for tenth in 0..10 {
            (0..100).for_each(|at| seen.note(Duration::from_millis(tenth * 100 + at), latency(tenth)));
        }
        assert_eq!([50, 99].map(|percent| seen.percentile_us(percent)), [100.0, 5_000.0]);
        assert_eq!([50, 99].map(|percent| seen.usual_us(percent)), [100.0, 100.0]);
        assert_eq!((Seen::default().percentile_us(99), Seen::default().usual_us(99)), (0.0, 0.0));
    }

    #[test]
    fn open_loops_keep_their_rate() {
        let group = Group::of("a", "/", 0, Pace::Open(1_000.0));
        let mut generator = Generator::new("127.0.0.1:1".parse().unwrap(), std::slice::from_ref(&group)).unwrap();
        let total: Duration = (0..100_000).map(|_| generator.lanes[0].pause(1_000.0)).sum();
        assert!((99.0..101.0).contains(&total.as_secs_f64()), "{total:?}");
    }
}
