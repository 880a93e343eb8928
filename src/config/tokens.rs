//! `WAYBILL_JWT_*`: how API tokens are checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use url::{Host, Url};

use super::reader::{Reader, Value};
use super::{Broker, Database, Role, SettingsError, development};

const KEY: &str = "WAYBILL_JWT_KEY";
const JWKS: &str = "WAYBILL_JWT_JWKS_URL";

/// What a token must say, and how its signature is checked.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Required `iss`.
    pub issuer: String,
    /// Required `aud`.
    pub audience: String,
    /// What checks signatures.
    pub key: TokenKey,
}

/// What checks the signature of a token.
#[derive(Debug, Clone)]
pub enum TokenKey {
    /// A shared secret (HS256), which also signs development tokens.
    Shared(SecretString),
    /// A public key in PEM.
    PublicPem(SecretString),
    /// The issuer's published keys.
    Jwks(String),
}

pub(super) fn read(
    reader: &mut Reader,
    role: Role,
    database: &Database,
    broker: &Broker,
) -> Result<Option<Tokens>, SettingsError> {
    let key: Option<TokenKey> = reader.read(KEY)?;
    let jwks: Option<JwksUrl> = reader.read(JWKS)?;
    let Name(issuer) = reader.read_or("WAYBILL_JWT_ISSUER", "waybill")?;
    let Name(audience) = reader.read_or("WAYBILL_JWT_AUDIENCE", "waybill")?;
    let key = match (key, jwks) {
        (Some(_), Some(_)) => return Err(reader.wrong(JWKS, "either it or WAYBILL_JWT_KEY, not both")),
        (Some(key), None) => key,
        (None, Some(JwksUrl(url))) => {
            require_issuer(reader)?;
            TokenKey::Jwks(url)
        }
        (None, None) => match find_development_key(reader, role, database, broker)? {
            Some(key) => key,
            None => return Ok(None),
        },
    };
    Ok(Some(Tokens { issuer, audience, key }))
}

/// Keys that are published are published for many: who issued a token, and for whom, must be said.
fn require_issuer(reader: &Reader) -> Result<(), SettingsError> {
    for name in ["WAYBILL_JWT_ISSUER", "WAYBILL_JWT_AUDIENCE"] {
        if !reader.has(name) {
            return Err(reader.wrong(name, "what the tokens of WAYBILL_JWT_JWKS_URL carry"));
        }
    }
    Ok(())
}

/// The key of one machine on its own. With real services a key that made itself would be everybody's surprise.
fn find_development_key(
    reader: &mut Reader,
    role: Role,
    database: &Database,
    broker: &Broker,
) -> Result<Option<TokenKey>, SettingsError> {
    let (Database::Sqlite(path), Broker::Local) = (database, broker) else {
        return match role.checks_tokens() {
            true => Err(reader.wrong(KEY, format!("{}; or {JWKS}", TokenKey::EXPECTED))),
            false => Ok(None),
        };
    };
    let file = development::beside(path, "jwt-key");
    reader.describe_instead(KEY, format!("in {}, made at the first start", file.display()));
    if !role.checks_tokens() {
        return Ok(None);
    }
    let text = development::make_or_read(reader, KEY, &file, |bytes| STANDARD.encode(bytes))?;
    let unusable = || {
        SettingsError::wrong(
            format!("{KEY} ({})", file.display()),
            super::error::shape(&text),
            TokenKey::EXPECTED,
        )
    };
    TokenKey::parse(&text).map(Some).ok_or_else(unusable)
}

impl Value for TokenKey {
    const EXPECTED: &'static str = "a shared secret of at least 32 characters, or a public key in PEM";

    fn parse(text: &str) -> Option<Self> {
        if text.starts_with("-----BEGIN") {
            // An environment variable often cannot hold line ends.
            let pem = text.replace("\\n", "\n");
            let public = pem.contains("PUBLIC KEY-----") && pem.contains("-----END") && !pem.contains("PRIVATE");
            return public.then(|| Self::PublicPem(pem.into()));
        }
        (text.len() >= 32 && !text.chars().any(char::is_control)).then(|| Self::Shared(text.into()))
    }

    fn show(&self) -> String {
        match self {
            Self::Shared(_) => "*** (shared secret)".to_owned(),
            Self::PublicPem(_) => "*** (public key)".to_owned(),
            Self::Jwks(url) => url.clone(),
        }
    }
}

struct JwksUrl(String);

impl Value for JwksUrl {
    const EXPECTED: &'static str = "https://HOST/PATH (http:// only to this machine)";

    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let local = match url.host()? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
        };
        let fitting = url.scheme() == "https" || (url.scheme() == "http" && local);
        (fitting && url.username().is_empty() && url.password().is_none()).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

struct Name(String);

impl Value for Name {
    const EXPECTED: &'static str = "1 to 200 printable characters";

    fn parse(text: &str) -> Option<Self> {
        let fitting = (1..=200).contains(&text.len()) && !text.chars().any(char::is_control) && text.trim() == text;
        fitting.then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
