//! How often one address may come to the pages of customers and couriers: enough for a shop that answers for its customers and
//! for all who share a carrier's address, too little for a flood.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use waybill_webhooks::doors::{Proxies, house};

use super::confirm;

/// Addresses that are remembered at once. Who has more of them is not stopped by addresses.
const MOST_ADDRESSES: usize = 50_000;

/// Counts visits by address, or by network of IPv6.
#[derive(Debug, Clone)]
pub struct Visits {
    proxies: Proxies,
    limiter: Arc<RateLimiter<IpAddr, HashMapStateStore<IpAddr>, DefaultClock>>,
}

impl Visits {
    /// So many in a minute of one address, as these proxies tell it.
    pub fn new(proxies: Proxies, a_minute: NonZeroU32) -> Self {
        Self {
            proxies,
            limiter: Arc::new(RateLimiter::hashmap(Quota::per_minute(a_minute))),
        }
    }

    /// Counts one; if it is one too many, after how many seconds the next may come.
    fn count(&self, request: &Request) -> Result<(), u64> {
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return Ok(());
        };
        if self.limiter.len() > MOST_ADDRESSES {
            self.limiter.retain_recent();
        }
        let address = self.proxies.locate(peer.ip(), request.headers());
        let counted = self.limiter.check_key(&house(address));
        counted.map_err(|not_yet| not_yet.wait_time_from(DefaultClock::default().now()).as_secs() + 1)
    }
}

/// Turns away who comes too often.
pub(super) async fn limit(State(visits): State<Visits>, request: Request, next: Next) -> Response {
    let Err(after) = visits.count(&request) else {
        return next.run(request).await;
    };
    metrics::counter!("page_visits_turned_away_total").increment(1);
    let mut response = confirm::come_again(StatusCode::TOO_MANY_REQUESTS, request.headers());
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(after));
    response
}
