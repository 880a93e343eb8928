//! `waybill token`: a token for the API, for development and for operators' scripts.

use std::io::Write;

use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use waybill_domain::Role as ApiRole;

use super::failure::{DONE, chain};
use super::{Failure, span};
use crate::api::auth::Auth;
use crate::config::{Role, Settings};

/// What a token says.
#[derive(Debug, Args)]
pub struct TokenOptions {
    /// What its bearer may do.
    #[arg(long, value_enum)]
    role: TokenRole,
    /// Who its bearer is; a customer's is the customer_id.
    #[arg(long, value_name = "NAME", value_parser = subject)]
    sub: String,
    /// How long it holds, such as 15m, 1h or 24h; at most a day.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = lifetime)]
    ttl: TimeDelta,
}

/// Roles that a token gives.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum TokenRole {
    /// May decide and see everything.
    Operator,
    /// May report events and see everything.
    Service,
    /// May see and confirm what is delivered to it.
    Customer,
}

impl From<TokenRole> for ApiRole {
    fn from(role: TokenRole) -> Self {
        match role {
            TokenRole::Operator => Self::Operator,
            TokenRole::Service => Self::Service,
            TokenRole::Customer => Self::Customer,
        }
    }
}

fn subject(text: &str) -> Result<String, String> {
    let fitting = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
    if fitting {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 255 printable characters".to_owned())
    }
}

/// The API takes no token that lives longer.
fn lifetime(text: &str) -> Result<TimeDelta, String> {
    let span = span::parse(text)?;
    if span <= TimeDelta::days(1) {
        Ok(span)
    } else {
        Err("no token lives longer than 24h".to_owned())
    }
}

pub(super) fn run(options: &TokenOptions, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = Settings::from_environment(Role::Token)?;
    let tokens = settings
        .tokens
        .as_ref()
        .ok_or_else(|| Failure::usage("WAYBILL_JWT_KEY is not set"))?;
    let auth = Auth::from_settings(tokens).map_err(|error| Failure::usage(chain(&error)))?;
    let token = auth.issue(options.role.into(), &options.sub, options.ttl);
    writeln!(out, "{}", token.map_err(|error| Failure::usage(chain(&error)))?)?;
    Ok(DONE)
}
