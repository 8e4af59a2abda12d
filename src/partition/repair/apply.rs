//! Does a repair. Up to the rename of the root the old directory is there, and behind it the repaired one.

use super::{check, Repair, RepairOffer, RepairWay};
use crate::error::{Error, Op, Result, Status};
use crate::format::Root;
use crate::io::Access;
use crate::partition::chain::Link;
use crate::partition::kept::copy_part;
use crate::partition::root::RootWriter;
use crate::partition::ROOT_NAME;
use crate::segment::{remove_if_there, Segment};
use std::io;

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
        let stays = |sequence: &u64| chain.iter().any(|l| l.segment.sequence() == *sequence);
        let gone: Vec<u64> = self.pieces.segments.iter().map(|s| s.0).filter(|s| !stays(s)).collect();
        let kept = self.keep(&root, &chain, &gone)?;
        let mut writer = RootWriter::default();
        // Above the newest that a damaged pair of slots may have held.
        writer.generation = self.base.root.generation + 1;
        writer.replace(dir, &mut root, None).map_err(fail("writing the repaired root"))?;
        for name in gone.into_iter().map(Segment::name_of) {
            let removed = match dir.open(&name, Access::Read) {
                Err(e) if is_no_file(&e) => dir.rename(&name, &self.kept_name(&name)),
                _ => remove_if_there(dir, &name),
            };
            removed.map_err(fail("removing a segment that was kept"))?;
        }
        dir.sync().map_err(fail("syncing the directory"))?;
        check(dir, &root)?;
        Ok(kept)
    }

    fn kept_name(&self, name: &str) -> String {
        format!("kept/repair-{:016x}-{name}", self.base.root.generation)
    }

    /// Everything that the new root leaves out gets a second name in `kept/`, or, where a segment stays in part, a copy. Space that only a
    /// second name takes is none.
    fn keep(&self, root: &Root, chain: &[Link], gone: &[u64]) -> Result<Vec<String>> {
        let dir = &*self.dir;
        match dir.mkdir("kept") {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(fail("creating kept")(e)),
            _ => {}
        }
        let kept = dir.subdir("kept").map_err(fail("opening kept"))?;
        let mut names = Vec::new();
        for source in gone.iter().map(|s| Segment::name_of(*s)).chain([ROOT_NAME.to_string()]) {
            let name = self.kept_name(&source);
            // What an attempt before this one has left.
            remove_if_there(dir, &name).map_err(fail("removing an earlier copy"))?;
            match dir.open(&source, Access::Read) {
                Ok(file) => dir.link(&*file, &name).map_err(fail("keeping a file"))?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                // What is no file moves there, once the new root rules.
                Err(e) if is_no_file(&e) => {}
                Err(e) => return Err(fail("opening what is to be kept")(e)),
            }
            names.push(name);
        }
        for (segment, from, to) in self.parts_that_go(root, chain) {
            let name = format!("{}-{from:016x}", self.kept_name(&segment.name()));
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

/// A pipe, a directory, a link: something else has been put there.
fn is_no_file(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EINVAL | libc::ELOOP))
}
