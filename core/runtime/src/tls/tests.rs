use std::{fs, net::SocketAddr, path::Path, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;
use crate::{
    Shutdown,
    channel::{Dialer, Limits},
    metrics::Metrics,
    serve,
};

struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    fn create(file: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        fs::write(file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self(Issuer::new(params, key))
    }

    /// Writes `cert.pem` and `key.pem` of this name, valid for 127.0.0.1.
    fn sign(&self, folder: &Path, name: &str) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        fs::write(folder.join("cert.pem"), params.signed_by(&key, &self.0).unwrap().pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    }
}

fn files(folder: &Path, allowed: &[&str]) -> Files {
    let at = |name: &str| folder.join(name).display().to_string();
    let allowed_cn = allowed.iter().map(|name| (*name).to_owned()).collect();
    Files { ca: at("ca.pem"), cert: at("cert.pem"), key: at("key.pem"), allowed_cn }
}

fn identity(name: &str) -> (TempDir, Authority, Tls) {
    let folder = TempDir::new().unwrap();
    let authority = Authority::create(&folder.path().join("ca.pem"));
    authority.sign(folder.path(), name);
    let tls = Tls::load(files(folder.path(), &[])).unwrap();
    (folder, authority, tls)
}

async fn server(tls: Tls) -> (SocketAddr, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    tokio::spawn(serve::serve_with(listener, serve::status_routes(Metrics::new()), Some(tls), shutdown.clone()));
    (addr, shutdown)
}

/// The status page over TLS, or why not.
async fn status(addr: SocketAddr, tls: &Tls) -> io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // gRPC's protocol is not asked for here
    let mut config = (*tls.configs().1).clone();
    config.alpn_protocols.clear();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(addr).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn both_ends_know_each_other_by_their_authority() {
    let (_folder, _, tls) = identity("us");
    let (addr, _shutdown) = server(tls.clone()).await;
    assert!(status(addr, &tls).await.unwrap().contains("Release Version: v"));
    Dialer::new(Limits::default(), Some(tls)).connect(&addr.to_string()).await.unwrap();

    let (_folder, _, stranger) = identity("us");
    assert!(status(addr, &stranger).await.is_err());
    Dialer::new(Limits::default(), Some(stranger)).connect(&addr.to_string()).await.unwrap_err();

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // what comes is an alert or a reset, never a page
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("Release"));
}

#[tokio::test]
async fn a_client_of_another_name_is_not_let_in() {
    let (folder, authority, _) = identity("one");
    let named = Tls::load(files(folder.path(), &["one"])).unwrap();
    let (addr, _shutdown) = server(named.clone()).await;
    assert!(status(addr, &named).await.unwrap().contains("Release Version: v"));

    let other = TempDir::new().unwrap();
    fs::copy(folder.path().join("ca.pem"), other.path().join("ca.pem")).unwrap();
    authority.sign(other.path(), "two");
    let two = Tls::load(files(other.path(), &[])).unwrap();
    assert!(status(addr, &two).await.is_err());
}

#[tokio::test]
async fn renewed_files_take_effect_and_broken_ones_do_not() {
    let (folder, _, tls) = identity("us");
    let before = tls.configs();
    let look = |tls: &Tls| {
        let mut state = tls.inner.state.lock().unwrap();
        state.looked -= LOOK_PERIOD;
        drop(state);
        tls.configs()
    };
    assert!(Arc::ptr_eq(&look(&tls).0, &before.0), "nothing changed");

    fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    assert!(Arc::ptr_eq(&look(&tls).0, &before.0), "a broken file leaves the old one in force");

    let renewed = Authority::create(&folder.path().join("ca.pem"));
    renewed.sign(folder.path(), "us");
    assert!(!Arc::ptr_eq(&look(&tls).0, &before.0), "renewed files are used");
    let (addr, _shutdown) = server(tls.clone()).await;
    assert!(status(addr, &tls).await.unwrap().contains("Release Version: v"));
}

#[tokio::test]
async fn a_silent_peer_is_not_waited_for() {
    let (_folder, _, tls) = identity("us");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let waited = limited(Duration::from_millis(20), TlsAcceptor::from(tls.configs().0).accept(stream)).await;
    assert_eq!(waited.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[test]
fn what_cannot_be_used_is_named() {
    let (folder, _, _) = identity("us");
    let mut missing = files(folder.path(), &[]);
    missing.cert = folder.path().join("nowhere.pem").display().to_string();
    assert!(Tls::load(missing).unwrap_err().to_string().contains("nowhere.pem"));
    let mut swapped = files(folder.path(), &[]);
    swapped.key = swapped.cert.clone();
    assert!(Tls::load(swapped).unwrap_err().to_string().contains("holds no private key"));
    let (other, _, _) = identity("us");
    let mut mixed = files(folder.path(), &[]);
    mixed.key = other.path().join("key.pem").display().to_string();
    assert!(Tls::load(mixed).unwrap_err().to_string().contains("cert.pem cannot be used"));
}
