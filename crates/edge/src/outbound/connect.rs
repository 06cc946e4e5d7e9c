//! Connections to other servers, as hyper's client asks for them: dialed here, or by another process if this one may
//! not; then in plain text or by TLS.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use selvedge_native::jail::{self, Dialer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::destination::{Destination, Target, Way, way};
use crate::config::{Config, ConfigError, TenantConfig};
use crate::connection::Stalling;
use crate::dial::{self, Roots, Stream};
use crate::limits::{OUTBOUND_CONNECT_TIMEOUT, OUTBOUND_CONNECTIONS_MAX, OUTBOUND_DIALS_MAX, OUTBOUND_FAILED_PAUSE};

/// What all tenants' connections have in common.
pub(crate) struct Ways {
    /// None if there are no certificates to trust.
    tls: Option<Arc<ClientConfig>>,
    /// Who connects, if this process may not.
    dialer: Option<Arc<Dialer>>,
    /// Of all tenants together.
    connections: Arc<Semaphore>,
    /// Those that are being made. Each takes a thread, of which deploys need some, too.
    dials: Arc<Semaphore>,
}

/// The places of a connection among those of its tenant, and among all.
type Places = [OwnedSemaphorePermit; 2];

impl Ways {
    /// Those of a configuration. Certificates to trust are read now, since a jailed server cannot later; and only where
    /// a file could say later that they are needed.
    ///
    /// # Errors
    /// If it names certificates that cannot be read, or https where there are none.
    pub(crate) fn of(config: &Config) -> Result<Ways, ConfigError> {
        let roots = config.outbound_ca.clone().map_or(Roots::System, Roots::File);
        let tls = match dial::client_config(&roots) {
            _ if !config.may_have_outbound() => None,
            Ok(mut tls) => {
                tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                Some(Arc::new(tls))
            }
            Err(_) if roots == Roots::System => None,
            Err(error) => return Err(config.wrong("outbound_ca", "", error)),
        };
        let connections = Arc::new(Semaphore::new(OUTBOUND_CONNECTIONS_MAX));
        let dials = Arc::new(Semaphore::new(OUTBOUND_DIALS_MAX));
        let ways = Ways { tls, dialer: None, connections, dials };
        ways.suffice(config)?;
        Ok(ways)
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

    /// Connects, on a thread that cannot be called off: what is held for it is given back when it has ended, though nobody
    /// may wait for it any more. Who has asked in vain has the tenant's place a while longer: without end, that would cost
    /// others the processor's time.
    async fn dial(&self, way: Way, dial: OwnedSemaphorePermit, places: Places) -> io::Result<(TcpStream, Places)> {
        let dials = [dial, self.dials.clone().acquire_owned().await.map_err(io::Error::other)?];
        let dialer = self.dialer.clone();
        let dialed = tokio::task::spawn_blocking(move || {
            let stream = match dialer {
                Some(dialer) => dialer.dial(&way.to_string(), 2 * OUTBOUND_CONNECT_TIMEOUT),
                None => connect(&way),
            };
            (stream, dials, places)
        });
        let (stream, [_of_tenant, of_all], places) = dialed.await.map_err(io::Error::other)?;
        drop(of_all);
        if stream.is_err() {
            tokio::time::sleep(OUTBOUND_FAILED_PAUSE).await;
        }
        Ok((stream?, places))
    }
}

/// Connects, in this process and on this thread.
pub(super) fn connect(way: &Way) -> io::Result<TcpStream> {
    jail::connect(way.name(), way.port, OUTBOUND_CONNECT_TIMEOUT, |address| way.accepts(address))
}

/// Makes one tenant's connections.
#[derive(Clone)]
pub(super) struct Connector(Arc<Tenants>);

struct Tenants {
    destinations: Arc<[Destination]>,
    ways: Arc<Ways>,
    connections: Arc<Semaphore>,
    dials: Arc<Semaphore>,
}

impl Connector {
    /// For these destinations, with so many connections at once, of which so many are being made.
    pub(super) fn new(
        destinations: Arc<[Destination]>,
        ways: Arc<Ways>,
        connections_max: usize,
        dials_max: usize,
    ) -> Connector {
        let [connections, dials] = [connections_max, dials_max].map(|most| Arc::new(Semaphore::new(most)));
        Connector(Arc::new(Tenants { destinations, ways, connections, dials }))
    }

