//! The delivery order as the graph sees it: where it stands, what it knows, what may follow.

use std::collections::BTreeSet;

use crate::{Event, Fields, Graph, GraphVersion, OrderId, Refusal, Revision, StateName, Timestamp, Transition};

/// Where a delivery order stands, and which graph version it obeys for life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryOrder {
    /// Its id.
    pub id: OrderId,
    /// The version it was born with.
    pub graph_version: GraphVersion,
    /// Where it is.
    pub state: StateName,
    /// Rank of that state.
    pub rank: u32,
    /// Sequence of its newest log row.
    pub revision: Revision,
    /// Every state it has been in, the present one included.
    pub visited: BTreeSet<StateName>,
    /// What its events brought so far; a field keeps its first value.
    pub fields: Fields,
}
