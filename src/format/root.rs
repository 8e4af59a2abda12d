//! The root: a partition's state, in four checksummed slots.

use super::{get_id, get_u32, get_u64, Id, MAX_COUNTER, VERSION};

pub const ROOT_BYTES: usize = 4 * SLOT_SPACING;
/// Two slots, written together with one flush.
pub const SLOT_PAIR_BYTES: usize = 2 * SLOT_SPACING;
/// Slots lie in different blocks, so that one torn or unreadable block costs one slot.
const SLOT_SPACING: usize = 4096;
pub const SLOT_BYTES: usize = 512;
const MAGIC: &[u8; 8] = b"BLKHROOT";
const FLAG_CLEAN: u32 = 1;
/// In a vote that the CubeFS adapter has stored: the log is hidden from raft until a snapshot has arrived (`go/cubefs/snapshot.go`). CubeFS's
/// WAL would show it. Other owners may use the bit as they like.
pub const SNAPSHOT_PENDING: u64 = 1 << 63;

/// An end of the log: its newest begun segment, the position behind the last record, the last entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogEnd {
    pub segment: u64,
    pub offset: u64,
    pub lsn: u64,
    pub index: u64,
    pub term: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Root {
    pub generation: u64,
    pub partition_id: u64,
    pub incarnation: Id,
    pub epoch: Id,
    pub term: u64,
    pub vote: u64,
    pub commit: u64,
    pub compaction_index: u64,
    pub compaction_term: u64,
    /// Segments that count lie in `first_segment ..= last_segment`; none if first > last.
    pub first_segment: u64,
    pub last_segment: u64,
    /// No lsn at or above this was used when the root was written, nor will be before it is written again.
    pub lsn_limit: u64,
    /// Every lsn up to this was durable when the root was written.
    pub mark: u64,
    /// The shared journal in use; zero for none.
    pub journal: Id,
    pub mode: u32,
    /// Where the log ended when it was opened; with `clean`, where it ends. What earlier openings left behind it does not count.
    pub end: LogEnd,
    /// Set by a clean close.
    pub clean: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    #[error("the root file holds no valid slot")]
    NoValidSlot,
    #[error("slots {0} and {1} are damaged and may have held the newest state, a vote included", pair * 2, pair * 2 + 1)]
    NewestMayBeLost { pair: usize },
    #[error("the root was written by format version {0}, this library reads up to {VERSION}")]
    VersionTooNew(u32),
}

impl Root {
    /// The bytes and the file offset of the pair of slots that this generation is written to.
    pub fn encode_pair(&self) -> (Vec<u8>, u64) {
        let pair = (self.generation % 2) as usize;
        let mut bytes = vec![0u8; SLOT_PAIR_BYTES];
        for i in 0..2 {
            bytes[i * SLOT_SPACING..i * SLOT_SPACING + SLOT_BYTES].copy_from_slice(&self.encode_slot(pair * 2 + i));
        }
        (bytes, (pair * SLOT_PAIR_BYTES) as u64)
    }

    /// A whole new root file: this state in both pairs, so that a pair without a valid slot is always damage.
    pub fn encode_file(&self) -> Vec<u8> {
        let mut bytes = vec![0u8; ROOT_BYTES];
        for generation in [self.generation.saturating_sub(1), self.generation] {
            let (pair, offset) = Root { generation, ..*self }.encode_pair();
            bytes[offset as usize..offset as usize + SLOT_PAIR_BYTES].copy_from_slice(&pair);
        }
        bytes
    }

    /// The newest valid slot, whatever was in those that are not: for a repair. The newest state may be another one.
    pub fn newest_slot(bytes: &[u8]) -> Option<Root> {
        let slots = bytes.chunks(SLOT_SPACING).take(4).enumerate();
        let valid = slots.filter_map(|(slot, b)| decode_slot(slot, b.get(..SLOT_BYTES)?).ok().flatten());
        valid.max_by_key(|root| root.generation)
    }