    /// How many more connections there may be now.
    pub(super) fn left(&self) -> usize {
        self.0.connections.available_permits()
    }
}

impl Tenants {
    async fn connect(&self, url: &Uri) -> io::Result<Pipe> {
        let target = Target::of(url).ok_or_else(|| io::Error::other("no address of a server"))?;
        // Asked before, of whoever made the request; hyper's client may have other reasons to connect.
        let way = way(&self.destinations, &target).ok_or_else(|| io::Error::other("no destination of the tenant"))?;
        let closed = io::Error::other;
        let places = [
            self.connections.clone().acquire_owned().await.map_err(closed)?,
            self.ways.connections.clone().acquire_owned().await.map_err(closed)?,
        ];
        let dial = self.dials.clone().acquire_owned().await.map_err(closed)?;
        let (stream, places) = self.ways.dial(way, dial, places).await?;
        stream.set_nodelay(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        if !target.secure {
            return Ok(Pipe::new(stream, false, places));
        }
        let config = self.ways.tls.clone().ok_or_else(|| io::Error::other("there are no certificates to trust"))?;
        let name = target.host.as_str().trim_matches(['[', ']']).to_string();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let shaken = tokio::time::timeout(OUTBOUND_CONNECT_TIMEOUT, TlsConnector::from(config).connect(name, stream));
        let stream = shaken.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Pipe::new(stream, http2, places))
    }
}

impl Service<Uri> for Connector {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pipe>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let tenant = self.0.clone();
        Box::pin(async move { tenant.connect(&url).await })
    }
}

/// A connection, which counts as long as it is there. A server that takes nothing for a while has ended it: nobody else might,
/// when whoever asked is gone.
pub(super) struct Pipe {
    stream: Stalling<Box<dyn Stream>>,
    http2: bool,
    _places: Places,
}

impl Pipe {
    fn new(stream: impl Stream + 'static, http2: bool, places: Places) -> Pipe {
        let stream: Box<dyn Stream> = Box::new(stream);
        Pipe { stream: Stalling::new(Vec::new(), stream, Arc::default()), http2, _places: places }
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe").field("http2", &self.http2).finish_non_exhaustive()
    }
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        if self.http2 { Connected::new().negotiated_h2() } else { Connected::new() }
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
    use std::time::Duration;

    use tokio::net::TcpSocket;

    use super::*;

    /// Without that, a program that asked in vain without end kept a processor's other users waiting.
    #[tokio::test(start_paused = true)]
    async fn who_asks_in_vain_asks_seldom() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("http://{nobody}");
        let ways = Arc::new(Ways::of(&Config::default()).unwrap());
        let mut connector = Connector::new(Arc::new([url.parse().unwrap()]), ways, 8, 2);
        let began = tokio::time::Instant::now();
        let asked: Vec<_> = (0..6).map(|_| tokio::spawn(connector.call(url.parse().unwrap()))).collect();
        for asked in asked {
            assert_eq!(asked.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        // By a clock that goes on only when all wait for it.
        assert!(began.elapsed() >= 3 * OUTBOUND_FAILED_PAUSE);
    }

    /// Threads that connect were nobody's when their programs ended: whoever asked a server that does not answer, and did
    /// not wait, had all threads in the end.
    #[tokio::test]
    async fn who_does_not_wait_for_a_connection_has_no_more_of_them_at_once() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = socket.listen(1).unwrap();
        let address = silent.local_addr().unwrap();
        let others: Vec<_> = (0..8).map(|_| tokio::spawn(tokio::net::TcpStream::connect(address))).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let url = format!("http://{address}");
        let ways = Arc::new(Ways::of(&Config::default()).unwrap());
        let mut connector = Connector::new(Arc::new([url.parse().unwrap()]), ways.clone(), 8, 2);
        for _ in 0..6 {
            let asked = tokio::time::timeout(Duration::from_millis(20), connector.call(url.parse().unwrap()));
            assert!(asked.await.is_err(), "it was answered");
        }
        let tenants = &connector.0;
        let left = [&ways.dials, &tenants.dials, &tenants.connections].map(|places| places.available_permits());
        assert_eq!(left, [OUTBOUND_DIALS_MAX - 2, 0, 6]);
        // So that they end.
        drop((silent, others));
    }
}
