//! Connections to servers by their URLs: in plain text, or by TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use selvedge_native::jail::Dialer;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::limits::CERTIFICATE_BYTES_MAX;
use crate::urgency::later;

/// Time in which a server must take a connection, and prove who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whose word is taken for who a server is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Roots {
    /// That of the certificates which this machine trusts.
    #[default]
    System,
    /// That of the certificates in a file, in PEM, and of no others.
    File(PathBuf),
}

/// There is no connection.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    /// It is no URL of a server.
    #[error("no address of a server")]
    Url,
    /// The certificates to trust cannot be read.
    #[error("{0}")]
    Roots(String),
    /// It does not answer.
    #[error(transparent)]
    Connect(#[from] io::Error),
    /// What it speaks is not TLS.
    #[error("it does not speak TLS")]
    NoTls,
    /// It is not who it should be.
    #[error("{0}")]
    Untrusted(String),
}

/// Where to connect to.
#[derive(Clone)]
pub(crate) struct Dial {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Who connects, if this process may not.
    dialer: Option<Arc<Dialer>>,
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dial({}{})", if self.tls.is_some() { "https://" } else { "http://" }, self.authority())
    }
}

impl Dial {
    /// The server of `http://HOST:PORT` or `https://HOST:PORT`.
    pub(crate) fn new(url: &Uri, roots: &Roots) -> Result<Dial, DialError> {
        let authority = url.authority().ok_or(DialError::Url)?;
        let host = authority.host().to_string();
        let (port, tls) = match url.scheme_str() {
            Some("http") => (80, None),
            Some("https") => {
                let name = host.trim_matches(['[', ']']).to_string();
                let name = ServerName::try_from(name).map_err(|_| DialError::Url)?;
                (443, Some((TlsConnector::from(Arc::new(client_config(roots)?)), name)))
            }
            _ => return Err(DialError::Url),
        };
        Ok(Dial { host, port: authority.port_u16().unwrap_or(port), tls, dialer: None })
    }

    /// The same, by another process, which decides where to.
    pub(crate) fn through(self, dialer: Arc<Dialer>) -> Dial {
        Dial { dialer: Some(dialer), ..self }
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects, ready for a request of HTTP/1.
    pub(crate) async fn connect<B>(&self) -> Result<SendRequest<B>, DialError>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, self.stream()).await;
        let stream = stream.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        let begun = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = begun.map_err(|error| DialError::Connect(io::Error::other(error)))?;
        // It ends with the last of sender and answer; what goes wrong shows there.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn stream(&self) -> Result<Box<dyn Stream>, DialError> {
        let stream = match self.dialer.clone() {
            None => TcpStream::connect(self.authority()).await?,
            Some(dialer) => {
                let authority = self.authority();
                let dial = move || dialer.dial(&authority, CONNECT_TIMEOUT);
                let dialed = later(dial).await.map_err(io::Error::other)?;
                TcpStream::from_std(dialed?)?
            }
        };
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let stream = connector.connect(name.clone(), stream).await.map_err(|error| {
            // What rustls finds wrong comes as invalid data.
            match error.kind() {
                _ if matches!(found(&error), Some(rustls::Error::InvalidMessage(_))) => DialError::NoTls,
                io::ErrorKind::InvalidData => DialError::Untrusted(untrusted(&error)),
                _ => DialError::Connect(error),
            }
        })?;
        Ok(Box::new(stream))
    }
}

/// What rustls has found.
fn found(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What is wrong with a server's certificate.
fn untrusted(error: &io::Error) -> String {
    let said = error.to_string();
    // What `openssl req -x509` makes unless it is told otherwise, and most other clients take.
    match said.contains("CaUsedAsEndEntity") {
        true => "its certificate is an authority's, not a server's: make one with basicConstraints=CA:FALSE".into(),
        false => said,
    }
}

pub(crate) fn client_config(roots: &Roots) -> Result<ClientConfig, DialError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| DialError::Roots(error.to_string()))?;
    Ok(versions.with_root_certificates(root_store(roots)?).with_no_client_auth())
}

fn root_store(roots: &Roots) -> Result<RootCertStore, DialError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            // One of them that cannot be used vouches for nobody.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                let message = "this machine trusts no certificates (install ca-certificates); name a file with --ca";
                return Err(DialError::Roots(message.into()));
            }
        }
        Roots::File(path) => {
            let wrong = |message: String| DialError::Roots(format!("{}: {message}", path.display()));
            let unreadable = |error: io::Error| wrong(format!("it cannot be read: {error}"));
            let length = std::fs::metadata(path).map_err(unreadable)?.len();
            if length > CERTIFICATE_BYTES_MAX {
                return Err(wrong(format!("it has {length} bytes, expected at most {CERTIFICATE_BYTES_MAX}")));
            }
            let bytes = std::fs::read(path).map_err(unreadable)?;
            for certificate in CertificateDer::pem_slice_iter(&bytes) {
                let certificate = certificate.map_err(|error| wrong(format!("it is no PEM: {error}")))?;
                store.add(certificate).map_err(|error| wrong(format!("it has a certificate that is none: {error}")))?;
            }
            if store.is_empty() {
                return Err(wrong("found no certificate, expected -----BEGIN CERTIFICATE-----".into()));
            }
        }
    }
    Ok(store)
}
