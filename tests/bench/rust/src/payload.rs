//! Incompressible payloads.

const POOL_BYTES: usize = 1 << 20;
/// Every payload starts on a multiple of this, so that the raw O_DIRECT arm needs no copy.
const ALIGN: usize = 4096;

/// Slices of one random megabyte, handed out in turn. It fits the second-level cache about as
/// well as data that just arrived from a network would.
pub struct Pool {
    memory: *mut u8,
    next: usize,
}

impl Pool {
    pub fn new() -> Pool {
        let layout = std::alloc::Layout::from_size_align(POOL_BYTES, ALIGN).expect("constant layout");
        // SAFETY: the layout is not empty; null is checked.
        let memory = unsafe { std::alloc::alloc(layout) };
        assert!(!memory.is_null(), "no memory for the payload pool");
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for offset in (0..POOL_BYTES).step_by(8) {
            // xorshift64: random enough that no compressor gains anything
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // SAFETY: offset + 8 <= POOL_BYTES, and ALIGN makes it aligned.
            unsafe { memory.add(offset).cast::<u64>().write(state) };
        }
        Pool { memory, next: 0 }
    }

    /// The next payload, of at most 64 KiB. The memory is never written again nor freed.
    pub fn next(&mut self, bytes: usize) -> &'static [u8] {
        let stride = bytes.next_multiple_of(ALIGN);
        if self.next + stride > POOL_BYTES {
            self.next = 0;
        }
        // SAFETY: next + stride <= POOL_BYTES and bytes <= stride; the pool is leaked, so 'static holds.
        let slice = unsafe { std::slice::from_raw_parts(self.memory.add(self.next), bytes) };
        self.next += stride;
        slice
    }
}
