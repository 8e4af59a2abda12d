//! Writes a log as segments of a new partition, whole: past the page cache, nothing written twice, the root last.
//!
//! Nothing of it counts before there is a root, and by then all of it is durable.

use super::bad_file::{write_one, BadFile};
use super::content::{read_back, BLOCK_BYTES, PIECE_BYTES};
use super::names;
use super::output::Output;
use crate::error::{Error, Op, Result, Status};
use crate::format::cubefs::META_NAME;
use crate::format::{
    align8, BeginData, Id, LogEnd, RecordHeader, RecordType, Root, SegmentHeader, SegmentSalt, BEGIN_DATA_BYTES,
    RECORD_HEADER_BYTES, ROOT_BYTES,
};
use crate::io::{read_full_at, AlignedBuf, Dir, File};
use crate::partition::{first_root, EntryRef, HardState, Mode, NEW_ROOT_NAME, ROOT_NAME};
use crate::segment::{scan, Segment};
use std::io;
use std::sync::Arc;

/// What the partition is to be.
pub struct NewPartition<'a> {
    pub id: u64,
    pub segment_max_bytes: u64,
    /// The entry before the first one, and its term.
    pub compaction: (u64, u64),
    pub with_threads: bool,
    pub random_id: &'a dyn Fn() -> Id,
}

pub struct SegmentWriter<'a> {
    new: NewPartition<'a>,
    dir: Arc<dyn Dir>,
    output: Output,
    incarnation: Id,
    epoch: Id,
    block_bytes: u32,
    segment: Option<Current>,
    sequence: u64,
    /// Behind the last record; the last entry.
    end: BeginData,
    last: (u64, u64),
}

/// The segment that is being written.
struct Current {
    header: SegmentHeader,
    salt: SegmentSalt,
    /// The index of its first entry.
    first: u64,
    capacity: u64,
    /// What is not on its way yet, and where it goes.
    buf: AlignedBuf,
    offset: u64,
}

impl Current {
    fn end(&self) -> u64 {
        self.offset + self.buf.len() as u64
    }

    /// Every record is there, by the checksums that were taken of CubeFS's entries, and nothing between them.
    fn reads_back(&self, file: &dyn File, end: &BeginData, last: (u64, u64)) -> io::Result<bool> {
        let segment = Segment::new(self.header, self.capacity);
        let mut cursor = segment.cursor(file, self.offset);
        cursor.read_on();
        let encoded = self.header.encode();
        let whole = cursor.bytes(0, encoded.len()) == encoded;
        let found = scan(&mut cursor, u64::from(self.header.header_bytes));
        let begins = found.begin.is_some_and(|(header, _)| header.index == self.first);
        if let Some(e) = found.unreadable {
            return Err(e);
        }
        let [run] = found.runs.as_slice() else { return Ok(false) };
        let ends = (run.end, run.last_lsn, run.last_index, run.last_term);
        let all = ends == (end.end_offset, end.last_lsn, last.0, last.1) && run.entries == last.0 + 1 - self.first;
        Ok(whole && begins && found.leading.is_none() && all)
    }
}

