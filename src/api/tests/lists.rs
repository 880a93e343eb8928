//! Lists of orders: filters, pages, and parameters that are refused by name.

use std::collections::BTreeSet;

use chrono::{SubsecRound as _, Utc};
use serde_json::json;

use super::world::World;

async fn orderings(world: &World, query: &str) -> Vec<String> {
    let answered = world.operator_gets(&format!("/v1/delivery-orders{query}")).await;
    assert_eq!(answered.status.as_u16(), 200, "{query}: {}", answered.text);
    let page = answered.json();
    let items = page["items"].as_array().expect("items").iter();
    items
        .map(|order| order["ordering_id"].as_str().expect("text").to_owned())
        .collect()
}

#[tokio::test]
async fn each_filter_finds_what_it_says() {
    let world = World::new().await;
    let moved = world.order("o-1").await;
    world.order("o-2").await;
    world.pending_order("o-3").await;
    let before = Utc::now().trunc_subsecs(6);
    world
        .move_on(moved, "PARTNER_PICKED_UP", json!({ "partner_order_number": "N/7&x" }))
        .await;
    let before = before.format("%Y-%m-%dT%H:%M:%S%.6fZ");

    let cases = [
        ("".to_owned(), vec!["o-2", "o-3", "o-1"]),
        ("?state=CREATED".to_owned(), vec!["o-2"]),
        ("?state=PENDING_BY_OPERATOR".to_owned(), vec!["o-3"]),
        ("?state=CANCELLED".to_owned(), vec![]),
        ("?ordering_id=o-2".to_owned(), vec!["o-2"]),
        ("?ordering_id=o".to_owned(), vec![]),
        ("?customer_id=cus-1".to_owned(), vec!["o-2", "o-3", "o-1"]),
        ("?customer_id=cus-2".to_owned(), vec![]),
        ("?partner_order_number=N%2F7%26x".to_owned(), vec!["o-1"]),
        (format!("?updated_after={before}"), vec!["o-1"]),
        ("?updated_after=2999-01-01T00:00:00%2B01:00".to_owned(), vec![]),
        ("?state=CREATED&customer_id=cus-1&limit=200".to_owned(), vec!["o-2"]),
        ("?ordering_id=o-1%27%20OR%20%271%27=%271".to_owned(), vec![]),
    ];
    for (query, expected) in cases {
        assert_eq!(orderings(&world, &query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn pages_together_are_the_list_each_order_once() {
    let world = World::new().await;
    let mut expected = BTreeSet::new();
    for number in 0..23 {
        let ordering = format!("o-{number:02}");
        world.order(&ordering).await;
        expected.insert(ordering);
    }

    for limit in [1, 5, 22, 23, 24] {
        let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let path = format!("/v1/delivery-orders?limit={limit}{cursor}");
            let page = world.operator_gets(&path).await.json();
            pages += 1;
            found.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one["ordering_id"].as_str().unwrap().to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }

        assert_eq!(pages, 23_usize.div_ceil(limit), "limit {limit}");
        assert_eq!(found.len(), 23);
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[tokio::test]
async fn fifty_orders_are_a_page_where_nobody_asks_for_another_number() {
    let world = World::new().await;
    for number in 0..51 {
        world.order(&format!("o-{number}")).await;
    }

    let page = world.operator_gets("/v1/delivery-orders").await.json();

    assert_eq!(page["items"].as_array().unwrap().len(), 50);
    assert!(page["next_cursor"].is_string());
}

#[tokio::test]
async fn a_wrong_parameter_is_refused_by_its_name() {
    let world = World::new().await;
    let long = format!("ordering_id={}", "x".repeat(256));
    let cases = [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("state=LOST", "state"),
        ("state=created", "state"),
        ("state=", "state"),
        ("ordering_id=", "ordering_id"),
        ("ordering_id=%00", "ordering_id"),
        (long.as_str(), "ordering_id"),
        ("customer_id=a%0Ab", "customer_id"),
        ("partner_order_number=", "partner_order_number"),
        ("updated_after=yesterday", "updated_after"),
        ("updated_after=2026-11-20", "updated_after"),
        ("updated_after=2026-11-20T11:00:00", "updated_after"),
        ("updated_after=2026-11-20T11:00:00+01:00", "updated_after"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "cursor"),
        ("cursor=f39_f39_f39_f39_f39_f39_f39_f39_", "cursor"),
        ("offset=10", "offset"),
        ("State=CREATED", "State"),
        ("x", "x"),
    ];
    for (query, name) in cases {
        let answered = world.operator_gets(&format!("/v1/delivery-orders?{query}")).await;

        assert_eq!(
            (answered.status.as_u16(), answered.code().as_str()),
            (400, "bad-parameter"),
            "{query}"
        );
        assert_eq!(answered.json()["parameter"], name, "{query}");
        assert!(
            answered.json()["detail"]
                .as_str()
                .is_some_and(|detail| detail.starts_with(name))
        );
    }
}
