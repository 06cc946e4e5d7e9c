//! Connections to other servers: dialed here, or by another process if this one may not; then in plain text or by TLS.

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use selvedge_native::CpuClock;
use selvedge_native::jail::{self, Dialer};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::account::Account;
use super::destination::{Destination, Target, Way, way};
use super::pool::Pool;
use super::shares::{Bounds, Place, Shares};
use crate::config::{Config, ConfigError, TenantConfig};
use crate::connection::Stalling;
use crate::dial::{self, Roots, Stream};
use crate::limits::{
    OUTBOUND_CONNECT_TIMEOUT, OUTBOUND_CONNECTIONS_MAX, OUTBOUND_CONNECTIONS_OF_TENANT_MAX, OUTBOUND_DIALS_MAX,
    OUTBOUND_DIALS_OF_TENANT_MAX, OUTBOUND_FAILED_PAUSE, OUTBOUND_TLS_SESSIONS_MAX, OUTBOUND_WAIT_MAX,
};
use crate::name::Name;
use crate::turns::Share;
use crate::urgency::later;

/// What all tenants' connections have in common.
pub(crate) struct Ways {
    /// None if there are no certificates to trust.
    tls: Option<ClientConfig>,
    /// Who connects, if this process may not.
    dialer: Option<Arc<Dialer>>,
    connections: Arc<Shares>,
    /// Those that are being made. Each takes a thread, of which deploys need some, too.
    dials: Arc<Shares>,
    /// Those with connections that nobody uses.
    pools: Mutex<Vec<Weak<Pool>>>,
}

/// The place of a connection, and that of making it.
pub(super) struct Places {
    pub(super) connection: Place,
    pub(super) dial: Place,
}

impl Ways {
    /// Those of a configuration. Certificates to trust are read now, since a jailed server cannot later; and only where
    /// a file could say later that they are needed.
    ///
    /// # Errors
    /// If it names certificates that cannot be read, or https where there are none.
    pub(crate) fn of(config: &Config) -> Result<Ways, ConfigError> {
        let tls = if config.may_have_outbound() { tls(config)? } else { None };
        let connections = Bounds { all: OUTBOUND_CONNECTIONS_MAX, of_tenant: OUTBOUND_CONNECTIONS_OF_TENANT_MAX };
        let dials = Bounds { all: OUTBOUND_DIALS_MAX, of_tenant: OUTBOUND_DIALS_OF_TENANT_MAX };
        let ways = Ways::with(tls, connections, dials);
        ways.suffice(config)?;
        Ok(ways)
    }

    pub(super) fn with(tls: Option<ClientConfig>, connections: Bounds, dials: Bounds) -> Ways {
        let (connections, dials) = (Shares::new(connections), Shares::new(dials));
        Ways { tls, dialer: None, connections, dials, pools: Mutex::default() }
    }

    /// The same, by another process.
    pub(crate) fn through(self, dialer: Dialer) -> Ways {
        Ways { dialer: Some(Arc::new(dialer)), ..self }
    }

    /// Whether they lead to all servers of a configuration.
    ///
    /// # Errors
    /// If not.
    pub(crate) fn suffice(&self, config: &Config) -> Result<(), ConfigError> {
        let secure = |tenant: &TenantConfig| tenant.outbound.iter().any(Destination::is_secure);
        match config.tenant_list().iter().find(|tenant| self.tls.is_none() && secure(tenant)) {
            None => Ok(()),
            Some(tenant) => {
                let message = "found a server with https, and this machine trusts no certificates: install \
                               ca-certificates, or name a file with outbound_ca";
                Err(config.wrong(&config.outbound_key(&tenant.name), "https", message))
            }
        }
    }

    /// Closes connections that nobody uses: those of a tenant that needs a place, and of those that have more than their
    /// share.
    fn make_room(&self, tenant: &Name) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let yields =
            |connector: &Connector| connector.0.tenant == *tenant || self.connections.is_above(&connector.0.tenant);
        pools.retain(|pool| pool.upgrade().is_some_and(|pool| pool.make_room(yields)));
    }
}

