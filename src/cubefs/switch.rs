//! How a directory changes hands, and how a change that was cut short is finished or undone. `docs/format.md` has the table.
//!
//! META decides whose a directory is: a file is CubeFS's, a directory is Bulkhead's. Exchanging the two is one system call, and the moment
//! at which a switch is made. `root` is the last of Bulkhead's files to arrive and the first to leave: while it is not in its place the
//! partition layer refuses the directory, and `settle` says what becomes of it.

use super::names::{fail, is_file, kind, make_dir, move_all, remove_tree, remove_trees, sync, Kind};
use crate::error::{Error, Result, Status};
use crate::format::cubefs::{LogName, META_NAME};
use crate::io::{Access, Dir};
use crate::partition::{root_arrives, BAD_FILE_PREFIX, BULKHEAD_ORIGINAL, CUBEFS_EXPORT, CUBEFS_IMPORT, ROOT_NAME};
use crate::segment::{remove_if_there, Segment};

/// Where Bulkhead's files are made during an import, and where they go during an undo.
pub const IMPORT: &str = CUBEFS_IMPORT;
/// CubeFS's files after an import.
pub const CUBEFS_ORIGINAL: &str = "cubefs-original";
/// Where CubeFS's files are made during an export.
pub const EXPORT: &str = CUBEFS_EXPORT;
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
    /// An import or an undo that was cut short; it goes on to `Bulkhead`. An import that was taken back goes back to `Cubefs`.
    Importing = 4,
    /// An export that was cut short; it goes back to `Bulkhead`.
    Exporting = 5,
    /// A mixture that none of this leaves.
    Unknown = 6,
}

/// Looks; changes nothing. A directory that changes hands between two looks at it may seem a mixture, once.
pub fn shape(dir: &dyn Dir) -> Result<Shape> {
    match shape_at_once(dir)? {
        Shape::Unknown => shape_at_once(dir),
        shape => Ok(shape),
    }
}

fn shape_at_once(dir: &dyn Dir) -> Result<Shape> {
    let names = dir.list().map_err(fail("listing the directory"))?;
    let logs = names.iter().any(|n| LogName::parse(n).is_some());
    let segments = names.iter().any(|n| Segment::parse_name(n).is_some());
    Ok(match (kind(dir, META_NAME)?, kind(dir, ROOT_NAME)?) {
        (Kind::Dir, Kind::File) => Shape::Bulkhead,
        (Kind::Missing, Kind::File) if !logs => Shape::Bulkhead,
        (Kind::Dir, Kind::Missing) if is_file(dir, IMPORT, ROOT_NAME)? => Shape::Importing,
        (Kind::Dir, Kind::Missing) if is_export(dir)? => Shape::Exporting,
        // META was given back to CubeFS, and a power cut has taken that.
        (Kind::Dir, Kind::Missing) if logs && !segments && is_file(dir, CUBEFS_ORIGINAL, META_NAME)? => {
            Shape::Importing
        }
        (Kind::File, Kind::Missing) => Shape::Cubefs,
        (Kind::Missing, Kind::Missing) if logs && !segments => Shape::Cubefs,
        (_, Kind::Missing) if !logs && !segments => Shape::Empty,
        _ => Shape::Unknown,
    })
}

/// An export is on its way: CubeFS's META lies ready from before the root leaves until it is back. Without that, what is in `BULKHEAD_ORIGINAL`
/// is kept from an earlier export, and another log has been here since.
fn is_export(dir: &dyn Dir) -> Result<bool> {
    Ok(is_file(dir, EXPORT, META_NAME)? && is_file(dir, BULKHEAD_ORIGINAL, ROOT_NAME)?)
}

/// The switch to Bulkhead, whose files lie ready in `IMPORT`. If it is cut short behind the exchange, `finish_import` goes on.
pub fn to_bulkhead(dir: &dyn Dir) -> Result<()> {
    let original = dir.subdir(CUBEFS_ORIGINAL).map_err(fail("opening cubefs-original"))?;
    exchange_meta(dir, CUBEFS_ORIGINAL, &*original).map_err(|e| match void_import(dir) {
        Ok(()) => e,
        Err(_) => undecided(e),
    })?;
    import_arrives(dir)
}

/// CubeFS has its log back and may go on in it. If a power cut brings the exchange again after all, the import must not be finished with what
/// the log was before.
fn void_import(dir: &dyn Dir) -> Result<()> {
    if shape(dir)? == Shape::Cubefs {
        let import = dir.subdir(IMPORT).map_err(fail("opening cubefs-import"))?;
        remove_if_there(&*import, ROOT_NAME).map_err(fail("removing the root"))?;
        sync(&*import)?;
    }
    Ok(())
}

/// An error that leaves it open whose the directory is after a power cut: whoever goes on in it before an import has settled that may lose
/// what he writes.
pub fn undecided(e: Error) -> Error {
    let message =
        format!("{}; whose the directory is may not be durable: import it before anybody opens it", e.message);
    Error { status: Status::Busy, message, ..e }
}

