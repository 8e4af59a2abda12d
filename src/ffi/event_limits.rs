//! What an event says that tells of limits that were set.

use std::collections::VecDeque;

use super::boundary::boundary;
use super::codes::bulkhead_status;
use super::events::{deliver, FETCH_LIMIT};
use super::handles;
use super::limits::in_c;
use super::memory::{Out, OutSlice};
use super::types::{bulkhead_engine, bulkhead_error};
use crate::sync::Mutex;
use crate::{Error, Event, LimitChanged, Op, Status};

/// What setting limits made of one of them: see bulkhead_event_limits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct bulkhead_limit_changed {
    /// BULKHEAD_LIMIT_*
    pub limit: u32,
    /// BULKHEAD_SCOPE_* that it was changed for: engine, disk or partition.
    pub changed_for: u32,
    /// st_dev of the disk, 0 if it is not a disk's.
    pub device: u64,
    /// In force there before and after, in the unit of its name; BULKHEAD_NEVER where that may be.
    pub before: u64,
    pub after: u64,
    /// BULKHEAD_SCOPE_* that the value after was set for: something wider if one was taken back.
    pub set_for: u32,
    /// Written as 0.
    pub reserved: u32,
}

const _: () = assert!(std::mem::size_of::<bulkhead_limit_changed>() == 40);

/// Tells what an event with BULKHEAD_OP_SET_LIMITS changed, and from what to what.
///
/// sequence: the event's. out: receives up to capacity limits, in the order in which they were given; count: receives
/// how many.
///
/// Errors: BULKHEAD_NOT_FOUND (no such event was fetched, or 4096 others that set limits were since, or it set none),
/// BULKHEAD_INVALID_ARGUMENT, BULKHEAD_INVALID_HANDLE, BULKHEAD_CLOSED, BULKHEAD_PANIC.
/// Thread safety: any thread.
#[no_mangle]
pub unsafe extern "C" fn bulkhead_event_limits(
    engine: bulkhead_engine,
    sequence: u64,
    out: *mut bulkhead_limit_changed,
    capacity: usize,
    count: *mut usize,
    err: *mut bulkhead_error,
) -> bulkhead_status {
    boundary!(engine(handles::engine(engine)), Op::Status, err, |open| {
        // SAFETY: this function's callers promise null or a good pointer.
        let count = unsafe { Out::new(count, "count") }?;
        // SAFETY: as above, with room for `capacity` limits.
        let out = unsafe { OutSlice::new(out, capacity, "out") }?;
        let Some(limits) = open.changed_limits.of(sequence) else {
            let message =
                format!("no event {sequence} that set limits was fetched lately; ask right after fetching it");
            return Err(Error::new(Status::NotFound, Op::Status, message));
        };
        count.write(deliver(out, limits, changed));
        Ok(())
    })
}

fn changed(one: LimitChanged) -> bulkhead_limit_changed {
    let value = |value| in_c(one.limit, value);
    bulkhead_limit_changed {
        limit: one.limit as u32,
        changed_for: one.changed_for as u32,
        device: one.device,
        before: value(one.before),
        after: value(one.after),
        set_for: one.set_for as u32,
        reserved: 0,
    }
}

/// Most events of which it is remembered: as many as are fetched at a time.
const EVENTS_MAX: usize = FETCH_LIMIT;

/// What the events changed that were fetched lately: an event has no room for it.
#[derive(Default)]
pub(super) struct ChangedLimits(Mutex<VecDeque<(u64, Vec<LimitChanged>)>>);

impl ChangedLimits {
    pub(super) fn note(&self, event: &mut Event) {
        if event.limits.is_empty() {
            return;
        }
        let mut events = self.0.lock();
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back((event.sequence, std::mem::take(&mut event.limits)));
    }

    fn of(&self, sequence: u64) -> Option<Vec<LimitChanged>> {
        self.0.lock().iter().find(|(of, _)| *of == sequence).map(|(_, limits)| limits.clone())
    }
}
