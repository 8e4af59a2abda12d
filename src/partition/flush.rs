//! What a disk's worker does for a partition: write the root, flush groups, one at a time and in order.

use super::counts::Count;
use super::idle_check::Check;
use super::log::Log;
use super::parts::{Extent, Group, Wish};
use super::types::{Mode, State};
use super::Partition;
use crate::error::{Op, Result};
use crate::io::{write_durable_at, AlignedBuf};
use crate::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One partition's share of the read cache: what raft reads is what it wrote a moment ago, and memory that is used again is warm.
const CACHE_PER_PARTITION_BYTES: usize = 1 << 20;

/// What a worker flushes of one partition before it looks at the others that wait; a root counts as a flush.
const TURN_FLUSHES: usize = 8;
const TURN_BYTES: usize = 1 << 20;

impl Partition {
    /// Works until nothing waits, or for a turn: a partition whose producers never pause gets in line again, or it would keep its worker
    /// for good. Called by one worker at a time: `scheduled` sees to that.
    pub fn work(&self) {
        self.flush_most(TURN_FLUSHES, TURN_BYTES);
    }

    /// Works until nothing waits.
    pub(super) fn flush_all(&self) {
        self.flush_most(usize::MAX, usize::MAX);
    }

    fn flush_most(&self, mut flushes: usize, mut bytes: usize) {
        let mut log = self.log.lock();
        let mut heals = true;
        loop {
            let root_waits = log.root.wanted > log.root.done && self.check_root_writable(&log, Op::HardState).is_ok();
            let group_waits = log.state == State::ReadWrite && log.busy();
            // What failed is made good at once, or its time runs out in the line of the others.
            let turn_ends = (flushes == 0 || bytes == 0) && (log.trouble.is_none() || !heals);
            if turn_ends && (root_waits || group_waits) {
                if let Some(me) = self.me.upgrade() {
                    self.host.flush_soon(me, self.may_share(&log));
                    return;
                }
            }
            if root_waits {
                let wanted = Wish { version: log.root.wanted, faults: log.fault_count };
                // A failure has latched the partition; the waiters hear of it there.
                let _ = MutexGuard::unlocked(&mut log, || self.write_root(wanted));
                flushes = flushes.saturating_sub(1);
            }
            // One after the other: votes that never pause do not hold up the entries.
            match self.flush_next(&mut log) {
                Some(flushed) => (flushes, bytes) = (flushes.saturating_sub(1), bytes.saturating_sub(flushed)),
                None if root_waits => heals = log.trouble.is_none(),
                None if self.check_if_wanted(&mut log) => {}
                None => break,
            }
        }
        log.scheduled = false;
    }

    /// Heals what failed, or flushes the oldest group. Returns the bytes that were flushed, `None` if there is nothing to do now.
    fn flush_next(&self, log: &mut MutexGuard<'_, Log>) -> Option<usize> {
        if log.state != State::ReadWrite {
            return None;
        }
        if log.trouble.is_some() {
            return self.heal_in_call(log).then_some(0);
        }
        let group = self.take_group(log)?;
        let bytes = group.buf.len();
        let result = MutexGuard::unlocked(log, || {
            let began = self.host.now();
            let result = self.flush_group(&group);
            self.count_flush(&group, began, result.is_ok());
            result
        });
        self.flushed(log, group, result);
        Some(bytes)
    }

    /// A panic while a worker had this partition: nobody has it any more, and nothing it did is trusted.
    pub fn worker_panicked(&self) {
        // In one go: who hears of the panic may recover the partition at once, and is to find that no worker has it.
        let mut log = self.log.lock();
        self.latch_panicked(&mut log, Op::Sync);
        if let Some(group) = log.in_flight.take() {
            self.keep_unflushed(&mut log, group);
        }
        log.check = Check::None;
        log.scheduled = false;
        self.changed.notify_all();
    }

    /// The oldest group, closed and padded to the device's block: what is acknowledged never shares a block with what comes later.
    pub(super) fn take_group(&self, log: &mut Log) -> Option<Arc<Group>> {
        let mut group = log.groups.pop_front()?;
        let block = log.block_bytes as usize;
        group.set_mark(log.durable.lsn);
        let padded = group.buf.len().next_multiple_of(block);
        group.buf.resize(padded);
        if let Some(tail) = log.tail.as_mut().filter(|t| Arc::ptr_eq(&t.segment, &group.segment)) {
            tail.offset = tail.offset.next_multiple_of(block as u64);
        }
        let group = Arc::new(group);
        log.in_flight = Some(group.clone());
        Some(group)
    }

