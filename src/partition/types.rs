//! What callers give and get.

use super::limit_changes::LimitChanged;
use super::limits::{self, Limits, LIMITS};
use crate::error::{Cause, Op, Result, Status};
use crate::format::Id;
use std::path::PathBuf;

/// What "written" means when a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// In the page cache: survives a process crash, not a power cut.
    None = 1,
    /// Durable on return.
    Sync = 2,
    /// In memory, durable at most `interval_ms` later: a crash of process or machine costs that window.
    Interval = 3,
}

impl Mode {
    pub(crate) fn from_u32(n: u32) -> Mode {
        match n {
            1 => Mode::None,
            3 => Mode::Interval,
            _ => Mode::Sync,
        }
    }
}

/// How an open treats a directory that is there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u32)]
pub enum Disposition {
    /// Creates the last path component if it is missing.
    #[default]
    OpenOrCreate = 0,
    OpenExisting = 1,
    CreateNew = 2,
}

#[derive(Clone, Debug)]
pub struct PartitionConfig {
    pub path: PathBuf,
    pub partition_id: u64,
    pub mode: Mode,
    pub disposition: Disposition,
    /// An index that the owner knows to be in the log or below its compaction point (applied or committed); 0 for none.
    /// A log that ends below it is damage.
    pub known_index: u64,
}

impl PartitionConfig {
    /// Mode sync, created if missing.
    pub fn new(path: impl Into<PathBuf>, partition_id: u64) -> PartitionConfig {
        PartitionConfig {
            path: path.into(),
            partition_id,
            mode: Mode::Sync,
            disposition: Disposition::OpenOrCreate,
            known_index: 0,
        }
    }
}

/// An engine's limits. They can be changed while it runs, also for a disk or a partition: `Engine::set_limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Bytes, 1 to 64 MiB; default 16 MiB.
    pub max_entry_bytes: u32,
    /// Bytes of a partition's first segment, 64 KiB to `segment_max_bytes`; default 256 KiB.
    pub segment_min_bytes: u32,
    /// Segments of a busy partition grow up to this, at most 1 GiB; default 32 MiB.
    pub segment_max_bytes: u32,
    /// Mode interval: longest time between an acknowledgement and its flush, 1 to 60,000 ms; default 50.
    pub interval_ms: u32,
    /// A call in modes sync and interval waits at most this long for the disk, and a partition is Unavailable once a system call of it
    /// takes longer, in every mode; 100 to 600,000 ms; default 5,000.
    pub stall_limit_ms: u32,
    /// A system call that takes longer makes an event and counts as slow, 0 (never) to 600,000 ms; default 500.
    pub slow_disk_ms: u32,
    /// Flushes of different partitions of one disk that may run at the same time, 1 to 64; default 8.
    pub flush_threads_per_disk: u32,
    /// A transient error or a bad block is healed inside the call that met it within this time, 0 (never) to 60,000 ms; default 300.
    pub heal_limit_ms: u32,
    /// An append that finds the disk full waits at most this long for space, 0 to 60,000 ms; default 500.
    pub space_wait_ms: u32,
    /// A faulted partition is probed this long after its fault; a ReadOnly one again and again, for an Unavailable one the time doubles
    /// with each failure, up to 256 times as long. 0 (never: `recover` decides) to 60,000 ms; default 250.
    pub probe_ms: u32,
    /// Bytes of recent flushes that all partitions of the engine keep in memory for reading; default 64 MiB.
    pub read_cache_bytes: u64,
    /// A disk on which nothing is flushed is written to this often, one block into one idle partition's open segment, so that its death is
    /// known before somebody needs it. Where that or anything else meets an I/O error, other idle partitions of the disk look at theirs at once.
    /// Modes sync and interval. 0 (never) to 60,000 ms; default 250.
    pub idle_check_ms: u32,
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig {
            max_entry_bytes: 16 << 20,
            segment_min_bytes: 256 << 10,
            segment_max_bytes: 32 << 20,
            interval_ms: 50,
            stall_limit_ms: 5_000,
            slow_disk_ms: 500,
            flush_threads_per_disk: 8,
            heal_limit_ms: 300,
            space_wait_ms: 500,
            probe_ms: 250,
            read_cache_bytes: 64 << 20,
            idle_check_ms: 250,
        }
    }
}

