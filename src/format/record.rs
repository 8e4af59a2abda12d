//! Records: header, checksums, the begin record's data.

use super::{get_u32, get_u64, Id, MAX_COUNTER};

pub const RECORD_HEADER_BYTES: usize = 56;
pub const BEGIN_DATA_BYTES: usize = 24;
/// Most bytes in one record, the same for writing and reading.
pub const MAX_DATA_BYTES: u32 = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordType {
    Entry = 1,
    Begin = 2,
    Mark = 3,
}

/// A record without its data. The two checksums are made when it is written and checked when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    pub record_type: RecordType,
    /// The owner's entry type.
    pub kind: u8,
    pub length: u32,
    pub data_crc: u32,
    pub lsn: u64,
    pub index: u64,
    pub term: u64,
    pub mark: u64,
    pub commit: u64,
}

/// A segment's salt, with the checksum state after it computed once.
#[derive(Clone, Debug)]
pub struct SegmentSalt {
    id: Id,
    seeded: crc32fast::Hasher,
}

impl SegmentSalt {
    pub fn new(id: Id) -> SegmentSalt {
        let mut seeded = crc32fast::Hasher::new();
        seeded.update(&id);
        SegmentSalt { id, seeded }
    }

    pub fn id(&self) -> Id {
        self.id
    }

    fn header_crc(&self, offset: u64, fields: &[u8]) -> u32 {
        let mut bytes = [0u8; 8 + RECORD_HEADER_BYTES - 4];
        bytes[..8].copy_from_slice(&offset.to_le_bytes());
        bytes[8..].copy_from_slice(fields);
        let mut crc = self.seeded.clone();
        crc.update(&bytes);
        crc.finalize()
    }
}

impl RecordHeader {
    pub fn encode(&self, salt: &SegmentSalt, offset: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut b = [0u8; RECORD_HEADER_BYTES];
        b[4..8].copy_from_slice(&self.data_crc.to_le_bytes());
        b[8..12].copy_from_slice(&self.length.to_le_bytes());
        b[12] = self.record_type as u8;
        b[13] = self.kind;
        b[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        b[24..32].copy_from_slice(&self.index.to_le_bytes());
        b[32..40].copy_from_slice(&self.term.to_le_bytes());
        b[40..48].copy_from_slice(&self.mark.to_le_bytes());
        b[48..56].copy_from_slice(&self.commit.to_le_bytes());
        let crc = salt.header_crc(offset, &b[4..]);
        b[..4].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// The header at `offset`, if its checksum says that it was written there and in this segment.
    pub fn decode(bytes: &[u8], salt: &SegmentSalt, offset: u64) -> Option<RecordHeader> {
        let b = bytes.get(..RECORD_HEADER_BYTES)?;
        // Cheap tests first: a scan meets many places that are no record.
        let record_type = match b[12] {
            1 => RecordType::Entry,
            2 => RecordType::Begin,
            3 => RecordType::Mark,
            _ => return None,
        };
        let length = get_u32(b, 8);
        if length > MAX_DATA_BYTES || b[14..16] != [0, 0] || get_u32(b, 0) != salt.header_crc(offset, &b[4..]) {
            return None;
        }
        let header = RecordHeader {
            record_type,
            kind: b[13],
            length,
            data_crc: get_u32(b, 4),
            lsn: get_u64(b, 16),
            index: get_u64(b, 24),
            term: get_u64(b, 32),
            mark: get_u64(b, 40),
            commit: get_u64(b, 48),
        };
        let counters = [header.lsn, header.index, header.mark, header.commit];
        counters.iter().all(|n| *n < MAX_COUNTER).then_some(header)
    }

    /// True if the bytes look like the record expected here with some bits changed: a record that was written, not stale or empty space.
    pub fn resembles(bytes: &[u8], lsn: u64, index: u64) -> bool {
        bytes.len() >= RECORD_HEADER_BYTES
            && (get_u64(bytes, 16) == lsn
                || (index != 0 && get_u64(bytes, 24) == index && get_u64(bytes, 40) != 0 && get_u64(bytes, 40) < lsn))
    }

    pub fn data_matches(&self, data: &[u8]) -> bool {
        data.len() == self.length as usize && crc32fast::hash(data) == self.data_crc
    }

    /// Bytes of the record with its data, rounded up to where the next may start.
    pub fn total_bytes(&self) -> u64 {
        align8(RECORD_HEADER_BYTES as u64 + u64::from(self.length))
    }
}

pub fn align8(n: u64) -> u64 {
    n.saturating_add(7) & !7
}

/// What a segment continues: the end of the segment before it. All zero: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BeginData {
    pub segment: u64,
    pub end_offset: u64,
    pub last_lsn: u64,
}

impl BeginData {
    pub fn encode(&self) -> [u8; BEGIN_DATA_BYTES] {
        let mut b = [0u8; BEGIN_DATA_BYTES];
        b[..8].copy_from_slice(&self.segment.to_le_bytes());
        b[8..16].copy_from_slice(&self.end_offset.to_le_bytes());
        b[16..].copy_from_slice(&self.last_lsn.to_le_bytes());
        b
    }

    pub fn decode(b: &[u8]) -> Option<BeginData> {
        let words = [get_u64(b, 0), get_u64(b, 8), get_u64(b, 16)];
        let sound = b.len() == BEGIN_DATA_BYTES && words.iter().all(|n| *n < MAX_COUNTER);
        sound.then(|| BeginData { segment: words[0], end_offset: words[1], last_lsn: words[2] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (RecordHeader, SegmentSalt) {
        let header = RecordHeader {
            record_type: RecordType::Entry,
            kind: 1,
            length: 3,
            data_crc: crc32fast::hash(b"abc"),
            lsn: 10,
            index: 7,
            term: 2,
            mark: 9,
            commit: 6,
        };
        (header, SegmentSalt::new([3; 16]))
    }

    #[test]
    fn a_record_is_valid_only_where_it_was_written() {
        let (header, salt) = sample();
        let bytes = header.encode(&salt, 4096);
        assert_eq!(RecordHeader::decode(&bytes, &salt, 4096), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, &salt, 4104), None, "misplaced bytes must not validate");
        assert_eq!(
            RecordHeader::decode(&bytes, &SegmentSalt::new([4; 16]), 4096),
            None,
            "another segment's bytes must not validate"
        );
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let (header, salt) = sample();
        let bytes = header.encode(&salt, 64);
        for bit in 0..RECORD_HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bad, &salt, 64), None, "bit {bit}");
        }
    }

    #[test]
    fn a_hostile_length_is_refused_even_with_a_right_checksum() {
        let (mut header, salt) = sample();
        header.length = MAX_DATA_BYTES + 1;
        assert_eq!(RecordHeader::decode(&header.encode(&salt, 0), &salt, 0), None);
    }
}
