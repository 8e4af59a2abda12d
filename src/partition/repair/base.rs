//! The root that a repair begins from.

use super::newest::Newest;
use super::pieces::{self, Pieces};
use crate::error::{Error, Op, Result, Status};
use crate::format::{Root, SegmentHeader, MAX_COUNTER, ROOT_BYTES, SLOT_BYTES};
use crate::io::{read_full_at, Access, Dir};
use crate::partition::directory::read_root;
use crate::partition::recovery::Found;
use crate::partition::types::Mode;
use crate::partition::ROOT_NAME;
use crate::segment::Segment;

pub struct Base {
    pub root: Root,
    /// Why the root that is there cannot be used: then term and vote are not known, and `root` is made of what is left.
    pub lost: Option<Error>,
    /// Not even an older root is there: the compaction point is a guess.
    pub compaction_unknown: bool,
    /// What the segments tell instead of a root that is lost.
    pub newest: Newest,
}

impl Base {
    pub fn of(dir: &dyn Dir) -> Result<Base> {
        let lost = match read_root(dir) {
            Ok(Some(stored)) => {
                let newest = Newest::default();
                return Ok(Base { root: stored.root, lost: None, compaction_unknown: false, newest });
            }
            Ok(None) => return Err(Error::new(Status::NotFound, Op::Recover, "the directory holds no log")),
            Err(e) if matches!(e.status, Status::Damaged | Status::IoError) => e.with_op(Op::Recover),
            Err(e) => return Err(e.with_op(Op::Recover)),
        };
        let older = newest_slot(dir);
        let (numbers, headers) = headers(dir, older.as_ref())?;
        let (Some(last), Some(oldest)) = (headers.last(), headers.first()) else {
            // An older root alone tells of a log that has moved on.
            let message = format!("{}; no segment is left that tells what the log was", lost.message);
            return Err(Error { message, ..lost });
        };
        let of_newest = Root {
            partition_id: last.partition_id,
            incarnation: last.incarnation,
            first_segment: oldest.sequence,
            mode: Mode::Sync as u32,
            ..Root::default()
        };
        let root = older.unwrap_or(of_newest);
        let newest = Newest::of(dir, &numbers, &headers, root.last_segment);
        let lsn_limit = root.lsn_limit.max(newest.max_lsn + 1);
        let root = Root { last_segment: newest.segment, clean: false, epoch: newest.epoch, lsn_limit, ..root };
        Ok(Base { root, lost: Some(lost), compaction_unknown: older.is_none(), newest })
    }

    /// Where a segment that nobody can read may be newer than the end that recovery has found, that is perhaps no end.
    pub fn doubt(&mut self, found: &mut Found) -> bool {
        let (above, hidden) = (self.newest.doubtful, self.newest.hidden.first());
        let what = match (above, hidden) {
            (Some(_), _) => format!("what is above {} is", Segment::name_of(self.newest.segment)),
            (None, Some(n)) => format!("{} is", Segment::name_of(*n)),
            (None, None) => return false,
        };
        let message = format!(
            "{what} damaged or gone, and without the root nobody knows whether it was newer than entry {}",
            found.last.0
        );
        let next = found.last.0 + 1;
        found.fault.get_or_insert(Error::new(Status::Damaged, Op::Recover, message).range(next, next));
        if let Some(last) = above {
            found.chain.clear();
            self.root.last_segment = last;
        }
        true
    }

    /// Where no root says it, the log begins where what is left of it begins.
    pub fn with_compaction_of(mut self, pieces: &Pieces) -> Base {
        let first = pieces.list.first().filter(|_| self.compaction_unknown);
        if let Some((index, term)) = first.and_then(|p| p.before) {
            self.root.compaction_index = index;
            self.root.compaction_term = term;
        }
        self
    }
}

/// The newest valid slot of a root file that may have held a newer one.
fn newest_slot(dir: &dyn Dir) -> Option<Root> {
    let file = dir.open(ROOT_NAME, Access::Read).ok()?;
    let mut bytes = vec![0u8; ROOT_BYTES];
    for (i, block) in bytes.chunks_mut(ROOT_BYTES / 4).enumerate() {
        let slot = block.get_mut(..SLOT_BYTES)?;
        if read_full_at(&*file, slot, (i * ROOT_BYTES / 4) as u64).is_err() {
            slot.fill(0xFF);
        }
    }
    Root::newest_slot(&bytes)
}

/// The numbers of the segment files that may count, and the sound headers among them of one log, ascending.
fn headers(dir: &dyn Dir, root: Option<&Root>) -> Result<(Vec<u64>, Vec<SegmentHeader>)> {
    let names = dir.list().map_err(|e| Error::io(Op::Recover, &e, "listing the directory"))?;
    let first = root.map_or(0, |r| r.first_segment);
    let numbers = names.iter().filter_map(|name| Segment::parse_name(name));
    let mut numbers: Vec<u64> = numbers.filter(|n| (first..MAX_COUNTER - 1).contains(n)).collect();
    numbers.sort_unstable();
    let header = |n: &u64| pieces::header(dir, &Segment::name_of(*n)).filter(|h| h.sequence == *n);
    let mut headers: Vec<SegmentHeader> = numbers.iter().filter_map(header).collect();
    let last = headers.last().map(|h| (h.partition_id, h.incarnation));
    let whose = root.map(|r| (r.partition_id, r.incarnation)).or(last);
    headers.retain(|h| Some((h.partition_id, h.incarnation)) == whose);
    Ok((numbers, headers))
}
