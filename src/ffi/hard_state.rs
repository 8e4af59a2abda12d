//! Raft's hard state: term, vote, commit.

use super::boundary::boundary;
use super::codes::bulkhead_status;
use super::handles;
use super::memory::{self, Out};
use super::types::{bulkhead_error, bulkhead_hard_state, bulkhead_partition};
use crate::{HardState, Op};

/// Stores term, vote and commit. Also works without space.
///
/// A change of term or vote is durable when this returns, in every mode. A change of commit alone is not waited
/// for: it rides with the next write.
/// state: borrowed for the call.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_TERM_REGRESSION (a term
/// below the stored one or the log's last), BULKHEAD_COMMIT_OUT_OF_RANGE (beyond the last entry, or below the
/// stored commit), the partition's fault if it is Unavailable, BULKHEAD_IO_ERROR, BULKHEAD_READ_ONLY_FILESYSTEM,
/// BULKHEAD_STALLED, BULKHEAD_PANIC; the last four latch the partition as an append does.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_set_hard_state(
    partition: bulkhead_partition,
    state: *const bulkhead_hard_state,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::HardState, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let state = unsafe { memory::read(state, "state") }?;
        partition.set_hard_state(HardState { term: state.term, vote: state.vote, commit: state.commit })
    })
}

/// Tells the stored term, vote and commit; all 0 in a new log.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_DAMAGED (the newest hard
/// state may be lost: an older one is never given for it), the partition's fault if it could not be read at open or
/// a power cut may still take it back (BULKHEAD_BUSY while a probe is at work on that), BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_get_hard_state(
    partition: bulkhead_partition,
    out: *mut bulkhead_hard_state,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::HardState, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { Out::new(out, "out") }?;
        let state = partition.hard_state()?;
        out.write(bulkhead_hard_state { term: state.term, vote: state.vote, commit: state.commit });
        Ok(())
    })
}
