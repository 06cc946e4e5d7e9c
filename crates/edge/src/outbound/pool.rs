//! One tenant's connections to other servers, and those that wait for their next requests.
//!
//! A connection waits a while, unless somebody else needs its place: then those give way that nobody uses, of the tenant
//! that needs one and of tenants that have more than their share ([`super::shares`]).
//!
//! A request takes a connection that waits; else it is in two lines, for one that somebody gives back and for a place for a
//! new one, and holds nothing meanwhile. Nobody waits long: see [`OUTBOUND_WAIT_MAX`].

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::rt::Executor;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioTimer;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::account::{Account, Bill, Tasks, Use};
use super::connect::{Connector, Pipe};
use super::destination::Target;
use crate::limits::{
    HEADERS_MAX, OUTBOUND_ASKED_OF_TENANT_MAX, OUTBOUND_HEAD_BYTES_MAX, OUTBOUND_IDLE_MAX, OUTBOUND_IDLE_OF_SERVER_MAX,
    STREAM_WINDOW_BYTES,
};

type Ask = Request<Full<Bytes>>;

pub(super) struct Pool {
    connector: Connector,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The one that was used last is last.
    kept: BTreeMap<Target, Vec<Connection>>,
    waiting: BTreeMap<Target, VecDeque<oneshot::Sender<Connection>>>,
    /// Whether a task looks after those that wait for too long.
    is_looked_after: bool,
    /// Whether those who need room know of this pool.
    is_listed: bool,
}

/// A connection that is ready for a request.
struct Connection {
    sender: Sender,
    account: Arc<Account>,
    used: Instant,
}

/// By which requests are sent.
enum Sender {
    /// One after the other.
    One(http1::SendRequest<Full<Bytes>>),
    /// Many at once.
    Many(http2::SendRequest<Full<Bytes>>),
}

/// A connection's use by a request, to the end of the answer.
pub(crate) struct Lease {
    used: Option<Arc<Use>>,
    /// Where the connection is kept meanwhile, for others; none if it is for one.
    shared: Option<Weak<Pool>>,
}

