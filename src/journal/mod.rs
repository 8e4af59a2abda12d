//! The shared journal of a disk: one durable write in it makes waiting records of many partitions durable at once, which go to the
//! partitions' own segments later, in large writes.
//!
//! It is a physical redo log. A piece says that these bytes lie at this offset of this segment; until they are written there
//! (`Journaled::settle`), reads of the segment show them from the journal (`Journaled`). To write a piece twice changes nothing.
//! `docs/format.md` has the bytes (rules R8 and R9).
//!
//! The file has two regions. One is written until it is full; then the other is, once no ticket for it lives: by then all that lies in it
//! is in the segments. Each partition has a hard link to the file in its own directory, so that a directory is whole by itself.

mod overlay;
mod patches;
mod read;
mod settle;
#[cfg(test)]
mod tests;
mod write;

pub use overlay::Journaled;
pub use write::{Journal, Ticket};

use crate::format::{Id, MAX_PIECE_BYTES};

/// Most data of one piece.
pub const PIECE_MAX_BYTES: usize = MAX_PIECE_BYTES as usize;

/// Bytes of a segment: from a multiple of 8 behind its header on, 1 to `PIECE_MAX_BYTES` of them.
pub struct Piece<'a> {
    pub incarnation: Id,
    pub salt: Id,
    /// The segment's sequence.
    pub segment: u64,
    /// Where in the segment's file `data` lies.
    pub offset: u64,
    pub data: &'a [u8],
}

const PREFIX: &str = "journal-";
/// Bytes of the id that are in the name.
const NAMED_BYTES: usize = 8;

/// The name of a journal's link in a partition's directory.
pub fn name_of(id: &Id) -> String {
    let hex: String = id.iter().take(NAMED_BYTES).map(|b| format!("{b:02x}")).collect();
    format!("{PREFIX}{hex}")
}

pub fn is_name(name: &str) -> bool {
    let lower = |hex: &str| hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    name.strip_prefix(PREFIX).is_some_and(|hex| hex.len() == 2 * NAMED_BYTES && lower(hex))
}
