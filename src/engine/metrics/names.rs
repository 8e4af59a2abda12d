//! The values of labels.

use crate::error::{Cause, Op};
use crate::partition::{Mode, State};

pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::None => "none",
        Mode::Sync => "sync",
        Mode::Interval => "interval",
    }
}

pub fn state(state: State) -> &'static str {
    match state {
        State::ReadWrite => "ReadWrite",
        State::ReadOnly => "ReadOnly",
        State::Unavailable => "Unavailable",
        State::Recovering => "Recovering",
        State::Closed => "Closed",
    }
}

pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::None => "none",
        Cause::NoSpace => "no_space",
        Cause::IoError => "io_error",
        Cause::ReadOnlyFilesystem => "read_only_filesystem",
        Cause::Stalled => "stalled",
        Cause::Panic => "panic",
        Cause::Damage => "damage",
        Cause::Resource => "resource",
        Cause::LostEntries => "lost_entries",
        Cause::UntestedFilesystem => "untested_filesystem",
        Cause::VolatileFilesystem => "volatile_filesystem",
        Cause::Fenced => "fenced",
    }
}

pub fn op(op: Op) -> &'static str {
    match op {
        Op::None => "none",
        Op::Open => "open",
        Op::Append => "append",
        Op::Read => "read",
        Op::Compact => "compact",
        Op::Reset => "reset",
        Op::HardState => "hard_state",
        Op::Sync => "sync",
        Op::Recover => "recover",
        Op::Verify => "verify",
        Op::Close => "close",
        Op::Allocate => "allocate",
        Op::Status => "status",
        Op::Import => "import",
        Op::Export => "export",
        Op::Fence => "fence",
        Op::SetLimits => "set_limits",
    }
}

/// The system's name of an errno; its number for one that a disk does not usually give.
pub fn errno(errno: i32) -> String {
    let name = match errno {
        0 => "none",
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EEXIST => "EEXIST",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENFILE => "ENFILE",
        libc::EMFILE => "EMFILE",
        libc::EFBIG => "EFBIG",
        libc::ENOSPC => "ENOSPC",
        libc::EROFS => "EROFS",
        libc::EDQUOT => "EDQUOT",
        libc::ESTALE => "ESTALE",
        libc::EUCLEAN => "EUCLEAN",
        libc::EREMOTEIO => "EREMOTEIO",
        libc::ETIMEDOUT => "ETIMEDOUT",
        other => return other.to_string(),
    };
    name.to_string()
}
