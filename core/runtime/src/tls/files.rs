//! Certificate, key and authority as files, and what rustls makes of them.

use std::{fs, io, sync::Arc, time::SystemTime};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::client_name::NamedClients;

/// What both ends may speak: gRPC and, for status and metrics, HTTP/1.
const SERVER_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Paths of PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub ca: String,
    pub cert: String,
    pub key: String,
    /// Common names a client's certificate may have; empty: any.
    pub allowed_cn: Vec<String>,
}

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}")]
    Read {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds no {what}")]
    Pem { path: String, what: &'static str },
    #[error("{path} cannot be used")]
    Refused {
        path: String,
        #[source]
        source: rustls::Error,
    },
    #[error("no client could be checked with {path}")]
    Authority {
        path: String,
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// Size and time of the files: equal stamps, equal contents.
pub(super) type Stamp = Vec<Option<(u64, SystemTime)>>;

pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

impl Files {
    pub(super) fn stamp(&self) -> Stamp {
        [&self.ca, &self.cert, &self.key]
            .map(|path| {
                let metadata = fs::metadata(path).ok()?;
                Some((metadata.len(), metadata.modified().ok()?))
            })
            .to_vec()
    }

    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.ca)? {
            roots.add(authority).map_err(refused(&self.ca))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&self.cert)?;
        Ok(Loaded {
            server: Arc::new(self.server(&provider, &roots, chain.clone())?),
            client: Arc::new(self.client(&provider, &roots, chain)?),
        })
    }

    fn server(
        &self,
        provider: &Arc<CryptoProvider>,
        roots: &Arc<RootCertStore>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<ServerConfig, TlsError> {
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|source| TlsError::Authority { path: self.ca.clone(), source })?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(refused(&self.cert))?
            .with_client_cert_verifier(Arc::new(NamedClients::new(clients, self.allowed_cn.clone())))
            .with_single_cert(chain, self.key()?)
            .map_err(refused(&self.cert))?;
        config.alpn_protocols = SERVER_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }

    fn client(
        &self,
        provider: &Arc<CryptoProvider>,
        roots: &Arc<RootCertStore>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<ClientConfig, TlsError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(refused(&self.cert))?
            .with_root_certificates(Arc::clone(roots))
            .with_client_auth_cert(chain, self.key()?)
            .map_err(refused(&self.cert))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| TlsError::Pem { path: self.key.clone(), what: "private key" })
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| TlsError::Pem { path: path.to_owned(), what: "certificate" })
}

fn read(path: &str) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn refused(path: &str) -> impl FnOnce(rustls::Error) -> TlsError + use<> {
    let path = path.to_owned();
    move |source| TlsError::Refused { path, source }
}
