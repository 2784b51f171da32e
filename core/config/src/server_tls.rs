//! TLS between our programs: paths of PEM files. Reading them is the program's job.

use serde::Deserialize;

use crate::Error;

/// As written in a file or on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RawTls {
    pub ssl_ca: Option<String>,
    pub ssl_cert: Option<String>,
    pub ssl_key: Option<String>,
    pub cert_allowed_cn: Option<Vec<String>>,
}

/// Checked paths. Both sides of every connection show a certificate of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    pub ca: String,
    pub cert: String,
    pub key: String,
    /// Common names a client's certificate may have; empty: any.
    pub allowed_cn: Vec<String>,
}

impl RawTls {
    /// Values of `over` win.
    pub fn merge(&mut self, over: Self) {
        crate::flags::overlay(&mut self.ssl_ca, over.ssl_ca);
        crate::flags::overlay(&mut self.ssl_cert, over.ssl_cert);
        crate::flags::overlay(&mut self.ssl_key, over.ssl_key);
        crate::flags::overlay(&mut self.cert_allowed_cn, over.cert_allowed_cn);
    }

    /// `None` when nothing is set; half a configuration is an error, not plain text on the wire.
    pub fn finish(self) -> Result<Option<TlsPaths>, Error> {
        let set = |path: Option<String>| path.filter(|path| !path.is_empty());
        let (ca, allowed_cn) = (set(self.ssl_ca), self.cert_allowed_cn.unwrap_or_default());
        match (set(self.ssl_cert), set(self.ssl_key)) {
            (Some(cert), Some(key)) => match ca {
                Some(ca) => Ok(Some(TlsPaths { ca, cert, key, allowed_cn })),
                None => {
                    Err(Error::MasterTls { reason: "`ssl-ca` is missing: both ends check each other's certificate" })
                }
            },
            (None, None) if ca.is_none() && allowed_cn.is_empty() => Ok(None),
            (None, None) => Err(Error::MasterTls { reason: "`ssl-cert` and `ssl-key` are missing" }),
            (Some(_), None) => Err(Error::MasterTls { reason: "`ssl-key` is missing" }),
            (None, Some(_)) => Err(Error::MasterTls { reason: "`ssl-cert` is missing" }),
        }
    }
}
