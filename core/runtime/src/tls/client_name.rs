//! Which clients a server lets in: those of our authority, and of these only some by common name when names are given.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use tracing::warn;

/// The authority's check, then the name's.
#[derive(Debug)]
pub(super) struct NamedClients {
    authority: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl NamedClients {
    /// No names: every client of the authority.
    pub(super) fn new(authority: Arc<dyn ClientCertVerifier>, allowed: Vec<String>) -> Self {
        Self { authority, allowed }
    }
}

/// The OID of `commonName` (RFC 5280, appendix A.1).
const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];

/// The first common name of a certificate; `None` when it has none or cannot be read.
fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }
    let subject = yasna::parse_der(certificate, |reader| {
        reader.read_sequence(|certificate| {
            let subject = certificate.next().read_sequence(|tbs| {
                tbs.read_optional(|version| version.read_tagged(yasna::Tag::context(0), |v| v.read_der()))?;
                // serial number, signature, issuer, validity
                for _ in 0..4 {
                    tbs.next().read_der()?;
                }
                let subject = tbs.next().read_der()?;
                rest(tbs)?;
                Ok(subject)
            })?;
            rest(certificate)?;
            Ok(subject)
        })
    })
    .ok()?;
    // Name ::= SEQUENCE OF SET OF SEQUENCE { type, value }
    let mut found = None;
    yasna::parse_der(&subject, |reader| {
        reader.read_sequence_of(|relative| {
            relative.read_set_of(|attribute| {
                attribute.read_sequence(|pair| {
                    let kind = pair.next().read_oid()?;
                    let value = pair.next().read_der()?;
                    if found.is_none() && kind.components().as_slice() == COMMON_NAME {
                        found = text(&value);
                    }
                    Ok(())
                })
            })
        })
    })
    .ok()?;
    found
}

fn rest(reader: &mut yasna::BERReaderSeq<'_, '_>) -> yasna::ASN1Result<()> {
    while reader.read_optional(|any| any.read_der())?.is_some() {}
    Ok(())
}

/// A `DirectoryString` in one of the kinds that are in use.
fn text(der: &[u8]) -> Option<String> {
    yasna::parse_der(der, |string| string.read_utf8string())
        .or_else(|_| yasna::parse_der(der, |string| string.read_printable_string()))
        .or_else(|_| yasna::parse_der(der, |string| string.read_ia5_string()))
        .ok()
}

impl ClientCertVerifier for NamedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authority.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.authority.verify_client_cert(end_entity, intermediates, now)?;
        let name = common_name(end_entity);
        if self.allowed.is_empty() || name.as_ref().is_some_and(|name| self.allowed.contains(name)) {
            return Ok(verified);
        }
        warn!(name = name.unwrap_or_default(), allowed = ?self.allowed, "refused a client by its common name");
        Err(Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.supported_verify_schemes()
    }
}
