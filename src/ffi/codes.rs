//! The numbers of the C ABI. A number is never reused: a status that goes out of use keeps its number. They stand
//! here as literals because the header is generated from them; the assertions below tie them to the core's enums.

use std::ffi::c_char;

use crate::cubefs::{FindingKind, Shape};
use crate::{Cause, Disposition, Limit, LimitScope, LogLevel, Mode, Op, State, Status};

/// Version of this interface. A new number means that programs built against the old one must be compiled again.
pub const BULKHEAD_ABI_VERSION: u32 = 1;

/// Result of a call: BULKHEAD_OK or what was wrong.
pub type bulkhead_status = i32;

/// The call did what it is for.
pub const BULKHEAD_OK: bulkhead_status = 0;
/// A pointer is null or misaligned, a struct_size is wrong, a length cannot be.
pub const BULKHEAD_INVALID_ARGUMENT: bulkhead_status = 1;
/// The handle is zero, of the other kind, or was never issued.
pub const BULKHEAD_INVALID_HANDLE: bulkhead_status = 2;
/// The handle was issued and has been closed.
pub const BULKHEAD_CLOSED: bulkhead_status = 3;
/// A configuration value is out of its range.
pub const BULKHEAD_INVALID_CONFIG: bulkhead_status = 4;
/// The batch has no entries.
pub const BULKHEAD_NO_ENTRIES: bulkhead_status = 5;
/// The indexes inside a batch are not consecutive.
pub const BULKHEAD_OUT_OF_ORDER: bulkhead_status = 6;
/// The batch's first index is beyond last + 1.
pub const BULKHEAD_GAP: bulkhead_status = 7;
/// The index is at or below the compaction point.
pub const BULKHEAD_COMPACTED: bulkhead_status = 8;
/// A term is lower than one before it.
pub const BULKHEAD_TERM_REGRESSION: bulkhead_status = 9;
/// An entry is larger than max_entry_bytes.
pub const BULKHEAD_ENTRY_TOO_LARGE: bulkhead_status = 10;
/// The batch is larger than one append may be; split it.
pub const BULKHEAD_BATCH_TOO_LARGE: bulkhead_status = 11;
/// The index is beyond the last entry.
pub const BULKHEAD_OUT_OF_RANGE: bulkhead_status = 12;
/// The commit index is beyond the last entry, or goes back.
pub const BULKHEAD_COMMIT_OUT_OF_RANGE: bulkhead_status = 13;
/// Not even one entry fits; the result says how much is needed.
pub const BULKHEAD_BUFFER_TOO_SMALL: bulkhead_status = 14;
/// The directory, or its parent, does not exist.
pub const BULKHEAD_NOT_FOUND: bulkhead_status = 15;
/// The path is not a directory.
pub const BULKHEAD_NOT_A_DIRECTORY: bulkhead_status = 16;
/// The path's last component is a symbolic link.
pub const BULKHEAD_SYMLINK: bulkhead_status = 17;
/// The process may not read or write the directory.
pub const BULKHEAD_PERMISSION_DENIED: bulkhead_status = 18;
/// The engine has the directory open already.
pub const BULKHEAD_ALREADY_OPEN: bulkhead_status = 19;
/// Another process, or another engine, has the directory open.
pub const BULKHEAD_LOCKED: bulkhead_status = 20;
/// BULKHEAD_CREATE_NEW, and the directory exists.
pub const BULKHEAD_ALREADY_EXISTS: bulkhead_status = 21;
/// The directory holds something that is not a Bulkhead log.
pub const BULKHEAD_FOREIGN: bulkhead_status = 22;
/// The files were written by a newer version.
pub const BULKHEAD_VERSION_TOO_NEW: bulkhead_status = 23;
/// The directory belongs to another partition id.
pub const BULKHEAD_WRONG_PARTITION: bulkhead_status = 24;
/// What the disk holds is not what was written.
pub const BULKHEAD_DAMAGED: bulkhead_status = 25;
/// No space or quota left, or a file size limit was met.
pub const BULKHEAD_NO_SPACE: bulkhead_status = 26;
/// The disk failed a system call; os_errno says how.
pub const BULKHEAD_IO_ERROR: bulkhead_status = 27;
/// The filesystem has become read-only.
pub const BULKHEAD_READ_ONLY_FILESYSTEM: bulkhead_status = 28;
/// The disk did not answer within stall_limit_ms.
pub const BULKHEAD_STALLED: bulkhead_status = 29;
/// A defect in the library, caught at its boundary; the partition is latched, everything else goes on.
pub const BULKHEAD_PANIC: bulkhead_status = 30;
/// The process ran out of descriptors, memory or handles (EMFILE, ENFILE, ENOMEM).
pub const BULKHEAD_RESOURCE_EXHAUSTED: bulkhead_status = 31;
/// The filesystem cannot give what the mode promises.
pub const BULKHEAD_UNSUPPORTED_FILESYSTEM: bulkhead_status = 32;
/// An operation of this partition is still in the kernel.
pub const BULKHEAD_BUSY: bulkhead_status = 33;
/// Acknowledged entries are missing after a recovery; the owner has to decide.
pub const BULKHEAD_LOST_ENTRIES: bulkhead_status = 34;
/// The directory holds a log of CubeFS's own WAL, or an import or export that was cut short: bulkhead_cubefs_import first.
pub const BULKHEAD_NEEDS_IMPORT: bulkhead_status = 35;
/// The partition was taken out of service by bulkhead_fence; only bulkhead_release gives it back.
pub const BULKHEAD_FENCED: bulkhead_status = 36;

