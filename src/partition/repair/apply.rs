//! Does a repair. Up to the rename of the root the old directory is there, and behind it the repaired one.

use super::newest::is_written;
use super::{check, Repair, RepairOffer, RepairWay};
use crate::error::{Error, Op, Result, Status};
use crate::format::{Root, MAX_COUNTER};
use crate::io::Access;
use crate::partition::chain::Link;
use crate::partition::kept::copy_part;
use crate::partition::root::RootWriter;
use crate::partition::ROOT_NAME;
use crate::segment::{remove_if_there, Segment};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering;

const KEPT: &str = "kept";
const REPAIR: &str = "repair-";

fn fail(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |e| Error::io(Op::Recover, &e, what)
}

impl Repair {
    /// Makes an offer true, and reads the log back. Returns the names, with `kept/`, of what it left out.
    ///
    /// Errors: `InvalidArgument` (the way is not offered, or refused: nothing was changed), `NoSpace`, `IoError` and the like: the directory
    /// is as it was, or repaired already, which the next `plan` tells.
    pub fn apply(&self, way: RepairWay) -> Result<Vec<String>> {
        let at = |e: Error| if e.path.as_os_str().is_empty() { e.at(&self.path) } else { e };
        let refuse = |message: String| Error::new(Status::InvalidArgument, Op::Recover, message).at(&self.path);
        let offer = self.offers.iter().find(|o| o.way == way);
        let offer = offer.ok_or_else(|| refuse("nothing that can be read allows this way".into()))?;
        if let Some(refusal) = &offer.refusal {
            return Err(refuse(refusal.clone()));
        }
        if self.begun.load(Ordering::Relaxed) {
            return Err(refuse("this plan has been used, and the directory is another one perhaps: plan again".into()));
        }
        self.apply_offer(offer).map_err(at).map_err(|e| e.partition(self.partition_id()))
    }

    fn apply_offer(&self, offer: &RepairOffer) -> Result<Vec<String>> {
        let dir = &*self.dir;
        let mut root = offer.root;
        // What counts from now on is on the medium before the root says so.
        let chain = check(dir, &root)?.chain;
        for link in &chain {
            let synced = dir.open(&link.segment.name(), Access::Buffered).and_then(|f| f.sync());
            synced.map_err(fail("syncing a segment that stays"))?;
        }
        check(dir, &root)?;
        let outside = self.outside(&root)?;
        // What leaves the log, and what else the new root leaves out: numbers there are used again.
        let written = outside.iter().copied().filter(|n| is_written(dir, *n));
        let counted = self.pieces.segments.iter().map(|s| s.0);
        let stays = |n: &u64| chain.iter().any(|l| l.segment.sequence() == *n);
        let gone: BTreeSet<u64> = counted.chain(written).filter(|n| !stays(n)).collect();
        let generation = self.generation()?;
        let kept = self.keep(&root, &chain, &gone, generation)?;
        let mut writer = RootWriter::default();
        // Above the newest that a damaged pair of slots may have held.
        writer.generation = generation + 1;
        self.begun.store(true, Ordering::Relaxed);
        writer.replace(dir, &mut root, None).map_err(fail("writing the repaired root"))?;
        // A number without a file below one with a file looks like a segment that was lost.
        let unlinked: BTreeSet<u64> = gone.into_iter().chain(outside).collect();
        for name in unlinked.into_iter().rev().map(Segment::name_of) {
            let removed = match dir.open(&name, Access::Read) {
                Err(e) if is_no_file(&e) => dir.rename(&name, &kept_name(generation, &name)),
                _ => remove_if_there(dir, &name),
            };
            removed.map_err(fail("removing a segment that was kept"))?;
        }
        dir.sync().map_err(fail("syncing the directory"))?;
        check(dir, &root)?;
        Ok(kept)
    }