    fn encode_slot(&self, slot: usize) -> [u8; SLOT_BYTES] {
        let mut b = [0u8; SLOT_BYTES];
        b[..8].copy_from_slice(MAGIC);
        b[8..12].copy_from_slice(&VERSION.to_le_bytes());
        b[12..16].copy_from_slice(&(SLOT_BYTES as u32).to_le_bytes());
        b[32..48].copy_from_slice(&self.incarnation);
        b[48..64].copy_from_slice(&self.epoch);
        b[128..144].copy_from_slice(&self.journal);
        b[144..148].copy_from_slice(&self.mode.to_le_bytes());
        let flags = if self.clean { FLAG_CLEAN } else { 0 };
        b[148..152].copy_from_slice(&flags.to_le_bytes());
        let end = self.end;
        let words = [
            (16, self.generation),
            (24, self.partition_id),
            (64, self.term),
            (72, self.vote),
            (80, self.commit),
            (88, self.compaction_index),
            (96, self.compaction_term),
            (104, self.first_segment),
            (112, self.last_segment),
            (120, self.lsn_limit),
            (152, end.segment),
            (160, end.offset),
            (168, end.lsn),
            (176, end.index),
            (184, end.term),
            (192, self.mark),
        ];
        for (at, word) in words {
            b[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let crc = slot_crc(slot, &b);
        b[508..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// The newest state in a root file (rule R7). What is missing of a short file counts as damaged.
    pub fn decode_file(bytes: &[u8]) -> Result<Root, RootError> {
        let mut newest: Option<Root> = None;
        let mut bad_pair = None;
        for pair in 0..2 {
            let mut valid = 0;
            for slot in [pair * 2, pair * 2 + 1] {
                let start = (slot * SLOT_SPACING).min(bytes.len());
                if let Some(root) = decode_slot(slot, &bytes[start..(start + SLOT_BYTES).min(bytes.len())])? {
                    valid += 1;
                    if newest.map_or(true, |n| root.generation > n.generation) {
                        newest = Some(root);
                    }
                }
            }
            if valid == 0 {
                bad_pair = Some(pair);
            }
        }
        match (newest, bad_pair) {
            (None, _) => Err(RootError::NoValidSlot),
            (Some(_), Some(pair)) => Err(RootError::NewestMayBeLost { pair }),
            (Some(root), None) => Ok(root),
        }
    }

    /// True if both slots of its pair hold it: either may be lost then.
    pub fn is_twice_in(&self, bytes: &[u8]) -> bool {
        let pair = (self.generation % 2) as usize;
        [pair * 2, pair * 2 + 1].iter().all(|slot| {
            let bytes = bytes.get(slot * SLOT_SPACING..slot * SLOT_SPACING + SLOT_BYTES).unwrap_or(&[]);
            decode_slot(*slot, bytes) == Ok(Some(*self))
        })
    }
}

fn slot_crc(slot: usize, b: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(slot as u32).to_le_bytes());
    crc.update(&b[..508]);
    crc.finalize()
}

fn decode_slot(slot: usize, b: &[u8]) -> Result<Option<Root>, RootError> {
    if b.len() < SLOT_BYTES || &b[..8] != MAGIC || get_u32(b, 508) != slot_crc(slot, b) {
        return Ok(None);
    }
    let version = get_u32(b, 8);
    if version > VERSION {
        return Err(RootError::VersionTooNew(version));
    }
    let end = LogEnd {
        segment: get_u64(b, 152),
        offset: get_u64(b, 160),
        lsn: get_u64(b, 168),
        index: get_u64(b, 176),
        term: get_u64(b, 184),
    };
    let root = Root {
        generation: get_u64(b, 16),
        partition_id: get_u64(b, 24),
        incarnation: get_id(b, 32),
        epoch: get_id(b, 48),
        term: get_u64(b, 64),
        vote: get_u64(b, 72),
        commit: get_u64(b, 80),
        compaction_index: get_u64(b, 88),
        compaction_term: get_u64(b, 96),
        first_segment: get_u64(b, 104),
        last_segment: get_u64(b, 112),
        lsn_limit: get_u64(b, 120),
        mark: get_u64(b, 192),
        journal: get_id(b, 128),
        mode: get_u32(b, 144),
        end,
        clean: get_u32(b, 148) & FLAG_CLEAN != 0,
    };
    let counters = [
        root.generation,
        root.commit,
        root.compaction_index,
        root.first_segment,
        root.last_segment,
        root.lsn_limit,
        root.mark,
    ];
    let ends = [end.segment, end.offset, end.lsn, end.index];
    Ok(counters.iter().chain(&ends).all(|n| *n < MAX_COUNTER).then_some(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(generation: u64) -> Root {
        Root {
            generation,
            partition_id: 7,
            incarnation: [1; 16],
            term: generation,
            last_segment: 3,
            clean: true,
            ..Root::default()
        }
    }

    fn file(newest: u64) -> Vec<u8> {
        let mut bytes = sample(newest - 1).encode_file();
        let (pair, offset) = sample(newest).encode_pair();
        bytes[offset as usize..offset as usize + pair.len()].copy_from_slice(&pair);
        bytes
    }

    #[test]
    fn the_highest_generation_wins() {
        assert_eq!(Root::decode_file(&file(8)), Ok(sample(8)));
        assert_eq!(Root::decode_file(&file(9)), Ok(sample(9)));
    }

    #[test]
    fn either_slot_may_be_lost_but_not_both() {
        for generation in [8, 9] {
            for slot in 0..4 {
                let mut bytes = file(generation);
                bytes[slot * SLOT_SPACING + 64] ^= 1;
                assert_eq!(Root::decode_file(&bytes), Ok(sample(generation)), "slot {slot}");
                bytes[(slot ^ 1) * SLOT_SPACING + 200] ^= 1;
                let pair = slot / 2;
                assert_eq!(
                    Root::decode_file(&bytes),
                    Err(RootError::NewestMayBeLost { pair }),
                    "an older vote must not be taken for the newest"
                );
            }
        }
    }

    #[test]
    fn a_slot_that_a_torn_write_left_behind_is_noticed() {
        for generation in [8, 9] {
            let whole = file(generation);
            assert!(sample(generation).is_twice_in(&whole));
            for slot in 0..4 {
                let mut bytes = whole.clone();
                bytes[slot * SLOT_SPACING..slot * SLOT_SPACING + SLOT_BYTES]
                    .copy_from_slice(&sample(generation - 2).encode_slot(slot));
                let of_its_pair = slot / 2 == generation as usize % 2;
                assert_eq!(
                    sample(generation).is_twice_in(&bytes),
                    !of_its_pair,
                    "generation {generation}, slot {slot}"
                );
            }
        }
    }

    #[test]
    fn an_empty_or_short_file_is_not_term_zero() {
        assert_eq!(Root::decode_file(&[]), Err(RootError::NoValidSlot));
        assert_eq!(Root::decode_file(&[0; ROOT_BYTES]), Err(RootError::NoValidSlot));
        assert_eq!(Root::decode_file(&file(8)[..SLOT_PAIR_BYTES]), Err(RootError::NewestMayBeLost { pair: 1 }));
    }

    #[test]
    fn a_slot_in_the_wrong_place_does_not_count() {
        let mut bytes = file(8);
        let newest = bytes[..SLOT_BYTES].to_vec();
        bytes[2 * SLOT_SPACING..2 * SLOT_SPACING + SLOT_BYTES].copy_from_slice(&newest);
        bytes[3 * SLOT_SPACING..3 * SLOT_SPACING + SLOT_BYTES].copy_from_slice(&newest);
        assert_eq!(Root::decode_file(&bytes), Err(RootError::NewestMayBeLost { pair: 1 }));
    }
}
