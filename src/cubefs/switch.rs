//! How a directory changes hands, and how a change that was cut short is finished or undone. `docs/format.md` has the table.
//!
//! META decides whose a directory is: a file is CubeFS's, a directory is Bulkhead's. Exchanging the two is one system call, and the moment
//! at which a switch is made. `root` is the last of Bulkhead's files to arrive and the first to leave: while it is not in its place the
//! partition layer refuses the directory, and `settle` says what becomes of it.

use super::import::read_root_named;
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::{LogName, META_NAME};
use crate::io::{Access, Dir};
use crate::partition::{finish_arrival, root_arrives, BAD_FILE_PREFIX, CUBEFS_IMPORT, ROOT_NAME};
use crate::segment::{remove_if_there, Segment};
use std::io;
use std::sync::Arc;

/// Where Bulkhead's files are made during an import, and where they go during an undo.
pub const IMPORT: &str = CUBEFS_IMPORT;
/// CubeFS's files after an import.
pub const CUBEFS_ORIGINAL: &str = "cubefs-original";
/// Where CubeFS's files are made during an export.
pub const EXPORT: &str = "cubefs-export";
/// Bulkhead's files after an export in place.
pub const BULKHEAD_ORIGINAL: &str = "bulkhead-original";
/// In `CUBEFS_ORIGINAL`: a copy of the root as the import made it. Without it the import cannot be undone.
pub const IMPORTED_ROOT: &str = "imported-root";

/// Whose a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Shape {
    /// Nobody's: no log in it.
    Empty = 1,
    Cubefs = 2,
    Bulkhead = 3,
    /// An import or an undo that was cut short; it goes on to `Bulkhead`.
    Importing = 4,
    /// An export that was cut short; it goes back to `Bulkhead`.
    Exporting = 5,
    /// A mixture that none of this leaves.
    Unknown = 6,
}

pub fn fail<'e>(what: &'e str) -> impl Fn(io::Error) -> Error + 'e {
    move |e| match e.raw_os_error() {
        Some(libc::EINVAL) if what.starts_with("exchanging") => Error::new(
            Status::UnsupportedFilesystem,
            Op::Import,
            "the filesystem cannot exchange two names in one step (renameat2); ext4, xfs and btrfs can",
        ),
        _ => Error::io(Op::Import, &e, what),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Missing,
    File,
    Dir,
}

fn kind(dir: &dyn Dir, name: &str) -> Result<Kind> {
    match dir.open(name, Access::Read) {
        Ok(_) => Ok(Kind::File),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Kind::Missing),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => match dir.subdir(name) {
            Ok(_) => Ok(Kind::Dir),
            Err(e) if e.raw_os_error() == Some(libc::ENOTDIR) => {
                Err(Error::new(Status::Foreign, Op::Import, format!("`{name}` is neither a file nor a directory")))
            }
            Err(e) => Err(Error::io(Op::Import, &e, &format!("opening {name}"))),
        },
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => {
            Err(Error::new(Status::Symlink, Op::Import, format!("`{name}` is a symbolic link")))
        }
        Err(e) => Err(Error::io(Op::Import, &e, &format!("opening {name}"))),
    }
}

fn is_file(dir: &dyn Dir, sub: &str, name: &str) -> Result<bool> {
    match dir.subdir(sub) {
        Ok(sub) => Ok(kind(&*sub, name)? == Kind::File),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(Op::Import, &e, &format!("opening {sub}"))),
    }
}

/// Looks; changes nothing.
pub fn shape(dir: &dyn Dir) -> Result<Shape> {
    let names = dir.list().map_err(fail("listing the directory"))?;
    let logs = names.iter().any(|n| LogName::parse(n).is_some());
    let segments = names.iter().any(|n| Segment::parse_name(n).is_some());
    Ok(match (kind(dir, META_NAME)?, kind(dir, ROOT_NAME)?) {
        (Kind::Dir, Kind::File) => Shape::Bulkhead,
        (Kind::Missing, Kind::File) if !logs => Shape::Bulkhead,
        (Kind::Dir, Kind::Missing) if is_file(dir, IMPORT, ROOT_NAME)? => Shape::Importing,
        (Kind::Dir, Kind::Missing) if is_file(dir, BULKHEAD_ORIGINAL, ROOT_NAME)? => Shape::Exporting,
        (Kind::File, Kind::Missing) => Shape::Cubefs,
        (Kind::Missing, Kind::Missing) if logs && !segments => Shape::Cubefs,
        (_, Kind::Missing) if !logs && !segments => Shape::Empty,
        _ => Shape::Unknown,
    })
}

