//! CubeFS's own WAL (its package depends/tiglabs/raft/storage/wal, release v3.4.0): names and bytes to structs and back, without I/O.
//! `docs/format.md` has the tables. All numbers are big-endian. Nothing here trusts a length.

use super::MAX_DATA_BYTES;
use std::fmt;

pub const META_NAME: &str = "META";
pub const META_BYTES: usize = 40;
/// A META without a compaction point ends here.
pub const META_SHORT_BYTES: usize = 24;
/// Type and length.
pub const RECORD_HEADER_BYTES: usize = 9;
pub const CRC_BYTES: usize = 4;
/// Kind, term and index, in front of an entry's payload.
pub const ENTRY_HEADER_BYTES: usize = 17;
const INDEX_COUNT_BYTES: usize = 4;
const INDEX_ITEM_BYTES: usize = 20;
const FOOTER_BYTES: usize = 16;
const FOOTER_MAGIC: [u8; 8] = [0xf9, 0xbf, 0x3e, 0x0a, 0xd3, 0xc5, 0xcc, 0x3f];

/// A log file's name: `%016x-%016x.log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogName {
    pub sequence: u64,
    /// The first index in it, as its writer expected when it made the file.
    pub first: u64,
}

impl LogName {
    pub fn parse(name: &str) -> Option<LogName> {
        let (sequence, first) = name.strip_suffix(".log")?.split_once('-')?;
        Some(LogName { sequence: hex(sequence)?, first: hex(first)? })
    }

    /// True for names that CubeFS takes for a log file's: its Sscanf asks for no full width and lets a name go on behind `.log`.
    pub fn is_taken_for_one(name: &str) -> bool {
        let digits = |text: &str| text.bytes().take(16).take_while(u8::is_ascii_hexdigit).count();
        let first = digits(name);
        let rest = name.get(first..).and_then(|r| r.strip_prefix('-')).unwrap_or("");
        let second = digits(rest);
        first > 0 && second > 0 && rest.get(second..).is_some_and(|r| r.starts_with(".log"))
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}.log", self.sequence, self.first)
    }
}

fn hex(text: &str) -> Option<u64> {
    let lower = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == 16 && lower).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// What META holds: raft's hard state and the compaction point, which CubeFS calls truncIndex and truncTerm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub term: u64,
    pub commit: u64,
    pub vote: u64,
    pub compaction_index: u64,
    pub compaction_term: u64,
}

impl Meta {
    /// `None` for a size that CubeFS's own reader refuses. An empty file is a fresh one, 24 bytes are one without a compaction point, and
    /// what is behind byte 40 is not looked at.
    pub fn decode(bytes: &[u8]) -> Option<Meta> {
        if !matches!(bytes.len(), 0 | META_SHORT_BYTES | META_BYTES..) {
            return None;
        }
        Some(Meta {
            term: be64(bytes, 0),
            commit: be64(bytes, 8),
            vote: be64(bytes, 16),
            compaction_index: be64(bytes, 24),
            compaction_term: be64(bytes, 32),
        })
    }

    pub fn encode(&self) -> [u8; META_BYTES] {
        let mut bytes = [0; META_BYTES];
        let words = [self.term, self.commit, self.vote, self.compaction_index, self.compaction_term];
        for (at, word) in bytes.chunks_exact_mut(8).zip(words) {
            at.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordType {
    Entry = 1,
    Index = 2,
    Footer = 3,
}

impl RecordType {
    /// Whether data of this type may have so many bytes.
    fn may_have(self, bytes: usize) -> bool {
        match self {
            RecordType::Entry => bytes >= ENTRY_HEADER_BYTES,
            RecordType::Index => bytes % INDEX_ITEM_BYTES == INDEX_COUNT_BYTES,
            RecordType::Footer => bytes == FOOTER_BYTES,
        }
    }

    fn is_of(self, data: &[u8]) -> bool {
        match self {
            RecordType::Entry => Entry::decode(data).is_some(),
            RecordType::Index => index_items(data).is_some(),
            RecordType::Footer => footer_target(data).is_some(),
        }
    }
}

/// What is at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A record whose checksum matches, with its data and its size in the file.
    Record(RecordType, &'a [u8], usize),
    /// A record may be here that takes this many bytes; there are fewer.
    Needs(usize),
    /// No record. If the file has as much as it says of itself, where the next one would start.
    Bad(Option<usize>),
}

/// Looks for a record at the start of `bytes`, of which the file has `rest` in all. The type stands outside of the checksum: it is believed
/// if the data are such a record's.
pub fn record_at(bytes: &[u8], rest: u64) -> Found<'_> {
    let Some(header) = bytes.get(..RECORD_HEADER_BYTES) else { return Found::Needs(RECORD_HEADER_BYTES) };
    let record_type = match header.first() {
        Some(1) => RecordType::Entry,
        Some(2) => RecordType::Index,
        Some(3) => RecordType::Footer,
        _ => return Found::Bad(None),
    };
    let length = be64(header, 1);
    if length > u64::from(MAX_DATA_BYTES) + ENTRY_HEADER_BYTES as u64 {
        return Found::Bad(None);
    }
    let total = RECORD_HEADER_BYTES + length as usize + CRC_BYTES;
    if total as u64 > rest {
        return Found::Needs(total);
    }
    if !record_type.may_have(length as usize) {
        return Found::Bad(Some(total));
    }
    let Some(record) = bytes.get(..total) else { return Found::Needs(total) };
    let (data, crc) = record[RECORD_HEADER_BYTES..].split_at(length as usize);
    if crc != masked_crc(crc32c::crc32c(data)).to_be_bytes() || !record_type.is_of(data) {
        return Found::Bad(Some(total));
    }
    Found::Record(record_type, data, total)
}

/// CubeFS's checksum: CRC-32C, rotated and shifted by a constant.
fn masked_crc(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// An entry as a record's data has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// 0 normal, 1 a change of configuration.
    pub kind: u8,
    pub term: u64,
    pub index: u64,
    pub data: &'a [u8],
}

impl Entry<'_> {
    pub fn decode(data: &[u8]) -> Option<Entry<'_>> {
        let payload = data.get(ENTRY_HEADER_BYTES..)?;
        Some(Entry { kind: *data.first()?, term: be64(data, 1), index: be64(data, 9), data: payload })
    }

