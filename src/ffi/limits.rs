//! Limits that are changed while it runs: of an engine, a disk, a partition.

use std::ffi::{c_char, CString};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

use super::boundary::boundary;
use super::codes::*;
use super::events::deliver;
use super::handles;
use super::memory::{self, invalid, Out, OutSlice};
use super::report_error::copy_text;
use super::types::{bulkhead_engine, bulkhead_error, bulkhead_partition};
use crate::{DiskInfo, Error, Limit, LimitChange, LimitScope, Limits, Op, Result, Status, LIMITS};

/// A limit: what it is to be, or what is in force.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct bulkhead_limit {
    /// BULKHEAD_LIMIT_*
    pub limit: u32,
    /// BULKHEAD_SCOPE_* that the value in force was set for. Ignored when it is set.
    pub set_for: u32,
    /// In the unit of its name; BULKHEAD_NEVER where that may be. To be set also BULKHEAD_INHERIT.
    pub value: u64,
    /// The range of values. Ignored when it is set.
    pub low: u64,
    pub high: u64,
}

/// A disk of an engine: a device with partitions on it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct bulkhead_disk {
    /// st_dev of what is on it.
    pub device: u64,
    /// Partitions that are open.
    pub partitions: u64,
    /// Where it is mounted: bytes as the system has them, NUL-terminated, cut if longer.
    pub mount: [c_char; 256],
}

const _: () = {
    assert!(std::mem::size_of::<bulkhead_limit>() == 32);
    assert!(std::mem::size_of::<bulkhead_disk>() == 272);
};

/// Sets limits of an engine, or takes back what was set since it was opened; all of them or none.
///
/// They hold from the next look at each on, for all that is open and that has nothing of its own set for its disk or
/// for itself: a wait under way keeps its end, a segment that is there its size. The event has BULKHEAD_OP_SET_LIMITS,
/// partition 0 and ReadWrite as both states.
/// limits: count of them, borrowed for the call.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT (none, one twice, one that is unknown), BULKHEAD_INVALID_CONFIG (a value is out of
/// its range: the message has both), BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_set_limits(
    engine: bulkhead_engine,
    limits: *const bulkhead_limit,
    count: usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::SetLimits, err, |open| {
        // SAFETY: this function's callers promise null or `count` limits.
        open.engine.set_limits(&unsafe { changes(limits, count) }?)
    })
}

/// Gives what is in force for all of an engine that has nothing of its own.
///
/// out: receives up to capacity limits, each once; count: receives how many.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_get_limits(
    engine: bulkhead_engine,
    out: *mut bulkhead_limit,
    capacity: usize,
    count: *mut usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or good pointers.
        unsafe { give(out, capacity, count, LimitScope::Engine, || open.engine.limits()) }
    })
}

/// The same as bulkhead_engine_set_limits for a disk. It need not have partitions yet; those that are opened on it
/// later get its limits, until the engine is closed.
///
/// device: st_dev of any file on it, as stat gives it.
///
/// Errors: as those of bulkhead_engine_set_limits; BULKHEAD_INVALID_ARGUMENT also for a limit that only the engine has.
/// Thread safety: any thread. The disk is not touched.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_disk_set_limits(
    engine: bulkhead_engine,
    device: u64,
    limits: *const bulkhead_limit,
    count: usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::SetLimits, err, |open| {
        // SAFETY: this function's callers promise null or `count` limits.
        open.engine.set_disk_limits(device, &unsafe { changes(limits, count) }?)
    })
}

/// The same as bulkhead_engine_get_limits for a disk: without those that only the engine has.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_disk_get_limits(
    engine: bulkhead_engine,
    device: u64,
    out: *mut bulkhead_limit,
    capacity: usize,
    count: *mut usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or good pointers.
        unsafe { give(out, capacity, count, LimitScope::Disk, || open.engine.disk_limits(device)) }
    })
}

/// The same as bulkhead_engine_set_limits for a partition, until it is closed. The event has its handle, and its state as
/// both states.
///
/// Errors: as those of bulkhead_engine_set_limits; BULKHEAD_INVALID_ARGUMENT also for a limit that a partition cannot
/// have of its own.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_set_limits(
    partition: bulkhead_partition,
    limits: *const bulkhead_limit,
    count: usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::SetLimits, err, |partition| {
        // SAFETY: this function's callers promise null or `count` limits.
        partition.set_limits(&unsafe { changes(limits, count) }?)
    })
}

