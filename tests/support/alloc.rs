//! An allocator that counts: the largest piece of memory that was asked for, which is what a length from disk can make the library take,
//! and how much is held.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Counting {
    largest: AtomicUsize,
    held: AtomicUsize,
}

impl Counting {
    pub const fn new() -> Counting {
        Counting { largest: AtomicUsize::new(0), held: AtomicUsize::new(0) }
    }

    /// Bytes of the largest piece since the last call.
    pub fn take_largest(&self) -> usize {
        self.largest.swap(0, Ordering::SeqCst)
    }

    /// Bytes that were taken and not given back.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

// SAFETY: all memory comes from and goes back to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.largest.fetch_max(layout.size(), Ordering::Relaxed);
        self.held.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        self.held.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on; alloc got it from the same allocator.
        unsafe { System.dealloc(ptr, layout) }
    }
}
