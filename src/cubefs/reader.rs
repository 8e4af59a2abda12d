//! Reads one log file from front to back in large pieces, a longer record whole, and finds the records in it, and behind a bad one the next good one.

use super::content::PIECE_BYTES;
use crate::format::cubefs::{
    footer_target, index_items, may_be_index, record_at, Entry, Found, RecordType, ENTRY_HEADER_BYTES,
    RECORD_HEADER_BYTES,
};
use crate::io::{read_full_at, File};
use std::io;

/// Least bytes of an entry's record.
const ENTRY_RECORD_MIN: u64 = 30;
/// While looking for the next record, bytes whose checksums are tried at most, for each byte of the file and in all. A file that asks for
/// more was made to.
const TRIED_PER_BYTE: u64 = 8;
const TRIED_MIN: u64 = 256 << 20;

pub struct Reader<'a> {
    file: &'a dyn File,
    pub len: u64,
    piece: Vec<u8>,
    start: u64,
    tried: u64,
}

/// What lies behind bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    Nothing,
    /// The next record: where it is, and the last entry that should have been before it.
    Record(u64, u64),
    /// They were the file's index: its footer ends here.
    Footer(u64),
    /// It would take too long to find out.
    Unknown,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a dyn File) -> io::Result<Reader<'a>> {
        Ok(Reader { file, len: file.len()?, piece: Vec::new(), start: 0, tried: 0 })
    }

    /// The bytes from `at` on: at least `least` of them, if the file has them.
    pub fn bytes(&mut self, at: u64, least: usize) -> io::Result<&[u8]> {
        let rest = self.len.saturating_sub(at);
        let least = (least as u64).min(rest);
        let held = self.start <= at && at + least <= self.start + self.piece.len() as u64;
        if !held || least == 0 {
            let want = least.max((PIECE_BYTES as u64).min(rest)) as usize;
            self.piece.resize(want, 0);
            self.start = at;
            let got = read_full_at(self.file, &mut self.piece, at)?;
            // It was cut while it was read: what is gone is no record.
            self.piece.truncate(got);
            self.len = if got < want { at + got as u64 } else { self.len };
        }
        let from = (at - self.start) as usize;
        Ok(self.piece.get(from..).unwrap_or(&[]))
    }

    /// The record at `at`, with all of its bytes at hand.
    pub fn record(&mut self, at: u64) -> io::Result<Found<'_>> {
        let needs = self.needs(at)?.unwrap_or(RECORD_HEADER_BYTES);
        let rest = self.len.saturating_sub(at);
        Ok(record_at(self.bytes(at, needs)?, rest))
    }

    /// The bytes of the record at `at`, by its header alone: no checksum is computed. `None` if there cannot be one.
    fn needs(&mut self, at: u64) -> io::Result<Option<usize>> {
        let rest = self.len.saturating_sub(at);
        let header = self.bytes(at, RECORD_HEADER_BYTES)?;
        Ok(match record_at(header.get(..RECORD_HEADER_BYTES).unwrap_or(header), rest) {
            Found::Needs(needs) if needs as u64 <= rest => Some(needs),
            _ => None,
        })
    }

    /// The next valid record behind a bad one at `at`. `last` is the last entry before it. An entry that cannot follow that one is part of another
    /// entry's payload, which may well be a piece of somebody's log, and so is an index that names no entry in between, or a footer whose index
    /// is not there.
    pub fn behind(&mut self, at: u64, last: (u64, u64)) -> io::Result<Behind> {
        if let Found::Bad(Some(total)) = self.record(at)? {
            self.tried += total as u64;
            let next = at + total as u64;
            if let Some(found) = self.candidate(next, at, last)? {
                return Ok(found);
            }
        }
        let mut next = at + 1;
        while next + ENTRY_RECORD_MIN.min(RECORD_HEADER_BYTES as u64) < self.len {
            if let Some(found) = self.candidate(next, at, last)? {
                return Ok(found);
            }
            if self.tried > TRIED_MIN.max(self.len.saturating_mul(TRIED_PER_BYTE)) {
                return Ok(Behind::Unknown);
            }
            let ahead = self.bytes(next + 1, RECORD_HEADER_BYTES)?;
            // A type, and a length below 2^32.
            let maybe = ahead.windows(5).position(|w| matches!(w, [1..=3, 0, 0, 0, 0]));
            next += 1 + maybe.unwrap_or(ahead.len().saturating_sub(4).max(1)) as u64;
        }
        Ok(Behind::Nothing)
    }

    fn candidate(&mut self, next: u64, from: u64, last: (u64, u64)) -> io::Result<Option<Behind>> {
        let Some(needs) = self.needs(next)? else { return Ok(None) };
        let lost = (next - from) / ENTRY_RECORD_MIN + 1;
        let follows =
            |index: u64, term: u64| index > last.0 && (last.0 == 0 || index - last.0 <= lost + 1) && term >= last.1;
        let head = self.bytes(next, RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES)?;
        if head.first() == Some(&(RecordType::Entry as u8)) {
            let header = head.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES);
            if !header.and_then(Entry::decode).is_some_and(|e| follows(e.index, e.term)) {
                return Ok(None);
            }
        }
        self.tried += needs as u64;
        let between = from..next;
        Ok(match self.record(next)? {
            Found::Record(RecordType::Entry, data, _) => {
                Entry::decode(data).map(|e| Behind::Record(next, e.index.saturating_sub(1)))
            }
            Found::Record(RecordType::Index, data, _) => index_items(data)
                .and_then(Iterator::last)
                .filter(|item| between.contains(&u64::from(item.offset)) && follows(item.index, item.term))
                .map(|item| Behind::Record(next, item.index)),
            Found::Record(RecordType::Footer, data, total) => footer_target(data)
                .filter(|target| between.contains(target) && may_be_index(next - target))
                .map(|target| {
                    if target == from {
                        Behind::Footer(next + total as u64)
                    } else {
                        Behind::Record(next, last.0 + 1)
                    }
                }),
            _ => None,
        })
    }
}
