//! Places cards: the happy path above, all other states below, with room between them for lines.

use waybill_domain::Graph;

use super::card::{Card, Row, count};
use super::route::{Bundle, Channel, Lane, Way};
use crate::diagram::happy;
use crate::diagram::marks::Marks;

/// Distance of neighbouring lines.
pub(super) const TRACK: i32 = 12;
const MARGIN: i32 = 24;
const TITLE: i32 = 56;
const LEGEND: i32 = 40;
/// Room of the start mark before the first card.
const START: i32 = 48;
/// The least room between cards.
const GAP: i32 = 48;

/// Where everything is.
pub(super) struct Layout<'g> {
    pub(super) cards: Vec<Card<'g>>,
    pub(super) bundles: Vec<Bundle>,
    pub(super) width: i32,
    pub(super) height: i32,
    /// Where the legend begins.
    pub(super) legend: i32,
}

impl<'g> Layout<'g> {
    pub(super) fn of(graph: &'g Graph, marks: &Marks) -> Self {
        let mut cards = deal(graph, marks);
        sort_exits(&mut cards);
        for row in [Row::Upper, Row::Lower] {
            let head = cards
                .iter()
                .filter(|card| card.row == row)
                .map(Card::head)
                .max()
                .unwrap_or_default();
            cards
                .iter_mut()
                .filter(|card| card.row == row)
                .for_each(|card| card.measure(head));
        }
        let ways = Way::all(&cards);
        let lanes = Lane::all(&ways);
        let width = place_columns(&mut cards, &ways);
        let legend = place_rows(&mut cards, &lanes);
        let bundles = Bundle::all(&cards, &ways, &lanes);
        Self {
            cards,
            bundles,
            width,
            height: legend + LEGEND,
            legend,
        }
    }
}

/// The cards in the order of rows and columns.
fn deal<'g>(graph: &'g Graph, marks: &Marks) -> Vec<Card<'g>> {
    let path = happy::path(graph);
    let others = graph
        .states()
        .filter(|state| path.iter().all(|happy| happy.name != state.name));
    let upper = path
        .iter()
        .enumerate()
        .map(|(column, state)| Card::of(graph, state, marks, (Row::Upper, column)));
    let lower = others
        .enumerate()
        .map(|(column, state)| Card::of(graph, state, marks, (Row::Lower, column)));
    upper.chain(lower).collect()
}

/// Exits to the neighbour first, so that the line to it is straight; then by where they lead.
fn sort_exits(cards: &mut [Card<'_>]) {
    let places: Vec<(String, Row, usize)> = cards
        .iter()
        .map(|card| (card.state.name.to_string(), card.row, card.column))
        .collect();
    for card in cards.iter_mut() {
        let (row, column) = (card.row, card.column);
        let deadline = card.state.deadline.as_ref().map(|deadline| deadline.event.clone());
        card.exits.sort_by_key(|exit| {
            let target = places.iter().find(|(name, ..)| exit.edge.to == name.as_str());
            let place = target.map(|(_, row, column)| (*row, *column));
            let is_straight = place == Some((row, column + 1));
            (
                !is_straight,
                place,
                deadline.as_ref() == Some(&exit.edge.event),
                exit.edge.event.clone(),
            )
        });
    }
}

/// Gives each card its x; answers the picture's width.
fn place_columns(cards: &mut [Card<'_>], ways: &[Way]) -> i32 {
    let mut ends = [MARGIN + START, MARGIN];
    for (place, card) in cards.iter_mut().enumerate() {
        let end = &mut ends[usize::from(card.row == Row::Lower)];
        card.x = *end;
        // Upper gutters use even half tracks, lower ones odd ones: in the channel between they never share an x.
        let phase = if card.row == Row::Upper { 0 } else { TRACK / 2 };
        card.width += (phase - card.right()).rem_euclid(TRACK);
        let tracks = ways.iter().filter(|way| way.from == place).count();
        *end = card.right() + GAP.max(count(tracks + 2) * TRACK);
    }
    ends.into_iter().max().unwrap_or_default()
}

/// Gives each card its y; answers where the legend begins.
fn place_rows(cards: &mut [Card<'_>], lanes: &[Lane]) -> i32 {
    let room = |channel: Channel| match lanes.iter().filter(|lane| lane.channel == channel).count() {
        0 => 0,
        lanes => count(lanes + 1) * TRACK,
    };
    let lowest = |cards: &[Card<'_>], row: Row| {
        cards
            .iter()
            .filter(|card| card.row == row)
            .map(|card| card.height)
            .max()
            .unwrap_or_default()
    };
    let upper = MARGIN + TITLE + room(Channel::Above);
    let below = upper + lowest(cards, Row::Upper);
    let lower = below + room(Channel::Between).max(2 * TRACK);
    let end = lower + lowest(cards, Row::Lower) + room(Channel::Below) + TRACK;
    for card in cards.iter_mut() {
        card.y = if card.row == Row::Upper { upper } else { lower };
    }
    end
}
