//! Changing a partition's limits while it runs.

use super::limit_changes::in_words;
use super::limits::{LimitChange, Limits, PartitionLimits};
use super::types::State;
use super::Partition;
use crate::error::{Cause, Op, Result};
use std::sync::Arc;

impl Partition {
    /// What is in force for this partition, and what each was set for.
    pub fn limits(&self) -> Limits {
        self.limits.all()
    }

    /// Sets limits for this partition, or takes back what was set for it; all of them or none. They hold until it is closed, from the next
    /// look at each on: a wait under way keeps its end, a segment that is there its size. An event says what was set.
    ///
    /// Errors, nothing is changed then: `InvalidConfig` (the message names the value and its range), `InvalidArgument` (none, one twice, or
    /// one that a partition cannot have of its own), `Closed`.
    pub fn set_limits(&self, changes: &[LimitChange]) -> Result<()> {
        let closed = {
            let log = self.log.lock();
            (log.state == State::Closed).then(|| self.fault_error(&log, Op::SetLimits))
        };
        let set = closed.map_or_else(|| self.limits.change(changes), Err);
        let changed = set.map_err(|e| e.partition(self.id).at(&self.path))?;
        let mut log = self.log.lock();
        self.plan_probe(&mut log);
        let state = log.shown_state();
        let mut event = self.event(state, state, Cause::None, Op::SetLimits, 0, (0, 0));
        event.note = in_words(&changed);
        event.limits = changed;
        self.host.emit(event, &self.tag);
        Ok(())
    }

    /// What is in force for its disk has changed.
    pub fn inherit_limits(&self, above: Arc<Limits>) {
        self.limits.inherit(above);
        if self.counts.health().state != State::ReadWrite {
            self.plan_probe(&mut self.log.lock());
        }
    }

    /// The same for one that looks at them again and again, and holds no partition meanwhile.
    pub(crate) fn limits_in_force(&self) -> &Arc<PartitionLimits> {
        &self.limits
    }

    /// Gives up what it keeps for reading.
    pub fn drop_cache(&self) {
        self.forget_cache(&mut self.log.lock());
    }

    /// The same of what was appended before the last two ticks.
    pub fn drop_old_cache(&self) {
        let mut log = self.log.lock();
        if log.idle_lsn == Some(log.last_entry_lsn) {
            return self.forget_cache(&mut log);
        }
        let old = log.cache.partition_point(|group| group.last_lsn <= log.old_lsn);
        let bytes: usize = log.cache.drain(..old).map(|group| group.buf.capacity()).sum();
        log.cache_bytes -= bytes;
        self.host.cache_released(bytes);
    }
}
