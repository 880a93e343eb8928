//! Chords whose backend is away at the wrong moment, or whose parts cannot be read.

use serde_json::json;

use super::world::{World, canvas, ended, request};
use super::*;
use crate::celery::results::{State, TaskResult};

fn refused() -> ResultError {
    ResultError::Refused("a chord's part that cannot be read: expected JSON, found NaN".to_owned())
}

fn away() -> ResultError {
    ResultError::Away("no answer".to_owned())
}

/// A chord of two whose body is `b`, with all that its header sends.
async fn header(world: &Arc<World>) -> Vec<Request> {
    let body = task("body").with_id("b").link_error(task("err"));
    canvas(world).apply(chord([task("x"), task("y")], body)).await.unwrap();
    world.happened();
    world.requests()
}

/// Its parts end, all of them well.
async fn end(world: &Arc<World>, header: &[Request]) -> Result<(), CanvasError> {
    for request in header {
        let result = ended(request, State::Success, Value::from(1));
        canvas(world).stored(request, &result).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_is_sent_once_although_its_parts_are_not_cleaned_up() {
    let world = Arc::new(World::default());
    let header = header(&world).await;
    world.fault("finish", away());

    let counted = end(&world, &header).await;

    assert!(counted.is_ok(), "the part would come again: {counted:?}");
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn a_body_is_failed_once_although_its_parts_are_not_cleaned_up() {
    let world = Arc::new(World::default());
    let header = header(&world).await;
    world.fault("load_group", refused());
    world.fault("abandon", away());

    let counted = end(&world, &header).await;

    assert!(counted.is_ok(), "the part would come again: {counted:?}");
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn a_header_that_cannot_be_read_fails_its_body_as_in_python() {
    for asked in ["parts", "load_group"] {
        let world = Arc::new(World::default());
        let header = header(&world).await;
        world.fault(asked, refused());

        end(&world, &header).await.unwrap();

        let gid = header[0].group.clone().unwrap();
        let abandoned = format!("abandon {gid}");
        assert_eq!(world.happened(), ["send err", "store b FAILURE", abandoned.as_str()]);
        let error = world.results.lock().unwrap()["b"].exception().unwrap();
        assert_eq!(error.exc_type, "ChordError");
        let text = error.exc_message[0].as_str().unwrap();
        assert!(text.starts_with("Join error: BackendStoreError("), "{text}");
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_asked_for_now_is_asked_for_again() {
    let world = Arc::new(World::default());
    let header = header(&world).await;
    world.fault("parts", away());

    let counted = end(&world, &header).await;

    assert!(counted.unwrap_err().is_passing());
    assert!(world.happened().is_empty());
}

#[tokio::test]
async fn a_body_fails_although_an_error_callback_cannot_be_read() {
    let world = Arc::new(World::default());
    let mut body = task("body").with_id("b");
    body.set("link_error", json!([5, task("err").write()]));
    canvas(&world)
        .apply(chain([chord([task("x"), task("y")], body), task("last").with_id("l")]))
        .await
        .unwrap();
    let header = world.requests();
    world.happened();

    for request in &header {
        let failed = Exception::builtin("ValueError", "boom");
        let failed = TaskResult::raised(&request.id, State::Failure, &failed, Utc::now());
        canvas(&world).stored(request, &failed).await.unwrap();
    }

    let gid = header[0].group.clone().unwrap();
    let expected = [
        "send err",
        "store b FAILURE",
        "store l FAILURE",
        &format!("abandon {gid}"),
    ];
    assert_eq!(world.happened(), expected);
}

#[tokio::test]
async fn a_step_that_cannot_be_read_holds_up_neither_the_other_steps_nor_the_error_callbacks() {
    let world = Arc::new(World::default());
    let (last, unread) = (task("last").with_id("l").write(), json!({"task": null}));
    let failed = request(
        &json!({"callbacks": null, "errbacks": [unread, task("err").write()], "chain": [last, unread], "chord": null}),
    );

    let told = canvas(&world)
        .failed(&failed, &Exception::builtin("ValueError", "boom"), State::Failure)
        .await;

    assert!(told.is_ok(), "{told:?}");
    assert_eq!(world.happened(), ["store l FAILURE", "send err"]);
}

#[tokio::test]
async fn while_chords_cannot_begin_nothing_is_sent_beside_them() {
    let world = Arc::new(World::default());
    let pair = chord([task("x"), task("y")], task("body"));
    let callbacks = [task("beside").write(), chain([task("z"), task("zz")]).write()];
    let done = request(&json!({"callbacks": callbacks, "errbacks": null, "chain": [pair.write()], "chord": null}));
    world.fault("begin", away());

    let tried = canvas(&world).succeeded(&done, &json!(1)).await;

    assert!(tried.unwrap_err().is_passing());
    assert_eq!(
        world.happened(),
        [""; 0],
        "it is all sent again when the message comes again"
    );
}