    /// Bytes of the entry's record.
    pub fn record_bytes(&self) -> u64 {
        (RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES + CRC_BYTES) as u64 + self.data.len() as u64
    }

    /// Appends the entry's record.
    pub fn encode_record(&self, out: &mut Vec<u8>) {
        let (before, behind) = self.encode_around();
        out.extend_from_slice(&before);
        out.extend_from_slice(self.data);
        out.extend_from_slice(&behind);
    }

    /// What is before the payload in the entry's record, and behind it.
    pub fn encode_around(&self) -> ([u8; RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES], [u8; CRC_BYTES]) {
        let mut before = [0; RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES];
        let (record, header) = before.split_at_mut(RECORD_HEADER_BYTES);
        let length = (ENTRY_HEADER_BYTES + self.data.len()) as u64;
        record[0] = RecordType::Entry as u8;
        record[1..].copy_from_slice(&length.to_be_bytes());
        header[0] = self.kind;
        header[1..9].copy_from_slice(&self.term.to_be_bytes());
        header[9..].copy_from_slice(&self.index.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(header), self.data);
        (before, masked_crc(crc).to_be_bytes())
    }
}

/// Where an entry is in its file, as the index record of a sealed file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexItem {
    pub index: u64,
    pub term: u64,
    pub offset: u32,
}

/// The items of an index record; `None` if their number is not what the data holds.
pub fn index_items(data: &[u8]) -> Option<impl Iterator<Item = IndexItem> + '_> {
    let count = data.get(..INDEX_COUNT_BYTES).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes)?;
    let items = data.get(INDEX_COUNT_BYTES..)?;
    let whole = items.len() as u64 == u64::from(count) * INDEX_ITEM_BYTES as u64;
    let item = |b: &[u8]| IndexItem { index: be64(b, 0), term: be64(b, 8), offset: (be64(b, 12) & 0xFFFF_FFFF) as u32 };
    whole.then(|| items.chunks_exact(INDEX_ITEM_BYTES).map(item))
}

/// Whether an index record may take so many bytes.
pub fn may_be_index(bytes: u64) -> bool {
    let data = bytes.checked_sub((RECORD_HEADER_BYTES + CRC_BYTES) as u64);
    data.is_some_and(|data| RecordType::Index.may_have(data as usize))
}

/// Appends an index record and the footer that points to it; the index record starts at `offset`.
pub fn encode_seal(items: &[IndexItem], offset: u64, out: &mut Vec<u8>) {
    let mut data = Vec::with_capacity(4 + items.len() * INDEX_ITEM_BYTES);
    data.extend_from_slice(&(items.len() as u32).to_be_bytes());
    for item in items {
        data.extend_from_slice(&item.index.to_be_bytes());
        data.extend_from_slice(&item.term.to_be_bytes());
        data.extend_from_slice(&item.offset.to_be_bytes());
    }
    encode_record(RecordType::Index, &data, out);
    let mut footer = [0; FOOTER_BYTES];
    footer[..8].copy_from_slice(&offset.to_be_bytes());
    footer[8..].copy_from_slice(&FOOTER_MAGIC);
    encode_record(RecordType::Footer, &footer, out);
}

