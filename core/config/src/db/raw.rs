//! A connection description as it is written: the password plain or encrypted, TLS as paths or inline bytes.
//!
//! Turning it into a [`DbConfig`] decrypts the password and needs the TLS contents inline: paths mean files on the
//! machine of the user, so dmctl puts their bytes in before it sends a config.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use super::{DbConfig, Password, TlsConfig};
use crate::{Error, SecretKey, secret, timezone::TimeZone};

/// `from` of a source, `target-database` of a task.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Db {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Deprecated: the server says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_allowed_packet: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<BTreeMap<String, Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// TLS towards a database. Bytes win over base64, base64 over paths.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Security {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_cert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_allowed_cn: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_ca_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_cert_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_key_bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_ca_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_cert_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_key_base64: Option<String>,
}

/// File contents in a config: PEM text, or a list of byte values as DM stores them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bytes {
    List(Vec<u8>),
    Text(String),
}

impl Bytes {
    fn into_vec(self) -> Vec<u8> {
        match self {
            Self::List(bytes) => bytes,
            Self::Text(text) => text.into_bytes(),
        }
    }
}

impl Db {
    /// Checks and decrypts. `section` is the key in the file, for messages; `default_port` is used when there is none.
    /// A password that `key` does not decrypt is taken as plain text.
    pub fn resolve(
        &self,
        section: &'static str,
        default_port: u16,
        timezone: Option<&TimeZone>,
        key: Option<&SecretKey>,
    ) -> Result<DbConfig, Error> {
        let host =
            self.host.clone().filter(|host| !host.is_empty()).ok_or_else(|| problem(section, "`host` is required"))?;
        let mut session: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in self.session.iter().flatten() {
            let value = value.clone().unwrap_or_default();
            if session.insert(name.to_lowercase(), value).is_some() {
                return Err(problem(
                    section,
                    &format!("the session variable `{}` is given twice", name.to_lowercase()),
                ));
            }
        }
        if let Some(timezone) = timezone {
            session.insert("time_zone".to_owned(), timezone.as_str().to_owned());
        }
        let given = self.password.clone().unwrap_or_default();
        Ok(DbConfig {
            host,
            port: self.port.unwrap_or(default_port),
            user: self.user.clone().filter(|user| !user.is_empty()).unwrap_or_else(|| "root".to_owned()),
            password: Password(secret::decrypt_or_plain(key, &given)),
            session,
            tls: self.security.as_ref().map(|security| security.resolve(section)).transpose()?.flatten(),
        })
    }
}

impl Security {
    /// `None` when nothing is set.
    fn resolve(&self, section: &'static str) -> Result<Option<TlsConfig>, Error> {
        let part = |name: &str, bytes: &Option<Bytes>, base64: &Option<String>, path: &Option<String>| {
            if let Some(bytes) = bytes.clone().map(Bytes::into_vec).filter(|bytes| !bytes.is_empty()) {
                return Ok(Some(bytes));
            }
            if let Some(text) = base64.as_deref().filter(|text| !text.is_empty()) {
                let compact: String = text.split_whitespace().collect();
                let decoded = BASE64.decode(compact);
                return decoded.map(Some).map_err(|_| problem(section, &format!("`{name}-base64` is not base64")));
            }
            match path.as_deref() {
                None | Some("") => Ok(None),
                Some(path) => Err(problem(
                    section,
                    &format!("`{name}` names the file `{path}`, whose content must be given in `{name}-base64`"),
                )),
            }
        };
        let tls = TlsConfig {
            ca_pem: part("ssl-ca", &self.ssl_ca_bytes, &self.ssl_ca_base64, &self.ssl_ca)?,
            cert_pem: part("ssl-cert", &self.ssl_cert_bytes, &self.ssl_cert_base64, &self.ssl_cert)?,
            key_pem: part("ssl-key", &self.ssl_key_bytes, &self.ssl_key_base64, &self.ssl_key)?,
            cert_allowed_cn: self.cert_allowed_cn.clone().unwrap_or_default(),
        };
        if tls.cert_pem.is_some() != tls.key_pem.is_some() {
            return Err(problem(section, "`ssl-cert` and `ssl-key` must be given together"));
        }
        if tls.cert_allowed_cn.len() > 1 {
            return Err(problem(
                section,
                "`cert-allowed-cn` of a database takes one name, an alternative name of its certificate",
            ));
        }
        let any = tls.ca_pem.is_some() || tls.cert_pem.is_some();
        Ok(any.then_some(tls))
    }
}

fn problem(key: &'static str, problem: &str) -> Error {
    Error::Database { key, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<DbConfig, Error> {
        crate::yaml::parse::<Db>(yaml)?.resolve("from", 3306, None, None)
    }

    #[test]
    fn session_keys_are_lowered_and_values_are_texts() {
        let db = parse("{host: h, session: {SQL_MODE: 'A,B', tidb_retry_limit: 10, Autocommit: on}}").unwrap();
        let session: Vec<_> = db.session.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(session, ["autocommit=on", "sql_mode=A,B", "tidb_retry_limit=10"]);
        assert!(parse("{host: h, session: {a: 1, A: 2}}").is_err());
    }

    #[test]
    fn a_numeric_password_keeps_its_digits() {
        let db = parse("{host: h, port: 3306, user: u, password: 00123}").unwrap();
        assert_eq!(db.password.0, "00123");
        assert!(!format!("{db:?}").contains("00123"));
    }

    #[test]
    fn timezone_overrides_the_session() {
        let raw: Db = crate::yaml::parse("{host: h, session: {Time_Zone: '+01:00'}}").unwrap();
        let zone = TimeZone::parse("+08:00").unwrap();
        assert_eq!(raw.resolve("from", 1, Some(&zone), None).unwrap().session["time_zone"], "+08:00");
    }

    #[test]
    fn tls_content_comes_as_text_list_or_base64() {
        let db =
            parse("{host: h, security: {ssl-ca-bytes: [65, 66], ssl-cert-bytes: CD, ssl-key-base64: RUY=}}").unwrap();
        let tls = db.tls.unwrap();
        assert_eq!(tls.ca_pem.as_deref(), Some(b"AB".as_slice()));
        assert_eq!(tls.cert_pem.as_deref(), Some(b"CD".as_slice()));
        assert_eq!(tls.key_pem.as_deref(), Some(b"EF".as_slice()));
        assert_eq!(parse("{host: h, security: {ssl-ca: ''}}").unwrap().tls, None);
    }

    #[test]
    fn what_cannot_connect_is_refused() {
        for yaml in [
            "{port: 1}",
            "{host: h, security: {ssl-ca: /a/b}}",
            "{host: h, security: {ssl-ca-base64: '!'}}",
            "{host: h, security: {ssl-cert-bytes: a}}",
            "{host: h, security: {ssl-ca-bytes: a, cert-allowed-cn: [a, b]}}",
        ] {
            assert!(matches!(parse(yaml), Err(Error::Database { .. })), "{yaml}");
        }
    }
}
