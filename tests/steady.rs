//! Short groups (a million with RUNGROUP_LONG=1) leave the heap as the first ones did:
//! parking_lot's table of those who wait included, in which a thread that waits for
//! the first time while it ends would leave something.
#![allow(unsafe_code)]

use rungroup::{Group, StopToken, interrupt_none};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering::SeqCst};

/// Counts what is in use.
struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);
static BLOCKS: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, SeqCst);
        BLOCKS.fetch_add(1, SeqCst);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, SeqCst);
        BLOCKS.fetch_sub(1, SeqCst);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

/// While another thread asks for the report all the time, so that the state's lock is
/// waited for.
fn groups(count: usize, watched: bool) {
    for _ in 0..count {
        let mut group = Group::new();
        group
            .add("waits", |stop: StopToken| stop.wait(), interrupt_none)
            .unwrap();
        group.add("returns", || {}, interrupt_none).unwrap();
        if !watched {
            group.run().unwrap();
            continue;
        }
        group.start().unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    drop(group.report());
                }
            });
            group.wait().unwrap();
            over.store(true, SeqCst);
        });
    }
}

#[test]
fn short_groups_leave_the_heap_as_it_was() {
    let count = if std::env::var_os("RUNGROUP_LONG").is_some() {
        1_000_000
    } else {
        20_000 // in seconds
    };
    groups(1000, true);
    groups(1000, false);
    let before = (BYTES.load(SeqCst), BLOCKS.load(SeqCst));
    groups(count / 10, true);
    groups(count - count / 10, false);
    let after = (BYTES.load(SeqCst), BLOCKS.load(SeqCst));
    assert_eq!(after, before, "bytes and blocks in use");
}