/// The same as bulkhead_engine_get_limits for a partition: without those that it cannot have of its own.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_get_limits(
    partition: bulkhead_partition,
    out: *mut bulkhead_limit,
    capacity: usize,
    count: *mut usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(partition(handles::partition(partition)), Op::Status, err, |partition| {
        // SAFETY: this function's callers promise null or good pointers.
        unsafe { give(out, capacity, count, LimitScope::Partition, || partition.limits()) }
    })
}

/// Gives the disks that an engine has or had partitions on, in the order of their device numbers.
///
/// out: receives up to capacity disks; count: receives how many.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_disks(
    engine: bulkhead_engine,
    out: *mut bulkhead_disk,
    capacity: usize,
    count: *mut usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let count = unsafe { Out::new(count, "count") }?;
        // SAFETY: as above, with room for `capacity` disks.
        let out = unsafe { OutSlice::new(out, capacity, "out") }?;
        count.write(deliver(out, open.engine.disks(), disk));
        Ok(())
    })
}

/// Name of a limit, such as "heal_limit_ms"; NULL for a number that is none. All have numbers from 1 on, without a gap.
///
/// Ownership: a static string, never freed.
/// Errors: none. Thread safety: any thread, any time.
#[no_mangle]
pub extern "C" fn bulkhead_limit_name(limit: u32) -> *const c_char {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    boundary!(value, std::ptr::null(), {
        let names = NAMES.get_or_init(|| LIMITS.iter().filter_map(|row| CString::new(row.name).ok()).collect());
        let place = Limit::of_number(limit).map(|limit| limit as usize - 1);
        place.and_then(|place| names.get(place)).map_or(std::ptr::null(), |name| name.as_ptr())
    })
}

/// # Safety
/// `limits` is null or has `count` limits.
unsafe fn changes(limits: *const bulkhead_limit, count: usize) -> Result<Vec<LimitChange>> {
    if count > LIMITS.len() {
        let message = format!("count is {count}; there are {} limits, give each once", LIMITS.len());
        return Err(invalid(message));
    }
    // SAFETY: the caller promises them.
    let given = unsafe { memory::slice(limits, count, "limits") }?;
    given.iter().map(change).collect()
}

fn change(given: &bulkhead_limit) -> Result<LimitChange> {
    let Some(limit) = Limit::of_number(given.limit) else {
        return Err(invalid(format!("limit {} is unknown; use a BULKHEAD_LIMIT_*", given.limit)));
    };
    let info = limit.info();
    let value = match given.value {
        BULKHEAD_INHERIT => None,
        // A struct that somebody forgot to fill in is not to switch anything off.
        0 if info.never => {
            let message = format!("{} is 0; give BULKHEAD_NEVER to switch it off", info.name);
            return Err(Error::new(Status::InvalidConfig, Op::SetLimits, message));
        }
        never if info.never && never == u64::from(BULKHEAD_NEVER) => Some(0),
        value => Some(value),
    };
    Ok(LimitChange { limit, value })
}

/// # Safety
/// `count` is null or good, `out` null or with room for `capacity` limits.
unsafe fn give(
    out: *mut bulkhead_limit,
    capacity: usize,
    count: *mut usize,
    scope: LimitScope,
    limits: impl FnOnce() -> Limits,
) -> Result<()> {
    // SAFETY: the caller promises null or a good pointer.
    let count = unsafe { Out::new(count, "count") }?;
    // SAFETY: as above, with room for `capacity` limits.
    let out = unsafe { OutSlice::new(out, capacity, "out") }?;
    let limits = limits();
    count.write(deliver(out, LIMITS.iter().filter(|row| row.narrowest >= scope), |row| bulkhead_limit {
        limit: row.limit as u32,
        set_for: limits.set_for(row.limit) as u32,
        value: in_c(row.limit, limits.get(row.limit)),
        low: row.low,
        high: row.high,
    }));
    Ok(())
}

/// Never has a number of its own there.
pub(super) fn in_c(limit: Limit, value: u64) -> u64 {
    match value {
        0 if limit.info().never => u64::from(BULKHEAD_NEVER),
        value => value,
    }
}

fn disk(info: DiskInfo) -> bulkhead_disk {
    let mut disk = bulkhead_disk { device: info.device, partitions: info.partitions as u64, mount: [0; 256] };
    copy_text(&mut disk.mount, info.mount.as_os_str().as_bytes());
    disk
}
