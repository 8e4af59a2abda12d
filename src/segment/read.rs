//! Reads entries of one segment, every one checked.

use super::{Cursor, Segment};
use crate::format::RecordType;
use std::io;

/// What entries are handed to: index, term, kind, data; false stops.
pub type Take<'a> = dyn FnMut(u64, u64, u8, &[u8]) -> bool + 'a;

/// Why a read stopped short.
#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    /// Entries from `first` on are damaged or not there; `next` is the first good one behind them, if there is one.
    Damaged {
        first: u64,
        next: Option<u64>,
    },
}

/// Hands entries `lo ..= hi` to `take` in order until it returns false. Starts at `from`, a place at or before `lo`.
pub fn read_records(
    cursor: &mut Cursor<'_>,
    from: u64,
    lo: u64,
    hi: u64,
    take: &mut Take<'_>,
) -> Result<bool, ReadError> {
    let mut at = from;
    let mut lsn = 0;
    let mut wanted = lo;
    while wanted <= hi {
        let next = cursor.header_after(at).filter(|(_, h)| lsn == 0 || h.lsn == lsn + 1);
        // Behind damage the log may go on: an entry after it is still good.
        let next = match next {
            Some(found) => Some(found),
            None => cursor.search(at, lsn),
        };
        let Some((offset, header)) = next else { return Err(failure(cursor, wanted, None)) };
        at = offset + header.total_bytes();
        lsn = header.lsn;
        if header.record_type != RecordType::Entry || header.index < wanted {
            continue;
        }
        if header.index > wanted {
            return Err(failure(cursor, wanted, Some(header.index)));
        }
        let Some(data) = cursor.data(offset, &header) else { return Err(failure(cursor, wanted, Some(wanted + 1))) };
        if !take(header.index, header.term, header.kind, data) {
            return Ok(false);
        }
        wanted += 1;
    }
    Ok(true)
}

fn failure(cursor: &mut Cursor<'_>, first: u64, next: Option<u64>) -> ReadError {
    match cursor.unreadable.take() {
        Some(e) => ReadError::Io(e),
        None => ReadError::Damaged { first, next },
    }
}

impl Segment {
    /// A cursor over this segment's file up to `limit`.
    pub fn cursor<'a>(&'a self, file: &'a dyn crate::io::File, limit: u64) -> Cursor<'a> {
        Cursor::new(file, self, limit)
    }
}
