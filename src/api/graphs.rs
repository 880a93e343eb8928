//! The graphs: their versions, which of them new orders take, how many orders are where; as JSON or as a diagram.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use waybill_domain::GraphVersion;

use super::App;
use super::caller::{Action, Caller};
use super::openapi::{Forbidden, NotAcceptable, NotFound, Ours, Unauthorized};
use super::problem::{Code, Problem};
use crate::diagram::{self, Format};
use crate::template::Routing;

/// All machines.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct GraphList {
    /// By name.
    items: Vec<MachineView>,
}

/// A machine with the versions of its graph.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct MachineView {
    machine: String,
    /// Which versions live, and which share of new orders each gets.
    routing: Option<RoutingView>,
    versions: Vec<VersionView>,
}

/// Where new orders go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct RoutingView {
    revision: u32,
    /// Versions that orders may still be on.
    live: Vec<u32>,
    /// The weights sum up to 100.
    active: Vec<ShareView>,
}

/// A version's share of new orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ShareView {
    version: u32,
    /// Per cent.
    weight: u32,
}

impl From<&Routing> for RoutingView {
    fn from(routing: &Routing) -> Self {
        Self {
            revision: routing.revision,
            live: routing.live.iter().map(|version| version.0).collect(),
            active: routing
                .active
                .iter()
                .map(|share| ShareView {
                    version: share.version.0,
                    weight: share.weight,
                })
                .collect(),
        }
    }
}

/// A version of a graph, as this database knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct VersionView {
    version: i64,
    /// Of the canonical JSON.
    sha256: String,
    /// How many orders of this version are in each state.
    counts: BTreeMap<String, i64>,
}

/// One version of a graph with its document.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct GraphView {
    machine: String,
    version: u32,
    sha256: String,
    routing: Option<RoutingView>,
    counts: BTreeMap<String, i64>,
    /// As it was published.
    #[schema(value_type = Object)]
    document: Value,
}

/// Where new orders go: what was activated last, else what the template says.
async fn routing_of(app: &App, machine: &str) -> Result<Option<RoutingView>, Problem> {
    let store = app.engine.store();
    let Some(activation) = store.activation(machine).await? else {
        return Ok(app.engine.template().routing(machine).map(RoutingView::from));
    };
    let versions = store.published_versions(machine).await?.into_iter();
    let live = versions
        .filter(|(.., is_retired)| !is_retired)
        .map(|(version, ..)| version);
    Ok(Some(RoutingView::from(&Routing {
        machine: machine.to_owned(),
        revision: activation.revision,
        live: live.collect(),
        active: activation.shares,
    })))
}

/// Machines, their versions and how many orders are where.
#[utoipa::path(
    get, path = "/v1/graphs", tag = "graphs", security(("token" = ["operator"])),
    responses((status = 200, description = "all machines", body = GraphList), Unauthorized, Forbidden, Ours),
)]
pub(super) async fn list_graphs(State(app): State<App>, caller: Caller) -> Result<Json<GraphList>, Problem> {
    caller.authorize(Action::ReadGraphs)?;
    let mut machines: BTreeMap<String, BTreeMap<i64, VersionView>> = BTreeMap::new();
    for (machine, version, sha256, state, count) in app.engine.store().version_counts().await? {
        let versions = machines.entry(machine).or_default();
        let view = versions.entry(version).or_insert_with(|| VersionView {
            version,
            sha256,
            counts: BTreeMap::new(),
        });
        view.counts.extend(state.map(|state| (state, count)));
    }
    let mut items = Vec::new();
    for (machine, versions) in machines {
        items.push(MachineView {
            routing: routing_of(&app, &machine).await?,
            versions: versions.into_values().collect(),
            machine,
        });
    }
    Ok(Json(GraphList { items }))
}

