//! With what we prove who we are to a partner, as each wants it shown.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::Mutex;

use super::dialect::Call;
use super::settings::{Credentials, Invalid, PartnerSettings};

/// Before a token ends it is not used any more.
const SPARE: Duration = Duration::from_secs(60);
/// How long a signed token lasts; DoorDash takes thirty minutes at most.
const SIGNED_FOR: u64 = 300;

/// How requests are signed or labelled.
pub(super) enum Auth {
    /// Not at all.
    Nothing,
    /// One header, the same for every request.
    Header(HeaderName, SecretString),
    /// A bearer token that is fetched and renewed (OAuth, client credentials).
    Tokens(Tokens),
    /// DoorDash: a token signed for every request.
    DoorDash {
        developer: String,
        key: SecretString,
        secret: SecretString,
    },
    /// Lalamove: time, method, path and body signed for every request.
    Lalamove {
        key: SecretString,
        secret: SecretString,
        market: String,
    },
}

/// Where tokens are fetched, and the one that is valid.
pub(super) struct Tokens {
    url: Url,
    client: SecretString,
    secret: SecretString,
    scope: Option<&'static str>,
    current: Mutex<Option<(SecretString, Instant)>>,
}

/// Why a request cannot be sent: nothing was asked of the partner yet.
pub(super) enum NoToken {
    /// It could not be fetched now.
    Unreachable(String),
    /// We are refused.
    Refused(u16),
}

/// Headers that prove a request.
type Proof = Vec<(HeaderName, HeaderValue)>;

impl Auth {
    /// The bearer token of the settings, if there is one.
    pub(super) fn bearer(credentials: &Credentials) -> Result<Self, Invalid> {
        let bearer = credentials.bearer()?;
        Ok(bearer.map_or(Self::Nothing, |token| Self::header("authorization", "Bearer ", token)))
    }

    /// A header with a key in it.
    pub(super) fn header(name: &'static str, prefix: &str, key: SecretString) -> Self {
        let value = format!("{prefix}{}", key.expose_secret());
        Self::Header(HeaderName::from_static(name), value.into())
    }

    /// A user with or without a password.
    pub(super) fn basic(user: SecretString, password: Option<SecretString>) -> Self {
        let password = password.as_ref().map_or("", |password| password.expose_secret());
        let both = STANDARD.encode(format!("{}:{password}", user.expose_secret()));
        Self::header("authorization", "Basic ", both.into())
    }

    /// Tokens of the client `key` with `secret`, from `token_url` or where the partner usually has them.
    pub(super) fn tokens(
        settings: &PartnerSettings,
        usual: &str,
        scope: Option<&'static str>,
    ) -> Result<Self, Invalid> {
        let credentials = &settings.credentials;
        let url = credentials.token_url.as_deref().unwrap_or(usual);
        let url = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        Ok(Self::Tokens(Tokens {
            url: url.ok_or_else(|| Invalid::new("credentials.token_url", "an http or https URL"))?,
            client: credentials.key("credentials.key")?,
            secret: credentials.secret("credentials.secret")?,
            scope,
            current: Mutex::default(),
        }))
    }

    /// The developer `account`, the `key` and its signing `secret`.
    pub(super) fn doordash(credentials: &Credentials) -> Result<Self, Invalid> {
        let developer = credentials.account.clone();
        Ok(Self::DoorDash {
            developer: developer.ok_or_else(|| Invalid::new("credentials.account", "DoorDash's developer id"))?,
            key: credentials.key("credentials.key")?,
            secret: credentials.secret("credentials.secret")?,
        })
    }

    /// The `key` and `secret` of the market.
    pub(super) fn lalamove(credentials: &Credentials, market: String) -> Result<Self, Invalid> {
        Ok(Self::Lalamove {
            key: credentials.key("credentials.key")?,
            secret: credentials.secret("credentials.secret")?,
            market,
        })
    }

