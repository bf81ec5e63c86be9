//! Freed memory is overwritten, and not used again for a while: whoever still
//! looks at it finds no flag, no lock and no pointer that makes sense.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;

struct Poison;

#[global_allocator]
static POISON: Poison = Poison;

const KEPT: usize = 512;

struct Freed {
    blocks: [(usize, Layout); KEPT],
    next: usize,
}

static FREED: Mutex<Freed> = Mutex::new(Freed {
    blocks: [(0, Layout::new::<u8>()); KEPT],
    next: 0,
});

// SAFETY: the system's, which gets back later what it gave.
unsafe impl GlobalAlloc for Poison {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's, and nobody uses it any more.
        unsafe { block.write_bytes(0xF5, layout.size()) };
        let Ok(mut freed) = FREED.lock() else { return };
        let at = freed.next;
        freed.next = (at + 1) % KEPT;
        let last = (block.expose_provenance(), layout);
        let (first, layout) = std::mem::replace(&mut freed.blocks[at], last);
        drop(freed);
        if first != 0 {
            // SAFETY: it came from there with this layout, and was not given back.
            unsafe { System.dealloc(std::ptr::with_exposed_provenance_mut(first), layout) };
        }
    }
}