    fn flush_group(&self, group: &Group) -> Result<()> {
        if group.segment.file().is_none() {
            self.back_segments(group.segment.sequence())?;
        }
        let name = group.segment.name();
        let Some(file) = group.segment.file() else {
            let gone = std::io::Error::from_raw_os_error(libc::ENOENT);
            return Err(self.io_error(Op::Append, &gone, "finding the segment's file", &name));
        };
        write_durable_at(&*file, &group.buf, group.offset).map_err(|e| {
            self.io_error(Op::Append, &e, "flushing entries", &name).range(group.entries.0, group.entries.1)
        })
    }

    pub(super) fn count_flush(&self, group: &Group, began: Instant, ok: bool) {
        let (first, last) = group.entries;
        if !ok || first > last {
            return; // a mark says nothing of how the owner's entries fare
        }
        let disk = &self.disk_counts;
        disk.flush_times.note_time(self.host.now().saturating_duration_since(began));
        disk.flush_waits.note_time(group.since.map_or(Duration::ZERO, |since| began.saturating_duration_since(since)));
        disk.flush_entries.note_size(last - first + 1);
        disk.flush_bytes.fetch_add(group.buf.len() as u64, Ordering::Relaxed);
    }

    pub(super) fn flushed(&self, log: &mut Log, group: Arc<Group>, result: Result<()>) {
        // After a stall or a panic the late result of an abandoned group means nothing.
        let ours = log.in_flight.as_ref().is_some_and(|g| Arc::ptr_eq(g, &group));
        log.in_flight = None;
        if !ours || log.state != State::ReadWrite {
            self.keep_unflushed(log, group);
            self.changed.notify_all();
            return;
        }
        if let Err(error) = result {
            self.meet_trouble(log, group, error);
            return;
        }
        let extent = Extent { lsn: group.last_lsn, index: group.last.0, term: group.last.1, end: group.end };
        log.durable = extent;
        if self.mode == Mode::Sync {
            log.acked = extent;
        }
        // Entries that a later group replaces are durable in a version that does not count any more.
        let replaced = log.groups.iter().filter(|g| g.entries.0 <= g.entries.1).map(|g| g.entries.0).min();
        log.durable.index = extent.index.min(replaced.map_or(u64::MAX, |first| first - 1));
        log.undo.retain(|u| u.lsn > extent.lsn);
        self.counts.add(Count::Flushes, 1);
        self.changed.notify_all();
        self.complete(&group.tokens, None);
        // A segment that filled up is closed once its last group is on disk.
        let tail = log.tail.as_ref().is_some_and(|t| Arc::ptr_eq(&t.segment, &group.segment));
        if !tail && !log.is_flushing(&group.segment) {
            group.segment.seal();
        }
        self.remember(log, group);
    }

    /// Mode interval: entries of a flush that failed are acknowledged and stay in memory, first in line for recovery.
    fn keep_unflushed(&self, log: &mut Log, group: Arc<Group>) {
        if self.mode == Mode::Interval {
            log.put_back(group);
        }
    }

    /// Keeps a flushed group for reading: raft sends its followers what it has just written.
    fn remember(&self, log: &mut Log, group: Arc<Group>) {
        if group.entries.0 > group.entries.1 {
            return;
        }
        let mut over = self.host.cache_taken(group.buf.capacity());
        log.cache_bytes += group.buf.capacity();
        log.cache.push_back(group);
        while over || log.cache_bytes > CACHE_PER_PARTITION_BYTES {
            let Some(old) = log.cache.pop_front() else { break };
            let bytes = old.buf.capacity();
            log.cache_bytes -= bytes;
            over = self.host.cache_released(bytes);
            // A larger one would end the caching of every group that it takes, and no budget counts it.
            if let (Ok(group), true) = (Arc::try_unwrap(old), bytes <= CACHE_PER_PARTITION_BYTES) {
                log.spare_buffer.get_or_insert(group.buf);
            }
        }
    }

    /// A buffer for the next group.
    pub(super) fn take_buffer(&self, log: &mut Log) -> AlignedBuf {
        let mut buf = log.spare_buffer.take().unwrap_or_default();
        buf.clear();
        buf
    }
}
