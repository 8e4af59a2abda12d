//! The chain of segments: each one's begin record names where the one before it ends.

use super::directory::is_moved_away;
use super::recovery::{Found, Recovery};
use super::verdict::damaged;
use crate::error::{Error, Op, Result, Status};
use crate::format::{align8, BeginData, RecordType, SegmentHeaderError};
use crate::io::{Access, File};
use crate::segment::{read_header, scan, Segment};
use std::sync::Arc;

/// A segment of the chain, newest first while it is walked.
pub(super) struct Link {
    pub segment: Arc<Segment>,
    /// First index that it holds or supersedes.
    pub first: u64,
    /// Last index of its own; `u64::MAX` where only the next segment's begin says (sealed, not scanned).
    pub last: u64,
    pub end: u64,
}

impl Recovery<'_> {
    /// By O_DIRECT if the page cache cannot read it: there an unreadable block fails alone.
    pub(super) fn open_segment(&self, sequence: u64, access: Access) -> Result<(Arc<Segment>, Arc<dyn File>, u64)> {
        match self.open_segment_by(sequence, access) {
            Err(e) if e.errno == libc::EIO && access == Access::Read => {
                self.open_segment_by(sequence, Access::ReadDirect)
            }
            opened => opened,
        }
    }

    fn open_segment_by(&self, sequence: u64, access: Access) -> Result<(Arc<Segment>, Arc<dyn File>, u64)> {
        let name = Segment::name_of(sequence);
        let file = self.dir.open(&name, access).map_err(|e| match e.raw_os_error() {
            Some(libc::ENOENT) => {
                is_moved_away(self.dir, &name).unwrap_or_else(|| damaged(format!("segment {name} is missing")))
            }
            Some(libc::ELOOP | libc::EINVAL | libc::ENXIO) => {
                damaged(format!("{name} is not a regular file; put the segment back in its place"))
            }
            _ => Error::io(Op::Open, &e, &format!("opening segment {name}")),
        })?;
        let len = file.len().map_err(|e| Error::io(Op::Open, &e, "reading a segment's size"))?;
        let header = read_header(&*file)
            .map_err(|e| Error::io(Op::Open, &e, &format!("reading the header of segment {name}")))?
            .map_err(|e| match e {
                SegmentHeaderError::VersionTooNew(_) => {
                    Error::new(Status::VersionTooNew, Op::Open, format!("{name}: {e}; use a newer library"))
                }
                SegmentHeaderError::Damaged => damaged(format!("{name}: {e}")),
            })?;
        if header.incarnation != self.root.incarnation
            || header.partition_id != self.root.partition_id
            || header.sequence != sequence
        {
            return Err(damaged(format!(
                "{name} belongs to another partition or place (partition {}, sequence {})",
                header.partition_id, header.sequence
            )));
        }
        Ok((Arc::new(Segment::new(header, len)), file, len))
    }

    pub(super) fn in_chain(&self, next: &BeginData) -> bool {
        next.segment != 0 && next.segment >= self.root.first_segment
    }

    /// Follows the chain from `next` on, newest to oldest, as far as it is sound.
    pub(super) fn walk(&self, mut next: BeginData, links: &mut Vec<Link>, found: &mut Found) {
        while self.in_chain(&next) {
            match self.sealed_link(&next, links) {
                Ok((link, older)) => {
                    links.push(link);
                    next = older;
                }
                Err(error) => {
                    found.fault = Some(error);
                    return;
                }
            }
        }
    }

    /// A segment whose end the next one names: only its begin is read now.
    fn sealed_link(&self, next: &BeginData, links: &[Link]) -> Result<(Link, BeginData)> {
        match self.sealed_link_by(next, links, self.begins) {
            Err(e) if e.errno == libc::EIO && self.begins == Access::Read => {
                self.sealed_link_by(next, links, Access::ReadDirect)
            }
            found => found,
        }
    }

    fn sealed_link_by(&self, next: &BeginData, links: &[Link], access: Access) -> Result<(Link, BeginData)> {
        if links.last().is_some_and(|l| l.segment.sequence() <= next.segment) || next.segment > self.root.last_segment {
            return Err(damaged(format!("segment {} is named out of order", next.segment)));
        }
        let (segment, file, len) = self.open_segment(next.segment, access)?;
        if align8(len) < next.end_offset && !self.rest_is_superseded(&segment, &*file, len, links) {
            return Err(damaged(format!("{} ends at {len}, it should reach {}", segment.name(), next.end_offset)));
        }
        let start = u64::from(segment.header.header_bytes);
        let mut cursor = segment.cursor(&*file, next.end_offset);
        let begin = cursor.header_at(start).filter(|h| h.record_type == RecordType::Begin);
        let data = begin.and_then(|h| cursor.data(start, &h).and_then(BeginData::decode));
        let (Some(begin), Some(data)) = (begin, data) else {
            let message = format!("{}: the begin record is damaged", segment.name());
            let unreadable = cursor.unreadable.take();
            return Err(
                unreadable.map_or_else(|| damaged(message), |e| Error::io(Op::Open, &e, "reading a begin record"))
            );
        };
        Ok((Link { segment, first: begin.index, last: u64::MAX, end: next.end_offset }, data))
    }

    /// A file that a power cut shortened is whole all the same if newer segments supersede what is missing.
    fn rest_is_superseded(&self, segment: &Segment, file: &dyn File, len: u64, links: &[Link]) -> bool {
        let newer = links.iter().map(|l| l.first).min().unwrap_or(u64::MAX);
        let scanned = scan(&mut segment.cursor(file, len), u64::from(segment.header.header_bytes));
        scanned.leading.is_none() && scanned.runs.first().is_some_and(|r| r.last_index + 1 >= newer)
    }
}
