//! Opening, closing, inspecting and recovering a partition.

use std::ffi::{c_char, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::boundary::boundary;
use super::codes::*;
use super::handles;
use super::memory::{self, invalid, Out, OutStruct};
use super::report_error;
use super::reports::{bulkhead_partition_status, bulkhead_verify_report};
use super::types::{bulkhead_engine, bulkhead_error, bulkhead_partition, bulkhead_partition_config};
use crate::{Disposition, Error, Mode, Op, PartitionConfig, PartitionStatus, Result, State, Status};

/// Opens a partition: recovers its log from the directory, or creates it.
///
/// config: borrowed for the call, the path included. out: receives the handle, to be closed with
/// bulkhead_partition_close.
///
/// A partition with an I/O error or damage opens all the same: the call returns BULKHEAD_OK, and the partition is
/// Unavailable with its cause, to be inspected with bulkhead_get_status and bulkhead_last_fault. It never delays or
/// fails another.
///
/// Errors, all without a handle and with nothing changed on disk: BULKHEAD_INVALID_ARGUMENT,
/// BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_INVALID_CONFIG, BULKHEAD_NOT_FOUND, BULKHEAD_NOT_A_DIRECTORY,
/// BULKHEAD_SYMLINK, BULKHEAD_PERMISSION_DENIED, BULKHEAD_ALREADY_OPEN, BULKHEAD_LOCKED, BULKHEAD_BUSY (closed here, and
/// an operation has not come back yet), BULKHEAD_ALREADY_EXISTS, BULKHEAD_FOREIGN, BULKHEAD_NEEDS_IMPORT,
/// BULKHEAD_VERSION_TOO_NEW, BULKHEAD_WRONG_PARTITION, BULKHEAD_UNSUPPORTED_FILESYSTEM,
/// BULKHEAD_RESOURCE_EXHAUSTED, BULKHEAD_PANIC; when a log is created also BULKHEAD_NO_SPACE, BULKHEAD_IO_ERROR and
/// BULKHEAD_READ_ONLY_FILESYSTEM.
/// Thread safety: any thread; partitions open in parallel.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_partition_open(
    engine: bulkhead_engine,
    config: *const bulkhead_partition_config,
    out: *mut bulkhead_partition,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Open, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: as above.
        let config = unsafe { partition_config(config) }?;
        let id = config.partition_id;
        let partition = open.engine.open_partition(config).map_err(|e| e.partition(id))?;
        out.write(open.adopt(partition)?);
        Ok(())
    })
}

/// Closes a partition. Its directory is self-contained afterwards: it may be renamed, copied, removed or opened
/// again.
///
/// The handle is closed when this returns, whatever it returns. Calls that are inside the partition meanwhile end
/// with their result or with BULKHEAD_CLOSED. Waits for what was accepted to become durable, up to stall_limit_ms;
/// a partition with a fault closes at once.
///
/// Errors: BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_BUSY (an operation or a recovery is still under way: the
/// directory is not free yet; opening it says BULKHEAD_BUSY until it is), the error of the last flush,
/// BULKHEAD_PANIC.
/// Thread safety: any thread; of several that close the same partition, one does it and the others get
/// BULKHEAD_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_partition_close(
    partition: bulkhead_partition,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(take(partition)), Op::Close, err, |partition| partition.close())
}

fn take(handle: bulkhead_partition) -> Result<std::sync::Arc<handles::OpenPartition>> {
    let open = handles::take_partition(handle)?;
    open.owner.forget(handle);
    Ok(open)
}

/// Brings a partition back that is not ReadWrite, after its cause has been removed. The library also does this by
/// itself, first probe_ms after the fault and again and again (not after damage or lost entries); a call saves the
/// wait, says what is in the way, and is the only means where probe_ms is BULKHEAD_NEVER.
///
/// Abandons the segment that failed, writes what is not known durable to a new one, and reads it back. The state is
/// Recovering meanwhile. Returns when the partition is ReadWrite, or with the error that keeps it from there. On a
/// ReadWrite partition it does nothing.
///
/// Errors: BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_BUSY (an operation is still in the kernel; try
/// later), BULKHEAD_LOST_ENTRIES (acknowledged entries are missing; see lost_first of the status; it stays
/// Unavailable, and refuses a reset as well: close it, and restore the replica from its peers), BULKHEAD_DAMAGED,
/// BULKHEAD_NO_SPACE, BULKHEAD_IO_ERROR, BULKHEAD_READ_ONLY_FILESYSTEM, BULKHEAD_STALLED,
/// BULKHEAD_RESOURCE_EXHAUSTED, BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_recover(partition: bulkhead_partition, err: *mut bulkhead_error) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Recover, err, |partition| partition.recover())
}