/// One version of a graph: JSON, or a diagram by `Accept`.
#[utoipa::path(
    get, path = "/v1/graphs/{machine}/{version}", tag = "graphs", security(("token" = ["operator"])),
    params(
        ("machine" = String, Path, description = "such as delivery-order"),
        ("version" = u32, Path, description = "counted from 1"),
    ),
    responses(
        (status = 200, description = "the graph, with live counts (JSON only)", content(
            (GraphView = "application/json"),
            (String = "image/svg+xml"),
            (String = "text/vnd.mermaid"),
            (String = "text/vnd.graphviz"),
            (String = "text/x-plantuml"),
        )),
        Unauthorized, Forbidden, NotFound, NotAcceptable, Ours,
    ),
)]
pub(super) async fn show_graph(
    State(app): State<App>,
    caller: Caller,
    Path((machine, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.authorize(Action::ReadGraphs)?;
    let version = version.parse().ok().map(GraphVersion).ok_or_else(Problem::not_found)?;
    let store = app.engine.store();
    let graph = match app.engine.template().graph(&machine, version) {
        Some(graph) => graph.clone(),
        None => store
            .learnt_graph(&machine, version)
            .await?
            .ok_or_else(Problem::not_found)?,
    };
    match accepted(&headers) {
        None => {
            let known: Vec<&str> = Format::ALL.iter().map(|format| format.media_type()).collect();
            Err(Problem::new(
                Code::NotAcceptable,
                format!("accept application/json or one of {}", known.join(", ")),
            ))
        }
        Some(Representation::Diagram(format)) => {
            let kind = format!("{}; charset=utf-8", format.media_type());
            Ok(([(header::CONTENT_TYPE, kind)], diagram::render(&graph, format)).into_response())
        }
        Some(Representation::Json) => {
            let counted = store.version_counts().await?.into_iter();
            let here = counted.filter(|row| row.0 == machine && row.1 == i64::from(version.0));
            let (sha256, document) = published(&app, &machine, version).await?;
            Ok(Json(GraphView {
                version: version.0,
                sha256,
                routing: routing_of(&app, &machine).await?,
                counts: here
                    .filter_map(|(_, _, _, state, count)| Some((state?, count)))
                    .collect(),
                document,
                machine,
            })
            .into_response())
        }
    }
}

/// The hash and the document of a version: of the template, else as the database keeps it.
async fn published(app: &App, machine: &str, version: GraphVersion) -> Result<(String, Value), Problem> {
    let template = app.engine.template();
    if let (Some(sha256), Some(json)) = (
        template.sha256(machine, version),
        template.canonical_json(machine, version),
    ) {
        let document = serde_json::from_str(json).map_err(|error| Problem::internal(&error))?;
        return Ok((sha256.to_owned(), document));
    }
    let kept = app.engine.store().published_versions(machine).await?;
    let mut kept = kept.into_iter().filter(|(kept, ..)| *kept == version);
    let (_, sha256, document, _) = kept.next().ok_or_else(Problem::not_found)?;
    Ok((sha256, document))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Representation {
    Json,
    Diagram(Format),
}

/// What the caller likes best: the first kind of the highest quality that we have; JSON where nothing is asked.
fn accepted(headers: &HeaderMap) -> Option<Representation> {
    let told: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if told.is_empty() {
        return Some(Representation::Json);
    }
    let mut best: Option<(f32, Representation)> = None;
    for range in told.iter().flat_map(|value| value.split(',')).take(32) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts
            .find_map(|part| part.strip_prefix("q="))
            .and_then(|text| text.parse().ok())
            .unwrap_or(1.0);
        let Some(found) = representation(&kind).filter(|_| quality > 0.0) else {
            continue;
        };
        if best.is_none_or(|(before, _)| quality > before) {
            best = Some((quality, found));
        }
    }
    best.map(|(_, found)| found)
}

fn representation(kind: &str) -> Option<Representation> {
    match kind {
        "application/json" | "application/*" | "*/*" => Some(Representation::Json),
        "image/*" => Some(Representation::Diagram(Format::Svg)),
        kind => Format::ALL
            .into_iter()
            .find(|format| format.media_type() == kind)
            .map(Representation::Diagram),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_kind_of_the_highest_quality_is_taken() {
        let svg = Some(Representation::Diagram(Format::Svg));
        let cases = [
            ("application/json", Some(Representation::Json)),
            ("*/*", Some(Representation::Json)),
            ("image/svg+xml", svg),
            ("IMAGE/SVG+XML", svg),
            ("text/html, image/*;q=0.8, */*;q=0.5", svg),
            (
                "application/json;q=0.1, text/vnd.mermaid",
                Some(Representation::Diagram(Format::Mermaid)),
            ),
            ("text/vnd.graphviz", Some(Representation::Diagram(Format::Dot))),
            ("image/svg+xml;q=0", None),
            ("text/html", None),
            ("", None),
        ];
        for (accept, expected) in cases {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(accepted(&headers), expected, "{accept}");
        }
        assert_eq!(accepted(&HeaderMap::new()), Some(Representation::Json));
    }
}
