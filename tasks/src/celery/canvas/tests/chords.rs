//! Chords whose backend is away at the wrong moment.

use super::world::{World, canvas, ended};
use super::*;
use crate::celery::results::State;

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