/// Mode: acknowledged from the page cache. Survives a crash of the process, not a power cut.
pub const BULKHEAD_MODE_NONE: u32 = 1;
/// Mode: durable when the call returns.
pub const BULKHEAD_MODE_SYNC: u32 = 2;
/// Mode: acknowledged from memory, durable within interval_ms. A crash of process or machine costs that window.
pub const BULKHEAD_MODE_INTERVAL: u32 = 3;

/// In a limit that may be switched off: never.
pub const BULKHEAD_NEVER: u32 = u32::MAX;

/// Opens the log, or creates it; makes the last path component only.
pub const BULKHEAD_OPEN_OR_CREATE: u32 = 0;
/// Opens a log that must exist.
pub const BULKHEAD_OPEN_EXISTING: u32 = 1;
/// Creates a directory that must not exist.
pub const BULKHEAD_CREATE_NEW: u32 = 2;

/// Appends and reads work.
pub const BULKHEAD_STATE_READ_WRITE: u32 = 1;
/// No space: appends are refused, reads, votes and compaction work. ReadWrite by itself when there is space again
/// (probe_ms), or by bulkhead_recover().
pub const BULKHEAD_STATE_READ_ONLY: u32 = 2;
/// Latched by a fault: writes are refused with the first error, what can be verified is read. Comes back by itself
/// when the fault has passed (probe_ms; not after damage or lost entries), by bulkhead_recover(), or by close and open.
pub const BULKHEAD_STATE_UNAVAILABLE: u32 = 3;
/// bulkhead_recover is at work. The library's own tries are not shown: the state stays as it was until one succeeds.
pub const BULKHEAD_STATE_RECOVERING: u32 = 4;
/// Closed.
pub const BULKHEAD_STATE_CLOSED: u32 = 5;