/// Takes a partition out of service by hand, whatever its disk does.
///
/// What was accepted before is made durable first; what a fault keeps from the disk (modes interval and none) stays in
/// memory until that is healed, or until bulkhead_release where a fence as Unavailable has ended the wait for space:
/// durable_index in the status says how far it is. Then its state is the one given until bulkhead_release, with cause
/// BULKHEAD_CAUSE_FENCED: an event tells it, and calls that are refused get BULKHEAD_FENCED and the reason. Neither a
/// probe nor bulkhead_recover brings it back. A partition that has a fault already keeps it, and is fenced when that is
/// healed. Closing the partition ends the fence.
/// state: BULKHEAD_STATE_READ_ONLY (appends are refused, votes and compaction work) or BULKHEAD_STATE_UNAVAILABLE.
/// reason: UTF-8, reason_length bytes, of which 400 are kept; may be NULL if that is 0; borrowed for the call.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_BUSY (an operation is still in
/// the kernel; try later), BULKHEAD_FENCED (it is fenced as Unavailable already: release it first), BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_fence(
    partition: bulkhead_partition,
    state: u32,
    reason: *const c_char,
    reason_length: usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Fence, err, |partition| {
        // SAFETY: this function's callers promise null or reason_length bytes.
        let reason = unsafe { memory::slice(reason.cast::<u8>(), reason_length.min(REASON_MAX_BYTES), "reason") }?;
        let wanted = match state {
            BULKHEAD_STATE_READ_ONLY => State::ReadOnly,
            BULKHEAD_STATE_UNAVAILABLE => State::Unavailable,
            other => {
                let wanted = "use BULKHEAD_STATE_READ_ONLY or BULKHEAD_STATE_UNAVAILABLE";
                return Err(invalid(format!("state is {other}; {wanted}")));
            }
        };
        partition.fence(wanted, &String::from_utf8_lossy(reason))
    })
}

/// Longer reasons are cut: the error struct has no more room.
const REASON_MAX_BYTES: usize = 400;

/// Ends what bulkhead_fence began: the partition is ReadWrite again, unless it has a fault, which heals like any other.
/// A partition that is not fenced stays as it is.
///
/// Errors: as those of bulkhead_recover; the partition stays fenced then.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_release(partition: bulkhead_partition, err: *mut bulkhead_error) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Recover, err, |partition| partition.release())
}

/// Reads everything that the partition has on disk and checks it. Appends go on meanwhile. Changes nothing.
///
/// out: receives what was read and found; records that do not validate are in it, and are no error of the call.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_IO_ERROR,
/// BULKHEAD_RESOURCE_EXHAUSTED, BULKHEAD_PANIC.
/// Thread safety: any thread. Takes as long as reading the files does.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_verify(
    partition: bulkhead_partition,
    out: *mut bulkhead_verify_report,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Verify, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { OutStruct::new(out, "out") }?;
        let report = partition.verify()?;
        out.write(&bulkhead_verify_report {
            struct_size: 0,
            reserved: 0,
            segments: report.segments,
            entries: report.entries,
            bytes: report.bytes,
            bad_records: report.bad_records,
            first_bad_index: report.bad.0,
            last_bad_index: report.bad.1,
        });
        Ok(())
    })
}

/// Tells all there is to know of a partition, in any state, without waiting for the disk.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_get_status(
    partition: bulkhead_partition,
    out: *mut bulkhead_partition_status,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Status, err, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { OutStruct::new(out, "out") }?;
        out.write(&as_c(&partition.status()));
        Ok(())
    })
}

