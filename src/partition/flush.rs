//! What a disk's worker does for a partition: write the root, flush groups, one at a time and in order.

use super::counts::Count;
use super::log::Log;
use super::parts::{Extent, Group, Wish};
use super::types::{Mode, State};
use super::Partition;
use crate::error::{Op, Result};
use crate::io::{write_all_durable_at, write_durable_at, AlignedBuf};
use crate::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first groups of these that follow each other in one segment.
fn adjacent(groups: &[Arc<Group>]) -> &[Arc<Group>] {
    let follows =
        |a: &Group, b: &Group| Arc::ptr_eq(&a.segment, &b.segment) && a.offset + a.buf.len() as u64 == b.offset;
    let more = groups.windows(2).take_while(|two| matches!(two, [a, b] if follows(a, b))).count();
    groups.get(..(more + 1).min(groups.len())).unwrap_or(groups)
}

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
                    self.host.flush_soon(me);
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
                None => break,
            }
        }
        log.scheduled = false;
    }

    /// Heals what failed, or flushes the oldest group, behind what only a journal has. Returns the bytes that were flushed, `None` if there is
    /// nothing to do now.
    fn flush_next(&self, log: &mut MutexGuard<'_, Log>) -> Option<usize> {
        if log.state != State::ReadWrite {
            return None;
        }
        if log.trouble.is_some() {
            return self.heal_in_call(log).then_some(0);
        }
        let group = self.take_group(log);
        if group.is_none() && !log.settle {
            return None;
        }
        let mut groups: Vec<_> = log.unsettled.iter().map(|u| u.group.clone()).collect();
        groups.extend(group.clone());
        let bytes = groups.iter().map(|g| g.buf.len()).sum();
        let faults = log.fault_count;
        log.settling = group.is_none();
        let (durable, result) = MutexGuard::unlocked(log, || {
            let began = self.host.now();
            let (durable, result) = self.flush_groups(&groups);
            if let Some(group) = &group {
                self.count_flush(group, began, result.is_ok());
            }
            (durable, result)
        });
        drop(groups);
        log.settling = false;
        if group.is_none() && log.fault_count != faults {
            self.changed.notify_all();
            return Some(bytes);
        }
        self.flushed(log, group, durable, result);
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
        log.settling = false;
        log.in_lane = false;
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

    /// Writes groups to their segments, in order. Returns how many are durable there.
    fn flush_groups(&self, groups: &[Arc<Group>]) -> (usize, Result<()>) {
        let mut done = 0;
        while let Some(together) = groups.get(done..).map(adjacent).filter(|g| !g.is_empty()) {
            if let Err(error) = self.flush_together(together) {
                return (done, Err(error));
            }
            done += together.len();
        }
        (done, Ok(()))
    }

    /// Groups that follow each other in one segment, by one write.
    fn flush_together(&self, groups: &[Arc<Group>]) -> Result<()> {
        let (Some(first), Some(last)) = (groups.first(), groups.last()) else { return Ok(()) };
        if first.segment.file().is_none() && groups.len() == 1 {
            self.back_segments(first.segment.sequence())?;
        }
        let name = first.segment.name();
        let failed = |e: &std::io::Error, what: &str| {
            self.io_error(Op::Append, e, what, &name).range(first.entries.0, last.entries.1)
        };
        let Some(file) = first.segment.file() else {
            let gone = std::io::Error::from_raw_os_error(libc::ENOENT);
            return Err(failed(&gone, "finding the segment's file"));
        };
        let written = match groups {
            [one] => write_durable_at(&*file, &one.buf, one.offset),
            _ => {
                let bufs: Vec<&[u8]> = groups.iter().map(|g| &g.buf[..]).collect();
                write_all_durable_at(&*file, &bufs, first.offset)
            }
        };
        written.map_err(|e| failed(&e, "flushing entries"))
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

    /// The first `durable` groups, of those that only a journal had and this one, are in their segments.
    fn flushed(&self, log: &mut Log, group: Option<Arc<Group>>, durable: usize, result: Result<()>) {
        // After a stall or a panic the late result of an abandoned group means nothing.
        let ours = group.as_ref().map_or(true, |own| log.in_flight.as_ref().is_some_and(|g| Arc::ptr_eq(g, own)));
        if group.is_some() {
            log.in_flight = None;
        }
        if !ours || log.state != State::ReadWrite {
            if let Some(group) = group {
                self.keep_unflushed(log, group);
            }
            self.changed.notify_all();
            return;
        }
        for _ in 0..durable.min(log.unsettled.len()) {
            if let Some(settled) = log.settled_one() {
                self.settled(log, settled);
            }
        }
        if let Err(error) = result {
            self.meet_trouble(log, group, error);
            return;
        }
        if let Some(group) = group {
            self.became_durable(log, &group);
            self.complete(&group.tokens, None);
            self.settled(log, group);
        }
        self.changed.notify_all();
    }

    /// On the disk, in its segment or in a journal.
    pub(super) fn became_durable(&self, log: &mut Log, group: &Group) {
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
    }

    /// A group is in its segment. One that filled up is closed once its last group is on disk.
    fn settled(&self, log: &mut Log, group: Arc<Group>) {
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
