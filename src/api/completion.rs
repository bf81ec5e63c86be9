//! What an actor without a thread completes with.

use super::actor::{Errors, IntoOutcome};
use crate::run::actor::Done;
use crate::sync::{Arc, Mutex};
use std::fmt;

/// By which an actor without a thread says that it has returned; see
/// [`Group::add_async`](crate::Group::add_async). Any thread may have it.
///
/// Dropped without a result, the actor returns as if it had panicked: a forgotten
/// completion would keep the group for ever.
pub struct Completion {
    done: Done,
    errors: Arc<Mutex<Errors>>,
    index: usize,
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Completion {
    pub(super) fn new(done: Done, errors: Arc<Mutex<Errors>>, index: usize) -> Self {
        Completion {
            done,
            errors,
            index,
        }
    }

    /// The actor has returned this: what an execute returns (rule 4). Never blocks.
    pub fn complete(self, returned: impl IntoOutcome) {
        let (outcome, error) = returned.into_outcome();
        if let Some(error) = error {
            self.errors.lock().insert(self.index, error);
        }
        self.done.complete(outcome);
    }
}
