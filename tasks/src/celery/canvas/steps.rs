//! A chain's steps as they are sent: without chains in chains, and with a group that is followed by something made a chord.

use serde_json::Value;

use super::sig::{Shape, Sig, listed};

/// What a chain keeps for its last step, or spends before its first.
const OF_THE_WHOLE: [&str; 8] = [
    "chord",
    "group_id",
    "group_index",
    "link",
    "link_error",
    "parent_id",
    "root_id",
    "task_id",
];

/// The steps in order.
pub(super) fn prepare(steps: Vec<Sig>) -> Vec<Sig> {
    let mut flat = Vec::new();
    flatten(steps, &mut flat);
    // An empty group does nothing; only a chain of nothing else keeps one, so that it has a result.
    let sole = flat.iter().all(Sig::is_empty).then(|| flat.first().cloned()).flatten();
    flat.retain(|step| !step.is_empty());
    if flat.is_empty() {
        return sole.into_iter().collect();
    }
    let mut prepared: Vec<Sig> = Vec::new();
    for step in flat.into_iter().rev() {
        let step = match (&step.shape, prepared.pop()) {
            (Shape::Group(_), Some(next)) => chord(step, next),
            (_, next) => {
                prepared.extend(next);
                step
            }
        };
        prepared.push(step);
    }
    prepared.reverse();
    prepared
}

fn chord(header: Sig, body: Sig) -> Sig {
    Sig::of(Shape::Chord {
        header: Box::new(header),
        body: Box::new(body),
    })
}

fn flatten(steps: Vec<Sig>, flat: &mut Vec<Sig>) {
    for step in steps {
        match step.shape {
            Shape::Chain(_) => flatten(unchained(step), flat),
            Shape::Group(ref members) if members.len() == 1 => {
                let only = members[0].clone();
                flatten(vec![only], flat);
            }
            Shape::Chord { ref body, .. } if led_by_a_task(body) => {
                let (chord, rest) = unrolled(step);
                flat.push(chord);
                flatten(rest, flat);
            }
            _ => flat.push(step),
        }
    }
}

/// A chain's steps, with what follows the chain linked to them.
pub(super) fn unchained(chain: Sig) -> Vec<Sig> {
    let (options, args, immutable) = (chain.options, chain.args, chain.immutable);
    let Shape::Chain(mut steps) = chain.shape else {
        return Vec::new();
    };
    for errback in listed(options.get("link_error")) {
        steps.iter_mut().for_each(|step| step.add_errback(&errback));
    }
    if let Some(last) = steps.last_mut() {
        for callback in listed(options.get("link")) {
            last.add_link(&callback);
        }
        for option in ["task_id", "group_id", "group_index", "chord"] {
            if let Some(value) = options.get(option).filter(|value| !value.is_null()) {
                last.set_if_absent(option, value.clone());
            }
        }
    }
    if let Some(first) = steps.first_mut().filter(|first| !first.immutable && !immutable) {
        first.args.splice(0..0, args);
    }
    steps
}

/// Every header task carries a copy of the body: one that holds the rest of a chain is cut after its first step.
fn unrolled(mut step: Sig) -> (Sig, Vec<Sig>) {
    let mut rest = Vec::new();
    if let Shape::Chord { body, .. } = &mut step.shape {
        let spent: Vec<(String, Value)> = body
            .options
            .iter()
            .filter(|(name, _)| !OF_THE_WHOLE.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut steps = unchained(std::mem::replace(body, Sig::of(Shape::Chain(Vec::new()))));
        rest = steps.split_off(1);
        **body = steps.swap_remove(0);
        body.options.extend(spent);
    }
    (step, rest)
}

/// A group's members would each run the rest of the chain: then the chain stays whole.
fn led_by_a_task(body: &Sig) -> bool {
    match &body.shape {
        Shape::Chain(steps) => steps
            .first()
            .is_some_and(|first| !matches!(first.shape, Shape::Group(_))),
        _ => false,
    }
}

/// A group's members, those of groups in it too.
pub(super) fn members(members: Vec<Sig>) -> Vec<Sig> {
    let mut flat = Vec::new();
    for member in members {
        match member.shape {
            Shape::Group(inner) => flat.extend(self::members(inner)),
            Shape::Chain(ref steps) if steps.is_empty() => {}
            _ => flat.push(member),
        }
    }
    flat
}

/// How many ends a signature has, for whoever counts them: a chain ends once, with its last step.
pub(super) fn ends(sig: &Sig) -> usize {
    match &sig.shape {
        Shape::Task(_) => 1,
        Shape::Group(members) => members.iter().map(ends).sum(),
        Shape::Chain(steps) => steps.iter().rev().map(ends).find(|count| *count > 0).unwrap_or(0),
        Shape::Chord { body, .. } => ends(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::celery::canvas::{chain, chord as a_chord, group, task};

    /// A step in a few letters: `a`, `(a|b)`, `[a,b]`, `[a,b]>c`.
    fn shown(sig: &Sig) -> String {
        let all = |sigs: &[Sig], by: &str| sigs.iter().map(shown).collect::<Vec<_>>().join(by);
        match &sig.shape {
            Shape::Task(name) => name.clone(),
            Shape::Chain(steps) => format!("({})", all(steps, "|")),
            Shape::Group(members) => format!("[{}]", all(members, ",")),
            Shape::Chord { header, body } => format!("{}>{}", shown(header), shown(body)),
        }
    }

    fn prepared(steps: Vec<Sig>) -> String {
        prepare(steps).iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_group_that_is_followed_by_something_is_a_chords_header() {
        let t = task;
        let pair = || group([t("a"), t("b")]);
        for (steps, expected) in [
            (vec![t("a"), t("b")], "a b"),
            (vec![t("a"), chain([t("b"), chain([t("c"), t("d")])])], "a b c d"),
            (vec![pair(), t("c"), t("d")], "[a,b]>c d"),
            (vec![t("x"), pair(), t("c")], "x [a,b]>c"),
            (vec![pair(), pair(), t("c")], "[a,b]>[a,b]>c"),
            (vec![t("x"), pair()], "x [a,b]"),
            (vec![group([t("a")]), t("c")], "a c"),
            (vec![group([]), t("a"), group([]), t("b")], "a b"),
            (vec![group([])], "[]"),
            (
                vec![a_chord([t("a"), t("b")], chain([t("c"), t("d"), t("e")])), t("f")],
                "[a,b]>c d e f",
            ),
            (
                vec![a_chord([t("a"), t("b")], chain([pair(), t("d")]))],
                "[a,b]>([a,b]|d)",
            ),
        ] {
            assert_eq!(prepared(steps), expected);
        }
    }

    #[test]
    fn a_chord_counts_the_ends_of_its_header() {
        let t = task;
        for (sig, count) in [
            (t("a"), 1),
            (chain([t("a"), group([t("b"), t("c")])]), 2),
            (chain([t("a"), group([])]), 1),
            (group([t("a"), chain([t("b"), t("c")]), group([t("d"), t("e")])]), 4),
            (a_chord([t("a"), t("b"), t("c")], t("d")), 1),
            (a_chord([t("a")], group([t("d"), t("e")])), 2),
        ] {
            assert_eq!(ends(&sig), count, "{}", shown(&sig));
        }
    }
}
