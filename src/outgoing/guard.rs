//! Keeps requests out of networks where a subscriber has no business: what is written in a URL is checked before, what
//! a name resolves to when the connection is made.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::network::{Network, is_public};

/// Ports of HTTPS in public.
const PORTS: [u16; 2] = [443, 8443];
/// No URL of a subscriber is longer.
const MAX_URL: usize = 2048;

/// Where requests may go.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    networks: Arc<[Network]>,
}

/// Which of the allowed addresses a URL may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public ones, and those of the named networks.
    Anywhere,
    /// Those of the named networks alone: without TLS, or to another port, nothing goes out in public.
    Named,
}

/// Why a request does not go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No URL of this service.
    #[error(
        "a URL such as https://example.org/hooks, without user, password and fragment, of at most {MAX_URL} characters"
    )]
    Url,
    /// Only in named networks.
    #[error("https on port 443 or 8443")]
    Scheme,
    /// An address of a network that is neither public nor named.
    #[error("a public address")]
    Address,
}

impl Guard {
    /// Lets requests go to public addresses, and to these networks.
    pub fn new(networks: Vec<Network>) -> Self {
        Self {
            networks: networks.into(),
        }
    }

    /// Reads a URL and checks what can be known of it without asking anybody.
    pub fn check(&self, text: &str) -> Result<Url, Refused> {
        let url = Url::parse(text).map_err(|_| Refused::Url)?;
        let plain = text.len() <= MAX_URL
            && matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        let host = url.host().filter(|_| plain).ok_or(Refused::Url)?;
        let reach = Reach::of(&url);
        if reach == Reach::Named && self.networks.is_empty() {
            return Err(Refused::Scheme);
        }
        let literal: Option<IpAddr> = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        };
        match literal {
            Some(address) if !self.allows(address, reach) => Err(Refused::Address),
            _ => Ok(url),
        }
    }

    /// A resolver that answers allowed addresses, or nothing.
    pub(super) fn resolver(&self, reach: Reach) -> Arc<Resolver> {
        Arc::new(Resolver {
            guard: self.clone(),
            reach,
        })
    }

    fn allows(&self, address: IpAddr, reach: Reach) -> bool {
        let named = self.networks.iter().any(|network| network.contains(address));
        named || (reach == Reach::Anywhere && is_public(address))
    }
}

impl Reach {
    pub(super) fn of(url: &Url) -> Self {
        let port = url.port_or_known_default().unwrap_or_default();
        if url.scheme() == "https" && PORTS.contains(&port) {
            Self::Anywhere
        } else {
            Self::Named
        }
    }
}

/// Resolves names for the client, which connects to what is answered here and to nothing else.
#[derive(Debug)]
pub(super) struct Resolver {
    guard: Guard,
    reach: Reach,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, reach) = (self.guard.clone(), self.reach);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One address that is not allowed spoils the name: who mixes them has something in mind.
            if found.iter().any(|address| !guard.allows(address.ip(), reach)) {
                let refused: Box<dyn Error + Send + Sync> = Refused::Address.into();
                return Err(refused);
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    #[test]
    fn a_url_into_a_private_network_is_refused_however_it_is_written() {
        let guard = Guard::default();
        let private = [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://0/",
            "https://10.0.0.8/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[::ffff:7f00:1]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://100.64.0.1/",
            "https://[2002:7f00:1::]/",
        ];
        for url in private {
            assert_eq!(guard.check(url), Err(Refused::Address), "{url}");
        }
    }

    #[test]
    fn only_https_on_its_ports_goes_out_in_public() {
        let guard = Guard::new(vec![Network::parse("10.0.0.0/8").unwrap()]);
        let cases = [
            ("https://shop.example/hooks?key=1", Ok(Reach::Anywhere)),
            ("https://shop.example:8443/", Ok(Reach::Anywhere)),
            ("https://8.8.8.8/", Ok(Reach::Anywhere)),
            ("http://shop.example/", Ok(Reach::Named)),
            ("https://shop.example:22/", Ok(Reach::Named)),
            ("http://10.1.2.3:9000/", Ok(Reach::Named)),
            ("http://8.8.8.8/", Err(Refused::Address)),
            ("https://8.8.8.8:25/", Err(Refused::Address)),
            ("ftp://shop.example/", Err(Refused::Url)),
            ("https://user:password@shop.example/", Err(Refused::Url)),
            ("https://user@shop.example/", Err(Refused::Url)),
            ("https://shop.example/#a", Err(Refused::Url)),
            ("https://", Err(Refused::Url)),
            ("shop.example", Err(Refused::Url)),
            ("", Err(Refused::Url)),
        ];
        for (url, expected) in cases {
            assert_eq!(guard.check(url).map(|url| Reach::of(&url)), expected, "{url}");
        }
        assert_eq!(Guard::default().check("http://shop.example/"), Err(Refused::Scheme));
        let long = format!("https://shop.example/{}", "x".repeat(MAX_URL));
        assert_eq!(guard.check(&long), Err(Refused::Url));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_resolved() {
        let name = || Name::from_str("localhost").unwrap();

        let refused = Guard::default().resolver(Reach::Anywhere).resolve(name()).await;
        let networks = ["127.0.0.0/8", "::1"].map(|text| Network::parse(text).unwrap());
        let allowed = Guard::new(networks.to_vec())
            .resolver(Reach::Named)
            .resolve(name())
            .await;

        assert!(refused.err().is_some_and(|error| error.is::<Refused>()));
        assert!(allowed.is_ok_and(|mut found| found.next().is_some()));
    }
}
