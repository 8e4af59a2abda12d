//! What is counted of a partition while it is open. Counting costs an append a few plain stores; whoever reads
//! takes no lock of a partition and waits for no disk.

use super::disk_counts::HealedBy;
use super::log::Log;
use super::types::{Counters, EntryRef, Mode, State};
use super::Partition;
use crate::error::{Cause, Error, Op};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Numbers that only go up. But for those of reads they are written under the partition's lock, where a load and a store are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Appends,
    Entries,
    Bytes,
    Flushes,
    Errors,
    Heals,
    SlowOperations,
    Reads,
    ReadBytes,
    /// Entries read from memory, and from a segment.
    MemoryEntries,
    SegmentEntries,
}

pub const COUNTS: usize = Count::SegmentEntries as usize + 1;

/// Numbers of the moment, brought up to date about once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Segments,
    SegmentBytes,
    PendingBytes,
    KeptBytes,
    LostEntries,
    DamagedEntries,
}

pub const LEVELS: usize = Level::DamagedEntries as usize + 1;

/// A partition's health in one word, so that state and cause always belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    pub cause: Cause,
    pub op: Op,
    pub errno: i32,
}

/// What a partition counts.
pub struct PartitionCounts {
    pub partition_id: u64,
    pub mode: Mode,
    counts: [AtomicU64; COUNTS],
    levels: [AtomicU64; LEVELS],
    health: AtomicU64,
    /// When it left ReadWrite, in milliseconds since 1970.
    faulted_at: AtomicU64,
}

impl PartitionCounts {
    pub fn new(partition_id: u64, mode: Mode) -> PartitionCounts {
        PartitionCounts {
            partition_id,
            mode,
            counts: Default::default(),
            levels: Default::default(),
            health: AtomicU64::new(State::Closed as u64),
            faulted_at: AtomicU64::new(0),
        }
    }

