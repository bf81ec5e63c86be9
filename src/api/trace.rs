//! Groups in tracing: a span for each actor, and an observer.

use super::event::Event;
use crate::machine::EventKind;
use tracing::{Span, debug, error, info, warn};

/// The span that an actor's functions run in.
pub(super) fn span(name: &str) -> Span {
    tracing::info_span!(target: "rungroup", "actor", name)
}

/// An observer that makes each event one of tracing's, with target `rungroup`:
/// what is stuck is an error, a complaint or a panic a warning, starts and
/// interrupts are for debugging, the rest is information. (Feature `tracing`, which
/// also runs every closure and future of an actor in a span `actor{name="…"}`.)
///
/// ```
/// let mut group = rungroup::Group::new();
/// group.observe(rungroup::trace_events)?;
/// # Ok::<(), rungroup::Error>(())
/// ```
pub fn trace_events(event: &Event<'_>) {
    let (code, said, at) = (event.code(), event.message(), event.at());
    let actor = event.actor();
    match event.kind() {
        EventKind::Started => debug!(target: "rungroup", actor, ?at, "started"),
        EventKind::Returned if code == crate::Error::Panic.code() => {
            warn!(target: "rungroup", actor, said, ?at, "panicked");
        }
        EventKind::Returned => info!(target: "rungroup", actor, code, said, ?at, "returned"),
        EventKind::Stopping => info!(target: "rungroup", actor, code, said, ?at, "stopping"),
        EventKind::Interrupting => debug!(target: "rungroup", actor, ?at, "interrupting"),
        EventKind::Interrupted if !said.is_empty() => {
            warn!(target: "rungroup", actor, said, ?at, "the interrupt complained");
        }
        EventKind::Interrupted => debug!(target: "rungroup", actor, ?at, "interrupted"),
        EventKind::Stuck => error!(target: "rungroup", actor, ?at, "stuck"),
        EventKind::Stopped => info!(target: "rungroup", code, ?at, "stopped"),
    }
}