    /// The headers of one request.
    pub(super) async fn prove(&self, http: &Client, call: &Call, url: &Url, body: &[u8]) -> Result<Proof, NoToken> {
        Ok(match self {
            Self::Nothing => Vec::new(),
            Self::Header(name, value) => vec![(name.clone(), hidden(value.expose_secret()))],
            Self::Tokens(tokens) => {
                let token = tokens.get(http).await?;
                vec![bearer(token.expose_secret())]
            }
            Self::DoorDash { developer, key, secret } => {
                vec![bearer(&sign_token(developer, key, secret))]
            }
            Self::Lalamove { key, secret, market } => {
                let at = since_1970().as_millis();
                let body = String::from_utf8_lossy(body);
                let signed = format!("{at}\r\n{}\r\n{}\r\n\r\n{body}", call.method, url.path());
                let signature = hex::encode(hmac_of(secret.expose_secret().as_bytes(), &signed));
                let value = format!("hmac {}:{at}:{signature}", key.expose_secret());
                vec![
                    (HeaderName::from_static("authorization"), hidden(&value)),
                    (HeaderName::from_static("market"), hidden(market)),
                    (
                        HeaderName::from_static("request-id"),
                        hidden(&uuid::Uuid::new_v4().to_string()),
                    ),
                ]
            }
        })
    }

    /// The partner did not take what proved us: what can be renewed is.
    pub(super) async fn forget(&self) -> bool {
        match self {
            Self::Tokens(tokens) => tokens.current.lock().await.take().is_some(),
            _ => false,
        }
    }
}

impl Tokens {
    async fn get(&self, http: &Client) -> Result<SecretString, NoToken> {
        let mut current = self.current.lock().await;
        let valid = current.as_ref().filter(|(_, until)| *until > Instant::now());
        if let Some((token, _)) = valid {
            return Ok(token.clone());
        }
        let (token, lasts) = self.fetch(http).await?;
        *current = Some((token.clone(), Instant::now() + lasts));
        Ok(token)
    }

    fn form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", self.client.expose_secret())
            .append_pair("client_secret", self.secret.expose_secret());
        if let Some(scope) = self.scope {
            form.append_pair("scope", scope);
        }
        form.finish()
    }

    async fn fetch(&self, http: &Client) -> Result<(SecretString, Duration), NoToken> {
        let unreachable = |error: reqwest::Error| NoToken::Unreachable(error.without_url().to_string());
        let request = http
            .post(self.url.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(self.form());
        let response = request.send().await.map_err(unreachable)?;
        match response.status().as_u16() {
            200 => (),
            status @ 400..=403 => return Err(NoToken::Refused(status)),
            status => return Err(NoToken::Unreachable(format!("the token's place answered {status}"))),
        }
        let answer: Value = response.json().await.map_err(unreachable)?;
        let token = answer.get("access_token").and_then(Value::as_str);
        let token = token.ok_or_else(|| NoToken::Unreachable("an answer without a token".to_owned()))?;
        let lasts = answer.get("expires_in").and_then(Value::as_u64).unwrap_or(300);
        let lasts = Duration::from_secs(lasts.clamp(1, 30 * 86_400));
        Ok((token.into(), lasts.saturating_sub(SPARE).max(Duration::from_secs(1))))
    }
}

fn sign_token(developer: &str, key: &SecretString, secret: &SecretString) -> String {
    let now = since_1970().as_secs();
    let head = json!({"alg": "HS256", "typ": "JWT", "dd-ver": "DD-JWT-V1"});
    let body =
        json!({"aud": "doordash", "iss": developer, "kid": key.expose_secret(), "iat": now, "exp": now + SIGNED_FOR});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&body));
    // The secret is handed out in base64, with the alphabet of addresses.
    let text = secret.expose_secret().trim_end_matches('=');
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .unwrap_or_else(|_| text.as_bytes().to_vec());
    let signature = URL_SAFE_NO_PAD.encode(hmac_of(&bytes, &signed));
    format!("{signed}.{signature}")
}

fn hmac_of(secret: &[u8], text: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn bearer(token: &str) -> (HeaderName, HeaderValue) {
    (
        HeaderName::from_static("authorization"),
        hidden(&format!("Bearer {token}")),
    )
}

/// A header that is shown nowhere. What cannot be one is sent as nothing, and refused by the partner.
fn hidden(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Header(..) => "Header(…)",
            Self::Tokens(_) => "Tokens(…)",
            Self::DoorDash { .. } => "DoorDash(…)",
            Self::Lalamove { .. } => "Lalamove(…)",
        })
    }
}
