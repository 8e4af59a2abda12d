//! A window over a segment file that finds records in it. Never trusts a length before its checksum.

use super::Segment;
use crate::format::{RecordHeader, SegmentSalt, RECORD_HEADER_BYTES};
use crate::io::{read_full_at, AlignedBuf, File, SECTOR_BYTES};
use std::io;

/// Most bytes read at a time; a record larger than this is read alone.
const WINDOW_BYTES: usize = 128 << 10;
/// Most where a whole part of a segment is read: O_DIRECT has no read-ahead, and a read of 128 KiB costs half of the time of waiting.
const LONG_WINDOW_BYTES: usize = 1 << 20;
/// Least, and what a place in the index may lie before its entry.
const WINDOW_MIN_BYTES: u64 = 20 << 10;
/// Windows start and end at multiples of this, as O_DIRECT asks for.
const BLOCK: u64 = 4096;
/// After so many zeros the filesystem is asked where they end.
const ZEROS_BYTES: u64 = 1 << 20;
/// Where in a record's header its type is.
const TYPE_OFFSET: usize = 12;

pub struct Cursor<'a> {
    file: &'a dyn File,
    salt: &'a SegmentSalt,
    block_bytes: u64,
    /// Nothing at or behind this offset is read: the file's end, or where the segment ends.
    limit: u64,
    window: AlignedBuf,
    start: u64,
    wanted: usize,
    /// Each window is twice as large as the one before it, up to this; not at all if it is less than the first.
    grow_to: usize,
    zeroed: bool,
    /// The first read error met; the blocks it hit count as bad bytes.
    pub unreadable: Option<io::Error>,
    /// Offsets of the pieces that could not be read.
    bad_pieces: Vec<u64>,
}

