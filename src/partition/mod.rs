//! One partition: a log with its hard state, in one directory. Everything that can go wrong with it stays in here.

mod accept;
mod append;
mod arrival;
mod chain;
mod close;
mod compact;
mod control;
mod counts;
mod create;
mod damaged;
mod directory;
mod disk_counts;
mod ended;
mod fence;
mod flush;
mod hard_state;
mod heal;
mod health;
mod idle_check;
mod kept;
mod limit_changes;
mod limits;
mod load;
mod log;
mod look;
mod maintain;
mod open;
mod orphan;
mod parts;
mod plan;
mod read;
mod reading;
mod recover;
mod recovery;
mod repair;
mod rescue;
mod rewrite;
mod root;
mod shared;
mod status;
mod survey;
mod terms;
#[cfg(test)]
pub(crate) mod test_host;
mod trouble;
mod types;
mod unsynced;
mod verdict;
mod verify;
mod watch;

pub(crate) use arrival::{finish_arrival, root_arrives};
pub use counts::{Count, Health, Level, PartitionCounts, COUNTS, LEVELS};
pub(crate) use create::BAD_FILE_PREFIX;
pub use directory::{BULKHEAD_ORIGINAL, CUBEFS_EXPORT, CUBEFS_IMPORT};
pub use disk_counts::{DiskCounts, HealedBy, SegmentFrom};
pub use limit_changes::LimitChanged;
pub(crate) use limit_changes::{changed, in_words, joined};
pub use limits::{Limit, LimitChange, LimitInfo, LimitScope, Limits, LIMITS};
pub(crate) use limits::{OwnLimits, PartitionLimits};
pub use open::{lock_dir, make_dir, open_dir, path_error};
pub use orphan::{Orphan, Place};
pub use repair::{Repair, RepairFacts, RepairLoss, RepairOffer, RepairWay};
pub use root::ROOT_NAME;
pub(crate) use root::{first_root, same_opening, NEW_ROOT_NAME};
pub use shared::Lent;
pub use survey::{Survey, SurveyedSegment};
pub use types::{
    Completion, Counters, Disposition, EngineConfig, Entry, EntryRef, Event, HardState, Mode, PartitionConfig,
    PartitionStatus, State, VerifyReport,
};

use crate::format::{Id, Root};
use crate::io::{Calls, Dir, File};
use crate::sync::{Condvar, Mutex};
use log::Log;
use root::RootWriter;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Mode interval: this much unflushed data is flushed before the interval is over.
const FLUSH_EARLY_BYTES: usize = 1 << 20;

/// What the disk's space reserve is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    Segment,
    Root,
}

/// What a partition needs of the engine that runs it.
pub trait Host: Send + Sync {
    /// A worker is to call `Partition::work`, or if it `may_share` somebody to `lend` what it has.
    fn flush_soon(&self, partition: Arc<Partition>, may_share: bool);
    /// After `delay`, `Partition::timer` is to be called.
    fn flush_later(&self, partition: Arc<Partition>, delay: Duration);
    /// After `delay`, the disk's healer is to call `Partition::probe`.
    fn probe_later(&self, partition: Weak<Partition>, delay: Duration);
    /// A partition has let go of its directory.
    fn closed(&self) {}
    /// A written file without a name of at least `bytes`, for what must go on when the disk is full.
    fn reserved(&self, what: Reserved, bytes: u64) -> Option<Arc<dyn File>>;
    /// Keeps what a partition closes with and the disk may not have; `orphan` gives it back, once: that of this directory, or of one that it
    /// is a copy of.
    fn keep_orphan(&self, orphan: Orphan);
    fn orphan(&self, root: &Root, place: Place) -> Option<Orphan>;
    /// The first entry of that orphan, if its entries come to `known`.
    fn orphan_first(&self, root: &Root, place: Place, known: u64) -> Option<u64>;
    /// A short wait on this thread.
    fn pause(&self, time: Duration) {
        crate::sync::thread::sleep(time);
    }
    /// A file of a partition has failed: others of its disk are to look at theirs, `Partition::check_idle`.
    fn disk_erred(&self) {}
    /// Housekeeping is to call `Partition::maintain`.
    fn maintain_soon(&self, partition: Arc<Partition>);
    /// `tag` is read when the event is handed to the owner.
    fn emit(&self, event: Event, tag: &Arc<AtomicU64>);
    fn complete(&self, completions: &[Completion]);
    /// Accounts for cached bytes; true if the engine holds more than its budget.
    fn cache_taken(&self, bytes: usize) -> bool;
    fn cache_released(&self, bytes: usize) -> bool;
    /// Where the partitions of the disk count together.
    fn counts(&self) -> Arc<DiskCounts>;
    /// The watchdog is to look at the calls of a partition that has just begun one, until it has had none for a while.
    fn watch(&self, _partition: &Arc<Partition>) {}
    fn now(&self) -> Instant {
        Instant::now()
    }
    /// For incarnations, epochs and salts.
    fn random_id(&self) -> Id {
        random_id()
    }
    /// False for a host without threads, whose work is done by those who wait for it.
    fn has_threads(&self) -> bool {
        true
    }
    /// Without threads: does a piece of the disk's work; false if nothing is left to do before `deadline`. Called without locks.
    fn step(&self, _deadline: Instant) -> bool {
        false
    }
}

