//! `kept/`: what recovery cuts off is copied there before it can go, up to a bound.

use super::recovery::Found;
use super::verdict::Cut;
use super::Partition;
use crate::error::{errno_of, Cause, Error, Op, Result};
use crate::io::{write_all_at, Access, Dir, File};
use crate::segment::Cursor;
use std::io;

/// Most bytes in `kept/`; the rest of a larger cut stays in its segment until compaction removes that.
const KEPT_MAX_BYTES: u64 = 64 << 20;
const CHUNK_BYTES: usize = 1 << 20;
/// Behind the name of a copy that is not whole: what a crash has left of one is removed and made again.
const UNFINISHED: &str = ".new";

impl Partition {
    /// Copies the records behind the log's end, if there are any. Returns the bytes in `kept/`.
    pub(super) fn keep_cut(&self, dir: &dyn Dir, found: &Found) -> Result<u64> {
        let mut kept_bytes = 0;
        for cut in &found.cuts {
            match self.copy_cut(dir, cut) {
                Ok(total) => kept_bytes = total,
                // A full disk must not keep a partition from opening; the bytes stay where they are until compaction.
                Err(e) if Cause::of_errno(errno_of(&e)) == Cause::NoSpace || is_in_the_way(&e) => {}
                Err(e) => return Err(Error::io(Op::Open, &e, "keeping what recovery cuts off")),
            }
        }
        Ok(kept_bytes)
    }

    fn copy_cut(&self, dir: &dyn Dir, cut: &Cut) -> io::Result<u64> {
        match dir.mkdir("kept") {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => dir.sync()?,
        }
        let kept = dir.subdir("kept")?;
        let mut total = 0;
        let mut names = kept.list()?;
        names.sort();
        for name in &names {
            match name.ends_with(UNFINISHED) {
                true => kept.unlink(name).or_else(|e| if is_in_the_way(&e) { Ok(()) } else { Err(e) })?,
                // What cannot be looked at counts for nothing.
                false => total += kept.open(name, Access::Read).and_then(|file| file.len()).unwrap_or(0),
            }
        }
        let Cut { segment, from, to } = cut;
        let name = format!("cut-{:016x}-{from:016x}", segment.sequence());
        let length = to.saturating_sub(*from);
        if names.contains(&name) {
            // It is whole. Whoever made it may not have come to make its name durable.
            kept.sync()?;
            return Ok(total);
        }
        if total + length > KEPT_MAX_BYTES {
            return Ok(total);
        }
        let source = dir.open(&segment.name(), Access::Read)?;
        let unfinished = format!("{name}{UNFINISHED}");
        let copied = kept.create(&unfinished, Access::Buffered).and_then(|copy| {
            copy_part(&mut segment.cursor(&*source, *to), &*copy, *from)?;
            copy.sync()
        });
        if let Err(e) = copied {
            // On a full disk it would take what others wait for.
            let _ = kept.unlink(&unfinished);
            return Err(e);
        }
        kept.rename(&unfinished, &name)?;
        kept.sync()?;
        Ok(total + length)
    }
}

/// Something that is not ours stands where the copy is to be, or this process may not touch it. A sound log opens all the same.
fn is_in_the_way(e: &io::Error) -> bool {
    let errnos = [libc::ENOTDIR, libc::ELOOP, libc::EISDIR, libc::EEXIST, libc::EINVAL, libc::EACCES, libc::EPERM];
    e.raw_os_error().is_some_and(|errno| errnos.contains(&errno))
}

/// Copies what the cursor reads from `from` up to its limit. A bad sector in what nobody needs must not keep the log from opening or from being
/// repaired: the cursor has zeros in its place.
pub(super) fn copy_part(cursor: &mut Cursor<'_>, copy: &dyn File, from: u64) -> io::Result<()> {
    let mut at = from;
    loop {
        let part = cursor.bytes(at, CHUNK_BYTES);
        if part.is_empty() {
            return Ok(());
        }
        write_all_at(copy, &[part], at - from)?;
        at += part.len() as u64;
    }
}
