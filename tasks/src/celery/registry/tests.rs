use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::celery::protocol::Signature;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    x: u32,
    terms: Vec<u32>,
}

impl Task<u32> for Add {
    const NAME: &'static str = "math.add";

    async fn run(self, context: &u32, _request: &Request) -> Result<Value, TaskError> {
        Ok(json!(context + self.x + self.terms.iter().sum::<u32>()))
    }
}

#[derive(Deserialize)]
struct Name {
    id: Uuid,
    title: String,
}

impl Task<u32> for Name {
    const NAME: &'static str = "name";

    fn options() -> TaskOptions {
        TaskOptions {
            positional: &["id", "title"],
            ..TaskOptions::default()
        }
    }

    async fn run(self, _context: &u32, _request: &Request) -> Result<Value, TaskError> {
        Ok(json!(format!("{} {}", self.title, self.id)))
    }
}

struct Nobody;

#[async_trait]
impl Outside for Nobody {
    async fn send(&self, _: &Request, _: Signature) -> Result<(), TaskError> {
        Ok(())
    }

    async fn apply(&self, _: &Request, _: &Value) -> Result<(Value, Vec<Value>), TaskError> {
        Ok((Value::Null, Vec::new()))
    }

    async fn replace(&self, _: &Request, _: &Value) -> Result<(), TaskError> {
        Ok(())
    }

    async fn update_state(&self, _: &Request, _: &str, _: Value) -> Result<(), TaskError> {
        Ok(())
    }
}

fn registry() -> Registry<u32> {
    Registry::new(Arc::new(10))
        .register::<Add>()
        .register::<Name>()
        .function("each", TaskOptions::default(), |call: Call<u32>| async move {
            let mut answers = Vec::new();
            for args in &call.request.args {
                let args = args.as_array().cloned().unwrap_or_default();
                answers.push(call.run_inline("name", args, Map::new()).await?);
            }
            Ok(answers.into())
        })
}

async fn run(task: &str, args: Value, kwargs: Value) -> Result<Value, TaskError> {
    let mut message = Signature::new(task).into_message();
    message.body = json!([args, kwargs, null]).to_string().into_bytes();
    let request = Arc::new(Request::decode(&message).unwrap());
    let scope = Scope::new(request.clone(), CancellationToken::new(), Arc::new(Nobody));
    let registry = registry();
    registry.start(&registry.find(task).unwrap(), request, scope).await
}

fn wrong(place: &str, detail: &str) -> Result<Value, TaskError> {
    Err(TaskError::Wrong {
        code: "wrong-arguments",
        place: place.to_owned(),
        detail: detail.to_owned(),
    })
}

const ID: &str = "9e107d9d-372b-4b6c-8a2f-0f5c1d3e4a5b";

#[tokio::test]
async fn a_task_runs_with_its_arguments_and_the_context() {
    let answer = run("math.add", json!([]), json!({"x": 1, "terms": [2, 3]})).await;

    assert_eq!(answer, Ok(json!(16)));
    assert_eq!(registry().names().collect::<Vec<_>>(), ["each", "math.add", "name"]);
    assert_eq!(registry().catalogue()["name"].positional, ["id", "title"]);
}

#[tokio::test]
async fn arguments_by_position_get_their_names_and_kombus_typed_values_their_types() {
    let typed = json!({"__type__": "uuid", "__value__": {"hex": ID.replace('-', "")}});
    let expected = Ok(json!(format!("Ulysses {ID}")));

    assert_eq!(run("name", json!([ID, "Ulysses"]), json!({})).await, expected);
    assert_eq!(run("name", json!([typed]), json!({"title": "Ulysses"})).await, expected);
    assert_eq!(
        run("name", json!([]), json!({"id": typed, "title": "Ulysses"})).await,
        expected
    );
}

#[tokio::test]
async fn a_task_runs_another_one_in_place() {
    let answer = run("each", json!([[ID, "a"], [ID, "b"]]), json!({})).await;

    assert_eq!(answer, Ok(json!([format!("a {ID}"), format!("b {ID}")])));
}

#[tokio::test]
async fn wrong_arguments_are_told_with_their_place_and_without_their_value() {
    for (task, args, kwargs, expected) in [
        (
            "math.add",
            json!([]),
            json!({"terms": []}),
            wrong("body[1]", "missing field `x`"),
        ),
        (
            "math.add",
            json!([]),
            json!({"x": 1, "terms": [], "y": 2}),
            wrong("body[1].y", "unknown field `y`, expected `x` or `terms`"),
        ),
        (
            "math.add",
            json!([]),
            json!({"x": 1, "terms": [1, "Torstr. \"1\", Berlin"]}),
            wrong("body[1].terms[1]", "invalid type: string, expected u32"),
        ),
        (
            "math.add",
            json!([1]),
            json!({"x": 1, "terms": []}),
            wrong("body[0]", "expected keyword arguments only, found 1 positional"),
        ),
        (
            "name",
            json!([ID, 5]),
            json!({}),
            wrong("body[0][1]", "invalid type: integer `5`, expected a string"),
        ),
        (
            "name",
            json!([ID, "a"]),
            json!({"title": "b"}),
            wrong(
                "body[0][1]",
                "expected each argument once, found `title` also as a keyword",
            ),
        ),
        (
            "name",
            json!([ID, "a", "b"]),
            json!({}),
            wrong("body[0]", "expected at most 2 positional arguments, found 3 positional"),
        ),
    ] {
        assert_eq!(run(task, args, kwargs).await, expected);
    }
}

#[test]
#[should_panic(expected = "two tasks are named math.add")]
fn a_name_is_given_once() {
    let _ = registry().register::<Add>();
}
