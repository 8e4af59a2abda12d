//! The shared journal: its header, and the pieces of segments that it holds.

use super::{align8, get_id, get_u32, get_u64, Id, MAX_COUNTER, SEGMENT_HEADER_BYTES};

pub const JOURNAL_HEADER_BYTES: usize = 64;
pub const PIECE_HEADER_BYTES: usize = 80;
/// Most bytes of data in one piece, the same for writing and reading.
pub const MAX_PIECE_BYTES: u32 = 256 << 10;
const MAGIC: &[u8; 8] = b"BLKHJRNL";
const VERSION: u32 = 1;
/// "BLKP": where in a piece's header, and what. A search looks at it first.
const PIECE_MAGIC_OFFSET: usize = 12;
const PIECE_MAGIC: u32 = u32::from_le_bytes(*b"BLKP");
/// Regions and their blocks start at multiples of this.
const ALIGN: u64 = 512;
const MAX_REGIONS: u32 = 16;

/// The header of a journal's file: regions of equal size follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHeader {
    pub id: Id,
    /// Where the first region starts.
    pub header_bytes: u32,
    pub region_bytes: u64,
    pub regions: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalHeaderError {
    #[error("the journal's header is damaged")]
    Damaged,
    #[error("the journal was written by format version {0}, this library reads up to {VERSION}")]
    VersionTooNew(u32),
}