/// The partition is ReadWrite.
pub const BULKHEAD_CAUSE_NONE: u32 = 0;
/// See BULKHEAD_NO_SPACE.
pub const BULKHEAD_CAUSE_NO_SPACE: u32 = 1;
/// See BULKHEAD_IO_ERROR.
pub const BULKHEAD_CAUSE_IO_ERROR: u32 = 2;
/// See BULKHEAD_READ_ONLY_FILESYSTEM.
pub const BULKHEAD_CAUSE_READ_ONLY_FILESYSTEM: u32 = 3;
/// See BULKHEAD_STALLED.
pub const BULKHEAD_CAUSE_STALLED: u32 = 4;
/// See BULKHEAD_PANIC.
pub const BULKHEAD_CAUSE_PANIC: u32 = 5;
/// See BULKHEAD_DAMAGED.
pub const BULKHEAD_CAUSE_DAMAGE: u32 = 6;
/// See BULKHEAD_RESOURCE_EXHAUSTED.
pub const BULKHEAD_CAUSE_RESOURCE: u32 = 7;
/// See BULKHEAD_LOST_ENTRIES.
pub const BULKHEAD_CAUSE_LOST_ENTRIES: u32 = 8;
/// A warning, in an event of the first open on a disk: the project does not test this filesystem (network, overlay).
pub const BULKHEAD_CAUSE_UNTESTED_FILESYSTEM: u32 = 9;
/// A warning, in an event of the first open on a disk: tmpfs or ramfs, a power cut takes everything on it.
pub const BULKHEAD_CAUSE_VOLATILE_FILESYSTEM: u32 = 10;
/// See BULKHEAD_FENCED.
pub const BULKHEAD_CAUSE_FENCED: u32 = 11;

/// No operation.
pub const BULKHEAD_OP_NONE: u32 = 0;
/// Opening an engine or a partition.
pub const BULKHEAD_OP_OPEN: u32 = 1;
/// Appending or submitting entries, or flushing them.
pub const BULKHEAD_OP_APPEND: u32 = 2;
/// Reading entries, terms or bounds.
pub const BULKHEAD_OP_READ: u32 = 3;
/// Compaction.
pub const BULKHEAD_OP_COMPACT: u32 = 4;
/// Reset to a snapshot.
pub const BULKHEAD_OP_RESET: u32 = 5;
/// Reading or storing term, vote and commit.
pub const BULKHEAD_OP_HARD_STATE: u32 = 6;
/// bulkhead_sync, or the flush of mode interval.
pub const BULKHEAD_OP_SYNC: u32 = 7;
/// Recovery.
pub const BULKHEAD_OP_RECOVER: u32 = 8;
/// Verification.
pub const BULKHEAD_OP_VERIFY: u32 = 9;
/// Closing an engine or a partition.
pub const BULKHEAD_OP_CLOSE: u32 = 10;
/// Allocating space ahead of the appends.
pub const BULKHEAD_OP_ALLOCATE: u32 = 11;
/// Status, events and completions.
pub const BULKHEAD_OP_STATUS: u32 = 12;
/// Inspecting, importing or restoring a CubeFS log.
pub const BULKHEAD_OP_IMPORT: u32 = 13;
/// Exporting a log to CubeFS's format.
pub const BULKHEAD_OP_EXPORT: u32 = 14;
/// Fencing by hand.
pub const BULKHEAD_OP_FENCE: u32 = 15;
/// Changing limits.
pub const BULKHEAD_OP_SET_LIMITS: u32 = 16;

/// Level of a line: something is over, or was done by hand: healed, released, limits that were set.
pub const BULKHEAD_LOG_INFO: u32 = 1;
/// Met, and nobody is kept from working.
pub const BULKHEAD_LOG_WARN: u32 = 2;
/// A partition refuses calls, or has lost entries.
pub const BULKHEAD_LOG_ERROR: u32 = 3;

