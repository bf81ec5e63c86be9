//! Which actor runs on a thread. std calls the threads of actors unnamed: they are
//! pthreads of the library's own, and only std's own threads have a name there.

use crate::run::actor::current_name;
use std::io::Write;
use std::sync::Once;

/// The name of the actor whose execute, interrupt or future runs on this thread;
/// `None`: none does. For panic hooks and loggers.
///
/// The system knows the thread by the name's first 15 bytes, and so do debuggers;
/// `std::thread::current().name()` is `None`, since std names only threads that it
/// has started itself.
pub fn current_actor() -> Option<String> {
    current_name()
}

/// From now on a panic in an actor is printed with the actor's name, in a line
/// above that of the panic hook which is there now, and which is called as before.
///
/// ```text
/// in actor "db":
/// thread '<unnamed>' panicked at src/main.rs:7:9:
/// index out of bounds: the len is 3 but the index is 3
/// ```
///
/// For `main` to call: a library leaves the process's hook alone. A second call
/// does nothing. The error of [`Group::run`](crate::Group::run) and the report name
/// the actor in any case.
///
/// # Panics
/// When it is called from a thread that panics, as [`std::panic::set_hook`].
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some(name) = current_name() {
                // Nobody may read stderr.
                let _ = writeln!(std::io::stderr(), "in actor {name:?}:");
            }
            before(info);
        }));
    });
}

/// Runs `body` in the span of this thread's actor, so that tracing's events show its
/// name.
#[cfg(feature = "tracing")]
pub(super) fn in_span<R>(body: impl FnOnce() -> R) -> R {
    super::trace::span(&current_name().unwrap_or_default()).in_scope(body)
}

/// Without tracing there are no spans.
#[cfg(not(feature = "tracing"))]
pub(super) fn in_span<R>(body: impl FnOnce() -> R) -> R {
    body()
}
