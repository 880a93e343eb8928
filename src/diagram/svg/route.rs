//! Lines: from an exit into the gutter right of its card, along a channel, and to the target in one arrow for all.

use std::collections::{BTreeMap, BTreeSet};

use super::card::{Card, Row, count};
use super::layout::TRACK;

/// The horizontal rooms for lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    /// Above the upper row.
    Above,
    /// Between the rows.
    Between,
    /// Below the lower row.
    Below,
}

/// All exits of one card that lead to one other.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Which exits of the card.
    pub(super) exits: Vec<usize>,
    /// None where the target is the right neighbour.
    pub(super) channel: Option<Channel>,
}

impl Way {
    /// The ways between cards, by card and in the order of its exits.
    pub(super) fn all(cards: &[Card<'_>]) -> Vec<Self> {
        let mut ways: Vec<Self> = Vec::new();
        for (from, card) in cards.iter().enumerate() {
            for (place, exit) in card.exits.iter().enumerate() {
                let Some(to) = cards.iter().position(|other| other.state.name == exit.edge.to) else {
                    continue;
                };
                match ways.iter_mut().find(|way| way.from == from && way.to == to) {
                    Some(way) => way.exits.push(place),
                    None => ways.push(Self {
                        from,
                        to,
                        exits: vec![place],
                        channel: channel(card, &cards[to]),
                    }),
                }
            }
        }
        ways
    }
}

fn channel(from: &Card<'_>, to: &Card<'_>) -> Option<Channel> {
    match (from.row, to.row) {
        (Row::Upper, Row::Upper) | (Row::Lower, Row::Lower) if to.column == from.column + 1 => None,
        (Row::Upper, Row::Upper) => Some(Channel::Above),
        (Row::Lower, Row::Lower) => Some(Channel::Below),
        (Row::Upper, Row::Lower) | (Row::Lower, Row::Upper) => Some(Channel::Between),
    }
}

/// A horizontal line in a channel, shared by all ways to one target.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) channel: Channel,
    pub(super) to: usize,
    /// Counted from the top of its channel.
    pub(super) place: usize,
}

impl Lane {
    pub(super) fn all(ways: &[Way]) -> Vec<Self> {
        let wanted: BTreeSet<(Channel, usize)> = ways.iter().filter_map(|way| Some((way.channel?, way.to))).collect();
        let mut used: BTreeMap<Channel, usize> = BTreeMap::new();
        let lanes = wanted.into_iter().map(|(channel, to)| {
            let place = used.entry(channel).or_default();
            *place += 1;
            Self {
                channel,
                to,
                place: *place,
            }
        });
        lanes.collect()
    }

    fn y(&self, cards: &[Card<'_>]) -> i32 {
        let ends = |row: Row| cards.iter().filter(move |card| card.row == row);
        let start = match self.channel {
            Channel::Above => {
                let lanes = ends(Row::Upper).map(|card| card.y).min().unwrap_or_default();
                return lanes - count(self.place) * TRACK;
            }
            Channel::Between => ends(Row::Upper).map(Card::bottom).max().unwrap_or_default(),
            Channel::Below => ends(Row::Lower).map(Card::bottom).max().unwrap_or_default(),
        };
        start + count(self.place) * TRACK
    }
}

/// A corner or an end of a line.
pub(super) type Point = (i32, i32);

/// All lines that end in one arrow.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) to: usize,
    pub(super) lines: Vec<Vec<Point>>,
    /// Where lines join.
    pub(super) joints: Vec<Point>,
    /// The point before the arrow's head, and the head.
    pub(super) arrow: (Point, Point),
}

