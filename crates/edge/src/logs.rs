//! What sites said and did: a ring of bounded size for each site, so that a site that says much pushes out only what
//! is its own; and the server's own log on stderr, which nobody waits for, and in which each site may say so much.

mod ring;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use selvedge_runtime::is_hidden;
use selvedge_wasi::OutputStream;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use self::ring::Ring;
use crate::config::{ByteCount, LogFormat};
use crate::exchange::Exchange;
use crate::limits::{
    LOG_LINE_BYTES_MAX, LOG_LINES_PER_SECOND_MAX, LOG_QUEUE_LINES_MAX, LOG_WRITE_BYTES_MAX, MESSAGE_BYTES_MAX,
};
use crate::metrics::Speakers;
use crate::rate::Rate;
use crate::refusal::Refusal;
use crate::request_id::RequestId;

/// One line of a site's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// The request's id, which its client got, too.
    pub request: RequestId,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a line of a log is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A request was answered.
    Request {
        /// The method and path.
        line: String,
        /// The response's status.
        status: u16,
        /// How long it took, in microseconds.
        micros: u64,
        /// The CPU time of its instance, in microseconds.
        #[serde(default)]
        cpu_micros: u64,
        /// Bytes of the response's body.
        #[serde(default)]
        bytes: u64,
        /// The version that was to answer it, if one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
        /// The name of what went wrong, if something did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The program wrote to stderr.
    Guest {
        /// What it wrote.
        line: String,
    },
    /// What went wrong with a request, in full.
    Failure {
        /// Its name.
        name: String,
        /// The whole story.
        message: String,
    },
}

/// For people, on one line but for backtraces.
impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let request = &self.request;
        match &self.event {
            Event::Request { line, status, micros, error: None, .. } => {
                write!(f, "{request} {line} {status} {micros}us")
            }
            Event::Request { line, status, micros, error: Some(name), .. } => {
                write!(f, "{request} {line} {status} {micros}us {name}")
            }
            Event::Guest { line } => write!(f, "{request} | {line}"),
            Event::Failure { name, message } => write!(f, "{request} ! {name}: {message}"),
        }
    }
}

/// What somebody has of the server's log: so many lines a second.
pub(crate) struct Share {
    rate: Rate,
    /// Lines that were too many.
    left_out: AtomicU64,
}

impl Default for Share {
    fn default() -> Share {
        Share { rate: Rate::new(LOG_LINES_PER_SECOND_MAX), left_out: AtomicU64::new(0) }
    }
}

impl Share {
    /// Whether there is room for one line more; a line for which there is none is counted.
    pub(crate) fn has_room(&self) -> bool {
        let has_room = self.rate.allows(Instant::now());
        if !has_room {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// How many lines there was no room for since this was asked last.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }
}

/// The log of one site.
pub(crate) struct SiteLog {
    site: String,
    ring: Mutex<Ring>,
    /// Told to those who wait for more, who are counted.
    changed: Notify,
    readers: AtomicU32,
    server: ServerLog,
    share: Share,
    /// Instances that have ended, and those whose log was cut.
    ended: AtomicU64,
    cut: AtomicU64,
}

impl SiteLog {
    pub(crate) fn new(site: String, server: ServerLog) -> SiteLog {
        SiteLog {
            site,
            ring: Mutex::default(),
            changed: Notify::new(),
            readers: AtomicU32::new(0),
            server,
            share: Share::default(),
            ended: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        }
    }

    /// The site's instances: each holds its log, so those that do are alive.
    pub(crate) fn speakers(self: &Arc<SiteLog>) -> Speakers {
        let (ended, cut) = (self.ended.load(Ordering::Relaxed), self.cut.load(Ordering::Relaxed));
        Speakers { live: (Arc::strong_count(self) - 1) as u32, ended, cut }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing below leaves it half changed.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, request: RequestId, event: Event) {
        let entry = Entry { time_ms: lately_ms(), request, event };
        self.tell_server(&entry);
        let mut ring = self.lock();
        ring.push(&entry);
        // Whoever begins to wait later looks under this lock.
        let is_read = self.readers.load(Ordering::Relaxed) > 0;
        drop(ring);
        if is_read {
            self.changed.notify_waiters();
        }
    }

    /// What the server says of it, unless the site has said much just now: others want to be read, too.
    fn tell_server(&self, entry: &Entry) {
        let is_request = matches!(entry.event, Event::Request { .. });
        if !self.server.wants(is_request) {
            return;
        }
        // Requests are as many as the operator asked to see.
        if !is_request && !self.share.has_room() {
            return;
        }
        let SiteLog { site, server, .. } = self;
        let left_out = self.share.left_out();
        if left_out > 0 {
            server.line(format!("{site} said {left_out} lines more, which are in the site's log as far as it reaches"));
        }
        server.entry(site, entry);
    }

    /// What was added from number `from` on, the number to go on with, and how many are gone.
    pub(crate) fn since(&self, from: u64) -> (Vec<Entry>, u64, u64) {
        let ring = self.lock();
        let (kept, missed) = ring.since(from);
        let next = ring.next();
        drop(ring);
        (kept.entries(), next, missed)
    }

    /// Waits until something is there from number `from` on.
    pub(crate) async fn wait(&self, from: u64) {
        let _reader = Reader::new(&self.readers);
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Before it is looked: what is added in between is not missed.
            changed.as_mut().enable();
            if self.lock().next() > from {
                return;
            }
            changed.await;
        }
    }
}

/// One of those who wait for more.
struct Reader<'a>(&'a AtomicU32);

