//! The header of a segment file.

use super::{get_id, get_u32, get_u64, Id, MAX_COUNTER, VERSION};

pub const SEGMENT_HEADER_BYTES: usize = 96;
const MAGIC: &[u8; 8] = b"BLKHSEGM";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Where the first record starts: a multiple of `block_bytes`.
    pub header_bytes: u32,
    pub partition_id: u64,
    pub incarnation: Id,
    pub epoch: Id,
    pub salt: Id,
    pub sequence: u64,
    /// A flush is padded to a multiple of this.
    pub block_bytes: u32,
    /// The file held nothing but zeros when the header was written: other bytes behind the records were written later.
    pub zeroed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderError {
    #[error("the segment header is damaged")]
    Damaged,
    #[error("the segment was written by format version {0}, this library reads up to {VERSION}")]
    VersionTooNew(u32),
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut b = [0u8; SEGMENT_HEADER_BYTES];
        b[..8].copy_from_slice(MAGIC);
        b[8..12].copy_from_slice(&VERSION.to_le_bytes());
        b[12..16].copy_from_slice(&self.header_bytes.to_le_bytes());
        b[16..24].copy_from_slice(&self.partition_id.to_le_bytes());
        b[24..40].copy_from_slice(&self.incarnation);
        b[40..56].copy_from_slice(&self.epoch);
        b[56..72].copy_from_slice(&self.salt);
        b[72..80].copy_from_slice(&self.sequence.to_le_bytes());
        b[80..84].copy_from_slice(&self.block_bytes.to_le_bytes());
        b[84..88].copy_from_slice(&u32::from(self.zeroed).to_le_bytes());
        let crc = crc32fast::hash(&b[..88]);
        b[88..92].copy_from_slice(&crc.to_le_bytes());
        b
    }

    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, SegmentHeaderError> {
        let b = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(SegmentHeaderError::Damaged)?;
        if &b[..8] != MAGIC || get_u32(b, 88) != crc32fast::hash(&b[..88]) {
            return Err(SegmentHeaderError::Damaged);
        }
        let version = get_u32(b, 8);
        if version > VERSION {
            return Err(SegmentHeaderError::VersionTooNew(version));
        }
        let header = SegmentHeader {
            header_bytes: get_u32(b, 12),
            partition_id: get_u64(b, 16),
            incarnation: get_id(b, 24),
            epoch: get_id(b, 40),
            salt: get_id(b, 56),
            sequence: get_u64(b, 72),
            block_bytes: get_u32(b, 80),
            zeroed: get_u32(b, 84) == 1,
        };
        let sane = header.block_bytes.is_power_of_two()
            && (512..=65_536).contains(&header.block_bytes)
            && (SEGMENT_HEADER_BYTES as u32..=65_536).contains(&header.header_bytes)
            && header.header_bytes % header.block_bytes == 0
            && header.sequence < MAX_COUNTER;
        if sane {
            Ok(header)
        } else {
            Err(SegmentHeaderError::Damaged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            header_bytes: 4096,
            partition_id: 5,
            incarnation: [1; 16],
            epoch: [2; 16],
            salt: [3; 16],
            sequence: 9,
            block_bytes: 4096,
            zeroed: true,
        }
    }

    #[test]
    fn round_trip_and_every_flipped_bit() {
        let bytes = sample().encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(sample()));
        for bit in 0..92 * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad), Err(SegmentHeaderError::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn a_version_from_the_future_is_named() {
        let mut bytes = sample().encode();
        bytes[8..12].copy_from_slice(&7u32.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..88]);
        bytes[88..92].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(SegmentHeaderError::VersionTooNew(7)));
    }
}
