//! Every way through every published version, walked by orders of its own on the real database: log, effects and audit are what the
//! graph says.

use serde_json::Value as Json;
use waybill_domain::{Actor, Change, Graph, MOST_WAYS, OrderId, Stop};

use super::fixture::{Fixture, paid};
use super::on_both;
use crate::engine::payment::Followed;
use crate::engine::{Answer, Engine, MACHINE, Report};
use crate::store::effect_id;
use crate::template::Template;

/// Reports what a way needs, one event after the other, as those would who may.
async fn walk(engine: &Engine, id: OrderId, plan: &[Stop]) {
    for (place, stop) in plan.iter().enumerate() {
        let report = Report {
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

/// The order's log is the way, each entered state has asked for its effects, and nothing is armed any more.
async fn check(engine: &Engine, graph: &Graph, id: OrderId, plan: &[Stop]) {
    let store = engine.store();
    let log = store.log(id).await.expect("the store answers");
    let moved = log
        .iter()
        .map(|row| &row.transition)
        .filter(|row| row.change != Change::Born);
    let states: Vec<_> = moved.map(|row| row.to.clone()).collect();
    let expected: Vec<_> = plan.iter().flat_map(|stop| stop.states.clone()).collect();
    assert_eq!(states, expected);
    for row in log.iter().map(|row| &row.transition) {
        let state = graph.state(row.to.as_str()).expect("a state of the graph");
        for name in &state.on_enter {
            let effect = store.effect(effect_id(id, row.revision.0, name.as_str())).await;
            assert!(
                effect.expect("the store answers").is_some(),
                "{name} on entry of {}",
                row.to
            );
        }
    }
    let order = store
        .order(id)
        .await
        .expect("the store answers")
        .expect("it exists")
        .loaded;
    assert_eq!(order.order.graph_version, graph.version());
    let end = graph.state(order.order.state.as_str()).expect("a state of the graph");
    assert_eq!(
        order.record.outcome.as_deref(),
        end.outcome.map(|outcome| outcome.as_str())
    );
    assert!(order.deadline.is_none() && !order.record.live);
    let names_a_successor = graph.edges(plan.last().map_or("", |stop| stop.event.as_str()));
    let expected = names_a_successor.into_iter().any(|(_, edge)| edge.successor.is_some());
    assert_eq!(order.record.successor_id.is_some(), expected);
}

on_both! {
    async fn every_way_of_every_published_version_ends_as_the_graph_says(fixture: Fixture) {
        for graph in Template::shipped().graphs().filter(|graph| graph.machine() == MACHINE) {
            if graph.count_ways() > MOST_WAYS {
                eprintln!("{MACHINE} version {} has more than {MOST_WAYS} ways: not walked", graph.version());
                continue;
            }
            let engine = fixture.on_version(graph).await;
            for (number, way) in graph.ways().into_iter().enumerate() {
                let plan = graph.plan(&way, &format!("N-{number}")).expect("every way of a published version can be walked");
                let Followed::Created(id) = engine.paid(paid(&format!("o-{}-{number}", graph.version()))).await.unwrap() else {
                    panic!("a payment makes an order");
                };

                walk(&engine, id, &plan).await;

                check(&engine, graph, id, &plan).await;
            }
        }
        fixture.assert_sound().await;
    }
}