/// By the certificates that a configuration names, or those of the machine, if there are any.
fn tls(config: &Config) -> Result<Option<ClientConfig>, ConfigError> {
    let roots = config.outbound_ca.clone().map_or(Roots::System, Roots::File);
    match dial::client_config(&roots) {
        Ok(mut tls) => {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok(Some(tls))
        }
        Err(_) if roots == Roots::System => Ok(None),
        Err(error) => Err(config.wrong("outbound_ca", "", error)),
    }
}

/// Connects, in this process and on this thread.
pub(super) fn connect(way: &Way) -> io::Result<TcpStream> {
    jail::connect(way.name(), way.port, OUTBOUND_CONNECT_TIMEOUT, |address| way.accepts(address))
}

/// Makes one tenant's connections. Those of one that has several, since its list was changed, have its places together.
#[derive(Clone)]
pub(super) struct Connector(Arc<Tenants>);

struct Tenants {
    tenant: Name,
    share: Arc<Share>,
    destinations: Arc<[Destination]>,
    ways: Arc<Ways>,
    /// With sessions of its own: by those of others a server could tell that they ask it, too.
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// A tenant's, for these destinations.
    pub(super) fn new(tenant: Name, share: Arc<Share>, destinations: Arc<[Destination]>, ways: Arc<Ways>) -> Connector {
        let tls = ways.tls.clone().map(|mut tls| {
            tls.resumption = Resumption::in_memory_sessions(OUTBOUND_TLS_SESSIONS_MAX);
            Arc::new(tls)
        });
        Connector(Arc::new(Tenants { tenant, share, destinations, ways, tls }))
    }

    /// Of the processors.
    pub(super) fn share(&self) -> &Arc<Share> {
        &self.0.share
    }

    /// Whether connections that nobody uses are in somebody's way.
    pub(super) fn should_yield(&self) -> bool {
        self.0.ways.connections.should_yield(&self.0.tenant)
    }

    /// Lets those who need room know of a pool that could make some.
    pub(super) fn list(&self, pool: &Arc<Pool>) {
        let mut pools = self.0.ways.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Places for a new connection. The second is held for seconds by whoever has one, so that nobody waits here for one who
    /// waits, too.
    pub(super) async fn places(&self, until: Instant) -> io::Result<Places> {
        let ways = &self.0.ways;
        let connection = self.place(&ways.connections, "connections", until).await?;
        Ok(Places { connection, dial: self.place(&ways.dials, "connections that are being made", until).await? })
    }

    async fn place(&self, shares: &Arc<Shares>, what: &str, until: Instant) -> io::Result<Place> {
        let tenant = &self.0.tenant;
        let comes = match shares.ask(tenant) {
            Ok(place) => return Ok(place),
            Err(comes) => comes,
        };
        if Arc::ptr_eq(shares, &self.0.ways.connections) {
            self.0.ways.make_room(tenant);
        }
        timeout_at(until, comes).await.ok().and_then(Result::ok).ok_or_else(|| {
            let (has, may_have) = shares.standing(tenant);
            let seconds = OUTBOUND_WAIT_MAX.as_secs();
            io::Error::other(format!(
                "no place for it in {seconds} s: the tenant has {has} {what}, and may have {may_have} now"
            ))
        })
    }

    /// Makes a connection.
    pub(super) async fn connect(&self, target: &Target, places: Places, account: &Arc<Account>) -> io::Result<Pipe> {
        let Tenants { destinations, ways, tls, .. } = &*self.0;
        let way = way(destinations, target).ok_or_else(|| io::Error::other("no destination of the tenant"))?;
        let (stream, place) = ways.dial(way, places, account).await?;
        stream.set_nodelay(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        if !target.secure {
            return Ok(Pipe::new(stream, false, place));
        }
        let config = tls.clone().ok_or_else(|| io::Error::other("there are no certificates to trust"))?;
        let name = target.host.as_str().trim_matches(['[', ']']).to_string();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let shaken = timeout(OUTBOUND_CONNECT_TIMEOUT, TlsConnector::from(config).connect(name, stream));
        let stream = shaken.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Pipe::new(stream, http2, place))
    }
}

impl Ways {
    /// Connects, on a thread that cannot be called off. A task that nobody can end waits for it, however long it takes, and holds
    /// its place: whoever asked may be gone or have waited for long enough, and there may be a thread of another process behind
    /// it. Who has asked in vain has the tenant's place a while longer: without end, that would cost others the processor's time.
    async fn dial(&self, way: Way, places: Places, account: &Arc<Account>) -> io::Result<(TcpStream, Place)> {
        let (dialer, account) = (self.dialer.clone(), account.clone());
        let dialed = later(move || {
            let began = CpuClock::this_thread();
            let stream = match dialer {
                Some(dialer) => dialer.dial(&way.to_string(), Duration::MAX),
                None => connect(&way),
            };
            account.add(CpuClock::this_thread().saturating_sub(began));
            stream
        });
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let Places { connection, mut dial } = places;
            let made = dialed.await.map_err(io::Error::other).and_then(|made| made);
            let failed = made.is_err();
            // A connection that nobody waits for any more is closed.
            let _ = tell.send(made.map(|stream| (stream, connection)));
            if failed {
                dial.leave_to_others();
                sleep(OUTBOUND_FAILED_PAUSE).await;
            }
        });
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection was made in time");
        timeout(2 * OUTBOUND_CONNECT_TIMEOUT, told).await.map_err(|_| late())?.map_err(io::Error::other)?
    }
}

