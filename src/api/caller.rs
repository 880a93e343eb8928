//! Who calls, and what they may do: refused unless it is allowed here, and nowhere else.

use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use metrics::counter;
use waybill_domain::{Actor, Graph, Role};

use super::App;
use super::auth::AuthError;
use super::problem::{Code, Problem};
use crate::engine::orders::speak;

/// Who calls, by a token that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's `sub`; a customer's is the `customer_id`.
    pub subject: String,
    /// Roles that this API knows; at least one.
    pub roles: BTreeSet<Role>,
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// See all orders.
    ListOrders,
    /// See one order of this customer.
    ReadOrder(&'a str),
    /// Report an event about an order of this customer.
    ReportEvent(&'a str),
    /// See and decide operator cases.
    WorkCases,
    /// See and change who is told by webhooks.
    TendWebhooks,
    /// See the graphs.
    ReadGraphs,
    /// Create instances of machines, see them, report events about them.
    TendInstances,
}

impl Caller {
    /// Whether the caller may do it. What is not theirs does not exist for them.
    pub fn authorize(&self, action: Action<'_>) -> Result<(), Problem> {
        let (operator, staff) = (
            self.is(Role::Operator),
            self.is(Role::Operator) || self.is(Role::Service),
        );
        let owns = |customer: &str| self.is(Role::Customer) && self.subject == customer;
        let denied = match action {
            Action::ListOrders | Action::TendWebhooks | Action::TendInstances if staff => return Ok(()),
            Action::ReadOrder(customer) if staff || owns(customer) => return Ok(()),
            Action::ReportEvent(_) if staff => return Ok(()),
            Action::WorkCases | Action::ReadGraphs if operator => return Ok(()),
            Action::ReadOrder(_) => Problem::not_found(),
            Action::ReportEvent(customer) if !owns(customer) => Problem::not_found(),
            Action::ListOrders | Action::ReportEvent(_) | Action::TendWebhooks | Action::TendInstances => {
                Problem::new(Code::Forbidden, "one of the roles operator and service is required")
            }
            Action::WorkCases | Action::ReadGraphs => Problem::new(Code::Forbidden, "the role operator is required"),
        };
        counter!("auth_denied_total", "reason" => denied.code().as_str()).increment(1);
        Err(denied)
    }

    /// The caller as who reports an event: in the first of their roles that the graph lets report it anywhere, so that a
    /// repetition acts in the same role.
    pub fn acting(&self, graph: Option<&Graph>, event: &str) -> Actor {
        let reporting = [Role::Operator, Role::Service]
            .into_iter()
            .filter(|role| self.is(*role));
        let allowed =
            |role: &Role| graph.is_some_and(|graph| graph.edges(event).any(|(_, edge)| edge.actors.contains(role)));
        let role = reporting
            .clone()
            .find(allowed)
            .or_else(|| reporting.clone().next())
            .unwrap_or(Role::Customer);
        Actor {
            role,
            id: self.subject.clone(),
        }
    }

    /// The caller, or whom they speak for: only a service may speak for others, and not for everybody.
    pub fn speaking(&self, graph: Option<&Graph>, event: &str, spoken_for: Option<Actor>) -> Result<Actor, Problem> {
        if spoken_for.is_none() {
            return Ok(self.acting(graph, event));
        }
        if !self.is(Role::Service) {
            return Err(Problem::new(Code::WrongActor, "only a service speaks for others"));
        }
        let service = Actor {
            role: Role::Service,
            id: self.subject.clone(),
        };
        speak(service, spoken_for)
            .map_err(|wrong| Problem::new(Code::BadField, format!("actor: {wrong}")).with("field", "actor"))
    }

    fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let token = bearer(parts);
        let checked = match token {
            Some(token) => app.auth.check(token).await,
            None => Err(AuthError::Missing),
        };
        checked.map_err(|error| {
            counter!("auth_denied_total", "reason" => error.as_str()).increment(1);
            match error {
                AuthError::NoRole => Problem::new(Code::Forbidden, error.to_string()),
                AuthError::KeysUnavailable => Problem::unavailable(&error),
                AuthError::Missing | AuthError::Invalid(_) => Problem::new(Code::Unauthorized, error.to_string()),
            }
        })
    }
}

/// The token of the one `Authorization` header.
fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}
