//! `WAYBILL_HTTP_ADDR`, `WAYBILL_PUBLIC_URL`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::Url;

use super::SettingsError;
use super::reader::{Reader, Value};

/// Where we listen, and what partners and customers are told.
#[derive(Debug, Clone)]
pub struct Http {
    /// `IP:PORT`; port 0 takes any free one.
    pub addr: SocketAddr,
    public_url: Option<String>,
}

impl Http {
    /// The URL under which others reach us, without a slash at its end: as set, or that of the address that was bound.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| url_of(bound))
    }
}

fn url_of(mut addr: SocketAddr) -> String {
    // Listening everywhere is no place to go to.
    if addr.ip().is_unspecified() {
        addr.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    format!("http://{addr}")
}

pub(super) fn read(reader: &mut Reader) -> Result<Http, SettingsError> {
    let addr: SocketAddr = reader.read_or("WAYBILL_HTTP_ADDR", "127.0.0.1:8080")?;
    let public_url: Option<PublicUrl> = reader.read_described("WAYBILL_PUBLIC_URL", &url_of(addr))?;
    Ok(Http {
        addr,
        public_url: public_url.map(|PublicUrl(url)| url),
    })
}

impl Value for SocketAddr {
    const EXPECTED: &'static str = "IP:PORT, such as 127.0.0.1:8080";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

struct PublicUrl(String);

impl Value for PublicUrl {
    const EXPECTED: &'static str = "http://HOST or https://HOST, with a path at most";

    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then(|| Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
