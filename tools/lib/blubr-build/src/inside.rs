//! Who is in a step's container, and so can neither have asked for that step's build nor be an engine to those outside: any program
//! of a step can do what shows a client or an engine.

use std::collections::HashMap;

use crate::build::{Engine, ProcessKey};
use crate::steps::Work;

/// The first processes of steps' containers, and the engine of each.
pub(crate) struct Inside(HashMap<ProcessKey, ProcessKey>);

impl Inside {
    pub(crate) fn of(work: &Work) -> Self {
        // What the classic builder's engine made and did not put into an image may be a container of `docker run`, in which clients
        // and engines may well be.
        let steps = work.pieces.iter().filter(|piece| {
            piece.shape == Some(Engine::BuildKit) || piece.committed && piece.shape.is_some()
        });
        Inside(steps.filter_map(|piece| Some((piece.run.init?, piece.maker))).collect())
    }

    /// Whether a container, named by its first process, is a step's.
    pub(crate) fn is_in_step(&self, container: Option<ProcessKey>) -> bool {
        container.is_some_and(|init| self.0.contains_key(&init))
    }

    /// Whether a client may have asked an engine, by the containers that they are in.
    pub(crate) fn may_ask(
        &self,
        client: Option<ProcessKey>,
        engine: ProcessKey,
        engine_is_in: Option<ProcessKey>,
    ) -> bool {
        if self.is_in_step(engine_is_in) {
            return client == engine_is_in;
        }
        client.and_then(|init| self.0.get(&init)) != Some(&engine)
    }
}