impl<'a> Reader<'a> {
    fn new(readers: &'a AtomicU32) -> Reader<'a> {
        readers.fetch_add(1, Ordering::Relaxed);
        Reader(readers)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Milliseconds since 1970 at the kernel's last tick, some milliseconds ago at most. It is asked for each request, and this
/// takes a fraction of the time that it takes to read a clock.
fn lately_ms() -> u64 {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A program's stderr: lines of bounded length, and so many bytes of them. It never waits.
pub(crate) struct GuestLog {
    /// As long as its instance is there: see [`SiteLog::speakers`].
    site: Arc<SiteLog>,
    request: RequestId,
    line: Vec<u8>,
    left: u64,
    bytes_max: ByteCount,
    dropped: u64,
    /// Told when it is cut.
    exchange: Exchange,
}

impl GuestLog {
    pub(crate) fn new(site: Arc<SiteLog>, request: RequestId, bytes_max: ByteCount, exchange: Exchange) -> GuestLog {
        GuestLog { site, request, line: Vec::new(), left: bytes_max.0, bytes_max, dropped: 0, exchange }
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let line = text(bytes.strip_suffix(b"\r").unwrap_or(&bytes));
        self.site.add(self.request, Event::Guest { line });
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = LOG_LINE_BYTES_MAX - self.line.len();
            let piece = &bytes[..bytes.len().min(room)];
            match piece.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.line.extend_from_slice(&piece[..end]);
                    bytes = &bytes[end + 1..];
                    self.end_line();
                }
                None => {
                    self.line.extend_from_slice(piece);
                    bytes = &bytes[piece.len()..];
                    if self.line.len() == LOG_LINE_BYTES_MAX {
                        self.end_line();
                    }
                }
            }
        }
    }
}

impl OutputStream for GuestLog {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.left as usize);
        self.take(&bytes[..taken]);
        self.left -= taken as u64;
        if taken < bytes.len() {
            self.dropped += (bytes.len() - taken) as u64;
            self.exchange.cut_log();
        }
        Ok(bytes.len())
    }
}

impl Drop for GuestLog {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.site.ended.fetch_add(1, Ordering::Relaxed);
        if self.dropped > 0 {
            self.site.cut.fetch_add(1, Ordering::Relaxed);
            let GuestLog { dropped, bytes_max, .. } = self;
            let message =
                format!("{dropped} bytes beyond the tenant's limit of {bytes_max} for a request's log are dropped");
            self.site.add(self.request, Event::Failure { name: "log_limit".into(), message });
        }
    }
}

/// Bytes of a guest's as text that no terminal obeys.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '\t' => text.push(c),
            c if is_hidden(c) => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text
}

/// A message as it is kept: of bounded length, lines allowed.
pub(crate) fn message(text: &str) -> String {
    let end = text.floor_char_boundary(MESSAGE_BYTES_MAX);
    text[..end].chars().filter(|c| *c == '\n' || !is_hidden(*c)).collect()
}

/// A line of the server's log, as JSON.
#[derive(Serialize)]
struct Line<'a> {
    /// None of a request that belongs to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<&'a str>,
    #[serde(flatten)]
    entry: &'a Entry,
    /// More, where no other line says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// What the server says for itself, as JSON.
#[derive(Serialize)]
struct Remark<'a> {
    time_ms: u64,
    event: &'static str,
    message: &'a str,
}

impl LogFormat {
    /// What the server, or whoever runs it, says for itself, as it stands in the server's log.
    pub fn remark(self, message: String) -> String {
        let remark = || Remark { time_ms: now_ms(), event: "server", message: &message };
        if self == LogFormat::Json { serde_json::to_string(&remark()).unwrap_or_default() } else { message }
    }