/// A connection, which counts as long as it is there. A server that takes nothing for a while has ended it: nobody else might,
/// when whoever asked is gone.
pub(super) struct Pipe {
    stream: Stalling<Box<dyn Stream>>,
    http2: bool,
    _place: Place,
}

impl Pipe {
    pub(super) fn new(stream: impl Stream + 'static, http2: bool, place: Place) -> Pipe {
        let stream: Box<dyn Stream> = Box::new(stream);
        Pipe { stream: Stalling::new(Vec::new(), stream, Arc::default()), http2, _place: place }
    }

    /// Whether it is for many requests at once.
    pub(super) fn is_http2(&self) -> bool {
        self.http2
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::process::Command;
    use std::task::Waker;

    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::task::JoinHandle;

    use super::*;

    fn connector(tenant: &str, ways: &Arc<Ways>, url: &str) -> Connector {
        let share = Arc::new(Share::new(1));
        Connector::new(Name::new(tenant).unwrap(), share, Arc::new([url.parse().unwrap()]), ways.clone())
    }

    const CONNECTIONS: Bounds = Bounds { all: 64, of_tenant: 8 };
    /// Two of a tenant's are made at a time.
    const DIALS: Bounds = Bounds { all: 32, of_tenant: 2 };

    fn ways() -> Arc<Ways> {
        Arc::new(Ways::with(None, CONNECTIONS, DIALS))
    }

    /// One connection more; `None` if its place does not come.
    async fn connect(connector: Connector, url: &str) -> io::Result<Pipe> {
        let (account, url) = (Account::new(connector.share()), url.parse().unwrap());
        let places = connector.places(Instant::now() + OUTBOUND_WAIT_MAX).await?;
        connector.connect(&Target::of(&url).unwrap(), places, &account).await
    }

    /// A server that answers nobody, and those that keep it from it.
    async fn silent() -> (String, impl Drop) {
        struct Silent(
            #[expect(dead_code, reason = "it is held")] (TcpListener, Vec<JoinHandle<io::Result<TcpStream>>>),
        );
        impl Drop for Silent {
            fn drop(&mut self) {}
        }
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = socket.listen(1).unwrap();
        let address = silent.local_addr().unwrap();
        let others = (0..8).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        (format!("http://{address}"), Silent((silent, others)))
    }

    /// Without that, a program that asked in vain without end kept a processor's other users waiting.
    #[tokio::test(start_paused = true)]
    async fn who_asks_in_vain_asks_seldom() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{nobody}");
        let connector = connector("a", &ways(), &url);
        let began = Instant::now();
        let ask = || {
            let (connector, url) = (connector.clone(), url.clone());
            tokio::spawn(async move { connect(connector, &url).await.err().unwrap().kind() })
        };
        let asked: Vec<_> = (0..6).map(|_| ask()).collect();
        for asked in asked {
            assert_eq!(asked.await.unwrap(), io::ErrorKind::ConnectionRefused);
        }
        assert!(connector.places(began + OUTBOUND_WAIT_MAX).await.is_ok());
        // By a clock that goes on only when all wait for it.
        assert!(began.elapsed() >= 3 * OUTBOUND_FAILED_PAUSE);
    }

