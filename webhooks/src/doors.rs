//! Who may knock, and how often: the address of a caller, what becomes of one that is never believed, and how much a
//! partner may tell.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use ipnet::IpNet;

/// Callbacks of one address that may fail verification in a minute, where the partners file says nothing else.
pub const REJECTIONS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).expect("it is not zero");

/// Callbacks of one partner that are taken in a minute, where the partners file says nothing else: more than a node can
/// store, so that nobody meets it who has not asked for less.
pub const CALLBACKS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600_000).expect("it is not zero");

/// Addresses that are remembered at once. Who has more of them is not stopped by addresses.
const MOST_ADDRESSES: usize = 50_000;

const FORWARDED: &str = "x-forwarded-for";

/// Our own proxies: nobody else's word is taken for another address.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<IpNet>);

/// How much is taken in a minute.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one address, callbacks that are not believed.
    pub rejections: NonZeroU32,
    /// Of one partner, callbacks that are.
    pub callbacks: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rejections: REJECTIONS_PER_MINUTE,
            callbacks: CALLBACKS_PER_MINUTE,
        }
    }
}

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// Closes the door to an address whose callbacks are never right, and to a partner that tells more than it may. What is
/// counted for a partner is what was believed: nobody else can use up what it may tell.
#[derive(Debug)]
pub struct Doors {
    proxies: Proxies,
    rejections: Limiter<IpAddr>,
    callbacks: Limiter<String>,
    closed: Mutex<HashMap<IpAddr, Instant>>,
}

impl Default for Doors {
    fn default() -> Self {
        Self::new(Proxies::default(), Limits::default())
    }
}

impl Proxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The caller's address: the peer's, or what the last of our proxies says it was.
    pub fn locate(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.is_proxy(peer) {
            return peer;
        }
        let lines = headers.get_all(FORWARDED).iter().rev();
        let hops = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.rsplit(','));
        let mut last = peer;
        for hop in hops {
            let Ok(address) = hop.trim().parse::<IpAddr>() else {
                break;
            };
            last = address.to_canonical();
            if !self.is_proxy(last) {
                break;
            }
        }
        last
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Doors {
    /// Behind these proxies.
    pub fn new(proxies: Proxies, limits: Limits) -> Self {
        Self {
            proxies,
            rejections: RateLimiter::hashmap(Quota::per_minute(limits.rejections)),
            callbacks: RateLimiter::hashmap(Quota::per_minute(limits.callbacks)),
            closed: Mutex::default(),
        }
    }

    /// The caller's address.
    pub(crate) fn locate(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        self.proxies.locate(peer, headers)
    }

    /// Counts a callback of a partner that was believed; if it is one too many, after how many seconds the next may come.
    pub(crate) fn count_callback(&self, partner: &str) -> Result<(), u64> {
        // Only names of the partners file get here: it cannot grow.
        let counted = self.callbacks.check_key(&partner.to_owned());
        counted.map_err(|not_yet| seconds(not_yet.wait_time_from(DefaultClock::default().now())))
    }

    /// For how many seconds this address is not listened to.
    pub(crate) fn closed_for(&self, address: IpAddr) -> Option<u64> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let house = house(address);
        let until = *closed.get(&house)?;
        match until.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Some(seconds(left)),
            _ => {
                closed.remove(&house);
                None
            }
        }
    }

    /// A callback from there could not be verified.
    pub(crate) fn count_rejection(&self, address: IpAddr) {
        if self.rejections.len() > MOST_ADDRESSES {
            self.rejections.retain_recent();
        }
        let house = house(address);
        let Err(not_yet) = self.rejections.check_key(&house) else {
            return;
        };
        let until = Instant::now() + not_yet.wait_time_from(DefaultClock::default().now());
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.len() > MOST_ADDRESSES {
            closed.clear();
        }
        closed.insert(house, until);
    }
}

/// Whole seconds, and never too few.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

/// What one household or server has: an IPv4 address, or a network of IPv6 by its first 64 bits.
pub fn house(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn forwarded(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| line.parse().unwrap());
        lines.map(|line| (FORWARDED.parse().unwrap(), line)).collect()
    }

    fn behind(proxies: &[&str]) -> Doors {
        let proxies = proxies.iter().map(|text| text.parse().unwrap()).collect();
        let three = NonZeroU32::new(3).unwrap();
        let limits = Limits {
            rejections: three,
            callbacks: three,
        };
        Doors::new(Proxies::new(proxies), limits)
    }

    #[test]
    fn only_our_own_proxies_are_believed_about_addresses() {
        let doors = behind(&["10.0.0.0/8", "fd00::/8"]);

        for (peer, lines, expected) in [
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1", "10.1.1.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, nonsense"], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(
                doors.locate(address(peer), &forwarded(lines)),
                address(expected),
                "{peer} {lines:?}"
            );
        }
    }

    #[test]
    fn an_address_that_is_never_right_is_turned_away_and_its_neighbours_are_not() {
        let doors = behind(&[]);
        let (bad, neighbour) = (address("192.0.2.1"), address("192.0.2.2"));

        for _ in 0..3 {
            doors.count_rejection(bad);
            assert_eq!(doors.closed_for(bad), None);
        }
        doors.count_rejection(bad);

        assert!(doors.closed_for(bad).is_some_and(|seconds| (1..=21).contains(&seconds)));
        assert_eq!(doors.closed_for(neighbour), None);
    }

    #[test]
    fn a_partner_that_tells_too_much_waits_and_the_others_do_not() {
        let doors = behind(&[]);

        let counted: Vec<_> = (0..4).map(|_| doors.count_callback("hasty")).collect();

        assert_eq!(counted[..3], [Ok(()); 3]);
        assert!(
            counted[3].is_err_and(|seconds| (1..=21).contains(&seconds)),
            "{counted:?}"
        );
        assert_eq!(doors.count_callback("steady"), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        let doors = behind(&[]);

        for host in 1..=4 {
            doors.count_rejection(address(&format!("2001:db8:0:1::{host}")));
        }

        assert!(doors.closed_for(address("2001:db8:0:1:ffff::1")).is_some());
        assert_eq!(doors.closed_for(address("2001:db8:0:2::1")), None);
    }
}
