//! A bad block under a file that a conversion writes costs time and nothing else: everything is written again, on other blocks.

use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::io::Dir;
use crate::partition::BAD_FILE_PREFIX;
use std::io;

/// How often a conversion writes, the first time included.
const TRIES: u32 = 3;

/// A file that could not be written, synced or read back.
#[derive(Clone, Debug)]
pub struct BadFile {
    pub number: u64,
    pub name: String,
}

/// Calls `write`, which fills `dir`. If it fails and says that a file was the reason, it is called again: that file keeps its blocks, so that nothing
/// else gets them, and the rest is gone. The last failure is the caller's.
pub fn write_around_bad_blocks<T>(
    dir: &dyn Dir,
    mut write: impl FnMut(&mut Option<BadFile>) -> Result<T>,
) -> Result<T> {
    for number in 1..TRIES {
        let mut bad = None;
        match (write(&mut bad), bad) {
            (Err(e), Some(bad)) => set_aside(dir, &bad, number).map_err(|_| e)?,
            (written, _) => return written,
        }
    }
    write(&mut None)
}

fn set_aside(dir: &dyn Dir, bad: &BadFile, number: u32) -> io::Result<()> {
    dir.rename(&bad.name, &format!("{BAD_FILE_PREFIX}{:016x}-{number}", bad.number))?;
    let mut names = dir.list()?;
    names.retain(|name| name != META_NAME && !name.starts_with(BAD_FILE_PREFIX));
    names.iter().try_for_each(|name| dir.unlink(name))
}

/// The same for one file, which `write` makes and reads back: under one of `names`, wherever it fails.
pub fn write_one(dir: &dyn Dir, names: &[&str], mut write: impl FnMut() -> Result<()>) -> Result<()> {
    for number in 1..TRIES {
        match write() {
            Err(e) if e.status == Status::IoError => {
                // The segments' numbers begin with 1.
                let aside = |name: &&str| dir.rename(name, &format!("{BAD_FILE_PREFIX}{:016x}-{number}", 0)).is_ok();
                if !names.iter().any(aside) {
                    return Err(e);
                }
            }
            written => return written,
        }
    }
    write()
}

/// Removes them: who goes on in `dir` does not know them.
pub fn remove_bad_files(op: Op, dir: &dyn Dir) -> Result<()> {
    let fail = |e: io::Error| Error::io(op, &e, "removing a file that could not be written");
    let mut names = dir.list().map_err(fail)?;
    names.retain(|name| name.starts_with(BAD_FILE_PREFIX));
    names.iter().try_for_each(|name| dir.unlink(name)).map_err(fail)
}
