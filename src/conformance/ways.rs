//! Every way through every published version of every machine, walked by instances of their own on the real database: log, effects
//! and audit are what the graph says.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use waybill_domain::{Actor, Change, EffectName, Fields, Graph, MOST_WAYS, OrderId, Role, State, Stop};

use super::fixture::{Fixture, paid};
use super::on_both;
use crate::engine::instances::{Birth, NewInstance};
use crate::engine::payment::Followed;
use crate::engine::{Answer, Engine, MACHINE, Report};
use crate::store::effect_id;
use crate::template::Template;

/// A new instance: of a payment, if it is a delivery order.
async fn born(engine: &Engine, graph: &Graph, name: &str) -> OrderId {
    if graph.machine() == MACHINE {
        let Followed::Created(id) = engine.paid(paid(name)).await.expect("the store answers") else {
            panic!("a payment makes an order");
        };
        return id;
    }
    let new = NewInstance {
        machine: graph.machine().clone(),
        fields: Fields::new(),
        actor: Actor {
            role: Role::Service,
            id: "shop".to_owned(),
        },
        key: name.to_owned(),
    };
    match engine.create_instance(new).await.expect("the store answers") {
        Birth::Born(id) => id,
        other => panic!("{name}: {other:?}"),
    }
}

/// Reports what a way needs, one event after the other, as those would who may.
async fn walk(engine: &Engine, graph: &Graph, id: OrderId, plan: &[Stop]) {
    for (place, stop) in plan.iter().enumerate() {
        let report = Report {
            machine: graph.machine().clone(),
            order_id: id,
            event: stop.event.clone(),
            fields: stop.fields.clone(),
            extra: Json::Null,
            actor: Actor {
                role: stop.role,
                id: "somebody".to_owned(),
            },
            key: format!("{id}-{place}"),
            if_revision: None,
            occurred_at: None,
        };
        let answer = engine.report(report).await.expect("the store answers");
        assert!(matches!(answer, Answer::Applied { .. }), "{}: {answer:?}", stop.event);
    }
}

/// What entering a state asks for, of whoever has been in those states before: what it names, and what takes back all that was
/// asked for so far where it compensates.
fn wanted(graph: &Graph, before: &[&State], entered: &State) -> BTreeSet<EffectName> {
    let asked: Vec<_> = before.iter().flat_map(|state| &state.on_enter).collect();
    let inverses = asked.iter().filter_map(|name| graph.effects()[*name].inverse.as_ref());
    let inverses = inverses.filter(|inverse| entered.compensates && !asked.contains(inverse));
    inverses.chain(&entered.on_enter).cloned().collect()
}

/// The log is the way, each entered state has asked for its effects and for nothing else, and nothing is armed any more.
async fn check(engine: &Engine, graph: &Graph, id: OrderId, plan: &[Stop]) {
    let store = engine.store();
    let log = store.log(id).await.expect("the store answers");
    let rows: Vec<_> = log.iter().map(|row| &row.transition).collect();
    let moved = rows.iter().filter(|row| row.change != Change::Born);
    let states: Vec<_> = moved.map(|row| row.to.clone()).collect();
    let expected: Vec<_> = plan.iter().flat_map(|stop| stop.states.clone()).collect();
    assert_eq!(states, expected);
    let entered = rows
        .iter()
        .map(|row| graph.state(row.to.as_str()).expect("a state of the graph"));
    let entered: Vec<&State> = entered.collect();
    for (place, row) in rows.iter().enumerate() {
        let wanted = wanted(graph, &entered[..place], entered[place]);
        for name in graph.effects().keys() {
            let effect = store.effect(effect_id(id, row.revision.0, name.as_str())).await;
            let is_there = effect.expect("the store answers").is_some();
            assert_eq!(is_there, wanted.contains(name), "{name} on entry of {}", row.to);
        }
    }
    let (instance, _) = store.instance(id).await.expect("the store answers").expect("it exists");
    assert_eq!(
        (&instance.machine, instance.order.graph_version),
        (graph.machine(), graph.version())
    );
    let end = graph
        .state(instance.order.state.as_str())
        .expect("a state of the graph");
    assert!(end.outcome.is_some() && instance.outcome == end.outcome && instance.deadline.is_none());
    let Some(record) = instance.record else { return };
    assert_eq!(
        (record.outcome.as_deref(), record.live),
        (end.outcome.map(|it| it.as_str()), false)
    );
    let names_a_successor = graph.edges(plan.last().map_or("", |stop| stop.event.as_str()));
    let expected = names_a_successor.into_iter().any(|(_, edge)| edge.successor.is_some());
    assert_eq!(record.successor_id.is_some(), expected);
}

on_both! {
    async fn every_way_of_every_published_version_ends_as_the_graph_says(fixture: Fixture) {
        let mut machines = BTreeSet::new();
        for graph in Template::every_machine().graphs() {
            if graph.count_ways() > MOST_WAYS {
                eprintln!("{} version {} has more than {MOST_WAYS} ways: not walked", graph.machine(), graph.version());
                continue;
            }
            let engine = fixture.on_version(graph).await;
            for (number, way) in graph.ways().into_iter().enumerate() {
                let plan = graph.plan(&way, &format!("N-{number}")).expect("every way of a published version can be walked");
                let id = born(&engine, graph, &format!("{}-{}-{number}", graph.machine(), graph.version())).await;

                walk(&engine, graph, id, &plan).await;

                check(&engine, graph, id, &plan).await;
            }
            machines.insert(graph.machine().to_string());
        }
        assert_eq!(machines, ["delivery-order", "food-order", "order"].map(str::to_owned).into());
        fixture.assert_sound().await;
    }
}