/// Finishes or undoes what was cut short, and removes what it left. The directory is locked.
pub fn settle(dir: &dyn Dir) -> Result<Shape> {
    match shape(dir)? {
        Shape::Importing => {
            finish_import(dir)?;
            Ok(Shape::Bulkhead)
        }
        Shape::Exporting => {
            back_from_export(dir)?;
            Ok(Shape::Bulkhead)
        }
        Shape::Unknown => Err(Error::new(
            Status::Foreign,
            Op::Import,
            "the directory holds parts of a CubeFS log and of a Bulkhead log that no import leaves; nothing was changed",
        )),
        Shape::Cubefs => {
            remove_trees(dir, &[IMPORT, EXPORT])?;
            if is_file(dir, CUBEFS_ORIGINAL, META_NAME)? {
                let message = "the directory holds a CubeFS log and another one in `cubefs-original`; move one of them away";
                return Err(Error::new(Status::Foreign, Op::Import, message));
            }
            remove_tree(dir, CUBEFS_ORIGINAL)?;
            Ok(Shape::Cubefs)
        }
        Shape::Bulkhead => {
            if is_file(dir, IMPORT, ROOT_NAME)? && !is_old_name(dir)? {
                let message = "the directory holds a Bulkhead log and another one in `cubefs-import`; move one of them away";
                return Err(Error::new(Status::Foreign, Op::Import, message));
            }
            let mut left = vec![IMPORT];
            if !is_file(dir, BULKHEAD_ORIGINAL, ROOT_NAME)? {
                left.push(BULKHEAD_ORIGINAL);
            }
            if left.iter().any(|name| dir.subdir(name).is_ok()) {
                finish_arrival(dir)?; // the root may have come from there
            }
            left.push(EXPORT);
            remove_trees(dir, &left)?;
            Ok(Shape::Bulkhead)
        }
        Shape::Empty => Ok(Shape::Empty),
    }
}

/// A root in `IMPORT` beside the one in its place is the same log's, where a power cut has brought its old name back.
fn is_old_name(dir: &dyn Dir) -> Result<bool> {
    let import = dir.subdir(IMPORT).map_err(fail("opening cubefs-import"))?;
    let (old, new) = (read_root_named(&*import, ROOT_NAME)?.1, read_root_named(dir, ROOT_NAME)?.1);
    Ok(old.incarnation == new.incarnation)
}

/// Opens a subdirectory, which is made if it is missing.
pub fn make_dir(dir: &dyn Dir, name: &str) -> Result<Arc<dyn Dir>> {
    match dir.mkdir(name) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(fail(&format!("creating {name}"))(e)),
        _ => {}
    }
    dir.subdir(name).map_err(fail(&format!("opening {name}")))
}

/// The switch to Bulkhead, whose files lie ready in `IMPORT`. What follows the exchange is `finish_import`'s.
pub fn to_bulkhead(dir: &dyn Dir) -> Result<()> {
    let original = dir.subdir(CUBEFS_ORIGINAL).map_err(fail("opening cubefs-original"))?;
    exchange_meta(dir, CUBEFS_ORIGINAL, &*original).inspect_err(|_| void_import(dir))?;
    finish_import(dir)
}

/// CubeFS has its log back and may go on in it. If a power cut brings the exchange again after all, the import must not be finished with what
/// the log was before.
fn void_import(dir: &dyn Dir) {
    if let (Ok(Shape::Cubefs), Ok(import)) = (shape(dir), dir.subdir(IMPORT)) {
        let _ = remove_if_there(&*import, ROOT_NAME).and_then(|()| import.sync());
    }
}

/// If that cannot be made durable it is taken back: whoever opens the directory would go on in a log that a power cut takes, and another sync
/// that says yes would prove nothing.
fn exchange_meta(dir: &dyn Dir, sub: &str, other: &dyn Dir) -> Result<()> {
    let exchange = || dir.exchange(META_NAME, &format!("{sub}/{META_NAME}"));
    exchange().map_err(fail("exchanging META"))?;
    sync(dir).and_then(|()| sync(other)).inspect_err(|_| drop(exchange().and_then(|()| dir.sync())))
}

/// The same where the file lies beside the directory META, under the name `new`: that is CubeFS's from here on, and the directory goes.
pub fn meta_arrives(dir: &dyn Dir, new: &str) -> Result<()> {
    let exchange = || dir.exchange(META_NAME, new).map_err(fail("exchanging META"));
    exchange()?;
    let back = || make_dir(dir, new).and_then(|_| exchange()).and_then(|()| sync(dir));
    remove_tree(dir, new).inspect_err(|_| drop(back()))
}

fn sync(dir: &dyn Dir) -> Result<()> {
    dir.sync().map_err(fail("syncing a directory"))
}

fn is_log(name: &str) -> bool {
    LogName::parse(name).is_some()
}

/// Bulkhead's own but for `root`, which moves alone, and META, which is exchanged.
fn is_ours(name: &str) -> bool {
    is_the_logs(name) || name == CUBEFS_ORIGINAL
}

/// The same without what an import keeps.
fn is_the_logs(name: &str) -> bool {
    Segment::parse_name(name).is_some() || name.starts_with(BAD_FILE_PREFIX) || matches!(name, "kept" | "root.new")
}

