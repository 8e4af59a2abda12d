//! After an import: back to what was, as long as nothing has changed since, or the original is let go.

use super::content::sync_files;
use super::import::{read_root_named, refuse_damage};
use super::names;
use super::scan::{Limits, Meter};
use super::switch::{self, Shape};
use super::{Conversion, Inspection};
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::format::{Root, MAX_DATA_BYTES, RECORD_HEADER_BYTES};
use crate::io::Dir;
use crate::partition::{HardState, Survey, BULKHEAD_ORIGINAL, ROOT_NAME};
use std::io;

impl Conversion<'_> {
    /// Makes an imported directory CubeFS's again, with its original files. Only as long as nothing has changed: no append, no vote, no
    /// commit, no compaction; after that, export. The original is read first: it must be the log that was imported.
    ///
    /// Errors: `NotFound` (no import that can be undone), `OutOfOrder` (the log has changed since: export it), `Damaged` (the original is not
    /// what was imported: export the log), and those of `import`.
    pub fn undo_import(&self) -> Result<()> {
        self.apart(Op::Import, |c| {
            let dir = c.lock()?;
            let shape = c.settle(&*dir)?;
            let original = dir.subdir(switch::CUBEFS_ORIGINAL);
            let original = match (shape, original) {
                (Shape::Bulkhead, Ok(original)) => original,
                _ => {
                    return Err(Error::new(
                        Status::NotFound,
                        Op::Import,
                        "there is no import here that could be undone",
                    ))
                }
            };
            let (_, root) = read_root_named(&*dir, ROOT_NAME)?;
            c.check_id(&root)?;
            match unchanged(&*original, &root)? {
                None => {
                    let message = "the original is being discarded, or has been; export the log instead";
                    Err(Error::new(Status::NotFound, Op::Import, message))
                }
                Some(false) => {
                    let message = "the log has changed since it was imported; export it instead";
                    Err(Error::new(Status::OutOfOrder, Op::Import, message))
                }
                Some(true) => {
                    c.check_original(&*original, &root)?;
                    switch::to_cubefs(&*dir, switch::CUBEFS_ORIGINAL, switch::IMPORT)?;
                    names::remove_trees(&*dir, &[switch::CUBEFS_ORIGINAL, switch::IMPORT])
                }
            }
        })
    }

    /// Removes what an import or an export in place kept. The log itself is read first: what it keeps must be good before the other copy goes.
    ///
    /// Errors: `NotFound` (nothing is kept), `Damaged` (the log is not whole: nothing was removed), and those of `import`.
    pub fn discard_original(&self) -> Result<()> {
        self.apart(Op::Import, |c| {
            let dir = c.lock()?;
            let shape = c.settle(&*dir)?;
            let kept = [switch::CUBEFS_ORIGINAL, BULKHEAD_ORIGINAL];
            let kept: Vec<_> = kept.into_iter().filter(|name| dir.subdir(name).is_ok()).collect();
            if kept.is_empty() || !matches!(shape, Shape::Bulkhead | Shape::Cubefs) {
                return Err(Error::new(Status::NotFound, Op::Import, "nothing is kept here that could be discarded"));
            }
            let dir = if shape == Shape::Cubefs {
                sync_files(&*dir, true)?;
                refuse_damage(&c.check(&*dir)?)?;
                dir
            } else {
                drop(dir); // and with it the lock, which the log takes
                c.check_log()?;
                c.lock()?
            };
            kept.into_iter().try_for_each(|name| {
                let first = if name == switch::CUBEFS_ORIGINAL { switch::IMPORTED_ROOT } else { META_NAME };
                names::remove_tree_first(&*dir, name, first)
            })
        })
    }

    /// CubeFS's files are, on the disk, the log that was imported: when they take its place the other copy goes.
    fn check_original(&self, original: &dyn Dir, root: &Root) -> Result<()> {
        // It was imported: the limits of an engine that it was not imported with say nothing of it.
        let limits = Limits { max_entry_bytes: MAX_DATA_BYTES, known_index: 0 };
        let found = sync_files(original, true).and_then(|()| self.check_within(original, limits)).and_then(|report| {
            refuse_damage(&report)?;
            let last = (report.last_index, report.last_term);
            let compaction = (report.compaction_index, report.compaction_term);
            let HardState { term, vote, commit } = report.hard_state;
            let same = last == (root.end.index, root.end.term)
                && compaction == (root.compaction_index, root.compaction_term)
                && (term, vote, commit) == (root.term, root.vote, root.commit);
            let message = "its end, compaction point or hard state is not what was imported; nothing was changed";
            same.then_some(()).ok_or_else(|| Error::new(Status::Damaged, Op::Import, message))
        });
        found.map_err(|e| {
            let message = format!("cubefs-original: {}; export the log instead", e.message);
            Error { message, ..e }
        })
    }

    /// A Bulkhead log that is whole: read from the disk, and told of.
    fn check_log(&self) -> Result<()> {
        let partition = self.open_existing()?;
        let read = self.read_log();
        let closed = partition.close();
        read.and(closed)
    }

    fn read_log(&self) -> Result<()> {
        let survey = Survey::of(self.engine.storage(), &self.path)?;
        survey.fault().map_or(Ok(()), |fault| Err(fault.clone()))?;
        let meter = Meter::new(survey.log_bytes(), self.progress);
        let (first, last) = survey.bounds();
        let bad = survey.read(first, last, &mut |_, _, _, data| {
            meter.add((RECORD_HEADER_BYTES + data.len()) as u64);
            true
        })?;
        meter.finish();
        let Some((bad_first, bad_last)) = bad.first().zip(bad.last()).map(|(a, b)| (a.0, b.1)) else { return Ok(()) };
        let message = "entries of the log do not read back; the original is kept";
        Err(Error::new(Status::Damaged, Op::Verify, message).range(bad_first, bad_last))
    }

    /// What the directory is, without changing anything and without its lock.
    pub(super) fn look(&self, dir: &dyn Dir) -> Result<Inspection> {
        let shape = switch::shape(dir)?;
        let mut found = Inspection::new(shape);
        found.bulkhead_original = dir.subdir(BULKHEAD_ORIGINAL).is_ok();
        match dir.subdir(switch::CUBEFS_ORIGINAL) {
            Ok(original) if shape == Shape::Bulkhead => {
                found.cubefs_original = true;
                let root = read_root_named(dir, ROOT_NAME);
                found.undoable = root.is_ok_and(|(_, root)| matches!(unchanged(&*original, &root), Ok(Some(true))));
            }
            _ => {}
        }
        Ok(found)
    }
}

/// Whether a root says the same as when it was imported; `None` if that is not known any more, or there is no META to go back to.
fn unchanged(original: &dyn Dir, root: &Root) -> Result<Option<bool>> {
    if names::kind(original, META_NAME)? != names::Kind::File {
        return Ok(None);
    }
    let imported = match original.open(switch::IMPORTED_ROOT, crate::io::Access::Read) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        _ => read_root_named(original, switch::IMPORTED_ROOT)?.1,
    };
    let log = |r: &Root| {
        let hard_state = (r.term, r.vote, r.commit);
        (r.incarnation, hard_state, r.compaction_index, r.compaction_term, r.end, r.clean)
    };
    Ok(Some(log(&imported) == log(root)))
}