/// Limits by number; bulkhead_engine_config says what they are. This one: appends from now on.
pub const BULKHEAD_LIMIT_MAX_ENTRY_BYTES: u32 = 1;
/// Segments that are begun from now on; what the reserve of a disk has stays as it is until it is used.
pub const BULKHEAD_LIMIT_SEGMENT_MIN_BYTES: u32 = 2;
/// If it was set elsewhere and is below segment_min_bytes, that counts for both.
pub const BULKHEAD_LIMIT_SEGMENT_MAX_BYTES: u32 = 3;
/// From the next flush on.
pub const BULKHEAD_LIMIT_INTERVAL_MS: u32 = 4;
/// Waits that begin from now on; calls under way are measured by it at once.
pub const BULKHEAD_LIMIT_STALL_LIMIT_MS: u32 = 5;
/// Calls under way are measured by it at once. May be BULKHEAD_NEVER.
pub const BULKHEAD_LIMIT_SLOW_DISK_MS: u32 = 6;
/// Of the engine or a disk. Threads that are too many end when they are done.
pub const BULKHEAD_LIMIT_FLUSH_THREADS_PER_DISK: u32 = 7;
/// In modes sync and interval also for what is being healed already. May be BULKHEAD_NEVER.
pub const BULKHEAD_LIMIT_HEAL_LIMIT_MS: u32 = 8;
/// In modes sync and interval also for appends that wait already. May be BULKHEAD_NEVER.
pub const BULKHEAD_LIMIT_SPACE_WAIT_MS: u32 = 9;
/// From the next probe on; one that is planned stays planned. May be BULKHEAD_NEVER.
pub const BULKHEAD_LIMIT_PROBE_MS: u32 = 10;
/// Of the engine. What is too much is given up at once.
pub const BULKHEAD_LIMIT_READ_CACHE_BYTES: u32 = 11;
/// Of the engine or a disk. Within a second. May be BULKHEAD_NEVER.
pub const BULKHEAD_LIMIT_IDLE_CHECK_MS: u32 = 12;

/// In a limit that is set: takes back what was set there, so that what is in force comes from further up.
pub const BULKHEAD_INHERIT: u64 = u64::MAX;

/// A limit is what the engine was opened with.
pub const BULKHEAD_SCOPE_OPEN: u32 = 1;
/// It was set for the engine since.
pub const BULKHEAD_SCOPE_ENGINE: u32 = 2;
/// For the disk.
pub const BULKHEAD_SCOPE_DISK: u32 = 3;
/// For the partition.
pub const BULKHEAD_SCOPE_PARTITION: u32 = 4;

/// Shape of a directory: it holds no log.
pub const BULKHEAD_CUBEFS_SHAPE_EMPTY: u32 = 1;
/// A log of CubeFS's own WAL: to be imported.
pub const BULKHEAD_CUBEFS_SHAPE_CUBEFS: u32 = 2;
/// A Bulkhead log.
pub const BULKHEAD_CUBEFS_SHAPE_BULKHEAD: u32 = 3;
/// An import or its undoing was cut short; bulkhead_cubefs_import finishes the import.
pub const BULKHEAD_CUBEFS_SHAPE_IMPORTING: u32 = 4;
/// An export in place was cut short; bulkhead_cubefs_import takes it back.
pub const BULKHEAD_CUBEFS_SHAPE_EXPORTING: u32 = 5;
/// A mixture that no import or export leaves; it is not touched.
pub const BULKHEAD_CUBEFS_SHAPE_UNKNOWN: u32 = 6;

/// Flag: nothing has changed since the import, it can be undone.
pub const BULKHEAD_CUBEFS_UNDOABLE: u32 = 1;
/// Flag: CubeFS's files of before the import are kept.
pub const BULKHEAD_CUBEFS_ORIGINAL_KEPT: u32 = 2;
/// Flag: Bulkhead's files of before an export in place are kept.
pub const BULKHEAD_CUBEFS_BULKHEAD_KEPT: u32 = 4;