impl<'a> Cursor<'a> {
    /// A cursor over a segment's file up to `limit`.
    pub fn new(file: &'a dyn File, segment: &'a Segment, limit: u64) -> Cursor<'a> {
        // What a record says of another segment's end is not trusted beyond the file.
        let limit = file.len().map_or(limit, |len| limit.min(len));
        Cursor {
            file,
            salt: &segment.salt,
            block_bytes: u64::from(segment.header.block_bytes.max(8)),
            limit,
            window: AlignedBuf::new(),
            start: 0,
            wanted: WINDOW_BYTES,
            grow_to: 0,
            zeroed: segment.header.zeroed,
            unreadable: None,
            bad_pieces: Vec::new(),
        }
    }

    /// The caller wants about this many bytes: a small read stays small.
    pub fn expect(&mut self, bytes: u64) {
        self.wanted = bytes.saturating_add(WINDOW_MIN_BYTES).min(WINDOW_BYTES as u64) as usize;
    }

    /// The caller reads on to the end: windows grow. In huge pages, if there is that much: a device takes a window of small ones in pieces.
    pub fn read_on(&mut self) {
        self.grow_to = LONG_WINDOW_BYTES;
        if self.limit > LONG_WINDOW_BYTES as u64 {
            self.window = AlignedBuf::huge();
        }
    }

    /// True if something was written at either place where the record would be that has this lsn and index: it shows in the bytes, or, in a
    /// file that held zeros, in there being any. Of a begin record nobody knows the lsn: in a file that is used again what is there may
    /// be the begin that it had before.
    pub fn was_written(&mut self, offset: u64, follows: Option<(u64, u64)>) -> bool {
        let zeroed = self.zeroed;
        [offset, offset.next_multiple_of(self.block_bytes)].into_iter().any(|at| {
            let bytes = self.bytes(at, RECORD_HEADER_BYTES);
            let resembles = follows.is_some_and(|(lsn, index)| RecordHeader::resembles(bytes, lsn, index));
            resembles || (zeroed && bytes.iter().any(|b| *b != 0))
        })
    }

    /// Behind the header of the record that follows one ending at `offset`, wherever of both places it is.
    pub fn behind_header(&self, offset: u64) -> u64 {
        offset.next_multiple_of(self.block_bytes) + RECORD_HEADER_BYTES as u64
    }

    /// True if a piece in `from .. to` could not be read.
    pub fn unreadable_within(&self, from: u64, to: u64) -> bool {
        let piece = self.piece_bytes();
        self.bad_pieces.iter().any(|at| at + piece > from && *at < to)
    }

    /// The least that is read alone: no two flushes that were padded share a block of the segment.
    fn piece_bytes(&self) -> u64 {
        self.block_bytes.clamp(SECTOR_BYTES as u64, BLOCK)
    }

    /// Up to `len` bytes at `offset`; fewer at the limit.
    pub fn bytes(&mut self, offset: u64, len: usize) -> &[u8] {
        let end = offset.saturating_add(len as u64).min(self.limit);
        if offset >= end {
            return &[];
        }
        if offset < self.start || end > self.start + self.window.len() as u64 {
            self.fill(offset, (end - offset) as usize);
        }
        let from = (offset - self.start) as usize;
        let to = ((end - self.start) as usize).min(self.window.len());
        self.window.get(from..to).unwrap_or(&[])
    }

    fn fill(&mut self, offset: u64, len: usize) {
        let start = offset / BLOCK * BLOCK;
        let want = (offset - start) as usize + len.max(self.wanted);
        let want = want.next_multiple_of(BLOCK as usize);
        let rest = (self.limit - start).next_multiple_of(BLOCK) as usize;
        self.start = start;
        self.wanted = self.wanted.max(self.grow_to.min(2 * self.wanted));
        self.window.resize(want.min(rest));
        match read_full_at(self.file, &mut self.window, start) {
            Ok(n) => self.window.resize(n),
            // Large windows are for what reads well: block by block each would cost as many failing reads as it has blocks.
            Err(_) if self.wanted > WINDOW_BYTES => {
                (self.grow_to, self.wanted) = (0, WINDOW_BYTES);
                self.fill(offset, len);
            }
            Err(_) => self.fill_by_block(),
        }
    }

    /// After a failed read: block by block, and those that fail piece by piece, so that a bad sector costs only its piece.
    fn fill_by_block(&mut self) {
        let piece = self.piece_bytes();
        for (i, block) in self.window.chunks_mut(BLOCK as usize).enumerate() {
            let at = self.start + i as u64 * BLOCK;
            let Err(e) = read_or_zero(self.file, block, at) else { continue };
            self.unreadable.get_or_insert(e);
            for (j, part) in block.chunks_mut(piece as usize).enumerate() {
                let at = at + j as u64 * piece;
                let bad = piece == BLOCK || read_or_zero(self.file, part, at).is_err();
                if bad && self.bad_pieces.last().map_or(true, |last| *last < at) {
                    self.bad_pieces.push(at);
                }
            }
        }
    }

    /// The record whose header is at `offset`, if header and length are sound. Its data is not checked yet.
    pub fn header_at(&mut self, offset: u64) -> Option<RecordHeader> {
        let salt = self.salt;
        let header = RecordHeader::decode(self.bytes(offset, RECORD_HEADER_BYTES), salt, offset)?;
        let end = offset + RECORD_HEADER_BYTES as u64 + u64::from(header.length);
        (end <= self.limit).then_some(header)
    }

    /// The record that follows one ending at `offset`, at either place that rule R2 allows, whatever its lsn.
    pub fn header_after(&mut self, offset: u64) -> Option<(u64, RecordHeader)> {
        for at in [offset, offset.next_multiple_of(self.block_bytes)] {
            if let Some(header) = self.header_at(at) {
                return Some((at, header));
            }
        }
        None
    }

    /// The data of the record at `offset`, if its checksum matches.
    pub fn data(&mut self, offset: u64, header: &RecordHeader) -> Option<&[u8]> {
        let bytes = self.bytes(offset + RECORD_HEADER_BYTES as u64, header.length as usize);
        header.data_matches(bytes).then_some(bytes)
    }

    /// The next sound header from `offset` on with an lsn above `lsn`: what lies behind a hole.
    pub fn search(&mut self, offset: u64, lsn: u64) -> Option<(u64, RecordHeader)> {
        let mut at = offset.next_multiple_of(8);
        let mut zeros_from = at;
        while at + RECORD_HEADER_BYTES as u64 <= self.limit {
            if at - zeros_from >= ZEROS_BYTES {
                // A file that is longer than what was ever written to it must not cost time.
                at = self.file.next_data(at).map_or(at, |data| at.max(data / BLOCK * BLOCK));
                zeros_from = at;
            }
            let ahead = self.bytes(at, BLOCK as usize);
            // A record's type is never zero: none starts so far before the first byte that is not.
            let zeros = leading_zeros(ahead);
            let none = zeros.saturating_sub(TYPE_OFFSET) as u64 / 8 * 8;
            if none > 0 {
                at += none;
                continue;
            }
            zeros_from = at + 8;
            match self.header_at(at) {
                Some(header) if header.lsn > lsn => return Some((at, header)),
                _ => at += 8,
            }
        }
        None
    }
}

/// Zeros where the file has nothing to read, or cannot be read.
fn read_or_zero(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let read = read_full_at(file, buf, offset);
    let got = *read.as_ref().unwrap_or(&0);
    buf[got..].fill(0);
    read.map(drop)
}

fn leading_zeros(bytes: &[u8]) -> usize {
    let whole = bytes.chunks_exact(64).take_while(|c| **c == [0; 64]).count() * 64;
    whole + bytes.get(whole..).unwrap_or(&[]).iter().take_while(|b| **b == 0).count()
}
