//! The delivery partners: whether somebody listens where they should be.

use std::time::Duration;

use tokio::net::TcpStream;
use url::Url;

use super::Check;
use crate::config::{Broker, Database, Partners, Settings};

/// Who does not answer within that time is away.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn check(settings: &Settings) -> Vec<Check> {
    let embedded = matches!(
        (&settings.database, &settings.broker),
        (Database::Sqlite(_), Broker::Local)
    );
    let file = match &settings.partners {
        Some(Partners::File(file)) => file,
        _ if embedded => return vec![Check::ok("partners", "the simulator, in the process of `waybill all`")],
        _ => {
            let detail = "none: `waybill serve` and `waybill work` need the partners file (WAYBILL_PARTNERS)";
            return vec![Check::warn("partners", detail)];
        }
    };
    let mut checks = Vec::new();
    for (name, partner) in &file.calls.partners {
        let label = format!("partner {name}");
        checks.push(match reach(&partner.base_url).await {
            Ok(()) => Check::ok(label, format!("{} answers", partner.base_url)),
            Err(why) => {
                let place = file.path.display();
                Check::unreachable(
                    label,
                    format!("{} does not answer: {why} (base_url in {place})", partner.base_url),
                )
            }
        });
    }
    checks
}

/// Whether somebody listens at the host of this URL.
pub(super) async fn reach(url: &str) -> Result<(), String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let host = url
        .host_str()
        .ok_or("no host")?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = url.port_or_known_default().ok_or("no port")?;
    match tokio::time::timeout(PATIENCE, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("nothing within {} s", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_is_reached_and_who_does_not_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());

        assert_eq!(reach(&url).await, Ok(()));
        drop(listener);
        assert!(reach(&url).await.is_err());
        assert!(reach("nonsense").await.is_err());
    }
}
