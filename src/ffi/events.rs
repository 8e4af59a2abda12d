//! Events and completions: fetched by the caller, announced by a descriptor.

use super::boundary::boundary;
use super::codes::bulkhead_status;
use super::engine::OpenEngine;
use super::handles;
use super::memory::{invalid, Out, OutSlice};
use super::reports::{bulkhead_completion, bulkhead_event};
use super::types::{bulkhead_engine, bulkhead_error};
use crate::{Completion, Event, Op, Result};

/// Most events or completions of one call: bounds what is allocated, whatever capacity the caller gives.
pub(super) const FETCH_LIMIT: usize = 4096;

/// Gives the descriptor that is readable while events wait.
///
/// An eventfd, for poll, select or epoll; do not read it: bulkhead_engine_events does.
/// Ownership: the engine's; it closes it, you must not. Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE,
/// BULKHEAD_CLOSED, BULKHEAD_PANIC. Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_event_fd(
    engine: bulkhead_engine,
    out: *mut i32,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { Out::new(out, "out") }?;
        out.write(open.engine.event_fd());
        Ok(())
    })
}

/// Fetches events, oldest first, without waiting.
///
/// out: receives up to capacity events, and never more than 4096; count: receives how many, 0 if none wait. While
/// more wait, the descriptor stays readable. Changes of one partition that nobody fetched are merged into its
/// latest event; no partition's latest state is ever lost. A fetched event is not given again.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT (also for capacity 0), BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED,
/// BULKHEAD_PANIC.
/// Thread safety: any thread; each event goes to one of them.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_events(
    engine: bulkhead_engine,
    out: *mut bulkhead_event,
    capacity: usize,
    count: *mut usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let count = unsafe { Out::new(count, "count") }?;
        // SAFETY: as above, with room for `capacity` events.
        let out = unsafe { OutSlice::new(out, capacity, "out") }?;
        let max = fetch_limit(&out)?;
        count.write(deliver(out, open.engine.events(max), |e| event(open, e)));
        Ok(())
    })
}

/// Gives the descriptor that is readable while completions wait.
///
/// An eventfd, for poll, select or epoll; do not read it: bulkhead_engine_completions does.
/// Ownership: the engine's; it closes it, you must not. Errors: BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE,
/// BULKHEAD_CLOSED, BULKHEAD_PANIC. Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_completion_fd(
    engine: bulkhead_engine,
    out: *mut i32,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let out = unsafe { Out::new(out, "out") }?;
        out.write(open.engine.completion_fd());
        Ok(())
    })
}

/// Fetches completions of submitted batches, in the order in which they ended, without waiting.
///
/// out: receives up to capacity completions, and never more than 4096; count: receives how many, 0 if none wait.
/// While more wait, the descriptor stays readable. Each submitted batch that was accepted is given exactly once.
///
/// Errors: BULKHEAD_INVALID_ARGUMENT (also for capacity 0), BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED,
/// BULKHEAD_PANIC.
/// Thread safety: any thread; each completion goes to one of them.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_engine_completions(
    engine: bulkhead_engine,
    out: *mut bulkhead_completion,
    capacity: usize,
    count: *mut usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let count = unsafe { Out::new(count, "count") }?;
        // SAFETY: as above, with room for `capacity` completions.
        let out = unsafe { OutSlice::new(out, capacity, "out") }?;
        let max = fetch_limit(&out)?;
        count.write(deliver(out, open.engine.completions(max), completion));
        Ok(())
    })
}

fn fetch_limit<T: Copy>(out: &OutSlice<T>) -> Result<usize> {
    match out.capacity() {
        0 => Err(invalid("capacity is 0; give room for at least one".into())),
        capacity => Ok(capacity.min(FETCH_LIMIT)),
    }
}

/// Gives what there is room for.
pub(super) fn deliver<T, C: Copy>(
    mut out: OutSlice<C>,
    fetched: impl IntoIterator<Item = T>,
    convert: impl Fn(T) -> C,
) -> usize {
    let mut count = 0;
    for item in fetched {
        if !out.write(count, &[convert(item)]) {
            break;
        }
        count += 1;
    }
    count
}

fn event(engine: &OpenEngine, mut event: Event) -> bulkhead_event {
    engine.changed_limits.note(&mut event);
    let partition = match event.tag {
        0 if event.op == Op::SetLimits => 0,       // of the engine or a disk
        0 => engine.handle_of(event.partition_id), // it happened before the partition had its handle
        handle if handles::partition(handle).is_ok() => handle,
        _ => 0,
    };
    bulkhead_event {
        partition,
        sequence: event.sequence,
        partition_id: event.partition_id,
        time_unix_ns: event.time_unix_ns,
        from_state: event.from as u32,
        to_state: event.to as u32,
        cause: event.cause as u32,
        operation: event.op as u32,
        os_errno: event.errno,
        merged: event.merged,
        first_index: event.range.0,
        last_index: event.range.1,
    }
}

fn completion(completion: Completion) -> bulkhead_completion {
    bulkhead_completion {
        token: completion.token,
        partition: completion.tag,
        status: completion.status as bulkhead_status,
        os_errno: completion.errno,
    }
}