impl EngineConfig {
    /// `InvalidConfig` names the value that is out of its range.
    pub fn validate(&self) -> Result<()> {
        for (info, value) in LIMITS.iter().zip(self.values()) {
            limits::check(info, value).map_err(|e| e.with_op(Op::Open))?;
        }
        limits::check_segments(&Limits::opened_with(self)).map_err(|e| e.with_op(Op::Open))
    }

    /// In the order of `LIMITS`.
    pub(super) fn values(&self) -> [u64; LIMITS.len()] {
        [
            self.max_entry_bytes.into(),
            self.segment_min_bytes.into(),
            self.segment_max_bytes.into(),
            self.interval_ms.into(),
            self.stall_limit_ms.into(),
            self.slow_disk_ms.into(),
            self.flush_threads_per_disk.into(),
            self.heal_limit_ms.into(),
            self.space_wait_ms.into(),
            self.probe_ms.into(),
            self.read_cache_bytes,
            self.idle_check_ms.into(),
        ]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum State {
    ReadWrite = 1,
    ReadOnly = 2,
    Unavailable = 3,
    Recovering = 4,
    Closed = 5,
}

impl State {
    pub(crate) const ALL: [State; 5] =
        [State::ReadWrite, State::ReadOnly, State::Unavailable, State::Recovering, State::Closed];
}

/// Raft's hard state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
}

/// An entry to append; borrowed for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    pub index: u64,
    pub term: u64,
    /// The owner's entry type, kept as it is.
    pub kind: u8,
    pub data: &'a [u8],
}

/// An entry read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub index: u64,
    pub term: u64,
    pub kind: u8,
    pub data: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub segments: u64,
    pub entries: u64,
    pub bytes: u64,
    pub bad_records: u64,
    /// First and last index that cannot be read, `(0, 0)` for none.
    pub bad: (u64, u64),
}

/// Counts since the partition was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub appends: u64,
    pub entries: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Durable writes of log data.
    pub flushes: u64,
    /// Failed operations, refused bad input not counted.
    pub errors: u64,
    /// Faults that were healed, inside a call or after it.
    pub heals: u64,
    /// System calls that took longer than `slow_disk_ms`.
    pub slow_operations: u64,
}

/// A partition at one moment. Ranges are `(first, last)`, `(0, 0)` for none.
#[derive(Clone, Debug)]
pub struct PartitionStatus {
    pub partition_id: u64,
    pub state: State,
    pub cause: Cause,
    pub errno: i32,
    pub op: Op,
    pub mode: Mode,
    /// The compaction index plus one.
    pub first_index: u64,
    pub last_index: u64,
    pub last_term: u64,
    pub compaction_index: u64,
    pub compaction_term: u64,
    /// Term and vote are 0 where `Partition::hard_state` refuses: a power cut may take them back, or the log is not known.
    pub hard_state: HardState,
    /// Entries up to here are known durable.
    pub durable_index: u64,
    pub segments: u64,
    pub segment_bytes: u64,
    /// Entries that cannot be read although entries after them can: first, last, how many.
    pub damaged: (u64, u64, u64),
    /// Acknowledged and missing.
    pub lost: (u64, u64),
    /// Cut by the last open: a last flush that may have been acknowledged.
    pub maybe_acknowledged: (u64, u64),
    /// Modes none and interval: the entries that were not known durable at the last open; a power cut may have cost more behind them.
    pub unsynced: (u64, u64),
    /// Bytes in `kept/`.
    pub kept_bytes: u64,
    pub counters: Counters,
    pub incarnation: Id,
    pub epoch: Id,
}

/// A change of a partition's state, or something the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up by one per change in an engine; gaps are merged events.
    pub sequence: u64,
    pub partition_id: u64,
    pub time_unix_ns: u64,
    pub from: State,
    pub to: State,
    pub cause: Cause,
    pub op: Op,
    pub errno: i32,
    /// Further changes of this partition merged into this one.
    pub merged: u32,
    pub range: (u64, u64),
    /// What the owner gave with `Partition::set_tag`.
    pub tag: u64,
    /// The partition's directory; empty if the event is about none.
    pub path: PathBuf,
    /// What the error says, without path and errno. `Op::SetLimits`: what was set, and for what; partition id and tag are 0 if that is the
    /// engine or a disk.
    pub note: String,
    /// `Op::SetLimits`: what was made of each.
    pub limits: Vec<LimitChanged>,
}

/// The outcome of a `Partition::submit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    pub token: u64,
    pub status: Status,
    pub errno: i32,
    pub tag: u64,
}
