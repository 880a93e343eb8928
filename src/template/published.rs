//! A published graph: checked, with the identity of what was written.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use waybill_domain::Graph;

use super::canonical;
use super::fault::Position;

/// One version of a machine's graph as the template publishes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    graph: Arc<Graph>,
    canonical_json: String,
    sha256: String,
    position: Position,
}

/// SHA-256 of a document as canonical JSON, in hexadecimal: what tells one content of a version from another.
pub fn sha256_of(document: &Value) -> String {
    hex::encode(Sha256::digest(canonical::to_string(document)))
}

impl Published {
    pub(super) fn new(graph: Graph, body: &Value, position: Position) -> Self {
        let canonical_json = canonical::to_string(body);
        let sha256 = sha256_of(body);
        Self {
            graph: Arc::new(graph),
            canonical_json,
            sha256,
            position,
        }
    }

    /// Where its resource begins.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The graph.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The document as canonical JSON: keys sorted, no spaces.
    pub fn canonical_json(&self) -> &str {
        &self.canonical_json
    }

    /// SHA-256 of that, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}