impl JournalHeader {
    pub fn encode(&self) -> [u8; JOURNAL_HEADER_BYTES] {
        let mut b = [0u8; JOURNAL_HEADER_BYTES];
        b[..8].copy_from_slice(MAGIC);
        b[8..12].copy_from_slice(&VERSION.to_le_bytes());
        b[12..16].copy_from_slice(&self.header_bytes.to_le_bytes());
        b[16..32].copy_from_slice(&self.id);
        b[32..40].copy_from_slice(&self.region_bytes.to_le_bytes());
        b[40..44].copy_from_slice(&self.regions.to_le_bytes());
        let crc = crc32fast::hash(&b[..60]);
        b[60..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    pub fn decode(bytes: &[u8]) -> Result<JournalHeader, JournalHeaderError> {
        let b = bytes.get(..JOURNAL_HEADER_BYTES).ok_or(JournalHeaderError::Damaged)?;
        if &b[..8] != MAGIC || get_u32(b, 60) != crc32fast::hash(&b[..60]) {
            return Err(JournalHeaderError::Damaged);
        }
        let version = get_u32(b, 8);
        if version > VERSION {
            return Err(JournalHeaderError::VersionTooNew(version));
        }
        let header = JournalHeader {
            header_bytes: get_u32(b, 12),
            id: get_id(b, 16),
            region_bytes: get_u64(b, 32),
            regions: get_u32(b, 40),
        };
        let sane = (JOURNAL_HEADER_BYTES as u32..=65_536).contains(&header.header_bytes)
            && u64::from(header.header_bytes) % ALIGN == 0
            && (ALIGN..MAX_COUNTER / u64::from(MAX_REGIONS)).contains(&header.region_bytes)
            && header.region_bytes % ALIGN == 0
            && (1..=MAX_REGIONS).contains(&header.regions);
        sane.then_some(header).ok_or(JournalHeaderError::Damaged)
    }

    /// Where the last region ends.
    pub fn end(&self) -> u64 {
        u64::from(self.header_bytes).saturating_add(self.region_bytes.saturating_mul(u64::from(self.regions)))
    }
}

/// A journal's id, with the checksum state after it computed once.
#[derive(Clone, Debug)]
pub struct JournalSalt(crc32fast::Hasher);

impl JournalSalt {
    pub fn new(id: &Id) -> JournalSalt {
        let mut seeded = crc32fast::Hasher::new();
        seeded.update(id);
        JournalSalt(seeded)
    }

    fn header_crc(&self, fields: &[u8]) -> u32 {
        let mut crc = self.0.clone();
        crc.update(fields);
        crc.finalize()
    }
}

/// A piece without its data: which bytes of which segment it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceHeader {
    pub incarnation: Id,
    /// The segment's.
    pub salt: Id,
    pub segment: u64,
    /// Where in the segment's file the data lies.
    pub offset: u64,
    /// Where in the journal's file this header lies.
    pub position: u64,
    pub length: u32,
    pub data_crc: u32,
}

impl PieceHeader {
    pub fn encode(&self, salt: &JournalSalt) -> [u8; PIECE_HEADER_BYTES] {
        let mut b = [0u8; PIECE_HEADER_BYTES];
        b[4..8].copy_from_slice(&self.data_crc.to_le_bytes());
        b[8..12].copy_from_slice(&self.length.to_le_bytes());
        b[PIECE_MAGIC_OFFSET..16].copy_from_slice(&PIECE_MAGIC.to_le_bytes());
        b[16..32].copy_from_slice(&self.incarnation);
        b[32..48].copy_from_slice(&self.salt);
        b[48..56].copy_from_slice(&self.segment.to_le_bytes());
        b[56..64].copy_from_slice(&self.offset.to_le_bytes());
        b[64..72].copy_from_slice(&self.position.to_le_bytes());
        let crc = salt.header_crc(&b[4..]);
        b[..4].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// The header at `position`, if its checksum says that it was written there and in this journal.
    pub fn decode(bytes: &[u8], salt: &JournalSalt, position: u64) -> Option<PieceHeader> {
        let b = bytes.get(..PIECE_HEADER_BYTES)?;
        // Cheap tests first: a search meets many places that are no piece.
        if get_u32(b, PIECE_MAGIC_OFFSET) != PIECE_MAGIC
            || get_u64(b, 64) != position
            || get_u32(b, 0) != salt.header_crc(&b[4..])
        {
            return None;
        }
        let header = PieceHeader {
            incarnation: get_id(b, 16),
            salt: get_id(b, 32),
            segment: get_u64(b, 48),
            offset: get_u64(b, 56),
            position,
            length: get_u32(b, 8),
            data_crc: get_u32(b, 4),
        };
        (header.is_within_bounds() && get_u64(b, 72) == 0).then_some(header)
    }

    /// What a piece may be for: some bytes of a segment behind its header, from a multiple of 8 on.
    pub fn is_within_bounds(&self) -> bool {
        (1..=MAX_PIECE_BYTES).contains(&self.length)
            && self.segment < MAX_COUNTER
            && (SEGMENT_HEADER_BYTES as u64..MAX_COUNTER).contains(&self.offset)
            && self.offset % 8 == 0
            && self.position < MAX_COUNTER
    }

    pub fn data_matches(&self, data: &[u8]) -> bool {
        data.len() == self.length as usize && crc32fast::hash(data) == self.data_crc
    }

    /// Bytes of the piece with its data, rounded up to where the next may start.
    pub fn total_bytes(&self) -> u64 {
        align8(PIECE_HEADER_BYTES as u64 + u64::from(self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> JournalHeader {
        JournalHeader { id: [1; 16], header_bytes: 4096, region_bytes: 8 << 20, regions: 2 }
    }

    fn piece() -> (PieceHeader, JournalSalt) {
        let header = PieceHeader {
            incarnation: [2; 16],
            salt: [3; 16],
            segment: 4,
            offset: 4096,
            position: 8192,
            length: 3,
            data_crc: crc32fast::hash(b"abc"),
        };
        (header, JournalSalt::new(&[1; 16]))
    }

    #[test]
    fn every_flipped_bit_of_the_file_header_is_found() {
        let bytes = header().encode();
        assert_eq!((JournalHeader::decode(&bytes), header().end()), (Ok(header()), 4096 + (16 << 20)));
        for bit in 0..JOURNAL_HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(JournalHeader::decode(&bad), Err(JournalHeaderError::Damaged), "bit {bit}");
        }
        assert_eq!(JournalHeader::decode(&bytes[..63]), Err(JournalHeaderError::Damaged));
    }

    #[test]
    fn a_version_from_the_future_is_named() {
        let mut bytes = header().encode();
        bytes[8..12].copy_from_slice(&7u32.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(JournalHeader::decode(&bytes), Err(JournalHeaderError::VersionTooNew(7)));
    }

    #[test]
    fn hostile_sizes_of_the_file_are_refused_even_with_a_right_checksum() {
        let sizes = [
            JournalHeader { header_bytes: 0, ..header() },
            JournalHeader { header_bytes: 64, ..header() },
            JournalHeader { header_bytes: u32::MAX, ..header() },
            JournalHeader { region_bytes: 0, ..header() },
            JournalHeader { region_bytes: 513, ..header() },
            JournalHeader { region_bytes: !511, ..header() },
            JournalHeader { regions: 0, ..header() },
            JournalHeader { regions: u32::MAX, ..header() },
        ];
        for bad in sizes {
            assert_eq!(JournalHeader::decode(&bad.encode()), Err(JournalHeaderError::Damaged), "{bad:?}");
        }
    }

    #[test]
    fn a_piece_is_valid_only_where_it_was_written() {
        let (header, salt) = piece();
        let bytes = header.encode(&salt);
        assert_eq!(PieceHeader::decode(&bytes, &salt, 8192), Some(header));
        assert!(header.data_matches(b"abc") && !header.data_matches(b"abd") && !header.data_matches(b"ab"));
        assert_eq!(header.total_bytes(), 88);
        assert_eq!(PieceHeader::decode(&bytes, &salt, 8200), None, "misplaced bytes must not validate");
        assert_eq!(
            PieceHeader::decode(&bytes, &JournalSalt::new(&[9; 16]), 8192),
            None,
            "another journal's bytes must not validate"
        );
    }

    #[test]
    fn every_flipped_bit_of_a_piece_header_is_found() {
        let (header, salt) = piece();
        let bytes = header.encode(&salt);
        for bit in 0..PIECE_HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(PieceHeader::decode(&bad, &salt, 8192), None, "bit {bit}");
        }
    }

    #[test]
    fn hostile_pieces_are_refused_even_with_a_right_checksum() {
        let (header, salt) = piece();
        let hostile = [
            PieceHeader { length: 0, ..header },
            PieceHeader { length: MAX_PIECE_BYTES + 1, ..header },
            PieceHeader { length: u32::MAX, ..header },
            PieceHeader { segment: MAX_COUNTER, ..header },
            PieceHeader { segment: u64::MAX, ..header },
            PieceHeader { offset: 0, ..header },
            PieceHeader { offset: 4097, ..header },
            PieceHeader { offset: MAX_COUNTER, ..header },
            PieceHeader { offset: !7, ..header },
        ];
        for bad in hostile {
            assert_eq!(PieceHeader::decode(&bad.encode(&salt), &salt, bad.position), None, "{bad:?}");
        }
        let far = PieceHeader { position: !7, ..header };
        assert_eq!(PieceHeader::decode(&far.encode(&salt), &salt, far.position), None);
    }
}
