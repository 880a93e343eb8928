//! SVG: states are cards that list their ways out, so that no text hangs on a line; lines run in channels of their own.
//!
//! The happy path is the upper row, straight from left to right. All other states stand in the lower row, by rank. Lines
//! leave a card at the event they belong to; those that lead to one state join and end in one arrow.

mod card;
mod layout;
mod paint;
mod route;

use waybill_domain::Graph;

pub(super) fn render(graph: &Graph) -> String {
    let layout = layout::Layout::of(graph);
    paint::paint(graph, &layout)
}

#[cfg(test)]
mod tests;
