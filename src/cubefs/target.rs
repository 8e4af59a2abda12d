//! The directory that a log is exported to: made, and removed again if the export fails.

use super::names::{self, fail, Kind};
use super::switch::is_log;
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::io::{Dir, Storage};
use crate::partition::{make_dir, BAD_FILE_PREFIX};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

/// META until the target is whole.
pub const NEW_META: &str = "META.new";

pub fn make(storage: &dyn Storage, path: &Path) -> Result<Arc<dyn Dir>> {
    make_dir(storage, path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => Error::new(Status::AlreadyExists, Op::Export, what_exists(storage, path)).at(path),
        _ => Error::io(Op::Export, &e, "creating the target").at(path),
    })?;
    let failed = |e| Error::io(Op::Export, &e, "opening the target").at(path);
    storage.open_dir(path).inspect_err(|_| drop(storage.remove_dir(path))).map_err(failed)
}

/// What is in the way. Whoever is told to remove it must lose nothing: a directory META and a log's files that nobody reads.
fn what_exists(storage: &dyn Storage, path: &Path) -> &'static str {
    let is_exports = |name: &String| {
        is_log(name) || name.starts_with(BAD_FILE_PREFIX) || [META_NAME, NEW_META].contains(&name.as_str())
    };
    let is_cut_short = |dir: Arc<dyn Dir>| {
        names::kind(&*dir, META_NAME) == Ok(Kind::Dir) && dir.list().is_ok_and(|names| names.iter().all(is_exports))
    };
    match storage.open_dir(path).is_ok_and(is_cut_short) {
        true => "the target is what an export that was cut short has left, and no log; remove it, and export anew",
        false => "the target exists already; give a directory that is to be made",
    }
}

/// Removes it with what this call has written. META goes last: as a directory it makes a CubeFS binary refuse the rest. As a file it says that the
/// log is whole, and all stays.
pub fn remove(storage: &dyn Storage, path: &Path, dir: &dyn Dir) -> Result<()> {
    if names::kind(dir, META_NAME)? == Kind::File {
        return Ok(());
    }
    let list = dir.list().map_err(fail("listing the target"))?;
    for name in list.iter().filter(|name| *name != META_NAME) {
        match names::kind(dir, name)? {
            Kind::Dir => names::remove_tree(dir, name)?,
            _ => dir.unlink(name).map_err(fail("removing what was written"))?,
        }
    }
    names::sync(dir)?;
    names::remove_tree(dir, META_NAME)?;
    storage.remove_dir(path).and_then(|()| storage.sync_parent(path)).map_err(fail("removing the target"))
}
