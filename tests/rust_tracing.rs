//! Groups in tracing. (Feature `tracing`.)
#![cfg(feature = "tracing")]

use rungroup::{Cause, Group};
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes a line for each event, with the spans that the thread is in.
#[derive(Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Mutex<Vec<String>>,
    next: AtomicU64,
}

thread_local! {
    static INSIDE: std::cell::RefCell<Vec<u64>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// All fields but the times.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "at" {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        self.spans.lock().unwrap().push(fields.0);
        Id::from_u64(self.next.fetch_add(1, Relaxed) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Fields(event.metadata().level().to_string());
        event.record(&mut line);
        INSIDE.with_borrow(|inside| {
            for &id in inside {
                write!(
                    line.0,
                    " in {}",
                    self.spans.lock().unwrap()[id as usize - 1]
                )
                .unwrap();
            }
        });
        self.lines.lock().unwrap().push(line.0);
    }

    fn enter(&self, span: &Id) {
        INSIDE.with_borrow_mut(|inside| inside.push(span.into_u64()));
    }

    fn exit(&self, _: &Id) {
        INSIDE.with_borrow_mut(|inside| _ = inside.pop());
    }
}

#[test]
fn events_and_spans_show_the_actors() {
    let log = Log::default();
    let lines = log.lines.clone();
    // For all threads: actors have their own.
    tracing::subscriber::set_global_default(log).unwrap();

    let mut group = Group::new();
    group.observe(rungroup::trace_events).unwrap();
    let works = || {
        tracing::info!("works");
        Err::<(), _>("full")
    };
    let complains = |_: &Cause<'_>| {
        tracing::info!("closes");
        Err::<(), _>("deaf")
    };
    group.add("db", works, complains).unwrap();
    group.run().unwrap_err();

    let mut lines = lines.lock().unwrap();
    // The execute and the observer are on different threads.
    lines.sort();
    let mut expected = [
        "DEBUG message=started actor=\"db\"",
        "INFO message=works in actor name=\"db\"",
        "INFO message=returned actor=\"db\" code=1 said=\"full\"",
        "INFO message=stopping actor=\"db\" code=1 said=\"full\"",
        "DEBUG message=interrupting actor=\"db\"",
        "INFO message=closes in actor name=\"db\"",
        "WARN message=the interrupt complained actor=\"db\" said=\"deaf\"",
        "INFO message=stopped code=1",
    ];
    expected.sort_unstable();
    assert_eq!(*lines, expected);
}
