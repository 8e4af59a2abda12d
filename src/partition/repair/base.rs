//! The root that a repair begins from.

use super::pieces::{self, Pieces};
use crate::error::{Error, Op, Result, Status};
use crate::format::{Root, SegmentHeader, MAX_COUNTER, ROOT_BYTES, SLOT_BYTES};
use crate::io::{read_full_at, Access, Dir};
use crate::partition::directory::read_root;
use crate::partition::types::Mode;
use crate::partition::ROOT_NAME;
use crate::segment::Segment;

pub struct Base {
    pub root: Root,
    /// Why the root that is there cannot be used: then term and vote are not known, and `root` is made of what is left.
    pub lost: Option<Error>,
    /// Not even an older root is there: the compaction point is a guess.
    pub compaction_unknown: bool,
}

impl Base {
    pub fn of(dir: &dyn Dir) -> Result<Base> {
        let lost = match read_root(dir) {
            Ok(Some(stored)) => return Ok(Base { root: stored.root, lost: None, compaction_unknown: false }),
            Ok(None) => return Err(Error::new(Status::NotFound, Op::Recover, "the directory holds no log")),
            Err(e) if matches!(e.status, Status::Damaged | Status::IoError) => e.with_op(Op::Recover),
            Err(e) => return Err(e.with_op(Op::Recover)),
        };
        let older = newest_slot(dir);
        let (headers, highest) = headers(dir, older.as_ref())?;
        let (Some(newest), Some(oldest)) = (headers.last(), headers.first()) else {
            // An older root alone tells of a log that has moved on.
            let message = format!("{}; no segment is left that tells what the log was", lost.message);
            return Err(Error { message, ..lost });
        };
        let of_newest = Root {
            partition_id: newest.partition_id,
            incarnation: newest.incarnation,
            first_segment: oldest.sequence,
            mode: Mode::Sync as u32,
            ..Root::default()
        };
        let root = Root { last_segment: highest, clean: false, ..older.unwrap_or(of_newest) };
        let (epoch, max_lsn) = pieces::newest_opening(dir, &headers);
        let root = Root { epoch, lsn_limit: root.lsn_limit.max(max_lsn + 1), ..root };
        Ok(Base { root, lost: Some(lost), compaction_unknown: older.is_none() })
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

/// The sound headers of segments of one log, oldest first, and the highest number that any segment has.
fn headers(dir: &dyn Dir, root: Option<&Root>) -> Result<(Vec<SegmentHeader>, u64)> {
    let names = dir.list().map_err(|e| Error::io(Op::Recover, &e, "listing the directory"))?;
    let numbers = names.iter().filter_map(|name| Segment::parse_name(name)).filter(|n| *n < MAX_COUNTER - 1);
    let highest = numbers.max().unwrap_or(0);
    let mut headers: Vec<SegmentHeader> = names
        .iter()
        .filter_map(|name| Some((name, Segment::parse_name(name)?)))
        .filter_map(|(name, sequence)| pieces::header(dir, name).filter(|h| h.sequence == sequence))
        .collect();
    headers.sort_by_key(|h| h.sequence);
    let newest = headers.last().copied();
    let whose = root.map(|r| (r.partition_id, r.incarnation)).or(newest.map(|h| (h.partition_id, h.incarnation)));
    let first = root.map_or(0, |r| r.first_segment);
    headers.retain(|h| Some((h.partition_id, h.incarnation)) == whose && h.sequence >= first);
    Ok((headers, highest))
}
