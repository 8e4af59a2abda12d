//! What a directory holds: a root of ours, nothing yet, a CubeFS log, or something foreign.

use super::root::{root_error, NEW_ROOT_NAME, ROOT_NAME};
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::{LogName, META_NAME};
use crate::format::{Root, RootError, ROOT_BYTES, SLOT_BYTES};
use crate::io::{read_full_at, Access, Dir};
use crate::segment::Segment;
use std::io;

/// A root as it lies in its file.
pub(super) struct StoredRoot {
    pub root: Root,
    /// Both slots of its pair hold it, and all could be read. A write that was cut short leaves one, and then losing that would bring an older
    /// state back; one that cannot be read now may hold a newer state that failed, and bring that back.
    pub twice: bool,
}

/// The root, or `None` for a directory that holds nothing yet.
pub(super) fn read_root(dir: &dyn Dir) -> Result<Option<StoredRoot>> {
    let file = match dir.open(ROOT_NAME, Access::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return no_root(dir),
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) || e.raw_os_error() == Some(libc::EINVAL) => {
            return Err(Error::new(
                Status::Foreign,
                Op::Open,
                "`root` is not a regular file; this is not a directory that Bulkhead made",
            ));
        }
        Err(e) => return Err(Error::io(Op::Open, &e, "opening the root")),
    };
    let mut bytes = vec![0u8; ROOT_BYTES];
    let mut failed = None;
    for (n, block) in bytes.chunks_mut(ROOT_BYTES / 4).enumerate() {
        // A slot that cannot be read is a lost slot, no more.
        let offset = (n * ROOT_BYTES / 4) as u64;
        let slot = &mut block[..SLOT_BYTES];
        let read = read_full_at(&*file, slot, offset).and_then(|n| match file.len()? {
            // A read that ends before the file does has read nothing of what is there.
            len if (n as u64) < (slot.len() as u64).min(len.saturating_sub(offset)) => {
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            _ => Ok(()),
        });
        if let Err(e) = read {
            slot.fill(0xFF);
            failed = Some(e);
        }
    }
    match (Root::decode_file(&bytes), failed) {
        (Ok(root), failed) => {
            let twice = failed.is_none() && root.is_twice_in(&bytes);
            Ok(Some(StoredRoot { root, twice }))
        }
        (Err(RootError::VersionTooNew(v)), _) => Err(root_error(&RootError::VersionTooNew(v), Op::Open)),
        (Err(_), Some(e)) => Err(Error::io(Op::Open, &e, "reading the root")),
        (Err(e), None) => Err(root_error(&e, Op::Open)),
    }
}

/// Without a root: a fresh directory, one whose creation a crash cut short, or something else.
fn no_root(dir: &dyn Dir) -> Result<Option<StoredRoot>> {
    let names = dir.list().map_err(|e| Error::io(Op::Open, &e, "listing the directory"))?;
    let meta_is_file = meta_is_file(dir, &names)?;
    needs_import(&names, meta_is_file)?;
    if names.iter().any(|n| Segment::parse_name(n).is_some()) {
        return Err(Error::new(
            Status::Damaged,
            Op::Open,
            "the root is missing although there are segments; restore the replica from its peers or a backup",
        ));
    }
    // `META` is ours only if it is a directory; CubeFS's is a file.
    let ours = |n: &String| n == NEW_ROOT_NAME || n == "kept" || n == "lost+found" || (n == META_NAME && !meta_is_file);
    match names.iter().find(|n| !ours(n)) {
        Some(name) => Err(Error::new(
            Status::Foreign,
            Op::Open,
            format!("the directory holds `{name}` and no Bulkhead root; give a partition's directory, or an empty one for a new partition"),
        )),
        None => Ok(None),
    }
}

/// Where an import makes the new log (`src/cubefs`).
pub const CUBEFS_IMPORT: &str = "cubefs-import";
/// Where an export in place puts the log's files, and they stay.
pub const BULKHEAD_ORIGINAL: &str = "bulkhead-original";
/// Where an export makes CubeFS's files, until they are in their place.
pub const CUBEFS_EXPORT: &str = "cubefs-export";
const CUT_SHORT: &str = "an import or export was cut short here; import the directory to finish it";

/// CubeFS's META is a file. A disk that does not answer does not make it one.
fn meta_is_file(dir: &dyn Dir, names: &[String]) -> Result<bool> {
    if !names.iter().any(|n| n == META_NAME) {
        return Ok(false);
    }
    match dir.subdir(META_NAME) {
        Ok(_) => Ok(false),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP)) => Ok(true),
        Err(e) => Err(Error::io(Op::Open, &e, "looking at META")),
    }
}

/// A second log beside one of CubeFS's, or beside an import that was cut short, would be a log with vote 0 that the group never had.
fn needs_import(names: &[String], meta_is_file: bool) -> Result<()> {
    let has = |name: &str| names.iter().any(|n| n == name);
    let message = if meta_is_file || (!has(META_NAME) && names.iter().any(|n| LogName::parse(n).is_some())) {
        "the directory holds a CubeFS log; import it first"
    } else if has(CUBEFS_IMPORT) || (has(BULKHEAD_ORIGINAL) && has(CUBEFS_EXPORT)) {
        CUT_SHORT
    } else {
        return Ok(());
    };
    Err(Error::new(Status::NeedsImport, Op::Open, message))
}

/// Why a file of the log is not there: a power cut has brought the root back from a conversion, and the file not yet. An import goes on.
pub(super) fn is_moved_away(dir: &dyn Dir, name: &str) -> Option<Error> {
    let lies_in = |sub: &str| {
        let Ok(sub) = dir.subdir(sub) else { return false };
        let has_no_root = sub.open(ROOT_NAME, Access::Read).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        has_no_root && sub.open(name, Access::Read).is_ok()
    };
    let found = lies_in(CUBEFS_IMPORT) || lies_in(BULKHEAD_ORIGINAL);
    found.then(|| Error::new(Status::NeedsImport, Op::Open, CUT_SHORT))
}