    fn entry(self, site: &str, entry: &Entry) -> String {
        match self {
            LogFormat::Text => format!("{site} {entry}"),
            LogFormat::Json => {
                serde_json::to_string(&Line { site: Some(site), entry, message: None }).unwrap_or_default()
            }
        }
    }

    fn unrouted(self, entry: &Entry, why: &Refusal) -> String {
        match self {
            LogFormat::Text => format!("- {entry}: {why}"),
            LogFormat::Json => {
                let message = Some(why.to_string());
                serde_json::to_string(&Line { site: None, entry, message }).unwrap_or_default()
            }
        }
    }
}

/// The server's own log. A line for which there is no room is dropped and counted.
#[derive(Clone)]
pub(crate) struct ServerLog {
    lines: Option<SyncSender<String>>,
    dropped: Arc<AtomicU64>,
    requests: bool,
    format: LogFormat,
}

impl ServerLog {
    /// Begins to write to stderr; `requests` says whether each request is a line.
    pub(crate) fn start(requests: bool, format: LogFormat) -> io::Result<ServerLog> {
        let (lines, written) = sync_channel::<String>(LOG_QUEUE_LINES_MAX);
        let dropped = Arc::<AtomicU64>::default();
        let lost = dropped.clone();
        let write = move || {
            while let Ok(first) = written.recv() {
                let mut text = String::new();
                let count = lost.swap(0, Ordering::Relaxed);
                if count > 0 {
                    text = format.remark(format!("{count} lines of this log were dropped: it was not read in time"))
                        + "\n";
                }
                for line in std::iter::once(first).chain(written.try_iter()) {
                    text.extend([&line, "\n"]);
                    if text.len() > LOG_WRITE_BYTES_MAX {
                        break;
                    }
                }
                // Nobody is left to tell if stderr is gone.
                let _ = io::stderr().write_all(text.as_bytes());
            }
        };
        std::thread::Builder::new().name("log".into()).spawn(write)?;
        Ok(ServerLog { lines: Some(lines), dropped, requests, format })
    }

    /// One that keeps silent.
    #[cfg(test)]
    pub(crate) fn silent() -> ServerLog {
        ServerLog { lines: None, dropped: Arc::default(), requests: false, format: LogFormat::Text }
    }

    /// One whose lines are read by a test.
    #[cfg(test)]
    pub(crate) fn read(format: LogFormat) -> (ServerLog, std::sync::mpsc::Receiver<String>) {
        let (lines, said) = sync_channel(10_000);
        (ServerLog { lines: Some(lines), dropped: Arc::default(), requests: true, format }, said)
    }

    /// Says something for the server itself.
    pub(crate) fn line(&self, line: String) {
        self.write(|format| format.remark(line));
    }

    fn entry(&self, site: &str, entry: &Entry) {
        self.write(|format| format.entry(site, entry));
    }

    /// A request that belongs to no site, and why it was refused.
    pub(crate) fn unrouted(&self, entry: &Entry, why: &Refusal) {
        self.write(|format| format.unrouted(entry, why));
    }

