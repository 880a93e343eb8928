//! A state as a card: what it is, then its ways out.

use waybill_domain::{Edge, Graph, State};

use crate::diagram::marks::Marks;
use crate::diagram::words;

/// Space between a card's border and its text.
pub(super) const PADDING: i32 = 12;
const TITLE_HEIGHT: i32 = 20;
const LINE_HEIGHT: i32 = 14;
const EXIT_GAP: i32 = 9;

/// A row of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// The happy path.
    Upper,
    /// Everything else.
    Lower,
}

/// A way out, as listed on a card.
pub(super) struct Exit<'g> {
    pub(super) edge: &'g Edge,
    /// The event first, then who and what.
    pub(super) lines: Vec<String>,
    /// Where its line leaves, below the card's top.
    pub(super) offset: i32,
}

/// A state with its place in the picture.
pub(super) struct Card<'g> {
    pub(super) state: &'g State,
    pub(super) row: Row,
    pub(super) column: usize,
    /// Below the name.
    pub(super) lines: Vec<String>,
    pub(super) exits: Vec<Exit<'g>>,
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl<'g> Card<'g> {
    pub(super) fn of(graph: &'g Graph, state: &'g State, marks: &Marks, (row, column): (Row, usize)) -> Self {
        let mut lines = vec![format!("{}, rank {}", words::kind(state), state.rank)];
        lines.extend(state.requires.iter().map(|field| format!("requires {field}")));
        lines.extend(words::effects(graph, state));
        lines.extend(marks.notes(&state.name));
        let exits = state
            .edges
            .values()
            .map(|edge| exit(graph, state, edge, marks.sign(&state.name, edge)));
        let exits = exits.collect();
        Self {
            state,
            row,
            column,
            lines,
            exits,
            x: 0,
            y: 0,
            width: 0,
            height: 0,
        }
    }

    /// How high the part above the exits is.
    pub(super) fn head(&self) -> i32 {
        PADDING + TITLE_HEIGHT + count(self.lines.len()) * LINE_HEIGHT
    }

    /// Sets the sizes; all heads of a row are equally high, so that its first exits are level.
    pub(super) fn measure(&mut self, head: i32) {
        let mut y = head;
        for exit in &mut self.exits {
            y += EXIT_GAP;
            exit.offset = y + LINE_HEIGHT / 2;
            y += count(exit.lines.len()) * LINE_HEIGHT;
        }
        // Also a card without exits reaches below the line at which neighbours arrive.
        self.height = y.max(head + EXIT_GAP + LINE_HEIGHT) + PADDING;
        let texts = self.lines.iter().chain(self.exits.iter().flat_map(|exit| &exit.lines));
        let small = texts.map(|line| text_width(line, 68)).max().unwrap_or_default();
        self.width = small.max(text_width(self.state.name.as_str(), 86)) + 2 * PADDING;
    }

    pub(super) fn right(&self) -> i32 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> i32 {
        self.y + self.height
    }

    /// Where text lines stand: the title's baseline.
    pub(super) fn title_baseline(&self) -> i32 {
        self.y + PADDING + 12
    }

    /// The baseline of a line below the title.
    pub(super) fn line_baseline(&self, place: usize) -> i32 {
        self.y + PADDING + TITLE_HEIGHT + count(place) * LINE_HEIGHT + 10
    }

    /// The baseline of a line of an exit.
    pub(super) fn exit_baseline(&self, exit: &Exit<'_>, place: usize) -> i32 {
        self.y + exit.offset - LINE_HEIGHT / 2 + count(place) * LINE_HEIGHT + 10
    }
}

fn exit<'g>(graph: &Graph, state: &State, edge: &'g Edge, sign: &str) -> Exit<'g> {
    let when = words::deadline(state, edge)
        .map(|when| format!(" {when}"))
        .unwrap_or_default();
    let mut lines = vec![
        format!("{sign}{}{when}", edge.event),
        format!("by {}", words::roles(edge)),
    ];
    lines.extend(
        words::own_fields(graph, edge)
            .iter()
            .map(|field| format!("asks {field}")),
    );
    lines.extend(words::conditions(edge));
    Exit { edge, lines, offset: 0 }
}

/// Width of monospaced text, given the tenths of a pixel that one character takes.
fn text_width(text: &str, tenths: i32) -> i32 {
    count(text.chars().count()) * tenths / 10
}

/// A small number of things as a coordinate.
pub(super) fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