impl Bundle {
    pub(super) fn all(cards: &[Card<'_>], ways: &[Way], lanes: &[Lane]) -> Vec<Self> {
        let gutters = Gutters::of(cards, ways);
        let straight = ways.iter().enumerate().filter(|(_, way)| way.channel.is_none());
        let mut bundles: Vec<Self> = straight
            .map(|(place, way)| straight_bundle(cards, way, gutters.tracks[place]))
            .collect();
        let mut taken: BTreeSet<i32> = gutters.tracks.iter().copied().collect();
        for lane in lanes {
            let port = port(cards, lanes, lane, &mut taken);
            bundles.push(lane_bundle(cards, ways, &gutters, lane, port));
        }
        bundles
    }
}

/// The vertical tracks right of cards.
struct Gutters {
    /// The x of each way's track.
    tracks: Vec<i32>,
}

impl Gutters {
    /// Ways that leave a card further up run further right, so that they do not cross those below on their way down.
    fn of(cards: &[Card<'_>], ways: &[Way]) -> Self {
        let track = |(place, way): (usize, &Way)| {
            let after = ways[place + 1..].iter().filter(|other| other.from == way.from).count();
            cards[way.from].right() + count(after + 1) * TRACK
        };
        Self {
            tracks: ways.iter().enumerate().map(track).collect(),
        }
    }
}

/// The height at which each exit of a way leaves its card.
fn starts(cards: &[Card<'_>], way: &Way) -> Vec<i32> {
    let card = &cards[way.from];
    way.exits.iter().map(|exit| card.y + card.exits[*exit].offset).collect()
}

/// To the right neighbour: the first exit straight, the others join it.
fn straight_bundle(cards: &[Card<'_>], way: &Way, track: i32) -> Bundle {
    let starts = starts(cards, way);
    let level = starts.first().copied().unwrap_or_default();
    let right = cards[way.from].right();
    let joining = starts
        .iter()
        .skip(1)
        .map(|y| vec![(right, *y), (track, *y), (track, level)]);
    let lines = std::iter::once(vec![(right, level), (cards[way.to].x, level)])
        .chain(joining)
        .collect();
    let joints = if starts.len() > 1 {
        vec![(track, level)]
    } else {
        Vec::new()
    };
    Bundle {
        to: way.to,
        lines,
        joints,
        arrow: ((track, level), (cards[way.to].x, level)),
    }
}

/// Along a channel: every exit to its gutter, every gutter to the lane, the lane to the target.
fn lane_bundle(cards: &[Card<'_>], ways: &[Way], gutters: &Gutters, lane: &Lane, port: i32) -> Bundle {
    let y = lane.y(cards);
    let target = &cards[lane.to];
    let end = match (lane.channel, target.row) {
        (Channel::Above, _) | (Channel::Between, Row::Lower) => target.y,
        (Channel::Between, Row::Upper) | (Channel::Below, _) => target.bottom(),
    };
    let mut lines = Vec::new();
    let mut joints = Vec::new();
    let members = ways.iter().zip(&gutters.tracks);
    for (way, track) in members.filter(|(way, _)| way.to == lane.to && way.channel == Some(lane.channel)) {
        let starts = starts(cards, way);
        let right = cards[way.from].right();
        lines.extend(
            starts
                .iter()
                .map(|start| vec![(right, *start), (*track, *start), (*track, y), (port, y)]),
        );
        // All but the exit furthest from the lane meet a line that comes from further away.
        let furthest = starts.iter().copied().max_by_key(|start| (start - y).abs());
        joints.extend(
            starts
                .iter()
                .filter(|start| Some(**start) != furthest)
                .map(|start| (*track, *start)),
        );
        joints.push((*track, y));
    }
    lines.push(vec![(port, y), (port, end)]);
    // The outermost gutters turn into the lane, they do not join it; beyond the port they do.
    let ends = [joints_on(&joints, y).min(), joints_on(&joints, y).max()];
    joints.retain(|(x, height)| *height != y || !turns(*x, port, &ends));
    if ends[0].is_some_and(|first| first < port) && ends[1].is_some_and(|last| last > port) {
        joints.push((port, y));
    }
    Bundle {
        to: lane.to,
        lines,
        joints,
        arrow: ((port, y), (port, end)),
    }
}

fn joints_on(joints: &[Point], y: i32) -> impl Iterator<Item = i32> {
    joints.iter().filter(move |(_, height)| *height == y).map(|(x, _)| *x)
}

/// Whether the lane ends at `x`: nothing comes from further out on that side of the port.
fn turns(x: i32, port: i32, ends: &[Option<i32>; 2]) -> bool {
    (x <= port && ends[0] == Some(x)) || (x >= port && ends[1] == Some(x))
}

/// The x at which a lane's arrow meets its target; no two vertical lines share one.
fn port(cards: &[Card<'_>], lanes: &[Lane], lane: &Lane, taken: &mut BTreeSet<i32>) -> i32 {
    let target = &cards[lane.to];
    // Lanes of other channels may end at the same card.
    let siblings: Vec<&Lane> = lanes.iter().filter(|other| other.to == lane.to).collect();
    let place = siblings
        .iter()
        .position(|other| other.channel == lane.channel)
        .unwrap_or_default();
    let mut x = target.x + target.width * (count(place) + 1) / (count(siblings.len()) + 1);
    while taken.range(x - 2..=x + 2).next().is_some() {
        x += 1;
    }
    taken.insert(x);
    x
}
