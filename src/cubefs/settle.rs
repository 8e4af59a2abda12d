//! What a conversion that was cut short has left: it is finished or undone, and what it left is removed.

use super::import::read_root_named;
use super::names::{fail, is_file, remove_tree, remove_trees};
use super::switch::{self, Shape, BULKHEAD_ORIGINAL, CUBEFS_ORIGINAL, EXPORT, IMPORT};
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::io::Dir;
use crate::partition::{finish_arrival, ROOT_NAME};

/// Finishes or undoes what was cut short, and removes what it left. The directory is locked.
pub fn settle(dir: &dyn Dir) -> Result<Shape> {
    match switch::shape(dir)? {
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
