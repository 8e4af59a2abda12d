//! A byte buffer whose memory is aligned for O_DIRECT.

use super::sys::want_huge_pages;
use std::alloc::{alloc, dealloc, Layout};
use std::ptr::NonNull;

/// Alignment of the memory: the largest that a block device of today asks for.
const ALIGN: usize = 4096;
/// A huge page: memory of one is one piece to a device, where pages of 4 KiB are as many pieces as there are.
const HUGE_ALIGN: usize = 2 << 20;

/// A growable buffer aligned to 4096 bytes. It never shrinks: it is reused from flush to flush.
pub struct AlignedBuf {
    ptr: NonNull<u8>,
    len: usize,
    capacity: usize,
    align: usize,
}

// SAFETY: the buffer owns its memory and hands it out only through &self and &mut self.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above; no interior mutability.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    pub fn new() -> AlignedBuf {
        AlignedBuf { ptr: NonNull::dangling(), len: 0, capacity: 0, align: ALIGN }
    }

    /// One for large reads and writes: in huge pages, where the kernel gives them (transparent huge pages, `madvise` or `always`).
    pub fn huge() -> AlignedBuf {
        AlignedBuf { align: HUGE_ALIGN, ..AlignedBuf::new() }
    }

    /// A buffer of `len` zero bytes.
    pub fn zeroed(len: usize) -> AlignedBuf {
        let mut buf = AlignedBuf::new();
        buf.resize(len);
        buf
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `more` bytes.
    pub fn reserve(&mut self, more: usize) {
        let Some(wanted) = self.len.checked_add(more).and_then(|n| n.checked_next_multiple_of(self.align)) else {
            std::alloc::handle_alloc_error(Layout::new::<u8>())
        };
        if wanted <= self.capacity {
            return;
        }
        let capacity = wanted.max(self.capacity.saturating_mul(2));
        let Ok(layout) = Layout::from_size_align(capacity, self.align) else {
            std::alloc::handle_alloc_error(Layout::new::<u8>())
        };
        // SAFETY: the layout's size is not zero, since wanted is at least the alignment when it exceeds the capacity.
        let Some(ptr) = NonNull::new(unsafe { alloc(layout) }) else { std::alloc::handle_alloc_error(layout) };
        if self.align == HUGE_ALIGN {
            want_huge_pages(ptr, capacity);
        }
        // SAFETY: both regions hold at least len bytes and are distinct allocations.
        unsafe { std::ptr::copy_nonoverlapping(self.ptr.as_ptr(), ptr.as_ptr(), self.len) };
        self.release();
        self.ptr = ptr;
        self.capacity = capacity;
    }

    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: reserve made room for bytes.len() after len; a &mut self and a &[u8] do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.ptr.as_ptr().add(self.len), bytes.len()) };
        self.len += bytes.len();
    }

    /// Cuts, or extends with zero bytes.
    pub fn resize(&mut self, len: usize) {
        if len > self.len {
            self.reserve(len - self.len);
            // SAFETY: reserve made room up to len.
            unsafe { std::ptr::write_bytes(self.ptr.as_ptr().add(self.len), 0, len - self.len) };
        }
        self.len = len;
    }

    fn release(&mut self) {
        if self.capacity > 0 {
            // SAFETY: ptr was allocated with this very layout in reserve.
            unsafe { dealloc(self.ptr.as_ptr(), Layout::from_size_align_unchecked(self.capacity, self.align)) };
        }
    }
}

impl Default for AlignedBuf {
    fn default() -> Self {
        AlignedBuf::new()
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        self.release();
    }
}

impl std::ops::Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the first len bytes are allocated and initialised; a dangling pointer is fine for len 0.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl std::ops::DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in deref, and &mut self is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_aligned_and_keeps_its_bytes() {
        let mut buf = AlignedBuf::new();
        for i in 0..10_000u32 {
            buf.extend_from_slice(&i.to_le_bytes());
        }
        assert_eq!(buf.as_ptr() as usize % ALIGN, 0);
        assert_eq!(buf.len(), 40_000);
        assert_eq!(buf[39_996..], 9_999u32.to_le_bytes());
        buf.resize(40_960);
        assert!(buf[40_000..].iter().all(|b| *b == 0));
    }

    #[test]
    #[cfg_attr(miri, ignore)] // it knows no madvise
    fn a_huge_one_grows_by_huge_pages() {
        let mut buf = AlignedBuf::huge();
        for pages in 1..=2 {
            buf.resize(pages * HUGE_ALIGN - 1);
            buf.extend_from_slice(&[pages as u8]);
            assert_eq!((buf.as_ptr() as usize % HUGE_ALIGN, buf.capacity()), (0, pages * HUGE_ALIGN));
        }
        assert_eq!((buf[HUGE_ALIGN - 1], buf[2 * HUGE_ALIGN - 1]), (1, 2));
    }
}