    /// Under the partition's lock.
    pub(super) fn add(&self, count: Count, n: u64) {
        let place = &self.counts[count as usize];
        place.store(place.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub(crate) fn add_append(&self, entries: &[EntryRef<'_>]) {
        self.add(Count::Appends, 1);
        self.add(Count::Entries, entries.len() as u64);
        self.add(Count::Bytes, entries.iter().map(|e| e.data.len() as u64).sum());
    }

    /// Without the lock: several threads read at a time.
    pub(super) fn add_read(&self, memory: u64, segment: u64, bytes: u64) {
        let rows = [(Count::Reads, 1), (Count::ReadBytes, bytes), (Count::MemoryEntries, memory)];
        for (count, n) in rows.into_iter().chain([(Count::SegmentEntries, segment)]).filter(|row| row.1 > 0) {
            self.counts[count as usize].fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(super) fn set(&self, level: Level, n: u64) {
        self.levels[level as usize].store(n, Ordering::Relaxed);
    }

    pub fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    pub fn counts(&self) -> [u64; COUNTS] {
        std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed))
    }

    pub fn levels(&self) -> [u64; LEVELS] {
        std::array::from_fn(|i| self.levels[i].load(Ordering::Relaxed))
    }

    pub fn health(&self) -> Health {
        Health::unpack(self.health.load(Ordering::Relaxed))
    }

    /// Milliseconds since 1970 of the moment it left ReadWrite; 0 if it never did.
    pub fn faulted_at_unix_ms(&self) -> u64 {
        self.faulted_at.load(Ordering::Relaxed)
    }

    pub(super) fn since_open(&self) -> Counters {
        Counters {
            appends: self.get(Count::Appends),
            entries: self.get(Count::Entries),
            bytes: self.get(Count::Bytes),
            flushes: self.get(Count::Flushes),
            errors: self.get(Count::Errors),
            heals: self.get(Count::Heals),
            slow_operations: self.get(Count::SlowOperations),
        }
    }

    pub(crate) fn set_health(&self, health: Health) {
        let left = self.health().state == State::ReadWrite || self.faulted_at_unix_ms() == 0;
        if left && health.state != State::ReadWrite {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_millis() as u64);
            self.faulted_at.store(now, Ordering::Relaxed);
        }
        self.health.store(health.pack(), Ordering::Relaxed);
    }
}

impl Health {
    fn pack(self) -> u64 {
        self.state as u64 | (self.cause as u64) << 8 | (self.op as u64) << 16 | u64::from(self.errno as u32) << 32
    }

    fn unpack(word: u64) -> Health {
        let byte = |shift: u32| (word >> shift) as u8 as u32;
        Health {
            state: State::ALL.into_iter().find(|s| *s as u32 == byte(0)).unwrap_or(State::Closed),
            cause: Cause::ALL.into_iter().find(|c| *c as u32 == byte(8)).unwrap_or(Cause::None),
            op: Op::ALL.into_iter().find(|o| *o as u32 == byte(16)).unwrap_or(Op::None),
            errno: (word >> 32) as u32 as i32,
        }
    }
}

/// Modes none and interval: one append in this many is timed. Two looks at the clock would cost a small one more than one per cent.
const TIMED_EVERY: u64 = 16;

impl Partition {
    /// What it counts; stays readable when the partition is gone.
    pub fn counts(&self) -> &std::sync::Arc<PartitionCounts> {
        &self.counts
    }

    /// The time, if this append is to be timed.
    pub(super) fn append_begins(&self) -> Option<Instant> {
        let timed = self.mode == Mode::Sync || self.counts.get(Count::Appends) % TIMED_EVERY == 0;
        timed.then(|| self.host.now())
    }

    pub(super) fn append_ended(&self, began: Option<Instant>, ok: bool) {
        if let Some(began) = began.filter(|_| ok) {
            self.disk_counts.append_times(self.mode).note_time(self.host.now() - began);
        }
    }

    /// Under the lock.
    pub(super) fn count_heal(&self, by: HealedBy) {
        self.counts.add(Count::Heals, 1);
        self.disk_counts.note_heal(by, true);
    }

    /// Under the lock.
    pub(super) fn count_error(&self, error: &Error) {
        self.counts.add(Count::Errors, 1);
        self.disk_counts.note_error(error.op, error.cause(), error.errno);
        if matches!(error.cause(), Cause::IoError | Cause::ReadOnlyFilesystem) {
            self.host.disk_erred();
        }
    }

    /// Shows the state to whoever reads the counts.
    pub(super) fn show_health(&self, log: &Log) {
        let state = log.shown_state();
        let fault = log.fault.as_ref().filter(|_| state != State::ReadWrite);
        let (cause, op, errno) = fault.map_or((Cause::None, Op::None, 0), |f| (f.cause(), f.op, f.errno));
        self.counts.set_health(Health { state, cause, op, errno });
    }

    /// Shows that it is closed, and with what fault.
    pub(super) fn show_closed(&self, fault: Option<&Error>) {
        let (cause, op, errno) = fault.map_or((Cause::None, Op::None, 0), |f| (f.cause(), f.op, f.errno));
        self.counts.set_health(Health { state: State::Closed, cause, op, errno });
    }

    /// Shows what changes all the time; called about once a second, and when a partition is open or closed.
    pub(super) fn show_levels(&self, log: &Log) {
        let entries = |range: (u64, u64)| if range.0 == 0 { 0 } else { range.1 - range.0 + 1 };
        self.counts.set(Level::Segments, log.live.len() as u64);
        self.counts.set(Level::SegmentBytes, log.live.iter().map(|l| l.segment.capacity).sum());
        self.counts.set(Level::PendingBytes, log.pending_bytes() as u64);
        self.counts.set(Level::KeptBytes, log.kept_bytes);
        self.counts.set(Level::LostEntries, entries(log.lost));
        self.counts.set(Level::DamagedEntries, log.damaged.sum().2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_the_same_after_packing() {
        for state in State::ALL {
            for cause in Cause::ALL {
                let health = Health { state, cause, op: Op::Append, errno: libc::EIO };
                assert_eq!(Health::unpack(health.pack()), health);
            }
        }
        assert!(Op::ALL.iter().zip(0..).all(|(op, n)| *op as u32 == n), "operations are numbered from 0");
        assert!(Cause::ALL.iter().zip(0..).all(|(cause, n)| *cause as u32 == n), "causes are numbered from 0");
    }
}
