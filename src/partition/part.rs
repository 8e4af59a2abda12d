//! Parts of a log, one of each segment, that are read from the medium one by one: whoever has read one knows it again.

use super::parts::Live;
use super::survey::Survey;
use super::verify::read_part;
use super::Partition;
use crate::error::{Error, Op, Result};
use crate::io::{Access, Dir};
use crate::segment::Take;

/// The entries of one segment that count.
#[derive(Clone)]
pub(crate) struct Part(Live);

impl PartialEq for Part {
    /// The same entries in the same segment: what is written there is never written again.
    fn eq(&self, other: &Part) -> bool {
        let key = |part: &Part| (part.0.segment.header, part.0.first, part.0.last);
        key(self) == key(other)
    }
}

impl Part {
    pub fn last(&self) -> u64 {
        self.0.last
    }

    /// Of the segment, up to where it ends.
    pub fn bytes(&self) -> u64 {
        self.0.end
    }

    /// Reads and checks its entries, past the page cache, and hands them to `take`: index, term, kind, data. Returns what does not read back:
    /// first and last of each range.
    pub fn read(&self, dir: &dyn Dir, take: &mut Take<'_>) -> Result<Vec<(u64, u64)>> {
        let name = self.0.segment.name();
        let file = dir.open(&name, Access::ReadDirect);
        let file = file.map_err(|e| Error::io(Op::Verify, &e, &format!("opening segment {name}")))?;
        Ok(read_part(&*file, &self.0, self.0.first, take))
    }
}

impl Partition {
    /// The parts above entry `above` that are durable and whose segments take no more, oldest first.
    pub(crate) fn durable_parts(&self, above: u64) -> Vec<Part> {
        let log = self.log.lock();
        let open = log.tail.as_ref().map_or(u64::MAX, |tail| tail.segment.sequence());
        // Behind a heal the first that waits for a flush may be below what is durable.
        let waits = log.sealed.first().map_or(u64::MAX, |sealed| sealed.segment.sequence());
        let synced = log.durable.end.segment.min(waits.saturating_sub(1));
        let from = log.live.partition_point(|live| live.last <= above);
        let parts = log.live.iter().skip(from);
        parts.take_while(|l| l.segment.sequence() <= synced.min(open.saturating_sub(1))).cloned().map(Part).collect()
    }
}

impl Survey {
    pub(crate) fn parts(&self) -> Vec<Part> {
        self.parts.iter().cloned().map(Part).collect()
    }
}