    /// A program that asked in vain and ended at once left its place without the pause.
    #[tokio::test(start_paused = true)]
    async fn who_asks_in_vain_and_does_not_wait_asks_seldom_too() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{nobody}");
        let (connector, target) = (connector("a", &ways(), &url), Target::of(&url.parse().unwrap()).unwrap());
        let (began, account) = (Instant::now(), Account::new(connector.share()));
        for _ in 0..6 {
            let places = connector.places(began + OUTBOUND_WAIT_MAX).await.unwrap();
            let mut asked = pin!(connector.connect(&target, places, &account));
            assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(connector.places(began + OUTBOUND_WAIT_MAX).await.is_ok());
        assert!(began.elapsed() >= 3 * OUTBOUND_FAILED_PAUSE, "{:?}", began.elapsed());
    }

    /// A tenant's name server that says nothing took a thread of whoever connects from all others, and the place for it was
    /// free again after ten seconds.
    #[tokio::test]
    async fn who_connects_late_for_a_tenant_has_its_place_until_then() {
        // It has ended with the directory, however the test ends.
        let directory = tempfile::tempdir().unwrap();
        let mut late = Command::new("/bin/sh");
        late.args(["-c", "while [ -d \"$0\" ]; do sleep 0.02; done"]).arg(directory.path());
        let ways = Ways::with(None, CONNECTIONS, DIALS).through(Dialer::start(late).unwrap());
        let (ways, url) = (Arc::new(ways), "http://late.example");
        let connector = connector("a", &ways, url);
        let has = || [&ways.dials, &ways.connections].map(|shares| shares.standing(&connector.0.tenant).0);
        let asked = tokio::spawn(connect(connector.clone(), url));
        while has() == [0, 0] {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();
        tokio::time::advance(2 * OUTBOUND_CONNECT_TIMEOUT).await;
        tokio::time::resume();
        assert_eq!(asked.await.unwrap().err().unwrap().kind(), io::ErrorKind::TimedOut);
        assert_eq!(has(), [1, 1]);
        drop(directory);
        while has() != [0, 0] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Threads that connect were nobody's when their programs ended: whoever asked a server that does not answer, and did
    /// not wait, had all threads in the end.
    #[tokio::test]
    async fn who_does_not_wait_for_a_connection_has_no_more_of_them_at_once() {
        let (url, _silent) = silent().await;
        let ways = ways();
        let connector = connector("a", &ways, &url);
        for _ in 0..6 {
            let asked = timeout(Duration::from_millis(20), connect(connector.clone(), &url));
            assert!(asked.await.is_err(), "it was answered");
        }
        let tenant = &connector.0.tenant;
        assert_eq!([ways.dials.standing(tenant).0, ways.connections.standing(tenant).0], [2, 2]);
    }

    /// Sixteen tenants that asked servers which do not answer had all places of connections being made.
    #[tokio::test]
    async fn tenants_that_ask_dead_servers_leave_places_to_others() {
        let (dead, _silent) = silent().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dials = Bounds { all: OUTBOUND_DIALS_MAX, of_tenant: OUTBOUND_DIALS_OF_TENANT_MAX };
        let connections = Bounds { all: OUTBOUND_CONNECTIONS_MAX, of_tenant: OUTBOUND_CONNECTIONS_OF_TENANT_MAX };
        let ways = Arc::new(Ways::with(None, connections, dials));
        let greedy: Vec<_> = (0..30)
            .flat_map(|tenant| vec![connector(&format!("t{tenant}"), &ways, &dead); OUTBOUND_DIALS_OF_TENANT_MAX])
            .map(|connector| {
                let dead = dead.clone();
                tokio::spawn(async move { connect(connector, &dead).await.map(drop) })
            })
            .collect();
        while ways.dials.standing(&Name::new("t29").unwrap()).0 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(connect(connector("new", &ways, &url), &url).await.is_ok());
        assert!(greedy.iter().all(|asked| !asked.is_finished()), "nobody's place has become free meanwhile");
    }
}
