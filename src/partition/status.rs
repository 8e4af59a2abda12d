//! The partition at one moment.

use super::types::{HardState, PartitionStatus, State};
use super::Partition;
use crate::error::{Cause, Error, Op};

impl Partition {
    /// Never waits for the disk.
    pub fn status(&self) -> PartitionStatus {
        let log = self.log.lock();
        let fault = log.fault.as_ref();
        let (cause, errno, op) = match fault {
            Some(f) if log.lost != (0, 0) && log.state != State::Closed => (Cause::LostEntries, f.errno, f.op),
            Some(f) if log.state != State::Closed => (f.cause(), f.errno, f.op),
            _ => (Cause::None, 0, Op::None),
        };
        PartitionStatus {
            partition_id: self.id,
            state: log.shown_state(),
            cause,
            errno,
            op,
            mode: self.mode,
            first_index: log.compaction.0 + 1,
            last_index: log.last.0,
            last_term: log.last.1,
            compaction_index: log.compaction.0,
            compaction_term: log.compaction.1,
            hard_state: log.hard_state().unwrap_or(HardState { commit: log.commit, ..HardState::default() }),
            durable_index: log.durable.index.min(log.last.0),
            segments: log.live.len() as u64,
            segment_bytes: log.live.iter().map(|l| l.segment.capacity).sum(),
            damaged: log.damaged.sum(),
            lost: log.lost,
            maybe_acknowledged: log.maybe_acknowledged,
            unsynced: log.unsynced,
            kept_bytes: log.kept_bytes,
            counters: self.counts.since_open(),
            incarnation: log.stored.incarnation,
            epoch: log.desired.epoch,
        }
    }

    /// The fault that latched the partition, in full; `None` while it is ReadWrite.
    pub fn last_fault(&self) -> Option<Error> {
        self.log.lock().fault.clone()
    }

    pub fn is_closed(&self) -> bool {
        self.log.lock().state == State::Closed
    }
}
