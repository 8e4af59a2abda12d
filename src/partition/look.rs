//! Look: what a directory holds, on the medium and in the page cache. Changes nothing.

use super::recovery::{Found, Recovery};
use super::types::Mode;
use super::Partition;
use crate::error::{Cause, Error, Op, Result, Status};
use crate::format::{BeginData, Root, MAX_COUNTER};
use crate::io::{Access, Dir};

/// The next root written must be one that the format's bounds allow, and so must the next records.
const COUNTERS_LEAVE_ROOM: u64 = MAX_COUNTER / 2;

/// What was found, and what of it is known durable: the last index and the position behind it.
pub(super) type Unsynced = (Found, u64, BeginData);

/// What an open sees.
pub(super) struct Seen {
    /// On the medium, where it can be asked.
    pub found: Found,
    /// What the page cache has more; an error if it could not be seen this time: it would be dropped without a word.
    pub cached: Result<Option<Unsynced>>,
}

impl Seen {
    fn only(found: Found) -> Seen {
        Seen { found, cached: Ok(None) }
    }
}

impl Partition {
    /// After a sync that failed the kernel calls pages clean and never writes them. Only mode none leaves such; there the page cache may be
    /// all that has what the owner knows of.
    pub(super) fn look(&self, dir: &dyn Dir, root: &Root, direct: bool) -> Seen {
        let known = self.known_on_disk(root);
        let recovery = |access, known_index| {
            let mut found = Recovery { dir, root, access, begins: Access::Read, known_index }.run();
            let room = check_room(&[found.max_lsn, found.end.last_lsn]);
            found.fault = found.fault.take().or(room.err());
            found
        };
        let medium = recovery(Access::ReadDirect, known);
        if root.clean || !direct || root.mode != Mode::None as u32 {
            return Seen::only(medium);
        }
        let complains = known > root.commit && (medium.fault.is_some() || !medium.damaged.is_empty());
        if medium.fault.is_some() && !complains {
            return Seen::only(medium);
        }
        let cached = recovery(Access::Read, known);
        let below = complains.then(|| recovery(Access::ReadDirect, 0));
        match below.filter(|below| below.fault.is_none() && cached.damaged.sum().1 <= below.last.0) {
            Some(below) if has_more(&cached, &below) != Ok(false) => beside(below, cached),
            _ if medium.fault.is_some() => Seen::only(medium),
            _ => beside(medium, cached),
        }
    }

    /// The highest index that must be on the disk. What a closed partition has left in memory need not.
    fn known_on_disk(&self, root: &Root) -> u64 {
        let first = self.host.orphan_first(root, self.place(), self.known_index);
        first.map_or(self.known_index, |first| self.known_index.min(first.saturating_sub(1)))
    }
}

pub(super) fn check_room(counters: &[u64]) -> Result<()> {
    if counters.iter().all(|n| *n <= COUNTERS_LEAVE_ROOM) {
        return Ok(());
    }
    let message = "the log's counters are at the end of their range, which no log reaches; restore the replica";
    Err(Error::new(Status::Damaged, Op::Open, message))
}

fn beside(medium: Found, cached: Found) -> Seen {
    match has_more(&cached, &medium) {
        Ok(false) => Seen::only(medium),
        Err(fault) => Seen { found: medium, cached: Err(fault) },
        Ok(true) => {
            // Entries that a newer segment replaces are not those that the medium has.
            let newer = cached.chain.iter().filter(|l| l.segment.sequence() > medium.end.segment);
            let newer = newer.map(|l| l.first).min().unwrap_or(u64::MAX);
            let unsynced = (cached, medium.last.0.min(newer.saturating_sub(1)), medium.end);
            Seen { found: medium, cached: Ok(Some(unsynced)) }
        }
    }
}

/// True if the page cache holds more of the log than the medium.
fn has_more(cached: &Found, medium: &Found) -> Result<bool> {
    match &cached.fault {
        Some(fault) if fault.cause() != Cause::Damage => Err(fault.clone()),
        fault => Ok(fault.is_none() && cached.end.segment != 0 && cached.end.last_lsn > medium.end.last_lsn),
    }
}

/// Where nobody can look past the page cache, everything above the marks may be there only.
pub(super) fn unsure(found: &mut Found) -> Option<Unsynced> {
    let (first, continues) = found.unsure;
    (found.end.segment != 0).then(|| (std::mem::take(found), first.saturating_sub(1), continues))
}
