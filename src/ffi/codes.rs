//! The numbers of the C ABI. A number is never reused: a status that goes out of use keeps its number. They stand
//! here as literals because the header is generated from them; the assertions below tie them to the core's enums.

use std::ffi::c_char;

use crate::{Cause, Disposition, Mode, Op, State, Status};

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

/// Mode: acknowledged from the page cache. Survives a crash of the process, not a power cut.
pub const BULKHEAD_MODE_NONE: u32 = 1;
/// Mode: durable when the call returns.
pub const BULKHEAD_MODE_SYNC: u32 = 2;
/// Mode: acknowledged from memory, durable within interval_ms. A crash of process or machine costs that window.
pub const BULKHEAD_MODE_INTERVAL: u32 = 3;

/// In a limit of bulkhead_engine_config that may be switched off: never.
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
    BULKHEAD_CAUSE_LOST_ENTRIES = Cause::LostEntries,
    BULKHEAD_OP_NONE = Op::None, BULKHEAD_OP_OPEN = Op::Open, BULKHEAD_OP_APPEND = Op::Append, BULKHEAD_OP_READ = Op::Read,
    BULKHEAD_OP_COMPACT = Op::Compact, BULKHEAD_OP_RESET = Op::Reset, BULKHEAD_OP_HARD_STATE = Op::HardState, BULKHEAD_OP_SYNC = Op::Sync,
    BULKHEAD_OP_RECOVER = Op::Recover, BULKHEAD_OP_VERIFY = Op::Verify, BULKHEAD_OP_CLOSE = Op::Close, BULKHEAD_OP_ALLOCATE = Op::Allocate,
    BULKHEAD_OP_STATUS = Op::Status,
}

/// The constant's name as a static C string; `BULKHEAD_UNKNOWN_STATUS` for a number that is none of ours.
pub(super) fn status_name(status: bulkhead_status) -> *const c_char {
    let known = usize::try_from(status).ok().and_then(|n| STATUS_NAMES.get(n));
    known.copied().unwrap_or("BULKHEAD_UNKNOWN_STATUS\0").as_ptr().cast()
}
