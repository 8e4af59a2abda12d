//! Writes what a journal holds for a partition into the partition's own segments.

use super::overlay::Journaled;
use super::patches::Laid;
use crate::io::{read_full_at, write_all_at, Access, AlignedBuf, File};
use crate::segment::{self, Segment};
use std::io;
use std::ops::Range;

/// Blocks that follow each other are written together, up to this.
const WINDOW_BYTES: u64 = 1 << 20;
/// Least that is written, as O_DIRECT asks for; more if the device's block is larger.
const BLOCK: u64 = 4096;

/// What a range of a segment's file holds once it is settled.
struct Settled {
    range: Range<u64>,
    crc: u32,
}

impl Journaled {
    /// Writes what differs into the segments, durable, and reads it back from the medium. A segment that is not there, or has another
    /// salt, is left alone. To do it again changes nothing, and a crash in the middle changes nothing that counts.
    pub fn settle(&self) -> io::Result<()> {
        self.patches.segments().try_for_each(|sequence| self.settle_segment(sequence))
    }

    fn settle_segment(&self, sequence: u64) -> io::Result<()> {
        let name = Segment::name_of(sequence);
        let file = match self.inner.open(&name, Access::Durable) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        // What differs is told by the medium, not by pages that a failed sync may have left.
        file.drop_cache();
        // Of a segment whose header is damaged nothing counts.
        let Ok(header) = segment::read_header(&*file)? else { return Ok(()) };
        let laid = self.patches.of(sequence, &header.salt);
        let block = BLOCK.max(u64::from(self.inner.device().block_bytes));
        let len = file.len()?;
        if laid.from(0).any(|patch| patch.end() > len) {
            let text = format!("{name} ends at {len}, and the journal holds bytes of it behind that");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let ranges = ranges(&laid, block).into_iter();
        let settled: Vec<Settled> =
            ranges.map(|range| settle_range(&*file, &laid, range, block)).collect::<io::Result<_>>()?;
        if settled.is_empty() {
            return Ok(());
        }
        // Also for what an earlier try has written: that a read shows it does not make it durable.
        file.sync()?;
        drop(file);
        let file = self.inner.open(&name, Access::ReadDirect)?;
        file.drop_cache();
        settled.iter().try_for_each(|settled| reads_back(&*file, settled, &name))
    }
}

/// Whole blocks that hold bytes of a patch, in order, joined where they touch.
fn ranges(laid: &Laid<'_>, block: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for patch in laid.from(0) {
        let (start, end) = (patch.offset / block * block, patch.end().next_multiple_of(block));
        match ranges.last_mut() {
            Some(last) if start <= last.end && end.max(last.end) - last.start <= WINDOW_BYTES => {
                last.end = last.end.max(end);
            }
            _ => ranges.push(start..end),
        }
    }
    ranges
}

fn settle_range(file: &dyn File, laid: &Laid<'_>, range: Range<u64>, block: u64) -> io::Result<Settled> {
    let (mut bytes, is_all_read) = match read(file, &range) {
        Ok(bytes) => (bytes, true),
        Err(_) => (read_by_block(file, laid, &range, block)?, false),
    };
    let before = bytes.to_vec();
    laid.lay_over(&mut bytes, range.start);
    if !is_all_read || before != *bytes {
        write_all_at(file, &[&bytes], range.start)?;
    }
    Ok(Settled { range, crc: crc32fast::hash(&bytes) })
}

/// After a failed read: what cannot be read need not be where it is written over as a whole.
fn read_by_block(file: &dyn File, laid: &Laid<'_>, range: &Range<u64>, block: u64) -> io::Result<AlignedBuf> {
    let mut bytes = AlignedBuf::zeroed(range.end.saturating_sub(range.start) as usize);
    let mut at = range.start;
    for part in bytes.chunks_mut(block as usize) {
        match read_full_at(file, part, at) {
            Err(e) if !laid.cover(at, part.len()) => return Err(e),
            read => part.get_mut(read.unwrap_or(0)..).unwrap_or_default().fill(0),
        }
        at = at.saturating_add(block);
    }
    Ok(bytes)
}

fn reads_back(file: &dyn File, settled: &Settled, name: &str) -> io::Result<()> {
    if crc32fast::hash(&read(file, &settled.range)?) == settled.crc {
        return Ok(());
    }
    let Range { start, end } = settled.range;
    let text = format!("{name} from {start} to {end} does not read back as it was written from the journal");
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// The range, with zeros behind the file's end.
fn read(file: &dyn File, range: &Range<u64>) -> io::Result<AlignedBuf> {
    let mut bytes = AlignedBuf::zeroed(range.end.saturating_sub(range.start) as usize);
    let n = read_full_at(file, &mut bytes, range.start)?;
    bytes.get_mut(n..).unwrap_or_default().fill(0);
    Ok(bytes)
}
