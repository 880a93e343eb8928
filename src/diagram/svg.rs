//! SVG: states are cards that list their ways out, so that no text hangs on a line; lines run in channels of their own.
//!
//! The happy path is the upper row, straight from left to right. All other states stand in the lower row, by rank. Lines
//! leave a card at the event they belong to; those that lead to one state join and end in one arrow.

mod card;
mod layout;
mod paint;
mod route;

use waybill_domain::Graph;

use super::marks::Marks;

pub(super) fn render(graph: &Graph) -> String {
    render_marked(graph, &Marks::default())
}

/// With what is new, changed and gone since another version.
pub(super) fn render_marked(graph: &Graph, marks: &Marks) -> String {
    let layout = layout::Layout::of(graph, marks);
    paint::paint(graph, &layout, marks)
}

#[cfg(test)]
mod tests;
