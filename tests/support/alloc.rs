//! An allocator that remembers the largest piece of memory that was asked for: what a length from disk can make the library take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Largest(AtomicUsize);

impl Largest {
    pub const fn new() -> Largest {
        Largest(AtomicUsize::new(0))
    }

    /// Bytes of the largest piece since the last call.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

// SAFETY: all memory comes from and goes back to the system's allocator.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on; alloc got it from the same allocator.
        unsafe { System.dealloc(ptr, layout) }
    }
}
