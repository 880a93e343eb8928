//! What a verifier sees of a request: everything that a partner may have signed.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, Method};

use crate::signature::Rejection;

/// A request, read whole and not yet believed.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// `POST`, where it came over the route.
    pub method: &'a Method,
    /// The path as it was asked for.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// Every header.
    pub headers: &'a HeaderMap,
    /// The raw body.
    pub body: &'a [u8],
    /// Whom it comes from, as far as that is known.
    pub address: Option<IpAddr>,
}

impl<'a> Incoming<'a> {
    /// The one value of a header. A second one would leave open which of them was signed.
    pub(crate) fn header(&self, name: &'static str) -> Result<&'a str, Rejection> {
        let mut values = self.headers.get_all(HeaderName::from_static(name)).iter();
        let value = values.next().ok_or(Rejection::Missing(name))?;
        if values.next().is_some() {
            return Err(Rejection::Malformed(name));
        }
        value.to_str().map_err(|_| Rejection::Malformed(name))
    }

    /// A signature in hexadecimal, without what stands before it.
    pub(crate) fn hex_header(&self, name: &'static str, prefix: &str) -> Result<Vec<u8>, Rejection> {
        let text = self.header(name)?.strip_prefix(prefix);
        text.and_then(|digits| hex::decode(digits).ok())
            .ok_or(Rejection::Malformed(name))
    }

    /// The one `token` of the query: the secret part of an address that we gave to a partner who signs nothing.
    pub(crate) fn token(&self) -> Result<&'a str, Rejection> {
        let pairs = self.query.unwrap_or_default().split('&');
        let mut tokens = pairs.filter_map(|pair| pair.strip_prefix("token="));
        let token = tokens.next().ok_or(Rejection::Missing("token"))?;
        if tokens.next().is_some() || token.is_empty() {
            return Err(Rejection::Malformed("token"));
        }
        Ok(token)
    }
}