/// A request was not answered.
pub(super) enum Failure {
    Connect(io::Error),
    Send(hyper::Error),
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Arc<Pool> {
        Arc::new(Pool { connector, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a request of a server; the answer when its head is there.
    pub(super) async fn request(
        self: Arc<Self>,
        target: Target,
        mut request: Ask,
        bill: Arc<Bill>,
        until: Instant,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let url = request.uri().clone();
        loop {
            let (mut connection, is_new) = self.connection(&target, &bill, until).await.map_err(Failure::Connect)?;
            // Before it is sent: it may be given up at any time.
            let lease = self.lease(&connection, &bill);
            let mut error = match connection.send(&url, request).await {
                Ok(answer) => {
                    self.answers(target, connection);
                    return Ok((answer, lease));
                }
                Err(error) => error,
            };
            // A server may close a connection just when it is used again.
            request = match error.take_message() {
                Some(unsent) if !is_new => unsent,
                _ => return Err(Failure::Send(error.into_error())),
            };
        }
    }

    /// One that waits, that somebody gives back, or a new one.
    async fn connection(
        self: &Arc<Self>,
        target: &Target,
        bill: &Arc<Bill>,
        until: Instant,
    ) -> io::Result<(Connection, bool)> {
        let given_back = match self.take_or_wait(target) {
            Ok(connection) => return Ok((connection, false)),
            Err(waits) => waits,
        };
        let places = tokio::select! {
            biased;
            Ok(connection) = given_back => return Ok((connection, false)),
            places = self.connector.places(until) => places?,
        };
        let account = Account::new(self.connector.share());
        let _used = account.used_by(bill);
        let pipe = self.connector.connect(target, places, &account).await?;
        let sender = Sender::over(pipe, &account).await.map_err(io::Error::other)?;
        let connection = Connection { sender, account, used: Instant::now() };
        Ok((self.shared(target, connection), true))
    }

    fn take_or_wait(&self, target: &Target) -> Result<Connection, oneshot::Receiver<Connection>> {
        let mut state = self.lock();
        if let Some(connection) = state.take(target) {
            return Ok(connection);
        }
        let (waits, given_back) = oneshot::channel();
        state.waiting.retain(|_, line| {
            line.retain(|waits| !waits.is_closed());
            !line.is_empty()
        });
        state.waiting.entry(target.clone()).or_default().push_back(waits);
        Err(given_back)
    }

    /// Lets others use a new connection that is for many; if there is one already, that.
    fn shared(self: &Arc<Self>, target: &Target, connection: Connection) -> Connection {
        if connection.is_one() {
            return connection;
        }
        if let Some(there) = self.lock().take(target).filter(|there| !there.is_one()) {
            return there;
        }
        connection.another().into_iter().for_each(|another| self.keep(target.clone(), another));
        connection
    }

    /// A connection is used from now on.
    fn lease(self: &Arc<Self>, connection: &Connection, bill: &Arc<Bill>) -> Lease {
        let shared = (!connection.is_one()).then(|| Arc::downgrade(self));
        Lease { used: Some(connection.account.used_by(bill)), shared }
    }

    /// An answer has begun. A connection of its own is given back at its end.
    fn answers(self: &Arc<Self>, target: Target, mut connection: Connection) {
        if !connection.is_one() {
            return;
        }
        if connection.is_ready() {
            return self.keep(target, connection);
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            if let (true, Some(pool)) = (connection.becomes_ready().await, pool.upgrade()) {
                pool.keep(target, connection);
            }
        });
    }

    /// Keeps a connection for who waits for it, or may come; unless others should have its place.
    fn keep(self: &Arc<Self>, target: Target, connection: Connection) {
        let mut state = self.lock();
        let Some(mut connection) = state.hand_over(&target, connection) else { return };
        if connection.is_one() && self.connector.should_yield() {
            return;
        }
        connection.used = Instant::now();
        let kept = state.kept.entry(target).or_default();
        if kept.len() < OUTBOUND_IDLE_OF_SERVER_MAX {
            kept.push(connection);
        }
        if !std::mem::replace(&mut state.is_looked_after, true) {
            tokio::spawn(look_after(Arc::downgrade(self)));
        }
        if !std::mem::replace(&mut state.is_listed, true) {
            drop(state);
            self.connector.list(self);
        }
    }

    /// Closes the connections that nobody uses.
    fn give_way(&self) {
        self.lock().kept.values_mut().for_each(|kept| kept.retain(|one| !one.is_one() && one.account.is_used()));
    }

    /// Closes them if their places are for others; whether there are any still.
    pub(super) fn make_room(&self, is_for_others: impl FnOnce(&Connector) -> bool) -> bool {
        if is_for_others(&self.connector) {
            self.give_way();
        }
        let mut state = self.lock();
        state.kept.retain(|_, kept| !kept.is_empty());
        state.is_listed = !state.kept.is_empty();
        state.is_listed
    }

    /// Closes those that have waited for too long; when the next will have.
    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        state.kept.retain(|_, kept| {
            kept.retain(|one| !one.is_closed() && now < one.used + OUTBOUND_IDLE_MAX);
            !kept.is_empty()
        });
        let next = state.kept.values().flatten().map(|one| one.used + OUTBOUND_IDLE_MAX).min();
        state.is_looked_after = next.is_some();
        next
    }
}

async fn look_after(pool: Weak<Pool>) {
    let mut next = Instant::now() + OUTBOUND_IDLE_MAX;
    loop {
        sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        let Some(then) = pool.expire(Instant::now()) else { return };
        next = then;
    }
}

impl State {
    /// One that waits and is still open.
    fn take(&mut self, target: &Target) -> Option<Connection> {
        let kept = self.kept.get_mut(target)?;
        loop {
            let mut connection = kept.pop()?;
            if connection.is_closed() || connection.is_one() && !connection.is_ready() {
                continue;
            }
            connection.used = Instant::now();
            kept.extend(connection.another());
            return Some(connection);
        }
    }

