//! What callers get back: structs of the C ABI for results, status, events, completions and verification.

use super::codes::bulkhead_status;
use super::memory::Versioned;
use super::types::bulkhead_partition;

/// What bulkhead_read returned. Also written with BULKHEAD_BUFFER_TOO_SMALL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct bulkhead_read_result {
    /// sizeof(bulkhead_read_result), set by the caller.
    pub struct_size: u32,
    /// Entries returned.
    pub count: u32,
    /// Bytes used in the data buffer.
    pub data_bytes: u64,
    /// With BULKHEAD_BUFFER_TOO_SMALL: bytes of data buffer that hold the first entry (which needs one header as
    /// well). Otherwise 0.
    pub needed_bytes: u64,
}

/// All there is to know of a partition. Ranges are inclusive; 0 and 0 is no range.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct bulkhead_partition_status {
    /// sizeof(bulkhead_partition_status), set by the caller.
    pub struct_size: u32,
    /// BULKHEAD_STATE_*
    pub state: u32,
    /// BULKHEAD_CAUSE_* of a state that is not ReadWrite.
    pub cause: u32,
    /// BULKHEAD_MODE_*
    pub mode: u32,
    /// errno of the fault, 0 if no system call failed.
    pub os_errno: i32,
    /// BULKHEAD_OP_* that met the fault.
    pub operation: u32,
    pub partition_id: u64,
    /// compaction_index + 1
    pub first_index: u64,
    /// The last entry, or the compaction point of an empty log.
    pub last_index: u64,
    pub last_term: u64,
    pub compaction_index: u64,
    pub compaction_term: u64,
    /// Hard state; term and vote are 0 where bulkhead_get_hard_state refuses.
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
    /// Entries up to here are known durable.
    pub durable_index: u64,
    /// Segment files, and the bytes allocated to them.
    pub segments: u64,
    pub segment_bytes: u64,
    /// Entries that do not validate, with valid ones around them: only reads of them fail.
    pub damaged_first: u64,
    pub damaged_last: u64,
    pub damaged_entries: u64,
    /// Acknowledged and missing.
    pub lost_first: u64,
    pub lost_last: u64,
    /// Cut by the last open: a last flush that never finished, and that may have been acknowledged.
    pub maybe_acknowledged_first: u64,
    pub maybe_acknowledged_last: u64,
    /// Modes none and interval: what a power cut before the last open may have cost.
    pub unsynced_first: u64,
    pub unsynced_last: u64,
    /// Bytes of what recovery cut or repair replaced, kept for inspection.
    pub kept_bytes: u64,
    /// Counters since the partition was opened: calls, entries, payload bytes, flushes, failed calls.
    pub appends: u64,
    pub entries: u64,
    pub bytes: u64,
    pub flushes: u64,
    pub errors: u64,
    /// Random id of the directory, given when it was created.
    pub incarnation: [u8; 16],
    /// Random id of this opening.
    pub epoch: [u8; 16],
    /// Faults that were healed since the partition was opened, inside a call or after it.
    pub heals: u64,
    /// Counter: system calls that took longer than slow_disk_ms.
    pub slow_operations: u64,
}

/// A change of a partition's state, or, with to_state as from_state, something that did not change it.
///
/// A fault that is healed inside the call: an event with its cause, operation and errno (of a flush as soon as it is
/// met, of a root or a new file when it is healed), and one with BULKHEAD_CAUSE_NONE and BULKHEAD_OP_RECOVER when it is
/// healed, both from ReadWrite to ReadWrite. If it cannot be healed in time, the change of state follows instead. An
/// append or sync of mode none heals on its caller's thread; there the two are changes of state, and back.
/// A read that met damage or an I/O error, bad entries that a verification found, and limits that were set
/// (BULKHEAD_OP_SET_LIMITS; bulkhead_event_limits tells which, from what to what) change no state either.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct bulkhead_event {
    /// Rises by one per event of the engine, from 1.
    pub sequence: u64,
    /// The partition's handle, 0 if it is not open any more, or if the event is about none.
    pub partition: bulkhead_partition,
    /// The owner's id of the partition.
    pub partition_id: u64,
    /// Nanoseconds since 1970, UTC.
    pub time_unix_ns: u64,
    /// BULKHEAD_STATE_* before and after.
    pub from_state: u32,
    pub to_state: u32,
    /// BULKHEAD_CAUSE_* of to_state.
    pub cause: u32,
    /// BULKHEAD_OP_* that met the fault.
    pub operation: u32,
    /// errno of the fault, 0 if no system call failed.
    pub os_errno: i32,
    /// Further changes of this partition that were merged into this event because nobody fetched it.
    pub merged: u32,
    /// Indexes affected; 0 and 0 if none.
    pub first_index: u64,
    pub last_index: u64,
}

/// The end of what bulkhead_submit_packed began.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct bulkhead_completion {
    /// The token that was submitted.
    pub token: u64,
    /// The handle it was submitted with; it may be closed by now.
    pub partition: bulkhead_partition,
    /// What bulkhead_append_packed would have returned.
    pub status: bulkhead_status,
    /// errno of the system call that failed, 0 if none did.
    pub os_errno: i32,
}

/// What bulkhead_verify found.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct bulkhead_verify_report {
    /// sizeof(bulkhead_verify_report), set by the caller.
    pub struct_size: u32,
    /// Written as 0.
    pub reserved: u32,
    /// What was read: segment files, entries, bytes.
    pub segments: u64,
    pub entries: u64,
    pub bytes: u64,
    /// Records that do not validate, and the indexes they lie between; 0 if there are none.
    pub bad_records: u64,
    pub first_bad_index: u64,
    pub last_bad_index: u64,
}

// SAFETY: each is repr(C), starts with struct_size and consists of integers and arrays of them only.
unsafe impl Versioned for bulkhead_read_result {
    const NAME: &'static str = "bulkhead_read_result";
    const FIRST_BYTES: usize = 24;
}
// SAFETY: as above.
unsafe impl Versioned for bulkhead_partition_status {
    const NAME: &'static str = "bulkhead_partition_status";
    const FIRST_BYTES: usize = 272;
}
// SAFETY: as above.
unsafe impl Versioned for bulkhead_verify_report {
    const NAME: &'static str = "bulkhead_verify_report";
    const FIRST_BYTES: usize = 56;
}

// A layout that moved without notice would break every program already built.
const _: () = {
    use std::mem::size_of;
    assert!(size_of::<bulkhead_read_result>() == bulkhead_read_result::FIRST_BYTES);
    assert!(size_of::<bulkhead_partition_status>() == 288);
    assert!(size_of::<bulkhead_verify_report>() == bulkhead_verify_report::FIRST_BYTES);
    assert!(size_of::<bulkhead_event>() == 72);
    assert!(size_of::<bulkhead_completion>() == 24);
};
