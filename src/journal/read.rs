//! Finds the pieces of one partition in a journal's file. Trusts nothing that it reads before its checksum.

use super::patches::{Patch, Patches};
use crate::format::{Id, JournalHeader, JournalSalt, PieceHeader, JOURNAL_HEADER_BYTES, PIECE_HEADER_BYTES};
use crate::io::{read_full_at, AlignedBuf, File, SECTOR_BYTES};
use std::io;

/// Most bytes read at a time: more than the largest piece and a block.
const WINDOW_BYTES: u64 = 1 << 20;
/// Windows start and end at multiples of this, as O_DIRECT asks for; and what cannot be read is left out in pieces of it.
const BLOCK: u64 = 4096;
/// Pieces start at multiples of this.
const STEP: usize = 8;
const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// What a journal holds for one partition.
pub struct Found {
    pub patches: Patches,
    /// The first read that failed: the pieces it hit are missing.
    pub unreadable: Option<io::Error>,
}

/// The header, if it is that of the journal with this id. `InvalidData` says what else it is.
pub fn read_header(file: &dyn File, id: &Id) -> io::Result<JournalHeader> {
    let mut block = AlignedBuf::zeroed(BLOCK as usize);
    let n = read_full_at(file, &mut block, 0)
        .or_else(|e| read_full_at(file, &mut block[..SECTOR_BYTES], 0).map_err(|_| e))?;
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let bytes = block.get(..n.min(JOURNAL_HEADER_BYTES)).unwrap_or_default();
    let header = JournalHeader::decode(bytes).map_err(|e| invalid(e.to_string()))?;
    if header.id != *id {
        return Err(invalid("the journal is another one than the root names".to_string()));
    }
    Ok(header)
}

/// The pieces of this incarnation, wherever they lie in the regions.
pub fn read_pieces(file: &dyn File, header: &JournalHeader, incarnation: &Id) -> io::Result<Found> {
    let len = file.len()?;
    let mut window = Window { file, start: 0, bytes: AlignedBuf::new(), end: header.end(), unreadable: None };
    window.file_ends_at(len);
    let salt = JournalSalt::new(&header.id);
    let mut patches = Patches::default();
    let mut at = u64::from(header.header_bytes);
    while let Some(position) = window.next_candidate(at) {
        at = match window.piece(position, &salt) {
            Some((piece, data)) => {
                if piece.incarnation == *incarnation {
                    patches.add(piece.segment, Patch { salt: piece.salt, offset: piece.offset, data: data.into() });
                }
                position.saturating_add(piece.total_bytes())
            }
            None => position + STEP as u64,
        };
    }
    patches.sort();
    Ok(Found { patches, unreadable: window.unreadable })
}

struct Window<'a> {
    file: &'a dyn File,
    start: u64,
    bytes: AlignedBuf,
    /// Where the last region ends, or the file.
    end: u64,
    unreadable: Option<io::Error>,
}

impl Window<'_> {
    /// The first place at or behind `at` that may be a piece's: what is surely none is passed over. None at the end.
    fn next_candidate(&mut self, mut at: u64) -> Option<u64> {
        loop {
            if at.saturating_add(PIECE_HEADER_BYTES as u64) > self.end {
                return None;
            }
            // A piece's magic is not zero: none starts so far before the last zero.
            let zeros = at % BLOCK == 0 && self.bytes(at, BLOCK as usize) == ZEROS;
            if !zeros {
                return Some(at);
            }
            at += BLOCK - STEP as u64;
        }
    }

    /// The piece at `position`, if it is valid, and its data.
    fn piece(&mut self, position: u64, salt: &JournalSalt) -> Option<(PieceHeader, &[u8])> {
        let header = PieceHeader::decode(self.bytes(position, PIECE_HEADER_BYTES), salt, position)?;
        let data = self.bytes(position + PIECE_HEADER_BYTES as u64, header.length as usize);
        header.data_matches(data).then_some((header, data))
    }

    /// `len` bytes at `offset`, at most a window of them; fewer at the end.
    fn bytes(&mut self, offset: u64, len: usize) -> &[u8] {
        let end = offset.saturating_add(len as u64).min(self.end);
        if offset >= end {
            return &[];
        }
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            self.fill(offset / BLOCK * BLOCK);
        }
        let from = (offset - self.start) as usize;
        let to = ((end - self.start) as usize).min(self.bytes.len());
        self.bytes.get(from..to).unwrap_or_default()
    }

    fn fill(&mut self, start: u64) {
        let rest = self.end.saturating_sub(start).next_multiple_of(BLOCK);
        self.start = start;
        self.bytes.resize(rest.min(WINDOW_BYTES) as usize);
        match read_full_at(self.file, &mut self.bytes, start) {
            Ok(n) if n < self.bytes.len() => {
                self.bytes.resize(n);
                self.file_ends_at(start + n as u64);
            }
            Ok(_) => {}
            Err(_) => self.fill_by_block(),
        }
    }

    /// What is missing of a file that was cut short cannot be read, either.
    fn file_ends_at(&mut self, end: u64) {
        if end < self.end {
            self.end = end;
            let e = || io::Error::new(io::ErrorKind::UnexpectedEof, "the journal's file was cut short");
            self.unreadable.get_or_insert_with(e);
        }
    }

    /// After a failed read: block by block, so that a bad sector costs only what lies in its block.
    fn fill_by_block(&mut self) {
        for (i, block) in self.bytes.chunks_mut(BLOCK as usize).enumerate() {
            let read = read_full_at(self.file, block, self.start + i as u64 * BLOCK);
            let good = *read.as_ref().unwrap_or(&0);
            block.get_mut(good..).unwrap_or_default().fill(0);
            if let Err(e) = read {
                self.unreadable.get_or_insert(e);
            }
        }
    }
}
