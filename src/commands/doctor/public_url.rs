//! What partners and customers are told to come back to.

use url::{Host, Url};

use super::Check;
use super::partners::reach;
use crate::config::{Settings, Source};

const NAME: &str = "public URL";

pub(super) async fn check(settings: &Settings) -> Check {
    let url = settings.http.public_url(settings.http.addr);
    let is_set = settings
        .describe()
        .iter()
        .any(|it| it.name == "WAYBILL_PUBLIC_URL" && it.source != Source::Default);
    let local = Url::parse(&url).is_ok_and(|url| is_local(&url));
    if local && !settings.http.addr.ip().is_loopback() && !is_set {
        let detail = format!("others are told {url}, which only this machine reaches: set WAYBILL_PUBLIC_URL");
        return Check::warn(NAME, detail);
    }
    if !local && url.starts_with("http://") {
        return Check::warn(
            NAME,
            format!("{url} is not encrypted: confirmation links and callbacks can be read on the way"),
        );
    }
    match reach(&url).await {
        Ok(()) => Check::ok(NAME, format!("{url} answers")),
        Err(why) => Check::warn(NAME, format!("nobody answers at {url} ({why}): start `waybill serve`")),
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}