/// Moves names from one place in `dir` to another; a place is a subdirectory's name with a slash, or nothing.
fn move_all(dir: &dyn Dir, from: &str, to: &str, which: fn(&str) -> bool) -> Result<()> {
    let names = match from.strip_suffix('/') {
        Some(sub) => dir.subdir(sub).and_then(|sub| sub.list()),
        None => dir.list(),
    };
    let mut names = names.map_err(fail("listing a directory"))?;
    names.retain(|n| which(n));
    names.sort();
    for name in names {
        dir.rename(&format!("{from}{name}"), &format!("{to}{name}")).map_err(fail("moving a file"))?;
    }
    Ok(())
}

/// From the exchange of META on: CubeFS's logs go, Bulkhead's files come, `root` last. Can be repeated from anywhere on the way.
fn finish_import(dir: &dyn Dir) -> Result<()> {
    let original = make_dir(dir, CUBEFS_ORIGINAL)?;
    move_all(dir, "", &format!("{CUBEFS_ORIGINAL}/"), is_log)?;
    // What an earlier call has moved moves again: it may have failed to make that durable, and another sync alone would prove nothing. So does
    // META: a directory for a directory.
    move_all(dir, "", &format!("{IMPORT}/"), is_the_logs)?;
    dir.exchange(META_NAME, &format!("{IMPORT}/{META_NAME}")).map_err(fail("exchanging META"))?;
    move_all(dir, &format!("{IMPORT}/"), "", is_the_logs)?;
    sync(&*original)?;
    sync(dir)?;
    root_arrives(dir, IMPORT)?;
    remove_tree(dir, IMPORT)
}

/// The way back to CubeFS: its files are in `from`, Bulkhead's go to `to`. The mirror image of an import. What is left in `from` is the
/// caller's to remove.
pub fn to_cubefs(dir: &dyn Dir, from: &str, to: &str) -> Result<()> {
    let away = make_dir(dir, to)?;
    // Whoever points a stock CubeFS at the place where they go is refused, too.
    make_dir(&*away, META_NAME)?;
    sync(&*away)?;
    sync(dir)?;
    dir.rename(ROOT_NAME, &format!("{to}/{ROOT_NAME}")).map_err(fail("moving the root"))?;
    sync(&*away)?;
    sync(dir)?;
    let undo = from == CUBEFS_ORIGINAL;
    let which = if undo { is_the_logs } else { is_ours };
    move_all(dir, "", &format!("{to}/"), which)?;
    move_all(dir, &format!("{from}/"), "", is_log)?;
    let source = dir.subdir(from).map_err(fail("opening where CubeFS's files are"))?;
    sync(&*away)?;
    sync(&*source)?;
    sync(dir)?;
    exchange_meta(dir, from, &*source)
}

/// An export that was cut short before META was exchanged: Bulkhead's files come back, `root` last.
fn back_from_export(dir: &dyn Dir) -> Result<()> {
    make_dir(dir, EXPORT)?;
    move_all(dir, "", &format!("{EXPORT}/"), is_log)?;
    move_all(dir, "", &format!("{BULKHEAD_ORIGINAL}/"), is_ours)?; // as in an import
    move_all(dir, &format!("{BULKHEAD_ORIGINAL}/"), "", is_ours)?;
    sync(dir)?;
    root_arrives(dir, BULKHEAD_ORIGINAL)?;
    remove_trees(dir, &[BULKHEAD_ORIGINAL, EXPORT])
}

/// Removes a subdirectory with what is in it, `first` before the rest. Nothing happens if there is none.
pub fn remove_tree_first(dir: &dyn Dir, name: &str, first: &str) -> Result<()> {
    match dir.subdir(name) {
        Ok(sub) => {
            remove_if_there(&*sub, first).map_err(fail("removing a file"))?;
            sync(&*sub)?;
            remove_tree(dir, name)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fail("opening a directory")(e)),
    }
}

pub fn remove_tree(dir: &dyn Dir, name: &str) -> Result<()> {
    remove_trees(dir, &[name])
}

/// What it removes stays removed.
pub fn remove_trees(dir: &dyn Dir, names: &[&str]) -> Result<()> {
    let removed = names.iter().try_fold(false, |any, name| Ok(remove_unsynced(dir, name)? || any))?;
    if removed {
        sync(dir)?;
    }
    Ok(())
}

/// False if there was nothing.
fn remove_unsynced(dir: &dyn Dir, name: &str) -> Result<bool> {
    let sub = match dir.subdir(name) {
        Ok(sub) => sub,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(fail(&format!("opening {name}"))(e)),
    };
    for entry in sub.list().map_err(fail(&format!("listing {name}")))? {
        match sub.unlink(&entry) {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EISDIR | libc::EPERM)) => {
                remove_unsynced(&*sub, &entry)?;
            }
            other => other.map_err(fail(&format!("removing {name}/{entry}")))?,
        }
    }
    dir.remove_dir(name).map_err(fail(&format!("removing {name}")))?;
    Ok(true)
}
