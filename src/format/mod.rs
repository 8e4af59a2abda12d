//! Bytes to structs and back, without I/O. `docs/format.md` has the same rules with examples.
//!
//! # FORMAT
//!
//! All numbers are little-endian. CRC is CRC-32 (IEEE).
//!
//! ## `root` (16,384 bytes): four slots of 512 bytes at 0, 4096, 8192, 12288
//! ```text
//!   0 magic "BLKHROOT"        64 term                   144 mode u32, flags u32 (1 = clean)
//!   8 version u32 = 1         72 vote                   152 end: segment
//!  12 length u32 = 512        80 commit                 160 end: offset
//!  16 generation              88 compaction index       168 end: lsn
//!  24 partition id            96 compaction term        176 end: index
//!  32 incarnation [16]       104 first segment          184 end: term
//!  48 epoch [16]             112 last segment           192 mark, then zero
//!                            120 lsn limit              508 CRC of slot number (u32) and bytes 0..508
//!                            128 journal id [16]
//! ```
//! ## `seg-%016x`: a header of 96 bytes, records from `header bytes` on
//! ```text
//!   0 magic "BLKHSEGM"        24 incarnation [16]       72 sequence
//!   8 version u32 = 1         40 epoch [16]             80 block bytes u32
//!  12 header bytes u32        56 salt [16]              84 zeroed u32 = 1 or 0
//!  16 partition id                                      88 CRC of 0..88, 92 zero u32
//! ```
//! ## Record: 56 bytes of header, then the data
//! ```text
//!   0 header CRC u32: salt, the record's offset in the file (u64), bytes 4..56
//!   4 data CRC u32           16 lsn                     40 mark: every record up to this lsn was durable
//!   8 length u32             24 index                   48 commit
//!  12 type u8, kind u8, 0    32 term
//! ```
//! Types: 1 entry; 2 begin (index: first index that this segment holds or supersedes; data: sequence, end offset and last lsn of the
//! segment it continues, 24 bytes; zeros for none); 3 mark (no data; index and term of the last entry).
//!
//! ## Rules
//! R1. A record is valid if its type is known, its length is at most 64 MiB and fits the file, and both CRCs match.
//!     In every struct, indexes, lsns, sequences, generations, offsets and the lsn limit are below 2^62; else it is not valid.
//! R2. A record starts at a multiple of 8: where the one before it ended, rounded up to 8, or at the next multiple of `block bytes`.
//! R3. In one segment lsns grow by one from record to record; the first record is a begin. An lsn is never used twice in a partition.
//! R4. A segment counts if the root's range `first segment ..= last segment` has it and the chain reaches it: the newest begun
//!     segment, the one that its begin names, and so on. Segments in the range that the chain skips were abandoned.
//! R5. A segment of the chain ends where the begin of the next says. The newest ends at the first hole with nothing valid behind it;
//!     a hole with valid records behind it is damage if it lies at or below a mark or a known commit, else the end.
//! R6. A begin with index i removes every older entry from i on. Entries at or below the compaction index do not count.
//! R7. The root is the valid slot of the highest generation. Generation g is written to both slots of pair g mod 2 (slots 0 and 1, or
//!     2 and 3); a new file has g - 1 in the other pair. A pair with no valid slot may have held a newer state: such a root is refused.

pub mod cubefs;
mod record;
mod root;
mod segment_header;

pub use record::{
    align8, BeginData, RecordHeader, RecordType, SegmentSalt, BEGIN_DATA_BYTES, MAX_DATA_BYTES, RECORD_HEADER_BYTES,
};
pub use root::{LogEnd, Root, RootError, ROOT_BYTES, SLOT_BYTES, SLOT_PAIR_BYTES, SNAPSHOT_PENDING};
pub use segment_header::{SegmentHeader, SegmentHeaderError, SEGMENT_HEADER_BYTES};

/// The version this code writes, and the newest it reads.
pub const VERSION: u32 = 1;

/// Indexes, lsns, sequences, generations and offsets are below this, so that adding to one cannot overflow.
pub const MAX_COUNTER: u64 = 1 << 62;

/// A 128-bit random name: incarnation, epoch, salt.
pub type Id = [u8; 16];

pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(crate) fn get_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

pub(crate) fn get_id(bytes: &[u8], at: usize) -> Id {
    bytes.get(at..at + 16).and_then(|b| b.try_into().ok()).unwrap_or_default()
}