/// Found: a last write that never finished, or has rotted since; nothing valid is behind it.
pub const BULKHEAD_CUBEFS_FOUND_TORN_TAIL: u32 = 1;
/// Found: bytes that are no record, with valid records behind them.
pub const BULKHEAD_CUBEFS_FOUND_BAD_RECORD: u32 = 2;
/// Found: entries that should be there are in no file.
pub const BULKHEAD_CUBEFS_FOUND_MISSING_ENTRIES: u32 = 3;
/// Found: the sequence of the files has a gap.
pub const BULKHEAD_CUBEFS_FOUND_MISSING_FILE: u32 = 4;
/// Found: an entry with an index or a term that cannot follow the one before it.
pub const BULKHEAD_CUBEFS_FOUND_OUT_OF_ORDER: u32 = 5;
/// Found: index or footer of a sealed file are damaged; its entries are found without them.
pub const BULKHEAD_CUBEFS_FOUND_BAD_INDEX: u32 = 6;
/// Found: META says that more is committed than the log has.
pub const BULKHEAD_CUBEFS_FOUND_META_AHEAD: u32 = 7;
/// Found: META's term is behind the log's; it is raised, without a vote.
pub const BULKHEAD_CUBEFS_FOUND_META_BEHIND: u32 = 8;
/// Found: META is empty, zero or missing although the log has entries; term and vote are lost.
pub const BULKHEAD_CUBEFS_FOUND_VOTE_LOST: u32 = 9;
/// Found: META has a size that no META has.
pub const BULKHEAD_CUBEFS_FOUND_BAD_META: u32 = 10;
/// Found: META's commit is behind its compaction point; it is raised.
pub const BULKHEAD_CUBEFS_FOUND_COMMIT_BEHIND: u32 = 11;
/// Found: the log does not continue the snapshot that META names.
pub const BULKHEAD_CUBEFS_FOUND_SNAPSHOT_CONFLICT: u32 = 12;
/// Found: a file that CubeFS takes for one of the log's, and that is none.
pub const BULKHEAD_CUBEFS_FOUND_STRANGE_FILE: u32 = 13;
/// Found: a number or an entry beyond what Bulkhead has room for.
pub const BULKHEAD_CUBEFS_FOUND_TOO_LARGE: u32 = 14;
/// Found: the log ends below known_index.
pub const BULKHEAD_CUBEFS_FOUND_BELOW_KNOWN: u32 = 15;

/// Names of the statuses by number, NUL-terminated; the assertions below hold the numbers to the core's enum.
macro_rules! statuses {
    ($($name:ident = $status:ident),* $(,)?) => {
        const STATUS_NAMES: &[&str] = &[$(concat!(stringify!($name), "\0")),*];
        const _: () = { $(assert!($name == Status::$status as bulkhead_status);)* };
        // The position in the table is the number.
        const _: () = { let mut n = 0; $(assert!($name == n); n += 1;)* assert!(n as usize == STATUS_NAMES.len()); };
    };
}

statuses! {
    BULKHEAD_OK = Ok, BULKHEAD_INVALID_ARGUMENT = InvalidArgument, BULKHEAD_INVALID_HANDLE = InvalidHandle, BULKHEAD_CLOSED = Closed,
    BULKHEAD_INVALID_CONFIG = InvalidConfig, BULKHEAD_NO_ENTRIES = NoEntries, BULKHEAD_OUT_OF_ORDER = OutOfOrder, BULKHEAD_GAP = Gap,
    BULKHEAD_COMPACTED = Compacted, BULKHEAD_TERM_REGRESSION = TermRegression, BULKHEAD_ENTRY_TOO_LARGE = EntryTooLarge,
    BULKHEAD_BATCH_TOO_LARGE = BatchTooLarge, BULKHEAD_OUT_OF_RANGE = OutOfRange, BULKHEAD_COMMIT_OUT_OF_RANGE = CommitOutOfRange,
    BULKHEAD_BUFFER_TOO_SMALL = BufferTooSmall, BULKHEAD_NOT_FOUND = NotFound, BULKHEAD_NOT_A_DIRECTORY = NotADirectory,
    BULKHEAD_SYMLINK = Symlink, BULKHEAD_PERMISSION_DENIED = PermissionDenied, BULKHEAD_ALREADY_OPEN = AlreadyOpen,
    BULKHEAD_LOCKED = Locked, BULKHEAD_ALREADY_EXISTS = AlreadyExists, BULKHEAD_FOREIGN = Foreign,
    BULKHEAD_VERSION_TOO_NEW = VersionTooNew, BULKHEAD_WRONG_PARTITION = WrongPartition, BULKHEAD_DAMAGED = Damaged,
    BULKHEAD_NO_SPACE = NoSpace, BULKHEAD_IO_ERROR = IoError, BULKHEAD_READ_ONLY_FILESYSTEM = ReadOnlyFilesystem,
    BULKHEAD_STALLED = Stalled, BULKHEAD_PANIC = Panic, BULKHEAD_RESOURCE_EXHAUSTED = ResourceExhausted,
    BULKHEAD_UNSUPPORTED_FILESYSTEM = UnsupportedFilesystem, BULKHEAD_BUSY = Busy, BULKHEAD_LOST_ENTRIES = LostEntries,
    BULKHEAD_NEEDS_IMPORT = NeedsImport, BULKHEAD_FENCED = Fenced,
}

