//! Roots of closed logs on the move: a conversion or a backup brings one to its place when everything else is there.

use super::create::BAD_FILE_PREFIX;
use super::directory::{read_root, StoredRoot};
use super::root::{ended, has_no_segments, RootWriter, NEW_ROOT_NAME, ROOT_NAME};
use crate::error::{Error, Op, Result, Status};
use crate::format::Root;
use crate::io::Dir;
use std::io;

/// How often a root is written.
const TRIES: u32 = 3;

/// The root of a closed log moves from a subdirectory to its place. *Clean* is said under a durable name only (R7), so it is not said while the
/// name is new: whoever opens the log then writes the root anew. It is said again when a sync has covered the name.
pub(crate) fn root_arrives(dir: &dyn Dir, from: &str) -> Result<()> {
    let fail = |e: io::Error| Error::io(Op::Import, &e, "moving the root");
    let before = dir.subdir(from).map_err(fail)?;
    let Some(StoredRoot { mut root, .. }) = read_root(&*before)? else {
        return Err(Error::new(Status::NotFound, Op::Import, format!("there is no root in `{from}`")));
    };
    root.clean |= has_no_segments(&root.epoch); // it was on its way before
    let mut writer = RootWriter::over(&root, true);
    if root.clean {
        write(&mut writer, &*before, &mut ended(&root)).map_err(fail)?;
    }
    dir.rename(&format!("{from}/{ROOT_NAME}"), ROOT_NAME).map_err(fail)?;
    dir.sync().and_then(|()| before.sync()).map_err(fail)?;
    if root.clean {
        write(&mut writer, dir, &mut root).map_err(fail)?;
    }
    Ok(())
}

/// In place, or if that fails in another file, twice at most. One that could not be written keeps its blocks from the next: nobody's vote
/// waits for it.
fn write(writer: &mut RootWriter, dir: &dyn Dir, root: &mut Root) -> io::Result<()> {
    for _ in 1..TRIES {
        if writer.write(dir, root, None).is_ok() {
            return Ok(());
        }
        // It is not there if the old one failed; if it cannot be renamed the next write removes it.
        let _ = dir.rename(NEW_ROOT_NAME, &format!("{BAD_FILE_PREFIX}{:016x}-{}", 0, writer.generation));
    }
    writer.write(dir, root, None)
}

/// The end of an arrival that was cut short: a sync of the name may have failed, and another one that says yes would prove nothing. A new
/// file takes the root's place. The directory is locked.
pub(crate) fn finish_arrival(dir: &dyn Dir) -> Result<()> {
    let Some(StoredRoot { mut root, .. }) = read_root(dir)? else { return Ok(()) };
    if root.clean || !has_no_segments(&root.epoch) {
        return Ok(());
    }
    root.clean = true;
    let mut writer = RootWriter::over(&root, false);
    writer.broken = true;
    write(&mut writer, dir, &mut root).map_err(|e| Error::io(Op::Import, &e, "writing the root anew"))
}
