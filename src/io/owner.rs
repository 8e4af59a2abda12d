//! Whose files are: what root makes in a directory of somebody else's is that one's, or he could not read his own log any more.

use super::sys::{check, fstat};
use std::io;
use std::os::fd::RawFd;

/// User and group of a directory, where what is made in it is to be theirs.
#[derive(Clone, Copy)]
pub(super) struct Owner(u32, u32);

impl Owner {
    /// None for who is not root, and of a directory that is root's.
    pub fn of(directory: RawFd) -> io::Result<Option<Owner>> {
        // SAFETY: it takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(None);
        }
        let stat = fstat(directory)?;
        Ok((stat.st_uid != 0).then_some(Owner(stat.st_uid, stat.st_gid)))
    }

    /// Gives it what was just made, if that is root's and has no other name. Where it cannot be given, as without the capability for it, it
    /// stays root's.
    pub fn take(self, made: RawFd) {
        let is_new = |stat: libc::stat| {
            let is_dir = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
            stat.st_uid == 0 && (is_dir || stat.st_nlink <= 1)
        };
        if fstat(made).is_ok_and(is_new) {
            // SAFETY: made is open.
            let _ = check(unsafe { libc::fchown(made, self.0, self.1) });
        }
    }
}