/// Tells the error that keeps a partition from being ReadWrite, in full: the one that every refused call gets.
///
/// out: not NULL here; receives the error, or status BULKHEAD_OK if there is none. If the call itself fails it
/// receives that failure, as err does
/// elsewhere: compare the call's result, not out->status, with BULKHEAD_OK.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_last_fault(
    partition: bulkhead_partition,
    out: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Status, out, |partition| {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { OutStruct::new(out, "out") }?;
        let none = || Error::new(Status::Ok, Op::None, "").partition(partition.id());
        out.write(&report_error::as_c(&partition.last_fault().unwrap_or_else(none), Op::None));
        Ok(())
    })
}

/// # Safety
/// `config` is null or a good pointer, and so is its path.
pub(super) unsafe fn partition_config(config: *const bulkhead_partition_config) -> Result<PartitionConfig> {
    // SAFETY: the caller's promise.
    let given = unsafe { memory::read_struct(config, "config") }?;
    // SAFETY: the caller's promise.
    let path = unsafe { memory::slice(given.path, given.path_length as usize, "config->path") }?;
    check_path(path, "config->path")?;
    let mut known = PartitionConfig::new(PathBuf::from(OsStr::from_bytes(path)), given.partition_id);
    known.mode = match given.mode {
        0 | BULKHEAD_MODE_SYNC => Mode::Sync,
        BULKHEAD_MODE_NONE => Mode::None,
        BULKHEAD_MODE_INTERVAL => Mode::Interval,
        other => {
            return Err(bad_value(
                "mode",
                other,
                "BULKHEAD_MODE_NONE, BULKHEAD_MODE_SYNC or BULKHEAD_MODE_INTERVAL",
                given.partition_id,
            ))
        }
    };
    known.disposition = match given.disposition {
        BULKHEAD_OPEN_OR_CREATE => Disposition::OpenOrCreate,
        BULKHEAD_OPEN_EXISTING => Disposition::OpenExisting,
        BULKHEAD_CREATE_NEW => Disposition::CreateNew,
        other => {
            return Err(bad_value(
                "disposition",
                other,
                "BULKHEAD_OPEN_OR_CREATE, BULKHEAD_OPEN_EXISTING or BULKHEAD_CREATE_NEW",
                given.partition_id,
            ))
        }
    };
    known.known_index = given.known_index;
    Ok(known)
}

/// What no path can be is not asked of the system.
pub(super) fn check_path(path: &[u8], name: &str) -> Result<()> {
    if path.is_empty() || path.len() >= libc::PATH_MAX as usize {
        return Err(invalid(format!("{name}_length is {}; a path has 1 to {} bytes", path.len(), libc::PATH_MAX - 1)));
    }
    if path.contains(&0) {
        return Err(invalid(format!("{name} contains a NUL byte; {name}_length must not count the one at the end")));
    }
    Ok(())
}

fn bad_value(field: &str, value: u32, wanted: &str, id: u64) -> Error {
    Error::new(Status::InvalidConfig, Op::Open, format!("config->{field} is {value}; use {wanted}")).partition(id)
}

fn as_c(status: &PartitionStatus) -> bulkhead_partition_status {
    bulkhead_partition_status {
        struct_size: 0,
        state: status.state as u32,
        cause: status.cause as u32,
        mode: status.mode as u32,
        os_errno: status.errno,
        operation: status.op as u32,
        partition_id: status.partition_id,
        first_index: status.first_index,
        last_index: status.last_index,
        last_term: status.last_term,
        compaction_index: status.compaction_index,
        compaction_term: status.compaction_term,
        term: status.hard_state.term,
        vote: status.hard_state.vote,
        commit: status.hard_state.commit,
        durable_index: status.durable_index,
        segments: status.segments,
        segment_bytes: status.segment_bytes,
        damaged_first: status.damaged.0,
        damaged_last: status.damaged.1,
        damaged_entries: status.damaged.2,
        lost_first: status.lost.0,
        lost_last: status.lost.1,
        maybe_acknowledged_first: status.maybe_acknowledged.0,
        maybe_acknowledged_last: status.maybe_acknowledged.1,
        unsynced_first: status.unsynced.0,
        unsynced_last: status.unsynced.1,
        kept_bytes: status.kept_bytes,
        appends: status.counters.appends,
        entries: status.counters.entries,
        bytes: status.counters.bytes,
        flushes: status.counters.flushes,
        errors: status.counters.errors,
        incarnation: status.incarnation,
        epoch: status.epoch,
        heals: status.counters.heals,
        slow_operations: status.counters.slow_operations,
    }
}