fn encode_record(record_type: RecordType, data: &[u8], out: &mut Vec<u8>) {
    out.push(record_type as u8);
    out.extend_from_slice(&(data.len() as u64).to_be_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&masked_crc(crc32c::crc32c(data)).to_be_bytes());
}

/// The offset of the index record that a footer names.
pub fn footer_target(data: &[u8]) -> Option<u64> {
    (data.len() == FOOTER_BYTES && data[8..] == FOOTER_MAGIC).then(|| be64(data, 0))
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From CubeFS's own test of its log file (log_file_test.go): its bytes, not ours.
    const SAMPLE: &[u8] = &[
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x71,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x87, 0x45, 0x7b, 0x22, 0x6f, 0x70, 0x22, 0x3a, 0x38, 0x2c, 0x22, 0x6b,
        0x22, 0x3a, 0x6e, 0x75, 0x6c, 0x6c, 0x2c, 0x22, 0x76, 0x22, 0x3a, 0x6e, 0x75, 0x6c, 0x6c, 0x7d, 0x27, 0x93,
        0x59, 0x23,
    ];

    #[test]
    fn a_record_that_cubefs_wrote_is_read_and_written_alike() {
        let Found::Record(RecordType::Entry, data, total) = record_at(SAMPLE, SAMPLE.len() as u64) else {
            panic!("{:?}", record_at(SAMPLE, SAMPLE.len() as u64))
        };
        assert_eq!(total, SAMPLE.len());
        let entry = Entry::decode(data).unwrap();
        assert_eq!((entry.kind, entry.data), (0, &br#"{"op":8,"k":null,"v":null}"#[..]));
        let mut written = Vec::new();
        entry.encode_record(&mut written);
        assert_eq!((written.as_slice(), entry.record_bytes()), (SAMPLE, SAMPLE.len() as u64));
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_found() {
        for bit in 0..SAMPLE.len() * 8 {
            let mut bad = SAMPLE.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            let found = record_at(&bad, bad.len() as u64);
            assert!(matches!(found, Found::Needs(_) | Found::Bad(_)), "bit {bit}: {found:?}");
        }
    }

    #[test]
    fn a_hostile_length_asks_for_no_memory() {
        let mut bad = SAMPLE.to_vec();
        bad[1..9].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(record_at(&bad, u64::MAX), Found::Bad(None));
    }

    #[test]
    fn a_seal_names_every_entry() {
        let items: Vec<IndexItem> =
            (0..3).map(|i| IndexItem { index: 7 + i, term: 2, offset: 100 * i as u32 }).collect();
        let mut bytes = Vec::new();
        encode_seal(&items, 300, &mut bytes);
        let Found::Record(RecordType::Index, data, total) = record_at(&bytes, bytes.len() as u64) else { panic!() };
        assert_eq!(index_items(data).unwrap().collect::<Vec<_>>(), items);
        let Found::Record(RecordType::Footer, data, rest) = record_at(&bytes[total..], bytes.len() as u64) else {
            panic!()
        };
        assert_eq!((footer_target(data), total + rest), (Some(300), bytes.len()));
    }

    #[test]
    fn names() {
        let name = LogName { sequence: 31, first: 0x400 };
        assert_eq!(name.to_string(), "000000000000001f-0000000000000400.log");
        assert_eq!(LogName::parse(&name.to_string()), Some(name));
        for odd in ["1-2.log", "000000000000001f-0000000000000400.log.bak", "000000000000001F-0000000000000400.log"] {
            assert_eq!(LogName::parse(odd), None, "{odd}");
            assert!(LogName::is_taken_for_one(odd), "{odd}");
        }
        for other in
            ["META", "cubefs-original", "bulkhead-original", "seg-0000000000000001", "bad-1", "-1.log", "1-.log"]
        {
            assert!(!LogName::is_taken_for_one(other), "{other}");
        }
    }

    #[test]
    fn a_meta_of_every_size() {
        let meta = Meta { term: 5, commit: 9, vote: 2, compaction_index: 4, compaction_term: 3 };
        let bytes = meta.encode();
        assert_eq!(Meta::decode(&bytes), Some(meta));
        assert_eq!(Meta::decode(&[]), Some(Meta::default()));
        assert_eq!(Meta::decode(&bytes[..24]), Some(Meta { compaction_index: 0, compaction_term: 0, ..meta }));
        assert_eq!(Meta::decode(&[bytes.as_slice(), &[1]].concat()), Some(meta));
        for size in (1..24).chain(25..40) {
            assert_eq!(Meta::decode(&bytes[..size]), None, "{size}");
        }
    }
}
