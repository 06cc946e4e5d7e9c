//! TLS by rustls: certificates and keys from files, replaced while the server runs.
//!
//! Which certificate a client gets is decided by the name it asks for (SNI) and the names in the certificates, so there
//! is nothing to configure that could contradict them; whoever asks for no name of ours gets the first.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::config::{CertificateConfig, Config, TlsConfig};
use crate::error::EdgeError;
use crate::limits::CERTIFICATE_BYTES_MAX;

/// Certificates and keys cannot be used. The operator's to mend.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read, or is none.
    #[error("{}: {message}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A key is not that of its certificate.
    #[error("the key {} does not belong to the certificate {}: {message}", key.display(), certificate.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What rustls says.
        message: String,
    },
    /// What rustls cannot do.
    #[error("TLS cannot be started: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    /// The same, with its place in the configuration.
    pub(crate) fn of(self, config: &Config) -> EdgeError {
        let file = match &self {
            TlsError::File { path, .. } => path,
            TlsError::Pair { certificate, .. } => certificate,
            TlsError::Rustls(_) => return self.into(),
        };
        config.wrong("tls.certificates", &file.display().to_string(), &self).into()
    }
}

/// The server's side of TLS, as it is now.
pub(crate) struct Tls {
    now: ArcSwap<Both>,
}

/// The same, with and without HTTP/2 among what it offers to speak.
struct Both {
    http2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
}

impl Tls {
    pub(crate) fn new(config: &TlsConfig) -> Result<Tls, TlsError> {
        Ok(Tls { now: ArcSwap::from_pointee(server_config(config)?) })
    }

    /// Takes over what [`prepare`] has read. Connections that are there keep what they have.
    pub(crate) fn replace(&self, prepared: Prepared) {
        self.now.store(Arc::new(prepared.0));
    }

    pub(crate) fn acceptor(&self, http2: bool) -> TlsAcceptor {
        let now = self.now.load();
        TlsAcceptor::from(if http2 { now.http2.clone() } else { now.http1.clone() })
    }
}

/// Certificates that were read and fit their keys.
pub(crate) struct Prepared(Both);

/// Reads certificates, and changes nothing yet.
pub(crate) fn prepare(config: &TlsConfig) -> Result<Prepared, TlsError> {
    server_config(config).map(Prepared)
}

fn server_config(config: &TlsConfig) -> Result<Both, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let names = ByName::read(&config.certificates, &provider)?;
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut server = versions.with_no_client_auth().with_cert_resolver(Arc::new(names));
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let http1 = Arc::new(server.clone());
    server.alpn_protocols.insert(0, b"h2".to_vec());
    Ok(Both { http2: Arc::new(server), http1 })
}

/// Certificates by the names in them.
struct ByName {
    /// In small letters; `*.a.example` for all directly below `a.example`.
    names: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

/// rustls asks for it; keys are not shown.
impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names.keys()).finish()
    }
}

impl ByName {
    fn read(files: &[CertificateConfig], provider: &CryptoProvider) -> Result<ByName, TlsError> {
        let mut all = ByName { names: HashMap::new(), first: None };
        for file in files {
            let (key, names) = certified(file, provider)?;
            let key = Arc::new(key);
            all.first.get_or_insert(key.clone());
            for name in names {
                // Whoever is named first stays.
                all.names.entry(name).or_insert(key.clone());
            }
        }
        Ok(all)
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = || Some(format!("*.{}", name.split_once('.')?.1));
        self.names.get(&name).or_else(|| self.names.get(&wildcard()?))
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.server_name().and_then(|name| self.find(name)).or(self.first.as_ref()).cloned()
    }
}

/// A certificate with its chain and key, and the names it is for.
fn certified(file: &CertificateConfig, provider: &CryptoProvider) -> Result<(CertifiedKey, Vec<String>), TlsError> {
    let CertificateConfig { certificate, key } = file;
    let wrong = |path: &Path, message: String| TlsError::File { path: path.to_owned(), message };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain.map_err(|error| wrong(certificate, format!("it is no PEM: {error}")))?;
    let Some(end) = chain.first() else {
        return Err(wrong(certificate, "found no certificate, expected -----BEGIN CERTIFICATE-----".into()));
    };
    let parsed = webpki::EndEntityCert::try_from(end);
    let parsed = parsed.map_err(|error| wrong(certificate, format!("its first certificate is none: {error}")))?;
    let names = parsed.valid_dns_names().map(str::to_ascii_lowercase).collect();
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?);
    let secret = secret.map_err(|error| wrong(key, format!("it holds no private key in PEM: {error}")))?;
    let certified = CertifiedKey::from_der(chain, secret, provider).map_err(|error| TlsError::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        message: error.to_string(),
    })?;
    Ok((certified, names))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let wrong = |message: String| TlsError::File { path: path.to_owned(), message };
    let length = std::fs::metadata(path).map_err(|error| wrong(format!("it cannot be read: {error}")))?.len();
    if length > CERTIFICATE_BYTES_MAX {
        return Err(wrong(format!("it has {length} bytes, expected at most {CERTIFICATE_BYTES_MAX}")));
    }
    std::fs::read(path).map_err(|error| wrong(format!("it cannot be read: {error}")))
}
