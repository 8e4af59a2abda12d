//! Reads entries of one segment, every one checked.

use super::{Cursor, Segment};
use crate::format::{RecordType, MAX_COUNTER};
use std::io;

/// What entries are handed to: index, term, kind, data; false stops.
pub type Take<'a> = dyn FnMut(u64, u64, u8, &[u8]) -> bool + 'a;

/// Why a read stopped short.
#[derive(Debug)]
pub enum ReadError {
    Io(io::Error),
    /// Entries from `first` on are damaged or not there.
    Damaged {
        first: u64,
    },
}

/// Entries that do not read back.
pub struct Bad {
    pub first: u64,
    pub last: u64,
    /// A block could not be read.
    pub unreadable: Option<io::Error>,
}

/// Hands entries `lo ..= hi` to `take` in order until it returns false. Starts at `from`, a place at or before `lo`.
pub fn read_records(
    cursor: &mut Cursor<'_>,
    from: u64,
    lo: u64,
    hi: u64,
    take: &mut Take<'_>,
) -> Result<bool, ReadError> {
    let mut error = None;
    let on = read_around(cursor, from, lo, hi, take, &mut |bad| {
        error = Some(match bad.unreadable {
            Some(e) => ReadError::Io(e),
            None => ReadError::Damaged { first: bad.first },
        });
        false
    });
    error.map_or(Ok(on), Err)
}

/// The same for one who goes on behind what does not read back, which `skip` hears of, in order with `take`. Every block is read about once,
/// however many entries of it are bad.
pub fn read_around(
    cursor: &mut Cursor<'_>,
    from: u64,
    lo: u64,
    hi: u64,
    take: &mut Take<'_>,
    skip: &mut dyn FnMut(Bad) -> bool,
) -> bool {
    let mut at = from;
    let mut lsn = 0;
    let mut wanted = lo;
    let hi = hi.min(MAX_COUNTER); // no record has a higher index
    while wanted <= hi {
        let next = cursor.header_after(at).filter(|(_, h)| lsn == 0 || h.lsn == lsn + 1);
        // Behind damage the log may go on: an entry after it is still good.
        let next = match next {
            Some(found) => Some(found),
            None => cursor.search(at, lsn),
        };
        let entry = next.filter(|(_, header)| header.record_type == RecordType::Entry && header.index >= wanted);
        let (good, behind) = match (next, entry) {
            (None, _) => (None, hi + 1),
            (Some((offset, header)), None) => {
                (at, lsn) = (offset + header.total_bytes(), header.lsn);
                continue;
            }
            (_, Some(entry)) => (Some(entry), entry.1.index.min(hi + 1)),
        };
        if wanted < behind && !skip(Bad { first: wanted, last: behind - 1, unreadable: cursor.unreadable.take() }) {
            return false;
        }
        wanted = behind;
        let Some((offset, header)) = good.filter(|_| wanted <= hi) else { return true };
        (at, lsn) = (offset + header.total_bytes(), header.lsn);
        wanted += 1;
        let goes_on = match cursor.data(offset, &header) {
            Some(data) => take(header.index, header.term, header.kind, data),
            None => skip(Bad { first: header.index, last: header.index, unreadable: cursor.unreadable.take() }),
        };
        if !goes_on {
            return false;
        }
    }
    true
}

impl Segment {
    /// A cursor over this segment's file up to `limit`.
    pub fn cursor<'a>(&'a self, file: &'a dyn crate::io::File, limit: u64) -> Cursor<'a> {
        Cursor::new(file, self, limit)
    }
}
