//! What a conversion that was cut short has left: it is finished or undone, and what it left is removed.

use super::import::read_root_named;
use super::names::{fail, is_file, kind, move_missing, remove_trees, sync, Kind};
use super::switch::{self, is_log, is_ours, Shape, CUBEFS_ORIGINAL, EXPORT, IMPORT};
use super::Conversion;
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::io::{Access, Dir};
use crate::partition::{finish_arrival, BULKHEAD_ORIGINAL, ROOT_NAME};
use crate::segment::{read_header, Segment};
use std::io;

impl Conversion<'_> {
    /// Settles a directory, unless it is another partition's: also where the root that says so is not in its place.
    pub(super) fn settle(&self, dir: &dyn Dir) -> Result<Shape> {
        let away = |sub| {
            dir.subdir(sub).map_err(fail("opening where the root is")).and_then(|sub| read_root_named(&*sub, ROOT_NAME))
        };
        let root = match switch::shape(dir)? {
            Shape::Bulkhead => read_root_named(dir, ROOT_NAME).ok(),
            Shape::Importing => away(IMPORT).ok(),
            Shape::Exporting => away(BULKHEAD_ORIGINAL).ok(),
            _ => None,
        };
        // One that cannot be read says nothing here.
        root.map_or(Ok(()), |(_, root)| self.check_id(&root))?;
        settle(dir)
    }
}

/// Finishes or undoes what was cut short, and removes what it left. The directory is locked.
pub fn settle(dir: &dyn Dir) -> Result<Shape> {
    match switch::shape(dir)? {
        Shape::Importing if !is_file(dir, IMPORT, ROOT_NAME)? => {
            let original = dir.subdir(CUBEFS_ORIGINAL).map_err(fail("opening cubefs-original"))?;
            switch::exchange_meta(dir, CUBEFS_ORIGINAL, &*original)?;
            keep_cubefs(dir)?;
            Ok(Shape::Cubefs)
        }
        Shape::Importing => {
            switch::finish_import(dir)?;
            Ok(Shape::Bulkhead)
        }
        Shape::Exporting => {
            switch::back_from_export(dir)?;
            Ok(Shape::Bulkhead)
        }
        Shape::Unknown => Err(Error::new(
            Status::Foreign,
            Op::Import,
            "the directory holds parts of a CubeFS log and of a Bulkhead log that no import leaves; nothing was changed",
        )),
        Shape::Cubefs => {
            keep_cubefs(dir)?;
            Ok(Shape::Cubefs)
        }
        Shape::Bulkhead => {
            keep_bulkhead(dir)?;
            Ok(Shape::Bulkhead)
        }
        Shape::Empty => Ok(Shape::Empty),
    }
}

/// CubeFS's log is whole and durable before Bulkhead's files of it go.
fn keep_cubefs(dir: &dyn Dir) -> Result<()> {
    if is_file(dir, CUBEFS_ORIGINAL, META_NAME)? {
        let message = "the directory holds a CubeFS log and another one in `cubefs-original`; move one of them away";
        return Err(Error::new(Status::Foreign, Op::Import, message));
    }
    let left: Vec<_> = [IMPORT, EXPORT, CUBEFS_ORIGINAL].into_iter().filter(|name| dir.subdir(name).is_ok()).collect();
    if left.is_empty() {
        return Ok(());
    }
    let come_back = || [EXPORT, CUBEFS_ORIGINAL].into_iter().try_for_each(|sub| move_missing(dir, sub, is_log));
    come_back().and_then(|()| sync(dir)).map_err(switch::undecided)?;
    remove_trees(dir, &left)
}

/// Bulkhead's log is whole and durable before what a conversion has left goes.
fn keep_bulkhead(dir: &dyn Dir) -> Result<()> {
    if is_file(dir, IMPORT, ROOT_NAME)? && !is_old_name(dir)? {
        let message = "the directory holds a Bulkhead log and another one in `cubefs-import`; move one of them away";
        return Err(Error::new(Status::Foreign, Op::Import, message));
    }
    let mut left = vec![IMPORT];
    if !is_file(dir, BULKHEAD_ORIGINAL, ROOT_NAME)? {
        left.push(BULKHEAD_ORIGINAL);
    }
    for sub in &left {
        if lacks_what_is_in(dir, sub)? {
            // A power cut has brought the root back and not the rest, or the other way round: from where the root leaves first.
            if *sub == BULKHEAD_ORIGINAL {
                return switch::again_back_from_export(dir);
            }
            dir.rename(ROOT_NAME, &format!("{sub}/{ROOT_NAME}")).map_err(fail("moving the root"))?;
            return switch::finish_import(dir);
        }
    }
    if left.iter().any(|name| dir.subdir(name).is_ok()) {
        finish_arrival(dir)?; // the root may have come from there
    }
    left.push(EXPORT);
    remove_trees(dir, &left)
}

/// A file of the log whose root is in its place lies in `sub` alone. What a discard has left of another log's is not meant: it has no META.
fn lacks_what_is_in(dir: &dyn Dir, sub: &str) -> Result<bool> {
    let away = match dir.subdir(sub) {
        Ok(away) => away,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(fail(&format!("opening {sub}"))(e)),
    };
    if kind(&*away, META_NAME)? != Kind::Dir {
        return Ok(false);
    }
    let mut lacks = false;
    for name in away.list().map_err(fail(&format!("listing {sub}")))?.into_iter().filter(|name| is_ours(name)) {
        if Segment::parse_name(&name).is_some() && is_another_logs(dir, &*away, &name)? {
            return Ok(false);
        }
        lacks |= kind(dir, &name)? == Kind::Missing;
    }
    Ok(lacks)
}

fn is_another_logs(dir: &dyn Dir, away: &dyn Dir, segment: &str) -> Result<bool> {
    let file = away.open(segment, Access::Read).map_err(fail("opening a segment"))?;
    let header = read_header(&*file).map_err(fail("reading the header of a segment"))?;
    let root = read_root_named(dir, ROOT_NAME)?.1;
    Ok(header.is_ok_and(|header| header.incarnation != root.incarnation))
}

/// A root in `IMPORT` beside the one in its place is the same log's, where a power cut has brought its old name back.
fn is_old_name(dir: &dyn Dir) -> Result<bool> {
    let import = dir.subdir(IMPORT).map_err(fail("opening cubefs-import"))?;
    let (old, new) = (read_root_named(&*import, ROOT_NAME)?.1, read_root_named(dir, ROOT_NAME)?.1);
    Ok(old.incarnation == new.incarnation)
}
