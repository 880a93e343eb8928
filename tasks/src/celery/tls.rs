//! TLS of a broker or a result backend, as Python's URLs ask for it.
//!
//! | parameter of the URL | what |
//! |---|---|
//! | `ssl_ca_certs` | a PEM file with the authorities to trust |
//! | `ssl_certfile`, `ssl_keyfile` | PEM files with our own certificate and its key, for servers that want to know who comes |
//! | `ssl_cert_reqs` | `CERT_REQUIRED` or `required`, as without it: certificates are always checked |

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use redis::{ClientTlsConfig, TlsCertificates};
use url::Url;

/// Why a connection over TLS cannot be set up as its URL says.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the URL is not there, or may not be read.
    #[error("{parameter}: {path} cannot be read: {source}")]
    Unreadable {
        /// The parameter that names it.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the URL holds something else.
    #[error("{parameter}: {path} holds no {wanted} in PEM")]
    NoPem {
        /// The parameter that names it.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// A certificate, or a key.
        wanted: &'static str,
    },
    /// A certificate without its key, or the other way round.
    #[error("ssl_certfile and ssl_keyfile are given together or not at all")]
    HalfAnIdentity,
    /// Python would take any certificate, or none.
    #[error("{0}: certificates are always checked; name the file of the authority to trust as ssl_ca_certs")]
    Unchecked(String),
}

/// What the parameters of a URL say, with their files read.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    authorities: Option<String>,
    identity: Option<Identity>,
}

#[derive(Clone, PartialEq, Eq)]
struct Identity {
    certificate: String,
    key: String,
}

impl Tls {
    /// Reads the parameters of that URL, and the files that they name.
    pub(crate) fn of(url: &Url) -> Result<Self, TlsError> {
        refuse_unchecked(url)?;
        let identity = match (
            pem(url, "ssl_certfile", "CERTIFICATE")?,
            pem(url, "ssl_keyfile", "PRIVATE KEY")?,
        ) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            _ => return Err(TlsError::HalfAnIdentity),
        };
        Ok(Self {
            authorities: pem(url, "ssl_ca_certs", "CERTIFICATE")?,
            identity,
        })
    }

    /// For lapin, which trusts the authorities beside those of the machine.
    pub(super) fn for_amqp(&self) -> OwnedTLSConfig {
        OwnedTLSConfig {
            identity: self.identity.as_ref().map(|identity| OwnedIdentity::PKCS8 {
                pem: identity.certificate.clone().into_bytes(),
                key: identity.key.clone().into_bytes(),
            }),
            cert_chain: self.authorities.clone(),
        }
    }

    /// For Redis, which trusts the authorities instead of those of the machine, as Python does.
    pub(super) fn for_redis(&self) -> TlsCertificates {
        TlsCertificates {
            client_tls: self.identity.as_ref().map(|identity| ClientTlsConfig {
                client_cert: identity.certificate.clone().into_bytes(),
                client_key: identity.key.clone().into_bytes(),
            }),
            root_cert: self.authorities.clone().map(String::into_bytes),
        }
    }
}

/// The URL without what is said to us alone.
pub(crate) fn without_parameters(url: &Url) -> Url {
    let rest: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !name.starts_with("ssl_"))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut url = url.clone();
    url.set_query(None);
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    url
}

fn refuse_unchecked(url: &Url) -> Result<(), TlsError> {
    for (name, value) in url.query_pairs() {
        let checked = match &*name {
            "ssl_cert_reqs" => ["CERT_REQUIRED", "required"].contains(&&*value),
            "ssl_check_hostname" => value.eq_ignore_ascii_case("true"),
            _ => true,
        };
        if !checked {
            return Err(TlsError::Unchecked(format!("{name}={value}")));
        }
    }
    match url.fragment() {
        Some("insecure") => Err(TlsError::Unchecked("#insecure".to_owned())),
        _ => Ok(()),
    }
}

fn pem(url: &Url, parameter: &'static str, wanted: &'static str) -> Result<Option<String>, TlsError> {
    let Some((_, path)) = url.query_pairs().find(|(name, _)| name == parameter) else {
        return Ok(None);
    };
    let path = PathBuf::from(path.into_owned());
    let text = fs::read_to_string(&path).map_err(|source| TlsError::Unreadable {
        parameter,
        path: path.clone(),
        source,
    })?;
    // `-----BEGIN EC PRIVATE KEY-----` is a key too.
    if !text
        .lines()
        .any(|line| line.starts_with("-----BEGIN ") && line.contains(wanted))
    {
        return Err(TlsError::NoPem {
            parameter,
            path,
            wanted: if wanted == "CERTIFICATE" {
                "certificate"
            } else {
                "private key"
            },
        });
    }
    Ok(Some(text))
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Tls, String> {
        Tls::of(&Url::parse(&format!("rediss://cache/0{query}")).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_would_not_check_a_certificate_is_refused() {
        for query in [
            "",
            "?ssl_cert_reqs=CERT_REQUIRED",
            "?ssl_cert_reqs=required&ssl_check_hostname=true",
        ] {
            assert_eq!(read(query), Ok(Tls::default()), "{query}");
        }
        for query in [
            "?ssl_cert_reqs=CERT_NONE",
            "?ssl_cert_reqs=optional",
            "?ssl_check_hostname=false",
            "#insecure",
        ] {
            let error = read(query).unwrap_err();
            let what = query.trim_start_matches('?');
            let wanted = "certificates are always checked; name the file of the authority to trust as ssl_ca_certs";
            assert_eq!(error, format!("{what}: {wanted}"));
        }
    }

    #[test]
    fn a_file_that_is_wrong_is_named_with_its_parameter() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name).display().to_string()
        };
        let certificate = file("certificate.pem", "-----BEGIN CERTIFICATE-----\n");
        let key = file("key.pem", "-----BEGIN EC PRIVATE KEY-----\n");
        let nothing = file("nothing.pem", "nothing\n");

        let whole = read(&format!(
            "?ssl_ca_certs={certificate}&ssl_certfile={certificate}&ssl_keyfile={key}"
        ));
        assert_eq!(
            format!("{:?}", whole.unwrap()),
            "Tls { authorities: true, identity: true }",
            "neither is shown"
        );
        for (query, error) in [
            (
                "?ssl_ca_certs=/nowhere.pem".to_owned(),
                "ssl_ca_certs: /nowhere.pem cannot be read: No such file or directory (os error 2)".to_owned(),
            ),
            (
                format!("?ssl_ca_certs={nothing}"),
                format!("ssl_ca_certs: {nothing} holds no certificate in PEM"),
            ),
            (
                format!("?ssl_certfile={certificate}&ssl_keyfile={certificate}"),
                format!("ssl_keyfile: {certificate} holds no private key in PEM"),
            ),
            (
                format!("?ssl_certfile={certificate}"),
                "ssl_certfile and ssl_keyfile are given together or not at all".to_owned(),
            ),
        ] {
            assert_eq!(read(&query).unwrap_err(), error);
        }
    }

    #[test]
    fn other_parameters_stay() {
        for (url, wanted) in [
            (
                "rediss://:p%40@cache:6380/1?ssl_ca_certs=/a&protocol=resp3",
                "rediss://:p%40@cache:6380/1?protocol=resp3",
            ),
            ("rediss://cache/1?ssl_ca_certs=/a", "rediss://cache/1"),
            ("redis://cache", "redis://cache"),
        ] {
            assert_eq!(without_parameters(&Url::parse(url).unwrap()).as_str(), wanted);
        }
    }
}