/// If that cannot be made durable it is taken back: whoever opens the directory would go on in a log that a power cut takes, and another sync
/// that says yes would prove nothing.
pub fn exchange_meta(dir: &dyn Dir, sub: &str, other: &dyn Dir) -> Result<()> {
    let exchange = || dir.exchange(META_NAME, &format!("{sub}/{META_NAME}"));
    exchange().map_err(fail("exchanging META"))?;
    sync(dir).and_then(|()| sync(other)).map_err(|e| match exchange().and_then(|()| dir.sync()) {
        Ok(()) => e,
        Err(_) => undecided(e),
    })
}

/// The same where the file lies beside the directory META, under the name `new`: that is CubeFS's from here on, and the directory goes.
pub fn meta_arrives(dir: &dyn Dir, new: &str) -> Result<()> {
    let exchange = || dir.exchange(META_NAME, new).map_err(fail("exchanging META"));
    exchange()?;
    let back = || make_dir(dir, new).and_then(|_| exchange()).and_then(|()| sync(dir));
    remove_tree(dir, new).inspect_err(|_| drop(back()))
}

pub fn is_log(name: &str) -> bool {
    LogName::parse(name).is_some()
}

/// Bulkhead's own but for `root`, which moves alone, and META, which is exchanged.
pub fn is_ours(name: &str) -> bool {
    is_the_logs(name) || name == CUBEFS_ORIGINAL
}

/// The same without what an import keeps.
pub fn is_the_logs(name: &str) -> bool {
    Segment::parse_name(name).is_some() || name.starts_with(BAD_FILE_PREFIX) || matches!(name, "kept" | "root.new")
}

/// An import or an undo that was cut short where META is Bulkhead's. Can be repeated from anywhere on the way.
pub fn finish_import(dir: &dyn Dir) -> Result<()> {
    make_dir(dir, CUBEFS_ORIGINAL)?;
    decide_for_bulkhead(dir, IMPORT)?;
    // What an earlier call has moved moves again: it may have failed to make that durable, and another sync alone would prove nothing.
    move_all(dir, &format!("{CUBEFS_ORIGINAL}/"), "", is_log)?;
    move_all(dir, "", &format!("{IMPORT}/"), is_the_logs)?;
    import_arrives(dir)
}

/// Whose the directory is, and that the root is in `sub`, is durable before any other file moves: a power cut that brought CubeFS's META or the
/// root back to their places would give somebody half a log. META moves again, as what else has moved: a directory for a directory.
fn decide_for_bulkhead(dir: &dyn Dir, sub: &str) -> Result<()> {
    let away = dir.subdir(sub).map_err(fail(&format!("opening {sub}")))?;
    make_dir(&*away, META_NAME)?;
    dir.exchange(META_NAME, &format!("{sub}/{META_NAME}")).map_err(fail("exchanging META"))?;
    sync(&*away)?;
    sync(dir)
}

/// CubeFS's logs go, Bulkhead's files come, `root` last.
fn import_arrives(dir: &dyn Dir) -> Result<()> {
    let original = dir.subdir(CUBEFS_ORIGINAL).map_err(fail("opening cubefs-original"))?;
    move_all(dir, "", &format!("{CUBEFS_ORIGINAL}/"), is_log)?;
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
    // Not every copy of a directory has one that is empty, and without it CubeFS's would have no place to come to.
    make_dir(dir, META_NAME)?;
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

/// The root alone is in its place, of a log that an export had moved away: it leaves again, and all come back. What says that an export is on
/// its way went when the root came.
pub fn again_back_from_export(dir: &dyn Dir) -> Result<()> {
    remove_tree(dir, EXPORT)?;
    let export = make_dir(dir, EXPORT)?;
    export.create(META_NAME, Access::Buffered).map_err(fail("creating META"))?;
    sync(&*export)?;
    sync(dir)?;
    dir.rename(ROOT_NAME, &format!("{BULKHEAD_ORIGINAL}/{ROOT_NAME}")).map_err(fail("moving the root"))?;
    back_from_export(dir)
}

/// An export that was cut short before META was exchanged: Bulkhead's files come back, `root` last.
pub fn back_from_export(dir: &dyn Dir) -> Result<()> {
    decide_for_bulkhead(dir, BULKHEAD_ORIGINAL)?;
    move_all(dir, &format!("{EXPORT}/"), "", is_log)?; // again, as in an import
    move_all(dir, "", &format!("{EXPORT}/"), is_log)?;
    move_all(dir, "", &format!("{BULKHEAD_ORIGINAL}/"), is_ours)?;
    move_all(dir, &format!("{BULKHEAD_ORIGINAL}/"), "", is_ours)?;
    sync(dir)?;
    root_arrives(dir, BULKHEAD_ORIGINAL)?;
    remove_trees(dir, &[BULKHEAD_ORIGINAL, EXPORT])
}
