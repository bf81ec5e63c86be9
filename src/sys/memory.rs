//! Allocation that can fail: the standard library's boxes abort the process instead.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

/// Memory for one value.
pub struct Room<T>(NonNull<T>);

impl<T> Room<T> {
    /// `None`: there is no memory.
    pub fn new() -> Option<Self> {
        const { assert!(size_of::<T>() > 0) };
        // SAFETY: the size of the layout is not 0.
        NonNull::new(unsafe { alloc(Layout::new::<T>()) }.cast::<T>()).map(Room)
    }

    /// The value in a box.
    pub fn fill(self, value: T) -> Box<T> {
        let place = self.0;
        std::mem::forget(self);
        // SAFETY: the memory has the value's layout, comes from the allocator that
        // boxes use, and is owned by the box alone since `self` is forgotten.
        unsafe {
            place.write(value);
            Box::from_raw(place.as_ptr())
        }
    }
}

impl<T> Drop for Room<T> {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout, and not filled.
        unsafe { dealloc(self.0.as_ptr().cast(), Layout::new::<T>()) };
    }
}

/// The value in a box, or `None` where there is no memory for it.
pub fn try_box<T>(value: T) -> Option<Box<T>> {
    Room::new().map(|room| room.fill(value))
}
