//! Graphs that stories are played on, beside the shipped one.

use super::repository;

/// The shipped template with a second version, whose partner has a day to collect instead of two.
pub(crate) fn two_versions() -> String {
    let shipped = std::fs::read_to_string(repository("cloudformation/delivery-graph.yaml")).expect("the template");
    let start = shipped.find("  DeliveryGraphV1:\n").expect("version 1");
    let end = shipped
        .find("  # Runs the JSON Schema validator")
        .expect("what follows it");
    let second = shipped[start..end]
        .replace("DeliveryGraphV1", "DeliveryGraphV2")
        .replace("Version: 1}", "Version: 2}")
        .replace("graph-v1", "graph-v2")
        .replace("version: 1\n", "version: 2\n")
        .replace("after: PT48H", "after: PT24H");
    format!("{}{second}{}", &shipped[..end], &shipped[end..]).replace("live: [1]", "live: [1, 2]")
}
