//! What callers hand in: structs of the C ABI for configuration, entries and hard state, and the error they get
//! back.

use std::ffi::c_char;

use super::codes::bulkhead_status;
use super::memory::Versioned;

/// Handle of an engine. Never 0; a value is never issued twice.
pub type bulkhead_engine = u64;
/// Handle of an open partition. Never 0; a value is never issued twice.
pub type bulkhead_partition = u64;

/// What went wrong, in full. The caller owns it, sets struct_size and passes it as the last argument; it is written
/// only when the call fails (bulkhead_last_fault aside).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bulkhead_error {
    /// sizeof(bulkhead_error), set by the caller.
    pub struct_size: u32,
    /// The same value that the call returned.
    pub status: bulkhead_status,
    /// errno of the system call that failed, 0 if none did.
    pub os_errno: i32,
    /// BULKHEAD_OP_*: what was being done. For a latched partition this is the operation that met the fault first.
    pub operation: u32,
    /// The owner's id of the partition, 0 if the call was about none.
    pub partition_id: u64,
    /// First index affected; 0 together with last_index if none.
    pub first_index: u64,
    /// Last index affected.
    pub last_index: u64,
    /// File or directory concerned: bytes as the system has them, NUL-terminated, cut if longer.
    pub path: [c_char; 256],
    /// UTF-8, NUL-terminated, cut if longer: what was wrong and what to do about it. For people; programs use the
    /// fields above.
    pub message: [c_char; 512],
}

/// Limits of an engine. A field that is 0 gets its default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bulkhead_engine_config {
    /// sizeof(bulkhead_engine_config), set by the caller.
    pub struct_size: u32,
    /// Largest payload of one entry, in bytes. Default 16 MiB, 1 to 64 MiB.
    pub max_entry_bytes: u32,
    /// Smallest segment file, in bytes. Default 256 KiB.
    pub segment_min_bytes: u32,
    /// Largest segment file, in bytes. Default 32 MiB, up to 1 GiB.
    pub segment_max_bytes: u32,
    /// Longest time between an acknowledgement and its flush in mode interval, in milliseconds. Default 50, 1 to
    /// 60000.
    pub interval_ms: u32,
    /// Longest wait for the disk before a partition counts as stalled, in milliseconds. In mode none, too, where the
    /// event says so while the call still hangs. Default 5000, 100 to 600000.
    pub stall_limit_ms: u32,
    /// Threads that flush, per disk. Default 8, 1 to 64.
    pub flush_threads_per_disk: u32,
    /// Must be 0.
    pub reserved: u32,
    /// Memory for entries that were read or written lately, in bytes, for the whole engine. Default 64 MiB.
    pub read_cache_bytes: u64,
    /// A transient error or a bad block is healed inside the call that met it within this time, in milliseconds.
    /// Default 300, up to 60000; BULKHEAD_NEVER: the first error latches the partition.
    pub heal_limit_ms: u32,
    /// An append that finds the disk full waits this long for space, in milliseconds. Default 500, up to 60000;
    /// BULKHEAD_NEVER: it does not wait.
    pub space_wait_ms: u32,
    /// A faulted partition is probed this long after its fault, in milliseconds: a ReadOnly one again and again, for
    /// an Unavailable one the time doubles up to 256 times. Default 250, up to 60000; BULKHEAD_NEVER: only
    /// bulkhead_recover brings it back.
    pub probe_ms: u32,
    /// A system call that takes longer makes an event (cause BULKHEAD_CAUSE_STALLED, the state stays) and counts as a
    /// slow operation, in milliseconds. Default 500, up to 600000; BULKHEAD_NEVER: no such event.
    pub slow_disk_ms: u32,
    /// A disk on which nothing is flushed is written to this often, one block into one idle partition's open segment
    /// (modes sync and interval), so that its death is known before somebody needs it, in milliseconds. Where that or
    /// anything else meets an I/O error, others of the disk look at once. Default 250, up to 60000; BULKHEAD_NEVER: an idle disk is
    /// left alone, and a dead one is found by the next write.
    pub idle_check_ms: u32,
    /// Must be 0.
    pub reserved_2: u32,
}

/// Which partition to open, and how.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bulkhead_partition_config {
    /// sizeof(bulkhead_partition_config), set by the caller.
    pub struct_size: u32,
    /// BULKHEAD_MODE_*; 0 means BULKHEAD_MODE_SYNC.
    pub mode: u32,
    /// BULKHEAD_OPEN_OR_CREATE, BULKHEAD_OPEN_EXISTING or BULKHEAD_CREATE_NEW.
    pub disposition: u32,
    /// Length of path in bytes, 1 to 4095.
    pub path_length: u32,
    /// Directory of the partition: bytes, no NUL among them, none needed at the end.
    pub path: *const u8,
    /// The owner's id of the partition. An existing log must carry the same.
    pub partition_id: u64,
    /// An index that the owner knows to be in the log or below its compaction point (applied or committed); 0 if it
    /// knows none. A log that ends below it is damage, not an ordinary end.
    pub known_index: u64,
}

/// Hard state of raft.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct bulkhead_hard_state {
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
}

/// An entry to append. Borrowed for the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bulkhead_entry {
    pub index: u64,
    pub term: u64,
    /// The payload; may be NULL if length is 0. Ignored by the packed calls.
    pub data: *const u8,
    /// Bytes of payload.
    pub length: u32,
    /// The owner's type of the entry, 0 to 255.
    pub kind: u32,
}

/// An entry that was read; its payload follows the one before it in the data buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct bulkhead_entry_header {
    pub index: u64,
    pub term: u64,
    /// Bytes of payload.
    pub length: u32,
    /// The owner's type of the entry, 0 to 255.
    pub kind: u32,
}

// SAFETY: each is repr(C), starts with struct_size and consists of integers, raw pointers and arrays of them only.
unsafe impl Versioned for bulkhead_error {
    const NAME: &'static str = "bulkhead_error";
    const FIRST_BYTES: usize = 808;
}
// SAFETY: as above.
unsafe impl Versioned for bulkhead_engine_config {
    const NAME: &'static str = "bulkhead_engine_config";
    const FIRST_BYTES: usize = 40;
}
// SAFETY: as above.
unsafe impl Versioned for bulkhead_partition_config {
    const NAME: &'static str = "bulkhead_partition_config";
    const FIRST_BYTES: usize = 40;
}

// A layout that moved without notice would break every program already built.
const _: () = {
    use std::mem::size_of;
    assert!(size_of::<bulkhead_error>() == bulkhead_error::FIRST_BYTES);
    assert!(size_of::<bulkhead_engine_config>() == 64);
    assert!(size_of::<bulkhead_partition_config>() == bulkhead_partition_config::FIRST_BYTES);
    assert!(size_of::<bulkhead_hard_state>() == 24);
    assert!(size_of::<bulkhead_entry>() == 32);
    assert!(size_of::<bulkhead_entry_header>() == 24);
};