/// An open partition. Thread-safe. Dropping it closes it.
pub struct Partition {
    id: u64,
    mode: Mode,
    path: PathBuf,
    known_index: u64,
    must_exist: bool,
    limits: Arc<PartitionLimits>,
    host: Arc<dyn Host>,
    me: Weak<Partition>,
    tag: Arc<AtomicU64>,
    /// The directory, locked against other processes while it is here.
    dir: Mutex<Option<Arc<dyn Dir>>>,
    /// The system calls under way.
    calls: Arc<Calls>,
    log: Mutex<Log>,
    counts: Arc<PartitionCounts>,
    disk_counts: Arc<DiskCounts>,
    /// Something in `log` changed that calls wait for.
    changed: Condvar,
    root: Mutex<RootWriter>,
    /// Segments are created one at a time, in order.
    allocation: Mutex<()>,
    /// Held by whoever changes the log as a whole: compact, reset, recover, close.
    operation: Mutex<()>,
    /// Mode none: one sync at a time. The kernel reports a failed write-back once; whoever syncs next must see what the first one met.
    syncing: Mutex<()>,
    /// Held by housekeeping while it touches files.
    maintenance: Mutex<()>,
}

impl Partition {
    pub fn id(&self) -> u64 {
        self.id
    }

    /// A number that comes back in this partition's events and completions.
    pub fn set_tag(&self, tag: u64) {
        self.tag.store(tag, Ordering::Relaxed);
    }

    /// True if nobody holds one of its locks: a host without threads asks before it does work for it.
    pub(crate) fn is_free(&self) -> bool {
        let files = self.maintenance.is_locked() || self.allocation.is_locked() || self.root.is_locked();
        !files && !self.log.is_locked()
    }

    /// The same for a call of the owner other than close: what housekeeping does is no concern of theirs.
    pub(crate) fn is_free_for_calls(&self) -> bool {
        let files = self.allocation.is_locked() || self.root.is_locked();
        !files && !self.log.is_locked() && !self.operation.is_locked()
    }

    /// The same for `work`, which makes a segment only if entries wait: a close keeps others from that while it waits for the root.
    pub(crate) fn is_free_for_work(&self) -> bool {
        let no_entries = self.log.try_lock().map(|log| log.groups.is_empty());
        !self.root.is_locked() && no_entries.is_some_and(|none| none || !self.allocation.is_locked())
    }

    pub fn tag(&self) -> u64 {
        self.tag.load(Ordering::Relaxed)
    }
}

/// A random id. Without the kernel's random numbers a process-wide one that differs from call to call is still better than none.
pub(crate) fn random_id() -> Id {
    crate::io::random_id().unwrap_or_else(|_| {
        use std::hash::{BuildHasher, Hasher};
        let mut id = Id::default();
        for half in id.chunks_mut(8) {
            let n = std::collections::hash_map::RandomState::new().build_hasher().finish();
            half.copy_from_slice(&n.to_le_bytes());
        }
        id
    })
}
