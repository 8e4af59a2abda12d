//! Compaction, reset to a snapshot, and sync.

use super::boundary::boundary;
use super::codes::bulkhead_status;
use super::handles;
use super::types::{bulkhead_error, bulkhead_partition};
use crate::Op;

/// Drops the entries up to and including index. At or below the compaction point it does nothing and returns
/// BULKHEAD_OK. Also works without space.
///
/// A commit below index becomes index. Durable when it returns; space is given back in the background.
///
/// Errors: BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_OUT_OF_RANGE (index beyond the last entry), BULKHEAD_BUSY (another
/// operation on the whole log has not come back within stall_limit_ms), the
/// partition's fault if it is Unavailable, BULKHEAD_IO_ERROR, BULKHEAD_READ_ONLY_FILESYSTEM, BULKHEAD_STALLED,
/// BULKHEAD_PANIC; these latch the partition as an append does. BULKHEAD_DAMAGED, BULKHEAD_IO_ERROR or BULKHEAD_STALLED of operation
/// BULKHEAD_OP_READ: the term of index cannot be read; nothing is changed or latched.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_compact(
    partition: bulkhead_partition,
    index: u64,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Compact, err, |partition| partition.compact(index))
}

/// Makes the log what it is after a snapshot: empty, with index and term as its compaction point; the next entry is
/// index + 1.
///
/// Commit becomes index; term and vote of the hard state stay. Durable when it returns. In modes sync and interval
/// it returns within stall_limit_ms.
///
/// Errors: BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_COMPACTED (index below the compaction point),
/// BULKHEAD_COMMIT_OUT_OF_RANGE (index below the commit), BULKHEAD_OUT_OF_RANGE (index of 2^62 - 2 or more),
/// BULKHEAD_TERM_REGRESSION (term below the compaction point's), BULKHEAD_BUSY (as for bulkhead_compact), the partition's fault if it is Unavailable,
/// BULKHEAD_NO_SPACE, BULKHEAD_IO_ERROR, BULKHEAD_READ_ONLY_FILESYSTEM, BULKHEAD_STALLED, BULKHEAD_PANIC; the last
/// six latch the partition as an append does.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_reset(
    partition: bulkhead_partition,
    index: u64,
    term: u64,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Reset, err, |partition| partition.reset(index, term))
}

/// Returns when all entries accepted before the call are durable, in every mode.
///
/// Errors: BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, the partition's fault if it is not ReadWrite,
/// BULKHEAD_NO_SPACE, BULKHEAD_IO_ERROR, BULKHEAD_READ_ONLY_FILESYSTEM, BULKHEAD_STALLED, BULKHEAD_PANIC; these
/// latch the partition as an append does.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_sync(partition: bulkhead_partition, err: *mut bulkhead_error) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Sync, err, |partition| partition.sync())
}