    /// The numbers of files that may have counted and lie outside of the new root's range.
    fn outside(&self, root: &Root) -> Result<Vec<u64>> {
        let names = self.dir.list().map_err(fail("listing the directory"))?;
        let old = &self.base.root;
        let may_count = |n: &u64| *n >= old.first_segment && (self.base.lost.is_some() || *n <= old.last_segment);
        let is_outside = |n: &u64| !(root.first_segment..=root.last_segment).contains(n);
        Ok(names.iter().filter_map(|n| Segment::parse_name(n)).filter(|n| may_count(n) && is_outside(n)).collect())
    }

    /// Of the root that is replaced. Where no slot tells it, one above those of all repairs before: what they have kept is nowhere else.
    fn generation(&self) -> Result<u64> {
        match self.dir.mkdir(KEPT) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(fail("creating kept")(e)),
            _ => {}
        }
        if !self.base.compaction_unknown {
            return Ok(self.base.root.generation);
        }
        let names = self.dir.subdir(KEPT).and_then(|kept| kept.list()).map_err(fail("listing kept"))?;
        let of_repair = |name: &String| u64::from_str_radix(name.strip_prefix(REPAIR)?.get(..16)?, 16).ok();
        // No log comes near the end of the range.
        Ok(names.iter().filter_map(of_repair).filter(|g| *g < MAX_COUNTER / 4).max().map_or(0, |g| g + 1))
    }

    /// Everything that the new root leaves out gets a second name in `kept/`, or, where a segment stays in part, a copy. Space that only a
    /// second name takes is none.
    fn keep(&self, root: &Root, chain: &[Link], gone: &BTreeSet<u64>, generation: u64) -> Result<Vec<String>> {
        let dir = &*self.dir;
        let kept = dir.subdir(KEPT).map_err(fail("opening kept"))?;
        let mut names = Vec::new();
        for source in gone.iter().map(|s| Segment::name_of(*s)).chain([ROOT_NAME.to_string()]) {
            let name = kept_name(generation, &source);
            match dir.open(&source, Access::Buffered) {
                Ok(file) => {
                    // In mode none it may be in the page cache alone.
                    file.sync().map_err(fail("syncing what is to be kept"))?;
                    // What an attempt before this one has left: the same file.
                    remove_if_there(dir, &name).map_err(fail("removing an earlier name"))?;
                    dir.link(&*file, &name).map_err(fail("keeping a file"))?;
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                // What is no file moves there, once the new root rules.
                Err(e) if is_no_file(&e) => {}
                Err(e) => return Err(fail("opening what is to be kept")(e)),
            }
            names.push(name);
        }
        for (segment, from, to) in self.parts_that_go(root, chain) {
            let name = format!("{}-{from:016x}", kept_name(generation, &segment.name()));
            remove_if_there(dir, &name).map_err(fail("removing an earlier copy"))?;
            let source = dir.open(&segment.name(), Access::Read).map_err(fail("opening a segment"))?;
            let copied = dir.create(&name, Access::Buffered).and_then(|copy| {
                copy_part(&mut segment.cursor(&*source, to), &*copy, from)?;
                copy.sync()
            });
            copied.map_err(fail("keeping what is cut off"))?;
            names.push(name);
        }
        kept.sync().map_err(fail("syncing kept"))?;
        dir.sync().map_err(fail("syncing the directory"))?;
        Ok(names)
    }

    /// What goes of segments that stay: the end of the last one, and, if the compaction point moves, the first one, all of it.
    fn parts_that_go<'a>(&self, root: &Root, chain: &'a [Link]) -> Vec<(&'a Segment, u64, u64)> {
        let moved = root.compaction_index > self.base.root.compaction_index;
        let mut parts = Vec::new();
        for segment in chain.iter().map(|l| &*l.segment) {
            let sequence = segment.sequence();
            let Some((_, to)) = self.pieces.segments.iter().find(|s| s.0 == sequence) else { continue };
            if moved && sequence == root.first_segment {
                parts.push((segment, 0, *to));
            } else if sequence == root.end.segment && *to > root.end.offset {
                parts.push((segment, root.end.offset, *to));
            }
        }
        parts
    }
}

fn kept_name(generation: u64, name: &str) -> String {
    format!("{KEPT}/{REPAIR}{generation:016x}-{name}")
}

/// A pipe, a directory, a link: something else has been put there.
fn is_no_file(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ELOOP))
}
