//! The one error type: what was wrong, where, and what to do about it. Causes are typed; no code looks at text.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a call came to. The numbers are part of the C ABI and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    Ok = 0,
    InvalidArgument = 1,
    InvalidHandle = 2,
    Closed = 3,
    InvalidConfig = 4,
    NoEntries = 5,
    OutOfOrder = 6,
    Gap = 7,
    Compacted = 8,
    TermRegression = 9,
    EntryTooLarge = 10,
    BatchTooLarge = 11,
    OutOfRange = 12,
    CommitOutOfRange = 13,
    BufferTooSmall = 14,
    NotFound = 15,
    NotADirectory = 16,
    Symlink = 17,
    PermissionDenied = 18,
    AlreadyOpen = 19,
    Locked = 20,
    AlreadyExists = 21,
    Foreign = 22,
    VersionTooNew = 23,
    WrongPartition = 24,
    Damaged = 25,
    NoSpace = 26,
    IoError = 27,
    ReadOnlyFilesystem = 28,
    Stalled = 29,
    Panic = 30,
    ResourceExhausted = 31,
    UnsupportedFilesystem = 32,
    Busy = 33,
    LostEntries = 34,
    /// The directory holds a CubeFS log, or an import or export that was cut short.
    NeedsImport = 35,
    /// Taken out of service by hand.
    Fenced = 36,
}

/// The operation that an error or event speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum Op {
    #[default]
    None = 0,
    Open = 1,
    Append = 2,
    Read = 3,
    Compact = 4,
    Reset = 5,
    HardState = 6,
    Sync = 7,
    Recover = 8,
    Verify = 9,
    Close = 10,
    Allocate = 11,
    Status = 12,
    Import = 13,
    Export = 14,
    Fence = 15,
    SetLimits = 16,
}

/// Why a partition is not ReadWrite, or what its owner is warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum Cause {
    #[default]
    None = 0,
    NoSpace = 1,
    IoError = 2,
    ReadOnlyFilesystem = 3,
    Stalled = 4,
    Panic = 5,
    Damage = 6,
    Resource = 7,
    LostEntries = 8,
    /// A warning at open: the project does not test this filesystem.
    UntestedFilesystem = 9,
    /// A warning at open: the filesystem is in memory, nothing on it survives a power cut.
    VolatileFilesystem = 10,
    /// Taken out of service by hand.
    Fenced = 11,
}

impl Op {
    /// By number.
    pub(crate) const ALL: [Op; 17] = [
        Op::None,
        Op::Open,
        Op::Append,
        Op::Read,
        Op::Compact,
        Op::Reset,
        Op::HardState,
        Op::Sync,
        Op::Recover,
        Op::Verify,
        Op::Close,
        Op::Allocate,
        Op::Status,
        Op::Import,
        Op::Export,
        Op::Fence,
        Op::SetLimits,
    ];
}

impl Cause {
    /// By number.
    pub(crate) const ALL: [Cause; 12] = [
        Cause::None,
        Cause::NoSpace,
        Cause::IoError,
        Cause::ReadOnlyFilesystem,
        Cause::Stalled,
        Cause::Panic,
        Cause::Damage,
        Cause::Resource,
        Cause::LostEntries,
        Cause::UntestedFilesystem,
        Cause::VolatileFilesystem,
        Cause::Fenced,
    ];

    /// The status that calls get from a partition latched by this cause.
    pub fn status(self) -> Status {
        match self {
            Cause::None => Status::Ok,
            Cause::NoSpace => Status::NoSpace,
            Cause::IoError => Status::IoError,
            Cause::ReadOnlyFilesystem => Status::ReadOnlyFilesystem,
            Cause::Stalled => Status::Stalled,
            Cause::Panic => Status::Panic,
            Cause::Damage => Status::Damaged,
            Cause::Resource => Status::ResourceExhausted,
            Cause::LostEntries => Status::LostEntries,
            Cause::Fenced => Status::Fenced,
            Cause::UntestedFilesystem | Cause::VolatileFilesystem => Status::UnsupportedFilesystem,
        }
    }

    /// The cause that a failed system call stands for.
    pub fn of_errno(errno: i32) -> Cause {
        match errno {
            libc::ENOSPC | libc::EDQUOT | libc::EFBIG => Cause::NoSpace,
            libc::EROFS => Cause::ReadOnlyFilesystem,
            libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN | libc::EINTR => Cause::Resource,
            _ => Cause::IoError,
        }
    }
}

/// An error with everything an owner needs to act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub status: Status,
    /// The system call's errno, 0 where none failed.
    pub errno: i32,
    pub op: Op,
    pub partition_id: u64,
    /// First and last index affected, `(0, 0)` for none.
    pub range: (u64, u64),
    pub path: PathBuf,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(status: Status, op: Op, message: impl Into<String>) -> Error {
        Error { status, errno: 0, op, partition_id: 0, range: (0, 0), path: PathBuf::new(), message: message.into() }
    }

    /// A failed system call: `what` says what was being done when it failed. The system's own words for the errno are not part of the
    /// message: every language adds its own, once.
    pub fn io(op: Op, error: &std::io::Error, what: &str) -> Error {
        let errno = errno_of(error);
        let status = Cause::of_errno(errno).status();
        Error { errno, ..Error::new(status, op, format!("{what} failed")) }
    }

    pub fn at(mut self, path: &Path) -> Error {
        self.path = path.to_path_buf();
        self
    }

    pub fn partition(mut self, id: u64) -> Error {
        self.partition_id = id;
        self
    }

    pub fn range(mut self, first: u64, last: u64) -> Error {
        self.range = (first, last);
        self
    }

    pub fn with_op(mut self, op: Op) -> Error {
        self.op = op;
        self
    }

    /// The cause that this error latches a partition with.
    pub fn cause(&self) -> Cause {
        match self.status {
            Status::NoSpace => Cause::NoSpace,
            Status::ReadOnlyFilesystem => Cause::ReadOnlyFilesystem,
            Status::Stalled => Cause::Stalled,
            Status::Panic => Cause::Panic,
            Status::Damaged => Cause::Damage,
            Status::ResourceExhausted => Cause::Resource,
            Status::LostEntries => Cause::LostEntries,
            Status::Fenced => Cause::Fenced,
            Status::UnsupportedFilesystem => Cause::UntestedFilesystem,
            _ => Cause::IoError,
        }
    }
}

/// The errno of an I/O error. An error without one (a write that wrote nothing) counts as EIO: the disk did not do its work.
pub fn errno_of(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {:?}", self.status, self.op)?;
        if self.partition_id != 0 {
            write!(f, ", partition {}", self.partition_id)?;
        }
        if self.range != (0, 0) {
            write!(f, ", entries {} to {}", self.range.0, self.range.1)?;
        }
        if !self.path.as_os_str().is_empty() {
            write!(f, ", {}", self.path.display())?;
        }
        write!(f, ": {}", self.message)?;
        if self.errno != 0 {
            write!(f, ": {}", std::io::Error::from_raw_os_error(self.errno))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