macro_rules! same {
    ($($name:ident = $value:expr),* $(,)?) => { const _: () = { $(assert!($name == $value as u32);)* }; };
}

same! {
    BULKHEAD_MODE_NONE = Mode::None, BULKHEAD_MODE_SYNC = Mode::Sync, BULKHEAD_MODE_INTERVAL = Mode::Interval,
    BULKHEAD_OPEN_OR_CREATE = Disposition::OpenOrCreate, BULKHEAD_OPEN_EXISTING = Disposition::OpenExisting,
    BULKHEAD_CREATE_NEW = Disposition::CreateNew,
    BULKHEAD_STATE_READ_WRITE = State::ReadWrite, BULKHEAD_STATE_READ_ONLY = State::ReadOnly, BULKHEAD_STATE_UNAVAILABLE = State::Unavailable,
    BULKHEAD_STATE_RECOVERING = State::Recovering, BULKHEAD_STATE_CLOSED = State::Closed,
    BULKHEAD_CAUSE_NONE = Cause::None, BULKHEAD_CAUSE_NO_SPACE = Cause::NoSpace, BULKHEAD_CAUSE_IO_ERROR = Cause::IoError,
    BULKHEAD_CAUSE_READ_ONLY_FILESYSTEM = Cause::ReadOnlyFilesystem, BULKHEAD_CAUSE_STALLED = Cause::Stalled,
    BULKHEAD_CAUSE_PANIC = Cause::Panic, BULKHEAD_CAUSE_DAMAGE = Cause::Damage, BULKHEAD_CAUSE_RESOURCE = Cause::Resource,
    BULKHEAD_CAUSE_LOST_ENTRIES = Cause::LostEntries, BULKHEAD_CAUSE_UNTESTED_FILESYSTEM = Cause::UntestedFilesystem,
    BULKHEAD_CAUSE_VOLATILE_FILESYSTEM = Cause::VolatileFilesystem, BULKHEAD_CAUSE_FENCED = Cause::Fenced,
    BULKHEAD_OP_NONE = Op::None, BULKHEAD_OP_OPEN = Op::Open, BULKHEAD_OP_APPEND = Op::Append, BULKHEAD_OP_READ = Op::Read,
    BULKHEAD_OP_COMPACT = Op::Compact, BULKHEAD_OP_RESET = Op::Reset, BULKHEAD_OP_HARD_STATE = Op::HardState, BULKHEAD_OP_SYNC = Op::Sync,
    BULKHEAD_OP_RECOVER = Op::Recover, BULKHEAD_OP_VERIFY = Op::Verify, BULKHEAD_OP_CLOSE = Op::Close, BULKHEAD_OP_ALLOCATE = Op::Allocate,
    BULKHEAD_OP_STATUS = Op::Status, BULKHEAD_OP_IMPORT = Op::Import, BULKHEAD_OP_EXPORT = Op::Export, BULKHEAD_OP_FENCE = Op::Fence,
    BULKHEAD_OP_SET_LIMITS = Op::SetLimits,
    BULKHEAD_LOG_INFO = LogLevel::Info, BULKHEAD_LOG_WARN = LogLevel::Warn, BULKHEAD_LOG_ERROR = LogLevel::Error,
    BULKHEAD_LIMIT_MAX_ENTRY_BYTES = Limit::MaxEntryBytes, BULKHEAD_LIMIT_SEGMENT_MIN_BYTES = Limit::SegmentMinBytes,
    BULKHEAD_LIMIT_SEGMENT_MAX_BYTES = Limit::SegmentMaxBytes, BULKHEAD_LIMIT_INTERVAL_MS = Limit::IntervalMs,
    BULKHEAD_LIMIT_STALL_LIMIT_MS = Limit::StallLimitMs, BULKHEAD_LIMIT_SLOW_DISK_MS = Limit::SlowDiskMs,
    BULKHEAD_LIMIT_FLUSH_THREADS_PER_DISK = Limit::FlushThreadsPerDisk, BULKHEAD_LIMIT_HEAL_LIMIT_MS = Limit::HealLimitMs,
    BULKHEAD_LIMIT_SPACE_WAIT_MS = Limit::SpaceWaitMs, BULKHEAD_LIMIT_PROBE_MS = Limit::ProbeMs,
    BULKHEAD_LIMIT_READ_CACHE_BYTES = Limit::ReadCacheBytes, BULKHEAD_LIMIT_IDLE_CHECK_MS = Limit::IdleCheckMs,
    BULKHEAD_SCOPE_OPEN = LimitScope::Open, BULKHEAD_SCOPE_ENGINE = LimitScope::Engine, BULKHEAD_SCOPE_DISK = LimitScope::Disk,
    BULKHEAD_SCOPE_PARTITION = LimitScope::Partition,
    BULKHEAD_CUBEFS_SHAPE_EMPTY = Shape::Empty, BULKHEAD_CUBEFS_SHAPE_CUBEFS = Shape::Cubefs,
    BULKHEAD_CUBEFS_SHAPE_BULKHEAD = Shape::Bulkhead, BULKHEAD_CUBEFS_SHAPE_IMPORTING = Shape::Importing,
    BULKHEAD_CUBEFS_SHAPE_EXPORTING = Shape::Exporting, BULKHEAD_CUBEFS_SHAPE_UNKNOWN = Shape::Unknown,
    BULKHEAD_CUBEFS_FOUND_TORN_TAIL = FindingKind::TornTail, BULKHEAD_CUBEFS_FOUND_BAD_RECORD = FindingKind::BadRecord,
    BULKHEAD_CUBEFS_FOUND_MISSING_ENTRIES = FindingKind::MissingEntries, BULKHEAD_CUBEFS_FOUND_MISSING_FILE = FindingKind::MissingFile,
    BULKHEAD_CUBEFS_FOUND_OUT_OF_ORDER = FindingKind::OutOfOrder, BULKHEAD_CUBEFS_FOUND_BAD_INDEX = FindingKind::BadIndex,
    BULKHEAD_CUBEFS_FOUND_META_AHEAD = FindingKind::MetaAhead, BULKHEAD_CUBEFS_FOUND_META_BEHIND = FindingKind::MetaBehind,
    BULKHEAD_CUBEFS_FOUND_VOTE_LOST = FindingKind::VoteLost, BULKHEAD_CUBEFS_FOUND_BAD_META = FindingKind::BadMeta,
    BULKHEAD_CUBEFS_FOUND_COMMIT_BEHIND = FindingKind::CommitBehind,
    BULKHEAD_CUBEFS_FOUND_SNAPSHOT_CONFLICT = FindingKind::SnapshotConflict,
    BULKHEAD_CUBEFS_FOUND_STRANGE_FILE = FindingKind::StrangeFile, BULKHEAD_CUBEFS_FOUND_TOO_LARGE = FindingKind::TooLarge,
    BULKHEAD_CUBEFS_FOUND_BELOW_KNOWN = FindingKind::BelowKnown,
}

/// The constant's name as a static C string; `BULKHEAD_UNKNOWN_STATUS` for a number that is none of ours.
pub(super) fn status_name(status: bulkhead_status) -> *const c_char {
    let known = usize::try_from(status).ok().and_then(|n| STATUS_NAMES.get(n));
    known.copied().unwrap_or("BULKHEAD_UNKNOWN_STATUS\0").as_ptr().cast()
}
