//! Diagrams of a graph, made from the graph alone: SVG without further tools, and three languages for those who have them.
//!
//! The same graph always gives the same text, so that generated files can be compared.

mod dot;
mod happy;
mod marks;
mod mermaid;
mod plantuml;
mod svg;
mod words;

use std::fmt;
use std::str::FromStr;

use waybill_domain::{Comparison, Graph};

pub(crate) use words::duration;

use marks::Marks;

/// In which language a diagram is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A picture for browsers.
    Svg,
    /// Graphviz.
    Dot,
    /// Mermaid, which Markdown viewers draw.
    Mermaid,
    /// PlantUML.
    Plantuml,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Svg, Self::Dot, Self::Mermaid, Self::Plantuml];

    /// The format as the command line names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Dot => "dot",
            Self::Mermaid => "mermaid",
            Self::Plantuml => "plantuml",
        }
    }

    /// How HTTP names it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Dot => "text/vnd.graphviz",
            Self::Mermaid => "text/vnd.mermaid",
            Self::Plantuml => "text/x-plantuml",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A format that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no format {0:?}, expected svg, dot, mermaid or plantuml")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// Draws a graph.
pub fn render(graph: &Graph, format: Format) -> String {
    match format {
        Format::Svg => svg::render(graph),
        Format::Dot => dot::render(graph),
        Format::Mermaid => mermaid::render(graph),
        Format::Plantuml => plantuml::render(graph),
    }
}

/// Draws a version with what it adds, changes and leaves out, in the formats that have room for both.
pub fn render_difference(older: &Graph, newer: &Graph, comparison: &Comparison, format: Format) -> Option<String> {
    let marks = Marks::of(older, newer, comparison);
    match format {
        Format::Svg => Some(svg::render_marked(newer, &marks)),
        Format::Mermaid => Some(mermaid::render_marked(newer, &marks)),
        Format::Dot | Format::Plantuml => None,
    }
}

#[cfg(test)]
mod tests;