    fn write(&self, line: impl FnOnce(LogFormat) -> String) {
        let Some(lines) = &self.lines else { return };
        let line = line(self.format);
        if let Err(TrySendError::Full(_)) = lines.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a site's line belongs into it, or that of a request.
    pub(crate) fn wants(&self, is_request: bool) -> bool {
        self.lines.is_some() && (self.requests || !is_request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LOG_RING_BYTES_MAX;

    const ID: RequestId = RequestId::known("r");

    fn log() -> Arc<SiteLog> {
        Arc::new(SiteLog::new("a/b".into(), ServerLog::silent()))
    }

    fn request() -> Event {
        let (cpu_micros, bytes, version) = (2, 3, Some(4));
        Event::Request { line: "GET /".into(), status: 200, micros: 1, cpu_micros, bytes, version, error: None }
    }

    #[test]
    fn programs_that_read_the_servers_log_get_an_object_for_each_line() {
        let (server, said) = ServerLog::read(LogFormat::Json);
        let site = SiteLog::new("a/b".into(), server.clone());
        site.add(ID, Event::Guest { line: "two\nlines \"quoted\"".into() });
        site.add(ID, request());
        server.line("for itself".into());
        let said: Vec<serde_json::Value> = said.try_iter().map(|line| serde_json::from_str(&line).unwrap()).collect();
        let of = |at: usize, key: &str| said[at][key].to_string();
        assert_eq!(
            (of(0, "site"), of(0, "request"), of(0, "event")),
            ("\"a/b\"".into(), "\"r\"".into(), "\"guest\"".into())
        );
        assert_eq!(said[0]["line"], "two\nlines \"quoted\"");
        assert_eq!((of(1, "status"), of(1, "cpu_micros"), of(1, "version")), ("200".into(), "2".into(), "4".into()));
        assert_eq!((of(2, "event"), of(2, "message")), ("\"server\"".into(), "\"for itself\"".into()));
        assert!(said.iter().all(|line| line["time_ms"].is_u64()));
    }

    fn lines(log: &SiteLog) -> Vec<String> {
        log.since(0).0.iter().map(ToString::to_string).collect()
    }

    /// A line could be read backwards, or as two.
    #[test]
    fn what_is_not_seen_is_shown_or_left_out() {
        assert_eq!(
            text("a\u{202e}b\u{2028}c\u{1b}d\te\u{200d}f".as_bytes()),
            "a\\u{202e}b\\u{2028}c\\u{1b}d\te\u{200d}f"
        );
        assert_eq!(message("a\u{202e}b\nc\u{2066}d\r"), "ab\ncd");
    }

    #[test]
    fn a_guests_lines_are_cut_bounded_and_harmless() {
        let (log, exchanges) = (log(), [Exchange::default(), Exchange::default()]);
        let mut guest = GuestLog::new(log.clone(), ID, ByteCount(30), exchanges[0].clone());
        for part in ["one\ntw", "o\n\x1b[31mred\r\n", "and then much more than that\n"] {
            assert_eq!(guest.write(part.as_bytes()).unwrap(), part.len());
        }
        drop(guest);
        let dropped = "r ! log_limit: 17 bytes beyond the tenant's limit of 30 bytes for a request's log are dropped";
        assert_eq!(lines(&log), ["r | one", "r | two", "r | \\u{1b}[31mred", "r | and then muc", dropped]);
        let mut guest = GuestLog::new(log.clone(), RequestId::known("s"), ByteCount(1 << 20), exchanges[1].clone());
        assert_eq!(guest.write(&[b'x'; LOG_LINE_BYTES_MAX + 1]).unwrap(), LOG_LINE_BYTES_MAX + 1);
        drop(guest);
        assert_eq!(lines(&log)[6], "s | x");
        assert_eq!(exchanges.map(|exchange| exchange.reached().log), [true, false]);
        let _other = GuestLog::new(log.clone(), ID, ByteCount(1), Exchange::default());
        let Speakers { live, ended, cut } = log.speakers();
        assert_eq!((live, ended, cut), (1, 2, 1));
    }

    #[test]
    fn a_site_that_says_much_is_cut_short_in_the_servers_log_and_not_in_its_own() {
        let (server, said) = ServerLog::read(LogFormat::Text);
        let loud = SiteLog::new("a/loud".into(), server.clone());
        let quiet = SiteLog::new("a/quiet".into(), server);
        for _ in 0..1_000 {
            loud.add(ID, Event::Guest { line: "x".into() });
        }
        quiet.add(ID, Event::Guest { line: "y".into() });
        loud.add(ID, request());
        assert_eq!(loud.lock().next(), 1_001);
        let said: Vec<String> = said.try_iter().collect();
        // A second's worth, and what came while this was running.
        let of_loud = said.iter().filter(|line| *line == "a/loud r | x").count();
        assert!((LOG_LINES_PER_SECOND_MAX as usize..900).contains(&of_loud), "{of_loud}");
        let left_out = format!("a/loud said {} lines more, which", 1_000 - of_loud);
        assert!(said[said.len() - 2].starts_with(&left_out), "{said:?}");
        assert_eq!(said[said.len() - 3..][..1], ["a/quiet r | y"]);
        assert_eq!(said[said.len() - 1], "a/loud r GET / 200 1us");
    }

    #[test]
    fn a_ring_keeps_what_is_newest_and_says_what_it_lost() {
        let log = log();
        let line = "x".repeat(LOG_LINE_BYTES_MAX);
        for _ in 0..1_000 {
            log.add(ID, Event::Guest { line: line.clone() });
        }
        let (entries, next, missed) = log.since(0);
        assert!(entries.len() * LOG_LINE_BYTES_MAX <= LOG_RING_BYTES_MAX && entries.len() > 10);
        assert_eq!((next, missed), (1_000, 1_000 - entries.len() as u64));
        assert_eq!(log.since(999).0.len(), 1);
        assert_eq!(log.since(1_000), (vec![], 1_000, 0));
    }
}