    /// Gives a connection to who has waited longest for one of this server; comes back if it may be used by others, too.
    fn hand_over(&mut self, target: &Target, connection: Connection) -> Option<Connection> {
        let mut connection = Some(connection).filter(|one| !one.is_closed());
        let Some(mut line) = self.waiting.remove(target) else { return connection };
        while let Some(one) = connection.take() {
            let Some(waits) = line.pop_front() else { return Some(one) };
            let another = one.another();
            connection = waits.send(one).err().or(another);
        }
        if !line.is_empty() {
            self.waiting.insert(target.clone(), line);
        }
        None
    }
}

impl Connection {
    fn is_one(&self) -> bool {
        matches!(self.sender, Sender::One(_))
    }

    /// The same, for another request at the same time.
    fn another(&self) -> Option<Connection> {
        match &self.sender {
            Sender::One(_) => None,
            Sender::Many(sender) => Some(Connection {
                sender: Sender::Many(sender.clone()),
                account: self.account.clone(),
                used: self.used,
            }),
        }
    }

    fn is_ready(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_ready(),
            Sender::Many(sender) => sender.is_ready(),
        }
    }

    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(sender) => sender.is_closed(),
            Sender::Many(sender) => sender.is_closed(),
        }
    }

    /// Waits until it is ready for a request again; whether that comes.
    async fn becomes_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::One(sender) => sender.ready().await.is_ok(),
            Sender::Many(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends a request for a URL in the form that the protocol wants.
    async fn send(&mut self, url: &Uri, mut request: Ask) -> Result<Response<Incoming>, TrySendError<Ask>> {
        match &mut self.sender {
            Sender::One(sender) => {
                *request.uri_mut() = url.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")).into();
                // Those are there already if it is sent again.
                if let Some(host) = host(url) {
                    request.headers_mut().insert(HOST, host);
                }
                if usually_has_body(request.method()) && request.body().is_end_stream() {
                    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                sender.try_send_request(request).await
            }
            Sender::Many(sender) => {
                *request.uri_mut() = url.clone();
                request.headers_mut().remove(HOST);
                sender.try_send_request(request).await
            }
        }
    }
}

/// Whether a server may want to be told that a request has no body (RFC 9110, section 8.6).
fn usually_has_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// The host of a URL, and its port if that is not its scheme's.
fn host(url: &Uri) -> Option<HeaderValue> {
    let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
    let port = url.port_u16().filter(|port| *port != usual).map(|port| format!(":{port}")).unwrap_or_default();
    HeaderValue::try_from(format!("{}{port}", url.host()?)).ok()
}

impl Sender {
    /// Of a connection that was made.
    async fn over(pipe: Pipe, account: &Arc<Account>) -> hyper::Result<Sender> {
        let tasks = Tasks(account.clone());
        if pipe.is_http2() {
            let mut builder = http2::Builder::new(tasks.clone());
            builder.timer(TokioTimer::new()).max_header_list_size(OUTBOUND_HEAD_BYTES_MAX as u32);
            builder.initial_stream_window_size(STREAM_WINDOW_BYTES);
            // Of all that may be under way: answers that nobody reads hold up no others.
            builder.initial_connection_window_size(OUTBOUND_ASKED_OF_TENANT_MAX as u32 * STREAM_WINDOW_BYTES);
            builder.keep_alive_interval(Duration::from_secs(10));
            let (mut sender, connection) = builder.handshake(pipe).await?;
            tasks.execute(connection);
            sender.ready().await?;
            return Ok(Sender::Many(sender));
        }
        let mut builder = http1::Builder::new();
        builder.max_buf_size(OUTBOUND_HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (mut sender, connection) = builder.handshake(pipe).await?;
        tasks.execute(connection);
        sender.ready().await?;
        Ok(Sender::One(sender))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.used = None;
        // One that is kept while it is used may be nobody's now.
        if let Some(pool) = self.shared.take().and_then(|pool| pool.upgrade())
            && pool.connector.should_yield()
        {
            pool.give_way();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::super::connect::Ways;
    use super::super::shares::Bounds;
    use super::*;
    use crate::name::Name;
    use crate::turns::Share;

    /// A connection of HTTP/1, and what is at its other end; its end is one that was closed by the time that it is used.
    async fn one(is_closed: bool) -> (Connection, DuplexStream) {
        let (client, server) = duplex(1 << 16);
        let (sender, connection) = http1::handshake(TokioIo::new(client)).await.unwrap();
        if !is_closed {
            tokio::spawn(connection);
        }
        let account = Account::new(&Arc::new(Share::new(1)));
        (Connection { sender: Sender::One(sender), account, used: Instant::now() }, server)
    }

    /// The head of a request, as it is sent the second time.
    async fn sent_again(method: Method, body: &'static [u8]) -> String {
        let url: Uri = "http://a.example:8080/x".parse().unwrap();
        let request = Request::builder().method(method).uri(&url).body(Full::from(body)).unwrap();
        let mut error = one(true).await.0.send(&url, request).await.unwrap_err();
        let (mut connection, mut server) = one(false).await;
        let again = error.take_message().unwrap();
        tokio::spawn(async move { connection.send(&url, again).await.map(drop) });
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(server.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// What was sent again had two hosts, which many servers refuse.
    #[tokio::test]
    async fn a_request_that_is_sent_again_has_one_host() {
        let head = sent_again(Method::GET, b"").await;
        assert_eq!(head, "GET /x HTTP/1.1\r\nhost: a.example:8080\r\n\r\n");
    }

    /// Servers answered 411 to a POST of nothing.
    #[tokio::test]
    async fn requests_that_usually_have_a_body_say_that_they_have_none() {
        for (method, body, length) in [
            (Method::GET, &b""[..], None),
            (Method::DELETE, b"", None),
            (Method::POST, b"", Some("0")),
            (Method::PUT, b"", Some("0")),
            (Method::PATCH, b"", Some("0")),
            (Method::POST, b"abc", Some("3")),
        ] {
            let head = sent_again(method, body).await;
            let lengths: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("content-length: ")).collect();
            assert_eq!(lengths, Vec::from_iter(length), "{head}");
        }
    }

    /// A request that ended before its answer began left the connection to nobody, and others waited for its place.
    #[tokio::test]
    async fn a_connection_gives_way_though_its_request_was_given_up_before_the_answer() {
        let only = Bounds { all: 1, of_tenant: 1 };
        let ways = Arc::new(Ways::with(None, only, Bounds { all: 32, of_tenant: 2 }));
        let url: Uri = "http://127.0.0.1:9".parse().unwrap();
        let [a, b] = ["a", "b"].map(|tenant| {
            let destination = Arc::new(["http://127.0.0.1:9".parse().unwrap()]);
            Connector::new(Name::new(tenant).unwrap(), Arc::new(Share::new(1)), destination, ways.clone())
        });
        let until = Instant::now() + OUTBOUND_IDLE_MAX / 2;
        let (account, places) = (Account::new(a.share()), a.places(until).await.unwrap());
        // One that takes a request, and says nothing.
        let (client, _server) = duplex(1 << 16);
        let sender = Sender::over(Pipe::new(client, true, places.connection), &account).await.unwrap();
        drop(places.dial);
        let (pool, target) = (Pool::new(a), Target::of(&url).unwrap());
        pool.keep(target.clone(), Connection { sender, account, used: Instant::now() });
        let request = Request::get(&url).body(Full::default()).unwrap();
        let asked = tokio::spawn(pool.clone().request(target, request, Arc::default(), until));
        tokio::task::yield_now().await;
        let waits = tokio::spawn(async move { b.places(until).await.map(drop) });
        tokio::task::yield_now().await;
        assert!(!asked.is_finished() && !waits.is_finished());
        asked.abort();
        assert!(waits.await.unwrap().is_ok());
    }
}