impl<'a> SegmentWriter<'a> {
    /// In an empty directory.
    pub fn create(dir: &Arc<dyn Dir>, new: NewPartition<'a>) -> Result<SegmentWriter<'a>> {
        // Whoever points a stock CubeFS at the place is refused.
        names::make_dir(&**dir, META_NAME)?;
        let output = Output::new(Op::Import, dir.clone(), new.with_threads);
        let (incarnation, epoch) = ((new.random_id)(), (new.random_id)());
        let block_bytes = dir.device().block_bytes;
        let last = new.compaction;
        let end = BeginData::default();
        let dir = dir.clone();
        Ok(SegmentWriter { new, dir, output, incarnation, epoch, block_bytes, segment: None, sequence: 0, end, last })
    }

    /// The next entry. About `left` bytes are still to come, with this one: a file is made no larger than that, and grows if it is more.
    pub fn push(&mut self, e: &EntryRef<'_>, left: u64) -> Result<()> {
        if e.index != self.last.0 + 1 || e.term < self.last.1 {
            let message = format!("entry {} does not follow entry {}", e.index, self.last.0);
            return Err(Error::new(Status::OutOfOrder, Op::Import, message).range(e.index, e.index));
        }
        let need = record_bytes(e.data.len());
        if !self.segment.as_ref().is_some_and(|s| self.in_blocks(s.end() + need) <= s.capacity) {
            self.begin(e.index, need, left)?;
        }
        self.record(RecordType::Entry, e);
        self.last = (e.index, e.term);
        if self.segment.as_ref().is_some_and(|s| s.buf.len() >= PIECE_BYTES) {
            self.write_out(false)?;
        }
        Ok(())
    }

    fn in_blocks(&self, bytes: u64) -> u64 {
        bytes.next_multiple_of(u64::from(self.block_bytes))
    }

    /// Begins a segment with entry `first`, whose record takes `need` bytes.
    fn begin(&mut self, first: u64, need: u64, left: u64) -> Result<()> {
        self.write_out(true)?;
        self.sequence += 1;
        let block = u64::from(self.block_bytes).max(4096);
        let header = SegmentHeader {
            header_bytes: block as u32,
            partition_id: self.new.id,
            incarnation: self.incarnation,
            epoch: self.epoch,
            salt: (self.new.random_id)(),
            sequence: self.sequence,
            block_bytes: self.block_bytes,
            zeroed: true,
        };
        let least = block + record_bytes(BEGIN_DATA_BYTES) + need;
        let capacity = self.in_blocks(self.new.segment_max_bytes.max(least));
        let room = capacity.min(self.in_blocks(least + left));
        self.output.begin(Segment::name_of(self.sequence), room)?;
        let mut buf = self.output.buffer();
        buf.extend_from_slice(&header.encode());
        buf.resize(block as usize);
        let salt = SegmentSalt::new(header.salt);
        self.segment = Some(Current { header, salt, first, capacity, buf, offset: 0 });
        let begin = self.end.encode();
        self.record(RecordType::Begin, &EntryRef { index: first, term: self.last.1, kind: 0, data: &begin });
        Ok(())
    }

    fn record(&mut self, record_type: RecordType, e: &EntryRef<'_>) {
        let Some(segment) = self.segment.as_mut() else { return };
        let header = RecordHeader {
            record_type,
            kind: e.kind,
            length: e.data.len() as u32,
            data_crc: crc32fast::hash(e.data),
            lsn: self.end.last_lsn + 1,
            index: e.index,
            term: e.term,
            mark: self.end.last_lsn,
            commit: self.new.compaction.0,
        };
        let bytes = header.encode(&segment.salt, segment.end());
        segment.buf.reserve(header.total_bytes() as usize);
        segment.buf.extend_from_slice(&bytes);
        segment.buf.extend_from_slice(e.data);
        segment.buf.resize(align8(segment.buf.len() as u64) as usize);
        self.end = BeginData { segment: self.sequence, end_offset: segment.end(), last_lsn: header.lsn };
    }

    /// Sends whole blocks off; all of it, padded, at the segment's end.
    fn write_out(&mut self, all: bool) -> Result<()> {
        let Some(segment) = self.segment.as_mut() else { return Ok(()) };
        let block = self.block_bytes as usize;
        let unit = if all { block } else { block.max(BLOCK_BYTES) };
        if all {
            segment.buf.resize(segment.buf.len().next_multiple_of(block));
        }
        let whole = segment.buf.len() / unit * unit;
        let mut next = if all { AlignedBuf::new() } else { self.output.buffer() };
        next.extend_from_slice(segment.buf.get(whole..).unwrap_or(&[]));
        let mut bytes = std::mem::replace(&mut segment.buf, next);
        bytes.resize(whole);
        segment.offset += whole as u64;
        if !bytes.is_empty() {
            self.output.write(bytes)?;
        }
        if !all {
            return Ok(());
        }
        let Some(done) = self.segment.take() else { return Ok(()) };
        let (end, last) = (self.end, self.last);
        self.output.end(Box::new(move |file| done.reads_back(file, &end, last)))
    }

    /// Bytes that were read back since this was asked last.
    pub fn read_back(&mut self) -> u64 {
        self.output.read_back()
    }

    /// After an error: the file that met it, if it was the medium's.
    pub fn bad_file(&self) -> Option<BadFile> {
        self.output.bad_file()
    }

    /// Waits until everything is durable and read back, and makes the root. Nothing may follow.
    pub fn finish(&mut self, hard_state: HardState) -> Result<()> {
        self.write_out(true)?;
        self.output.finish()?;
        let fail = || names::fail("making the new partition durable");
        self.dir.sync().map_err(fail())?;
        let mut root = Root {
            partition_id: self.new.id,
            incarnation: self.incarnation,
            epoch: self.epoch,
            term: hard_state.term,
            vote: hard_state.vote,
            commit: hard_state.commit,
            compaction_index: self.new.compaction.0,
            compaction_term: self.new.compaction.1,
            first_segment: 1,
            last_segment: self.sequence,
            lsn_limit: self.end.last_lsn + 1,
            mark: self.end.last_lsn,
            mode: Mode::Sync as u32,
            end: LogEnd {
                segment: self.end.segment,
                offset: self.end.end_offset,
                lsn: self.end.last_lsn,
                index: self.last.0,
                term: self.last.1,
            },
            clean: true,
            ..Root::default()
        };
        write_one(&*self.dir, &[NEW_ROOT_NAME, ROOT_NAME], || {
            first_root(&*self.dir, &mut root).map_err(fail())?;
            read_back(Op::Import, &*self.dir, ROOT_NAME, |file| {
                let mut bytes = AlignedBuf::new();
                bytes.resize(ROOT_BYTES);
                let read = read_full_at(file, &mut bytes, 0)?;
                Ok(read == ROOT_BYTES && Root::decode_file(&bytes) == Ok(root) && root.is_twice_in(&bytes))
            })
        })
    }
}

fn record_bytes(data: usize) -> u64 {
    align8((RECORD_HEADER_BYTES + data) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::{SimConfig, SimDisk};
    use crate::io::Storage;

    fn new_partition(random_id: &dyn Fn() -> Id) -> NewPartition<'_> {
        let (segment_max_bytes, compaction) = (4 << 20, (0, 0));
        NewPartition { id: 7, segment_max_bytes, compaction, with_threads: false, random_id }
    }

    /// Two of them are written at a time: the padding of one must not lie over the next.
    #[test]
    fn pieces_do_not_overlap_where_blocks_are_small() {
        let disk = SimDisk::with_config(1, SimConfig { block_bytes: 512, ..SimConfig::default() });
        disk.make_dirs("/new");
        let dir = disk.open_dir("/new".as_ref()).expect("it is there");
        let mut writer = SegmentWriter::create(&dir, new_partition(&|| [7; 16])).expect("a writer");
        for index in 1..=30 {
            let entry = EntryRef { index, term: 1, kind: 0, data: &[5; 100_000] };
            writer.push(&entry, 3 << 20).expect("every piece begins at a block");
        }
        writer.finish(HardState::default()).expect("it reads back");
    }

    /// What is compared are the entries as they were read, not the bytes as they were handed to the disk.
    #[test]
    fn an_entry_that_is_not_what_was_read_is_found_before_there_is_a_root() {
        for flip in [false, true] {
            let disk = SimDisk::new(1);
            disk.make_dirs("/new");
            let dir = disk.open_dir("/new".as_ref()).expect("it is there");
            let mut writer = SegmentWriter::create(&dir, new_partition(&|| [7; 16])).expect("a writer");
            for index in 1..=3 {
                let entry = EntryRef { index, term: 1, kind: 0, data: &[5; 100] };
                writer.push(&entry, 1000).expect("it is pushed");
            }
            if let (true, Some(segment)) = (flip, writer.segment.as_mut()) {
                let at = segment.buf.len() - 150;
                segment.buf[at] ^= 1;
            }
            assert_eq!(writer.finish(HardState::default()).is_err(), flip);
            assert_eq!(disk.exists("/new/root"), !flip);
        }
    }
}
