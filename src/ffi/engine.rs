//! Opening and closing the engine.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sync::Mutex;

use super::boundary::boundary;
use super::codes::{bulkhead_status, BULKHEAD_NEVER};
use super::event_limits::ChangedLimits;
use super::handles::{self, OpenPartition};
use super::memory::{self, Out};
use super::types::{bulkhead_engine, bulkhead_engine_config, bulkhead_error, bulkhead_partition};
use crate::{Engine, EngineConfig, Error, Op, Partition, Result, Status};

/// An engine with the handles of its open partitions, which end with it.
pub(super) struct OpenEngine {
    pub(super) engine: Engine,
    /// Handle and id of each. None once the engine is being closed: no partition may be added then.
    partitions: Mutex<Option<HashMap<bulkhead_partition, u64>>>,
    pub(super) changed_limits: ChangedLimits,
}

impl OpenEngine {
    /// Gives an open partition its handle; closes it again if there is none to give.
    pub(super) fn adopt(self: &Arc<Self>, partition: Arc<Partition>) -> Result<bulkhead_partition> {
        let adopted = {
            let mut partitions = self.partitions.lock();
            match partitions.as_mut() {
                Some(open) => {
                    let entry = OpenPartition { partition: Arc::clone(&partition), owner: Arc::clone(self) };
                    let handle = handles::add_partition(Arc::new(entry));
                    open.extend(handle.iter().map(|handle| (*handle, partition.id())));
                    handle
                }
                None => Err(Error::new(
                    Status::Closed,
                    Op::Open,
                    "the engine was closed while the partition was being opened; open an engine first",
                )),
            }
        };
        match adopted {
            Ok(handle) => {
                partition.set_tag(handle);
                Ok(handle)
            }
            Err(error) => {
                // The error that led here matters more to the caller than one of this close.
                let _ = partition.close();
                Err(error)
            }
        }
    }

    pub(super) fn forget(&self, handle: bulkhead_partition) {
        if let Some(open) = self.partitions.lock().as_mut() {
            open.remove(&handle);
        }
    }

    /// The open partition with this id; 0 if there is none, or if there are several and it cannot be told which is
    /// meant.
    pub(super) fn handle_of(&self, partition_id: u64) -> bulkhead_partition {
        let partitions = self.partitions.lock();
        let mut found = partitions.iter().flatten().filter(|(_, id)| **id == partition_id).map(|(handle, _)| *handle);
        match (found.next(), found.next()) {
            (Some(handle), None) => handle,
            _ => 0,
        }
    }

    /// Ends the life of all handles of its partitions. They live on in what is returned, so that the engine closes
    /// them and not their destructor, which could not report.
    #[must_use]
    fn end_handles(&self) -> Vec<Arc<OpenPartition>> {
        let handles = self.partitions.lock().take().unwrap_or_default();
        // Another thread may be closing the same handle: then it is gone already.
        handles.into_keys().filter_map(|handle| handles::take_partition(handle).ok()).collect()
    }
}

/// Opens an engine. A process needs one; it owns the threads, the event queue and the caches of all partitions.
///
/// config: limits, borrowed for the call; NULL, or 0 in a field, means defaults.
/// out: receives the handle, to be closed with bulkhead_engine_close.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_CONFIG (the message names the field and its range),
/// BULKHEAD_RESOURCE_EXHAUSTED (descriptors, threads, memory, handles), BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_open(
    config: *const bulkhead_engine_config,
    out: *mut bulkhead_engine,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(call, Op::Open, err, {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: as above.
        let config = unsafe { engine_config(config) }?;
        let open = OpenEngine {
            engine: Engine::open(config)?,
            partitions: Mutex::new(Some(HashMap::new())),
            changed_limits: ChangedLimits::default(),
        };
        out.write(handles::add_engine(Arc::new(open))?);
        Ok(())
    })
}

/// Closes an engine and all its partitions, and joins its threads.
///
/// The handles of the engine and of its partitions are closed when this returns, whatever it returns (unless the log
/// hook calls it). Calls that are inside a partition meanwhile end with their result or with BULKHEAD_CLOSED. Events and
/// completions that were not fetched are gone, and the event and completion descriptors are closed: stop polling them
/// first. To have every completion, close the partitions and fetch before closing the engine. The log hook has had its
/// last call.
///
/// Errors: BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_BUSY (an operation still hangs in the kernel: its
/// partition's directory is not free yet; or, with nothing closed, called by the engine's own log hook), the first error
/// of a partition whose last flush failed, BULKHEAD_PANIC.
/// Thread safety: any thread; of several that close the same engine, one does it and the others get
/// BULKHEAD_CLOSED.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_close(engine: bulkhead_engine, err: *mut bulkhead_error) -> bulkhead_status {
    boundary!(engine(super::log_hook::take_engine(engine)), Op::Close, err, |open| {
        let _partitions = open.end_handles();
        open.engine.close()
    })
}

/// # Safety
/// `config` is null or a good pointer.
unsafe fn engine_config(config: *const bulkhead_engine_config) -> Result<EngineConfig> {
    let mut known = EngineConfig::default();
    if config.is_null() {
        return Ok(known);
    }
    // SAFETY: not null; the caller promises the rest.
    let given = unsafe { memory::read_struct(config, "config") }?;
    for (name, reserved) in [("reserved", given.reserved), ("reserved_2", given.reserved_2)] {
        if reserved != 0 {
            let message = format!("config->{name} is {reserved}; it must be 0");
            return Err(Error::new(Status::InvalidConfig, Op::Open, message));
        }
    }
    set(&mut known.max_entry_bytes, given.max_entry_bytes);
    set(&mut known.segment_min_bytes, given.segment_min_bytes);
    set(&mut known.segment_max_bytes, given.segment_max_bytes);
    set(&mut known.interval_ms, given.interval_ms);
    set(&mut known.stall_limit_ms, given.stall_limit_ms);
    set(&mut known.flush_threads_per_disk, given.flush_threads_per_disk);
    set(&mut known.read_cache_bytes, given.read_cache_bytes);
    set_or_never(&mut known.heal_limit_ms, given.heal_limit_ms);
    set_or_never(&mut known.space_wait_ms, given.space_wait_ms);
    set_or_never(&mut known.probe_ms, given.probe_ms);
    set_or_never(&mut known.slow_disk_ms, given.slow_disk_ms);
    set_or_never(&mut known.idle_check_ms, given.idle_check_ms);
    Ok(known)
}

/// 0 keeps the default, BULKHEAD_NEVER switches it off.
fn set_or_never(field: &mut u32, given: u32) {
    set(field, given);
    if given == BULKHEAD_NEVER {
        *field = 0;
    }
}

/// 0 keeps the default.
fn set<T: Copy + Default + PartialEq>(field: &mut T, given: T) {
    if given != T::default() {
        *field = given;
    }
}
