//! Certificates for tests: a private authority and what it signs, as PEM files in a folder.
//!
//! Keys live only as long as the folder. Fails when a file cannot be written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// A certificate authority whose certificate lies in `<folder>/<name>-ca.pem`.
pub struct Authority {
    name: String,
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// Paths of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Signed {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let authority = Self { name: name.to_owned(), folder: folder.to_owned(), issuer: Issuer::new(params, key) };
        write(&authority.ca(), &certificate.pem())?;
        Ok(authority)
    }

    /// The authority's own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join(format!("{}-ca.pem", self.name))
    }

    /// Where a certificate of this common name lies.
    pub fn path_of(&self, common_name: &str) -> Signed {
        let at = |kind: &str| self.folder.join(format!("{}-{common_name}-{kind}.pem", self.name));
        Signed { cert: at("cert"), key: at("key") }
    }

    /// Signs a certificate with this common name that is valid for these host names and addresses, for both ends of a
    /// connection. A second one of the same common name replaces the files.
    pub fn sign(&self, common_name: &str, hosts: &[&str]) -> Result<Signed> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let signed = self.path_of(common_name);
        write(&signed.cert, &certificate.pem())?;
        write(&signed.key, &key.serialize_pem())?;
        Ok(signed)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
